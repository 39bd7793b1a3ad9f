//! Limits the reads of the page workers of a throttled backup.
//!
//! Each read is short ([`PIECE`]), so that a low rate is steady instead of occasional bursts of
//! megabytes: the server's own reads are in the same queue of the same disk.

use crate::locked::{Locked, Waited};
use crate::pace::{ReadRate, Schedule};
use std::num::NonZeroU64;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Maximum length of one read, in bytes.
pub(super) const PIECE: usize = 1 << 20;
/// Interval in which waiting workers check for cancellation.
const CANCEL_POLL: Duration = Duration::from_millis(50);
/// Time after which a [`ReadRate`] that was not renewed is replaced by the lowest rate: the thread
/// that sets it may be waiting for a server that doesn't respond.
const STALE: Duration = Duration::from_secs(5);

/// The limiter of all workers of a backup.
#[derive(Debug)]
pub(super) struct ReadLimiter {
    epoch: Instant,
    /// The rate if no [`ReadRate`] arrives in time; `None`: the rate is fixed.
    floor: Option<NonZeroU64>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    schedule: Schedule,
    paused: bool,
    /// The permitted and the present number of concurrent reads.
    readers: usize,
    reading: usize,
    renewed: Duration,
    passed: u64,
}

/// Permission for one read; released when it is dropped.
#[derive(Debug)]
pub(super) struct ReadPermit<'a>(&'a ReadLimiter);

impl Drop for ReadPermit<'_> {
    fn drop(&mut self) {
        self.0.lock().reading -= 1;
        self.0.changed.notify_one();
    }
}

impl ReadLimiter {
    /// Creates a limiter with a fixed rate in bytes a second.
    pub(super) fn fixed(rate: NonZeroU64) -> Self {
        Self::new(rate, None, false)
    }

    /// Creates a limiter that is paused until [`Self::set_rate`] is called; its long-term rate is
    /// at least `floor` bytes a second.
    pub(super) fn adaptive(floor: NonZeroU64) -> Self {
        Self::new(floor, Some(floor), true)
    }

    fn new(rate: NonZeroU64, floor: Option<NonZeroU64>, paused: bool) -> Self {
        Self {
            epoch: Instant::now(),
            floor,
            state: Mutex::new(State {
                schedule: Schedule::new(rate),
                paused,
                readers: usize::MAX,
                reading: 0,
                renewed: Duration::ZERO,
                passed: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits until `bytes` may be read; `None` if `stopped` returns true before that.
    pub(super) fn enter(&self, bytes: u64, stopped: &dyn Fn() -> bool) -> Option<ReadPermit<'_>> {
        let mut state = self.lock();
        loop {
            if stopped() {
                return None;
            }
            let now = self.epoch.elapsed();
            if let Some(floor) = self.floor
                && now.saturating_sub(state.renewed) > STALE
            {
                state.read_at(now, floor, 1);
            }
            let mut wait = CANCEL_POLL;
            if !state.paused && state.reading < state.readers {
                let ready = state.schedule.ready_at(now.as_nanos(), bytes);
                let left = ready.saturating_sub(now.as_nanos());
                if left == 0 {
                    state.schedule.take(now.as_nanos(), bytes);
                    state.reading += 1;
                    state.passed += bytes;
                    return Some(ReadPermit(self));
                }
                wait = wait.min(Duration::from_nanos(
                    u64::try_from(left).unwrap_or(u64::MAX),
                ));
            }
            state = self.changed.waited_for(state, wait);
        }
    }

    /// Sets the rate.
    pub(super) fn set_rate(&self, rate: ReadRate) {
        let now = self.epoch.elapsed();
        let mut state = self.lock();
        match rate {
            ReadRate::Pause => {
                state.paused = true;
                state.renewed = now;
            }
            ReadRate::Read { rate, readers } => state.read_at(now, rate, readers),
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Returns the number of bytes of all permitted reads.
    pub(super) fn passed(&self) -> u64 {
        self.lock().passed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }
}

impl State {
    fn read_at(&mut self, now: Duration, rate: NonZeroU64, readers: usize) {
        self.paused = false;
        self.schedule.set_rate(now.as_nanos(), rate);
        self.readers = readers.max(1);
        self.renewed = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn rate(bytes: u64) -> NonZeroU64 {
        NonZeroU64::new(bytes).unwrap()
    }

    /// A rate guarantees a minimum time; the actual time depends on the machine.
    #[test]
    fn all_workers_together_keep_the_rate() {
        let limiter = ReadLimiter::fixed(rate(40 << 20));
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..8 {
                        drop(limiter.enter(PIECE as u64, &|| false).unwrap());
                    }
                });
            }
        });
        // 32 MiB at 40 MiB/s, minus 250 ms for a full bucket, minus the last read
        assert!(began.elapsed() >= Duration::from_millis(800 - 250 - 25));
        assert_eq!(limiter.passed(), 32 << 20);
    }

    #[test]
    fn waiting_workers_return_when_stopped() {
        let (closed, stop) = (ReadLimiter::adaptive(rate(1)), AtomicBool::new(false));
        let slow = ReadLimiter::fixed(rate(1));
        drop(slow.enter(1 << 20, &|| false).unwrap());
        std::thread::scope(|scope| {
            let stopped = || stop.load(Ordering::Acquire);
            let waiting = [&closed, &slow]
                .map(|limiter| scope.spawn(move || limiter.enter(1, &stopped).is_none()));
            stop.store(true, Ordering::Release);
            for waiting in waiting {
                assert!(waiting.join().unwrap());
            }
        });
    }

    #[test]
    fn concurrent_reads_are_limited_to_the_set_number() {
        let limiter = ReadLimiter::adaptive(rate(1));
        let orders = |readers| ReadRate::Read {
            rate: rate(1 << 40),
            readers,
        };
        limiter.set_rate(orders(2));
        let now_or_not = || {
            let looks = std::cell::Cell::new(0);
            limiter.enter(1, &|| looks.replace(looks.get() + 1) > 0)
        };
        let (a, b) = (now_or_not().unwrap(), now_or_not());
        assert!(b.is_some());
        assert!(now_or_not().is_none());
        drop(a);
        let c = now_or_not().unwrap();
        limiter.set_rate(orders(1));
        drop(c);
        assert!(now_or_not().is_none());
        limiter.set_rate(orders(2));
        assert!(now_or_not().is_some());
        limiter.set_rate(ReadRate::Pause);
        assert!(now_or_not().is_none());
    }

    #[test]
    fn a_rate_that_is_not_renewed_falls_to_the_floor() {
        let mut limiter = ReadLimiter::adaptive(rate(1 << 20));
        assert!(limiter.enter(1, &|| true).is_none());
        limiter.epoch -= STALE + CANCEL_POLL;
        drop(limiter.enter(1 << 20, &|| false).unwrap());
        // the second MiB has to wait: the floor is a rate
        let looks = std::cell::Cell::new(0);
        let second = limiter.enter(1 << 20, &|| looks.replace(looks.get() + 1) > 0);
        assert!(second.is_none());
    }
}
