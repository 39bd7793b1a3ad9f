//! Finds the highest read rate that doesn't slow the server noticeably, by additive increase and
//! multiplicative decrease, as TCP does for a link.
//!
//! First nothing is read, and the usual latency of the server is measured. Then reading begins
//! slowly. The rate is raised while the server's work takes as long as usual, and cut when it takes
//! longer by more than the tolerance. The server's own load changes too, so reading pauses from
//! time to time, for a fraction of a second, and the usual latency is measured again. This happens
//! earlier in two cases: if the lowest rate is reached and the server is still slow, because then
//! the backup is probably not the cause; and if the server is far quicker than usual, because then
//! the usual latency is wrong.
//!
//! The rate is never below the floor, and pauses are a small fraction of the time, so a backup
//! always ends.

use super::baseline::{Baseline, Slowdown, Window};
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

/// Length of the first measurement, before anything is read.
const FIRST_MEASUREMENT: Duration = Duration::from_secs(2);
/// Length of the pause for each later measurement. Its first window is ignored, because reads are
/// still ending.
const NEXT_MEASUREMENT: Duration = Duration::from_millis(600);
/// Time of reading between two measurements.
const MEASUREMENT_INTERVAL: Duration = Duration::from_secs(10);
/// The same if the floor is reached and the server is still slow.
const SHORT_INTERVAL: Duration = Duration::from_secs(3);
/// Number of windows of which the median counts, because a single window can be an outlier.
const MEDIAN_OF: usize = 3;
/// Reading can't make a server faster by this factor, so below it the usual latency is wrong.
const WRONG_BASELINE: f64 = 0.5;
const MIB: u64 = 1 << 20;

/// The limits of the controller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The lowest rate, in bytes per second.
    pub floor: NonZeroU64,
    /// How much longer than usual the server's work may take, as a fraction of the usual latency:
    /// 0.05.
    pub tolerance: f64,
    /// Number of workers.
    pub readers: usize,
}

impl Settings {
    /// At least 8 MiB per second (28 GiB per hour).
    pub const FLOOR: NonZeroU64 = NonZeroU64::new(8 * MIB).unwrap();
    /// 5 %.
    pub const TOLERANCE: f64 = 0.05;
}

/// The rate limit of the workers until the next window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadRate {
    /// Start no read.
    Pause,
    /// Read.
    Read {
        /// Total rate of all workers, in bytes per second.
        rate: NonZeroU64,
        /// Number of workers that may read concurrently; at least 1.
        readers: usize,
    },
}

/// Totals of the controller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// The lowest rate that was set, in bytes per second; 0 before the first one.
    pub lowest: u64,
    /// The highest rate that was set, in bytes per second.
    pub highest: u64,
    /// How often the rate was cut because the server became slower.
    pub backed_off: u64,
    /// How often the usual latency was measured.
    pub looks: u64,
}

/// The state between two windows.
#[derive(Debug)]
pub struct Controller {
    settings: Settings,
    phase: Phase,
    baseline: Baseline,
    rate: u64,
    readers: usize,
    /// The rate at which the server last became slower.
    knee: Option<u64>,
    recent: VecDeque<f64>,
    summary: Summary,
}

#[derive(Debug)]
enum Phase {
    Measuring {
        until: Duration,
        seen: Vec<Window>,
        skip: bool,
    },
    Copying {
        since: Duration,
    },
}

impl Controller {
    /// Creates a controller, which begins with a pause. Times are durations since any fixed moment.
    #[must_use]
    pub const fn new(settings: Settings, now: Duration) -> Self {
        Self {
            settings,
            phase: Phase::Measuring {
                until: now.saturating_add(FIRST_MEASUREMENT),
                seen: Vec::new(),
                skip: false,
            },
            baseline: Baseline::new(),
            rate: settings.floor.get().saturating_mul(2),
            readers: 1,
            knee: None,
            recent: VecDeque::new(),
            summary: Summary {
                lowest: 0,
                highest: 0,
                backed_off: 0,
                looks: 0,
            },
        }
    }

    /// Returns the current limit.
    #[must_use]
    pub fn rate(&self) -> ReadRate {
        match self.phase {
            Phase::Measuring { .. } => ReadRate::Pause,
            Phase::Copying { .. } => ReadRate::Read {
                rate: NonZeroU64::new(self.rate).unwrap_or(self.settings.floor),
                readers: self.readers,
            },
        }
    }

