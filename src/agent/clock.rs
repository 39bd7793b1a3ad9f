//! The time, which tests replace.

use crate::cancel::Cancel;
use chrono::{DateTime, Utc};
use std::fmt::Debug;

/// Tells the time and waits for a time.
pub(crate) trait Clock: Debug + Send + Sync {
    /// Returns the time.
    fn now(&self) -> DateTime<Utc>;

    /// Waits until `time`, at most; returns earlier if `cancel` is cancelled or the clock is set. The caller asks for
    /// the time again.
    fn wait_until(&self, time: DateTime<Utc>, cancel: &Cancel);
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn wait_until(&self, time: DateTime<Utc>, cancel: &Cancel) {
        // The clock can be set while this waits, so it looks again after a minute.
        const MAX: std::time::Duration = std::time::Duration::from_secs(60);
        let wait = (time - self.now()).to_std().unwrap_or_default();
        let _cancelled = cancel.wait(wait.min(MAX));
    }
}
