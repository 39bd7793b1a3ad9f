//! Tests of the scheduler over a simulated clock, a store in memory, and jobs that make small backups.

mod alone;
mod week;
mod world;
