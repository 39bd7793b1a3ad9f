//! How slowly data files are read: what a caller asks for, and what it is told at the end.
//!
//! Only the reads of the page workers are held back. The redo follower never is (what it misses is lost),
//! nor are the files of other engines, during whose copy tables may be locked: slower would be worse.

use crate::pace::Settings;
use std::num::NonZeroU64;

/// What rate the data files are read at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Throttle {
    /// So many bytes a second, of all page workers together.
    Rate(NonZeroU64),
    /// As fast as the server hardly feels it: its work may take longer than usual by this part of it (0.05).
    Auto(f64),
}

impl Throttle {
    /// Automatic, with the usual tolerance of a twentieth.
    pub const AUTO: Self = Self::Auto(Settings::TOLERANCE);
    /// The rate of an automatic backup where nothing can be watched: 32 MiB a second.
    pub(super) const BLIND: NonZeroU64 = NonZeroU64::new(32 << 20).unwrap();
}

/// What was done for the server's sake. Rates are bytes a second.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ThrottleReport {
    /// `fixed`, or `auto`.
    pub mode: &'static str,
    /// What was watched; `None` with a fixed rate.
    pub watched: Option<String>,
    /// Why something better was not watched.
    pub fallback: Option<String>,
    /// The lowest rate that was allowed.
    pub lowest_rate: u64,
    /// The highest.
    pub highest_rate: u64,
    /// What was read, divided by the time that it took.
    pub mean_rate: u64,
    /// How often the rate was cut because the server got slower.
    pub backed_off: u64,
    /// How often reading paused to learn what is usual for the server.
    pub looks: u64,
}
