//! Tests of a verification: every way to damage a real backup, and the result of each level.

mod authentication;
mod contents;
mod crafted;
mod damages;
mod verdicts;
