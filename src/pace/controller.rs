//! The rate at which a backup is hardly felt: found by trying, as TCP finds the rate of a link.
//!
//! First nothing is read, and what is usual for the server is learned. Then reading begins slowly; the rate
//! is raised as long as the server's work takes as long as usual, and cut when it takes longer than that by
//! the tolerance (additive increase, multiplicative decrease). The server's own load changes too, so
//! reading pauses from time to time, for a part of a second, and what is usual is learned again; earlier
//! where the lowest rate is reached and the server still is slow, for then it is probably not the backup,
//! and where the server is far quicker than usual, for then that is not what is usual.
//!
//! The rate is never below the floor, and pauses are a small part of the time: a backup always ends.

use super::baseline::{Baseline, Felt, Window};
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

/// How long is watched before anything is read.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// How long reading pauses for another look. Its first window isn't looked at: reads are still ending.
const NEXT_LOOK: Duration = Duration::from_millis(600);
/// How long is read between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);
/// The same where the floor is reached and the server still is slow.
const SOON: Duration = Duration::from_secs(3);
/// Windows of which the middle one counts: a single one may be anything.
const JUDGED: usize = 3;
/// No server gets so much quicker by being read from: what is taken for usual is wrong.
const WRONG: f64 = 0.5;
const MIB: u64 = 1 << 20;

/// Within what the controller works.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The lowest rate, in bytes a second.
    pub floor: NonZeroU64,
    /// How much longer than usual the server's work may take, as a part of what is usual: 0.05.
    pub tolerance: f64,
    /// How many workers there are.
    pub readers: usize,
}

impl Settings {
    /// 8 MiB a second at least (28 GiB an hour).
    pub const FLOOR: NonZeroU64 = NonZeroU64::new(8 * MIB).unwrap();
    /// A twentieth.
    pub const TOLERANCE: f64 = 0.05;
}

/// What the workers may do until further notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadRate {
    /// Begin no read.
    Pause,
    /// Read.
    Read {
        /// Bytes a second, of all of them.
        rate: NonZeroU64,
        /// How many may read at the same time; at least 1.
        readers: usize,
    },
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// The lowest rate that was ordered, in bytes a second; 0 when nothing was ordered yet.
    pub lowest: u64,
    /// The highest.
    pub highest: u64,
    /// How often the rate was cut because the server got slower.
    pub backed_off: u64,
    /// How often what is usual was learned.
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
    /// The rate at which the server last got slower.
    knee: Option<u64>,
    recent: VecDeque<f64>,
    summary: Summary,
}

#[derive(Debug)]
enum Phase {
    Looking {
        until: Duration,
        seen: Vec<Window>,
        skip: bool,
    },
    Copying {
        since: Duration,
    },
}

impl Controller {
    /// Begins with a pause. Times are durations since any fixed moment.
    #[must_use]
    pub const fn new(settings: Settings, now: Duration) -> Self {
        Self {
            settings,
            phase: Phase::Looking {
                until: now.saturating_add(FIRST_LOOK),
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

    /// What may be done now.
    #[must_use]
    pub fn rate(&self) -> ReadRate {
        match self.phase {
            Phase::Looking { .. } => ReadRate::Pause,
            Phase::Copying { .. } => ReadRate::Read {
                rate: NonZeroU64::new(self.rate).unwrap_or(self.settings.floor),
                readers: self.readers,
            },
        }
    }

    /// What was done so far.
    #[must_use]
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    /// Takes a window that ended `now`, and how many bytes were read in it; gives the next orders.
    pub fn step(&mut self, now: Duration, window: Window, read: u64) -> ReadRate {
        match &mut self.phase {
            Phase::Looking { until, seen, skip } => {
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
                    self.look_again(now);
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

    /// Changes the rate by a window; whether it is time to look again.
    fn judge(&mut self, window: &Window, achieved: u64, since: Duration) -> bool {
        let due = since >= BETWEEN_LOOKS;
        let slower = match self.baseline.felt(window) {
            // The rate stays where it is until that is known again.
            Felt::Slower(times) if times < WRONG => return since >= SOON,
            Felt::Slower(times) => times,
            Felt::Quiet => 1.0,
            Felt::Stalled => {
                self.back_off(achieved);
                return due || (self.is_at_floor() && since >= SOON);
            }
            Felt::Unknown => return since >= SOON,
        };
        self.recent.push_back(slower);
        if self.recent.len() > JUDGED {
            self.recent.pop_front();
        }
        let Some(slower) = self.middle() else {
            return due;
        };
        // A server whose times vary by themselves is not slow whenever they do; but no more than as much
        // again is granted to that.
        let tolerance = self.settings.tolerance;
        let limit = tolerance + self.baseline.noise().min(tolerance);
        if slower > 1.0 + limit {
            let was_at_floor = self.is_at_floor();
            self.back_off(achieved);
            return due || (was_at_floor && since >= SOON);
        }
        // Between half of the limit and all of it is where a rate may stay.
        if slower <= 1.0 + limit / 2.0 {
            self.grow(achieved);
        }
        due
    }

    /// The middle of the last windows (of two the lower one); none before there are two.
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
        // A rate that was not reached can't be what was too much.
        let was = self.rate.min(achieved.max(floor));
        self.knee = Some(was);
        self.rate = (was / 10 * 7).max(floor);
        self.readers = (self.readers / 2).max(1);
        // What comes next is judged by what is done next.
        self.recent.clear();
    }

    fn grow(&mut self, achieved: u64) {
        if achieved < self.rate / 5 * 4 && self.readers < self.settings.readers {
            self.readers += 1;
        } else if achieved >= self.rate / 2 {
            // Never far beyond what is done: an order that nothing holds back would be none.
            let step = match self.knee {
                None => self.rate / 4,
                Some(knee) => (knee / 32).max(MIB),
            };
            self.rate = self.rate.saturating_add(step);
        }
    }

    fn look_again(&mut self, now: Duration) {
        self.phase = Phase::Looking {
            until: now.saturating_add(NEXT_LOOK),
            seen: Vec::new(),
            skip: true,
        };
    }
}

#[cfg(test)]
#[path = "controller_tests.rs"]
mod tests;
