//! The throttle of the reads of data files: the caller's choice, and the report at the end.
//!
//! Only the reads of the page workers are slowed down. The redo follower is not, because redo that it misses is lost.
//! The files of other engines are not either, because tables may be locked while they are copied.

use crate::pace::Settings;
use std::num::NonZeroU64;

/// The rate at which data files are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Throttle {
    /// This many bytes per second, for all page workers together.
    Rate(NonZeroU64),
    /// As fast as possible without slowing the server noticeably: its statements may take longer than usual by this
    /// fraction (0.05).
    Auto(f64),
}

impl Throttle {
    /// Automatic, with the default tolerance of 5 %.
    pub const AUTO: Self = Self::Auto(Settings::TOLERANCE);
    /// Rate in bytes per second of an automatic throttle if nothing can be watched.
    pub(super) const UNWATCHED: NonZeroU64 = NonZeroU64::new(32 << 20).unwrap();
}

/// How much the throttle slowed the backup. Rates are in bytes per second.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ThrottleReport {
    /// `fixed`, or `auto`.
    pub mode: &'static str,
    /// The load that was watched; `None` with a fixed rate.
    pub watched: Option<String>,
    /// Why no better measure of the load was watched.
    pub fallback: Option<String>,
    /// The lowest rate that was allowed.
    pub lowest_rate: u64,
    /// The highest rate that was allowed.
    pub highest_rate: u64,
    /// The bytes that were read, divided by the time of the copy.
    pub mean_rate: u64,
    /// How often the rate was lowered because the server got slower.
    pub backed_off: u64,
    /// How often reading paused to measure the server without it.
    pub looks: u64,
}
