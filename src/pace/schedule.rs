//! A token bucket, implemented as a schedule.
//!
//! Instead of counting tokens, the bucket stores the time at which it would be full again. A
//! request of `n` bytes may begin as soon as `min(n, burst)` tokens are available, and takes `n`:
//! an object larger than the burst leaves a debt, for which the next request waits. So in any
//! window of `w` seconds at most `rate * w + max(burst, largest object)` bytes begin, and a limit
//! below the size of an object works too. Time is an argument, so tests need no clock.

use std::num::NonZeroU64;

const SECOND: u128 = 1_000_000_000;
/// Tokens that can accumulate while nothing is sent, as a fraction of a second: enough to
/// compensate for late timers and threads, and too few to be visible on a graph.
const BURST: u128 = SECOND / 4;

/// The bucket. Times are nanoseconds since any fixed moment.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// Bytes per second.
    rate: u128,
    /// Time at which the bucket is full, if nothing more is taken.
    full_at: u128,
}

impl Schedule {
    /// Creates a full bucket.
    pub(crate) fn new(rate: NonZeroU64) -> Self {
        Self {
            rate: u128::from(rate.get()),
            full_at: 0,
        }
    }

    /// Returns the time that `bytes` take at the rate, rounded up: rounding down would exceed the
    /// rate slightly.
    fn cost(&self, bytes: u64) -> u128 {
        (u128::from(bytes) * SECOND).div_ceil(self.rate)
    }

    /// Returns the time at which `bytes` could begin; takes nothing.
    pub(crate) fn ready_at(&self, now: u128, bytes: u64) -> u128 {
        let slack = BURST - self.cost(bytes).min(BURST);
        now.max(self.full_at.saturating_sub(slack))
    }

    /// Takes `bytes` at `now`, or as soon afterwards as enough tokens are available; returns that
    /// time.
    pub(crate) fn take(&mut self, now: u128, bytes: u64) -> u128 {
        let start = self.ready_at(now, bytes);
        self.full_at = self.full_at.max(start) + self.cost(bytes);
        start
    }

    /// Returns `bytes` that were taken and not used.
    pub(crate) fn give_back(&mut self, bytes: u64) {
        let worth = u128::from(bytes) * SECOND / self.rate;
        self.full_at = self.full_at.saturating_sub(worth);
    }

    /// Changes the rate from `now` on. A debt stays the same number of bytes.
    pub(crate) fn set_rate(&mut self, now: u128, rate: NonZeroU64) {
        let rate = u128::from(rate.get());
        let debt = self.full_at.saturating_sub(now);
        if debt > 0 {
            self.full_at = now + (debt * self.rate).div_ceil(rate);
        }
        self.rate = rate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(bytes: u64) -> NonZeroU64 {
        NonZeroU64::new(bytes).unwrap()
    }

    /// Bytes that began in `from..=to`.
    fn within(grants: &[(u128, u64)], from: u128, to: u128) -> u128 {
        let inside = grants.iter().filter(|(at, _)| (from..=to).contains(at));
        inside.map(|(_, bytes)| u128::from(*bytes)).sum()
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_the_rate_and_a_burst(
            rate_of in 1u64..2_000_000_000,
            asks in prop::collection::vec((0u64..3_000_000_000, 0u64..40_000_000), 1..60),
        ) {
            let mut schedule = Schedule::new(rate(rate_of));
            let (mut now, mut grants) = (0u128, Vec::new());
            for (pause, bytes) in asks {
                // some requests come before the previous one has begun
                now += u128::from(pause) * u128::from(pause % 3) / 2;
                grants.push((schedule.take(now, bytes), bytes));
                prop_assert!(grants.last().unwrap().0 >= now);
            }
            prop_assert!(grants.is_sorted_by_key(|(at, _)| *at), "requests begin in their order");
            let largest = grants.iter().map(|(_, bytes)| *bytes).max().unwrap();
            let burst = (u128::from(rate_of) / 4 + 1).max(u128::from(largest));
            for (i, (from, _)) in grants.iter().enumerate() {
                for (to, _) in &grants[i..] {
                    let allowed = u128::from(rate_of) * (to - from) / SECOND + burst;
                    let found = within(&grants, *from, *to);
                    prop_assert!(found <= allowed, "{found} bytes in {} ns, {allowed} allowed", to - from);
                }
            }
        }

        #[test]
        fn continuous_requests_get_the_whole_rate(rate_of in 1_000u64..2_000_000_000, bytes in 1u64..40_000_000) {
            let mut schedule = Schedule::new(rate(rate_of));
            let mut now = 0;
            for _ in 0..100 {
                now = schedule.take(now, bytes);
            }
            // the hundredth begins when 99 are paid for, except for rounding; the burst may be
            // added
            let ideal = 99 * u128::from(bytes) * SECOND / u128::from(rate_of);
            prop_assert!(now <= ideal + 100, "{now} ns, at best {ideal}");
            prop_assert!(now + BURST >= ideal, "{now} ns, at best {ideal}");
        }
    }

    #[test]
    fn unused_tokens_accumulate_for_a_quarter_of_a_second_only() {
        let mut schedule = Schedule::new(rate(1000));
        let hour = 3600 * SECOND;
        let began: Vec<_> = (0..6).map(|_| schedule.take(hour, 100) - hour).collect();
        let tenth = SECOND / 10;
        assert_eq!(
            began,
            [0, 0, tenth / 2, tenth * 3 / 2, tenth * 5 / 2, tenth * 7 / 2]
        );
    }

    #[test]
    fn a_debt_is_paid_at_the_current_rate() {
        let mut schedule = Schedule::new(rate(1000));
        schedule.take(0, 10_000);
        // ten seconds of debt, of which one has passed: nine at 1000 are three at 3000
        schedule.set_rate(SECOND, rate(3000));
        assert_eq!(schedule.ready_at(SECOND, 3000), 4 * SECOND);
        schedule.set_rate(SECOND, rate(1000));
        assert_eq!(schedule.ready_at(SECOND, 1000), 10 * SECOND);
        // the accumulated tokens are at most a quarter of a second of the new rate
        schedule.set_rate(3600 * SECOND, rate(8000));
        let began: Vec<_> = (0..3)
            .map(|_| schedule.take(3600 * SECOND, 2000) - 3600 * SECOND)
            .collect();
        assert_eq!(began, [0, SECOND / 4, SECOND / 2]);
    }
}