    /// Returns the totals so far.
    #[must_use]
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    /// Processes a window that ended at `now`, in which `read` bytes were read; returns the next
    /// limit.
    pub fn step(&mut self, now: Duration, window: Window, read: u64) -> ReadRate {
        match &mut self.phase {
            Phase::Measuring { until, seen, skip } => {
                if !std::mem::take(skip) {
                    seen.push(window);
                }
                if now >= *until && !seen.is_empty() {
                    let seen = std::mem::take(seen);
                    self.baseline.learn(&seen);
                    self.summary.looks += 1;
                    self.phase = Phase::Copying { since: now };
                    self.recent.clear();
                }
            }
            Phase::Copying { since } => {
                let since = now.saturating_sub(*since);
                let achieved = (read as f64 / window.length.as_secs_f64().max(0.001)) as u64;
                if self.judge(&window, achieved, since) {
                    self.measure_again(now);
                }
            }
        }
        if matches!(self.phase, Phase::Copying { .. }) {
            let lowest = &mut self.summary.lowest;
            *lowest = if *lowest == 0 {
                self.rate
            } else {
                self.rate.min(*lowest)
            };
            self.summary.highest = self.rate.max(self.summary.highest);
        }
        self.rate()
    }

    /// Adjusts the rate by a window; returns whether it is time for a new measurement.
    fn judge(&mut self, window: &Window, achieved: u64, since: Duration) -> bool {
        let due = since >= MEASUREMENT_INTERVAL;
        let slower = match self.baseline.compare(window) {
            // The rate stays unchanged until the usual latency was measured again.
            Slowdown::Slower(times) if times < WRONG_BASELINE => return since >= SHORT_INTERVAL,
            Slowdown::Slower(times) => times,
            Slowdown::Quiet => 1.0,
            Slowdown::Stalled => {
                self.back_off(achieved);
                return due || (self.is_at_floor() && since >= SHORT_INTERVAL);
            }
            Slowdown::Unknown => return since >= SHORT_INTERVAL,
        };
        self.recent.push_back(slower);
        if self.recent.len() > MEDIAN_OF {
            self.recent.pop_front();
        }
        let Some(slower) = self.middle() else {
            return due;
        };
        // The latency of a server can vary by itself. That variation is added to the tolerance, but
        // at most the tolerance once more.
        let tolerance = self.settings.tolerance;
        let limit = tolerance + self.baseline.noise().min(tolerance);
        if slower > 1.0 + limit {
            let was_at_floor = self.is_at_floor();
            self.back_off(achieved);
            return due || (was_at_floor && since >= SHORT_INTERVAL);
        }
        // Between half of the limit and the limit, the rate stays unchanged.
        if slower <= 1.0 + limit / 2.0 {
            self.grow(achieved);
        }
        due
    }

    /// Returns the median of the last windows (of two the lower one); `None` before there are two.
    fn middle(&self) -> Option<f64> {
        let mut sorted: Vec<_> = self.recent.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        (sorted.len() > 1).then(|| sorted[(sorted.len() - 1) / 2])
    }

    fn is_at_floor(&self) -> bool {
        self.rate == self.settings.floor.get() && self.readers == 1
    }

    fn back_off(&mut self, achieved: u64) {
        let floor = self.settings.floor.get();
        if !self.is_at_floor() {
            self.summary.backed_off += 1;
        }
        // If the rate was not reached, only the achieved rate can have been too high.
        let was = self.rate.min(achieved.max(floor));
        self.knee = Some(was);
        self.rate = (was / 10 * 7).max(floor);
        self.readers = (self.readers / 2).max(1);
        // Windows before the cut don't count any more.
        self.recent.clear();
    }

    fn grow(&mut self, achieved: u64) {
        if achieved < self.rate / 5 * 4 && self.readers < self.settings.readers {
            self.readers += 1;
        } else if achieved >= self.rate / 2 {
            // Never far beyond the achieved rate, because a limit that doesn't limit anything has
            // no effect.
            let step = match self.knee {
                None => self.rate / 4,
                Some(knee) => (knee / 32).max(MIB),
            };
            self.rate = self.rate.saturating_add(step);
        }
    }

    fn measure_again(&mut self, now: Duration) {
        self.phase = Phase::Measuring {
            until: now.saturating_add(NEXT_MEASUREMENT),
            seen: Vec::new(),
            skip: true,
        };
    }
}

#[cfg(test)]
#[path = "controller_tests.rs"]
mod tests;
