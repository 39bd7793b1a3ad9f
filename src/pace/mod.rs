//! How fast a thing may go: a rate that is kept, and a rate that is found.
//!
//! `Schedule` is a token bucket; the store's requests and the page workers go by it. [`Controller`] finds
//! the rate at which a backup is hardly felt by the server beside it, from [`Window`]s of what the server
//! did meanwhile. All of it is pure: time, counters and what was read are arguments, so tests need neither
//! a clock nor a server, and what waits, asks or sleeps stands in the layers above.

mod baseline;
mod controller;
mod schedule;

pub use baseline::{Class, Counter, Felt, Window};
pub use controller::{Controller, ReadRate, Settings, Summary};
pub(crate) use schedule::Schedule;
