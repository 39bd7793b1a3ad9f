//! Measures a phase: bytes, rate and time left.

use std::collections::VecDeque;
use std::time::Duration;

/// The rate is that of this last part of the phase.
const WINDOW: Duration = Duration::from_secs(15);
/// A rate of a shorter time is not shown.
const FIRST_RATE: Duration = Duration::from_secs(1);
/// A time left is shown from this time on, if a hundredth of the work is done...
const FIRST_LEFT: Duration = Duration::from_secs(3);
/// ... or from this time on.
const LATER_LEFT: Duration = Duration::from_secs(60);

/// The measurements of one phase. Times are relative to its begin.
#[derive(Debug, Default)]
pub(super) struct Meter {
    total: Option<u64>,
    done: u64,
    /// Times and the bytes that were done then, oldest first.
    samples: VecDeque<(Duration, u64)>,
}

/// The state of a phase at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    /// Bytes that are done.
    pub(super) done: u64,
    /// Bytes of the phase, at most.
    pub(super) total: Option<u64>,
    /// Bytes a second.
    pub(super) rate: Option<f64>,
    /// The time since the begin of the phase.
    pub(super) elapsed: Duration,
    /// The time until the end of the phase.
    pub(super) left: Option<Duration>,
}

impl Meter {
    /// Begins a phase of this many bytes.
    pub(super) fn new(total: Option<u64>) -> Self {
        Self {
            total: total.filter(|total| *total > 0),
            ..Self::default()
        }
    }

    /// Adds bytes that are done.
    pub(super) const fn advance(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
    }

    /// Returns the state at `now`. Call it regularly: the rate is computed from these calls.
    pub(super) fn read(&mut self, now: Duration) -> Reading {
        self.samples.push_back((now, self.done));
        // One sample before the window is kept.
        while self
            .samples
            .get(1)
            .is_some_and(|(at, _)| now.saturating_sub(*at) > WINDOW)
        {
            self.samples.pop_front();
        }
        let rate = (now >= FIRST_RATE).then(|| self.rate(now)).flatten();
        Reading {
            done: self.done,
            total: self.total,
            rate,
            elapsed: now,
            left: self.left(now, rate),
        }
    }

    fn rate(&self, now: Duration) -> Option<f64> {
        let whole = (Duration::ZERO, 0);
        let (at, done) = match self.samples.front() {
            Some(first) if now.saturating_sub(first.0) > WINDOW => *first,
            _ => whole,
        };
        let seconds = now.saturating_sub(at).as_secs_f64();
        (seconds > 0.0 && self.done > 0).then(|| self.done.saturating_sub(done) as f64 / seconds)
    }

    fn left(&self, now: Duration, rate: Option<f64>) -> Option<Duration> {
        let (total, rate) = (self.total?, rate.filter(|rate| *rate >= 1.0)?);
        let begun = self.done >= total / 100 && now >= FIRST_LEFT;
        if !begun && now < LATER_LEFT {
            return None;
        }
        let seconds = total.saturating_sub(self.done) as f64 / rate;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_begin_has_neither_a_rate_nor_a_time_left() {
        let mut meter = Meter::new(Some(1000));
        meter.advance(1);
        let first = meter.read(Duration::from_millis(1));
        assert_eq!((first.rate, first.left), (None, None));
        let second = meter.read(s(2));
        assert_eq!((second.rate, second.left), (Some(0.5), None));
        // A thousandth of the work doesn't predict the rest.
        assert_eq!(meter.read(s(10)).left, None);
        meter.advance(99);
        let later = meter.read(s(20));
        assert!(later.left.is_some(), "{later:?}");
        // Nothing was done yet, or nothing for a while.
        let mut stopped = Meter::new(Some(1000));
        assert_eq!(stopped.read(s(100)).left, None);
        stopped.advance(500);
        for second in 101..200 {
            stopped.read(s(second));
        }
        assert_eq!(stopped.read(s(200)).rate, Some(0.0));
        assert_eq!(stopped.read(s(200)).left, None);
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut meter = Meter::new(Some(100_000));
        for second in 0..100 {
            meter.advance(if second < 50 { 10 } else { 1000 });
            meter.read(s(second));
        }
        let reading = meter.read(s(99));
        let rate = reading.rate.unwrap();
        assert!((950.0..1050.0).contains(&rate), "{rate}");
        let left = reading.left.unwrap().as_secs();
        assert!((45..55).contains(&left), "{left}");
    }

    #[test]
    fn more_bytes_than_planned_leave_no_time() {
        let mut meter = Meter::new(Some(10));
        meter.advance(25);
        assert_eq!(meter.read(s(5)).left, Some(Duration::ZERO));
        assert_eq!(Meter::new(Some(0)).read(s(5)).total, None);
    }
}
