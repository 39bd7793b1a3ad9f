//! Rate limiting: a limiter for a fixed rate, and a controller that finds a rate.
//!
//! `Schedule` is a token bucket, which limits the requests of the store and the page workers.
//! [`Controller`] finds the highest rate that doesn't slow the server noticeably, from [`Window`]s
//! of the server's counters. Both do no I/O: time, counters and the number of bytes read are
//! arguments, so tests need neither a clock nor a server. The layers above do the waiting, the
//! queries and the sleeping.

mod baseline;
mod controller;
mod schedule;

pub use baseline::{Class, Counter, Slowdown, Window};
pub use controller::{Controller, ReadRate, Settings, Summary};
pub(crate) use schedule::Schedule;
