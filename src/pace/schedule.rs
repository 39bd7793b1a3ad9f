//! A token bucket, written as a schedule.
//!
//! Instead of counting tokens, the bucket remembers when it would be full again. A request of `n` bytes may
//! begin as soon as `min(n, burst)` tokens are there, and takes `n`: an object larger than the burst leaves
//! a debt that the next one waits for. So in any window of `w` seconds no more begins than `rate * w +
//! max(burst, largest object)`, and a limit below the size of an object works too. Time is an argument, so
//! tests need no clock.

use std::num::NonZeroU64;

const SECOND: u128 = 1_000_000_000;
/// What may be saved up while nothing is sent, as a part of a second. Enough to cover the lateness of
/// timers and threads, and too little to be seen on a graph.
const BURST: u128 = SECOND / 4;

/// The bucket. Times are nanoseconds since any fixed moment.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// Bytes a second.
    rate: u128,
    /// When the bucket is full, if nothing more is taken.
    full_at: u128,
}

impl Schedule {
    /// Full at first.
    pub(crate) fn new(rate: NonZeroU64) -> Self {
        Self {
            rate: u128::from(rate.get()),
            full_at: 0,
        }
    }

    /// How long `bytes` take at the rate, rounded up: rounding down would let through a little more.
    fn cost(&self, bytes: u64) -> u128 {
        (u128::from(bytes) * SECOND).div_ceil(self.rate)
    }

    /// When `bytes` may begin, if they are taken now; they aren't.
    pub(crate) fn ready_at(&self, now: u128, bytes: u64) -> u128 {
        let slack = BURST - self.cost(bytes).min(BURST);
        now.max(self.full_at.saturating_sub(slack))
    }

    /// Takes `bytes` at `now` or as soon after as there are enough; gives that time.
    pub(crate) fn take(&mut self, now: u128, bytes: u64) -> u128 {
        let start = self.ready_at(now, bytes);
        self.full_at = self.full_at.max(start) + self.cost(bytes);
        start
    }

    /// Gives back `bytes` that were taken and not used.
    pub(crate) fn give_back(&mut self, bytes: u64) {
        let worth = u128::from(bytes) * SECOND / self.rate;
        self.full_at = self.full_at.saturating_sub(worth);
    }

    /// Another rate from `now` on. A debt stays the same number of bytes.
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
                // some ask before the one before them has begun
                now += u128::from(pause) * u128::from(pause % 3) / 2;
                grants.push((schedule.take(now, bytes), bytes));
                prop_assert!(grants.last().unwrap().0 >= now);
            }
            prop_assert!(grants.is_sorted_by_key(|(at, _)| *at), "first come, first served");
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
        fn who_always_asks_gets_the_whole_rate(rate_of in 1_000u64..2_000_000_000, bytes in 1u64..40_000_000) {
            let mut schedule = Schedule::new(rate(rate_of));
            let mut now = 0;
            for _ in 0..100 {
                now = schedule.take(now, bytes);
            }
            // the hundredth begins when 99 are paid for, but for rounding; the burst may come on top
            let ideal = 99 * u128::from(bytes) * SECOND / u128::from(rate_of);
            prop_assert!(now <= ideal + 100, "{now} ns, at best {ideal}");
            prop_assert!(now + BURST >= ideal, "{now} ns, at best {ideal}");
        }
    }

    #[test]
    fn what_was_not_used_is_saved_for_a_quarter_of_a_second_only() {
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
    fn a_debt_is_paid_at_the_rate_of_the_day() {
        let mut schedule = Schedule::new(rate(1000));
        schedule.take(0, 10_000);
        // ten seconds of debt, of which one has passed: nine at 1000 are three at 3000
        schedule.set_rate(SECOND, rate(3000));
        assert_eq!(schedule.ready_at(SECOND, 3000), 4 * SECOND);
        schedule.set_rate(SECOND, rate(1000));
        assert_eq!(schedule.ready_at(SECOND, 1000), 10 * SECOND);
        // what was saved up is no more than a quarter of a second of the new rate
        schedule.set_rate(3600 * SECOND, rate(8000));
        let began: Vec<_> = (0..3)
            .map(|_| schedule.take(3600 * SECOND, 2000) - 3600 * SECOND)
            .collect();
        assert_eq!(began, [0, SECOND / 4, SECOND / 2]);
    }
}
