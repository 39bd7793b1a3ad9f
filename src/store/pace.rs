//! How fast bytes may go to and from a store: a token bucket, written as a schedule.
//!
//! Instead of counting tokens, the bucket remembers when it would be full again ([`Schedule`]). A
//! request of `n` bytes may begin as soon as `min(n, burst)` tokens are there, and takes `n`: an object
//! larger than the burst leaves a debt that the next one waits for. So in any window of `w` seconds no
//! more begins than `rate * w + max(burst, largest object)`, and a limit below the size of an object
//! works too. Time is an argument, so tests need no clock.
//!
//! Waiting ([`Pace`]) is in the order of asking: of many parallel requests none starves. The place in
//! the order is held by an async lock, hence a request that is dropped while it waits takes nothing.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const SECOND: u128 = 1_000_000_000;
/// What may be saved up while nothing is sent, as a part of a second. Enough to cover the lateness of
/// timers and threads, and too little to be seen on a graph.
const BURST: u128 = SECOND / 4;

/// The bucket. Times are nanoseconds since any fixed moment.
#[derive(Debug)]
struct Schedule {
    /// Bytes a second.
    rate: u128,
    /// When the bucket is full, if nothing more is taken.
    full_at: u128,
}

impl Schedule {
    fn new(rate: NonZeroU64) -> Self {
        Self {
            rate: u128::from(rate.get()),
            full_at: 0,
        }
    }

    /// How long `bytes` take at the rate, rounded up: rounding down would let through a little more.
    fn cost(&self, bytes: u64) -> u128 {
        (u128::from(bytes) * SECOND).div_ceil(self.rate)
    }

    /// Takes `bytes` at `now` or as soon after as there are enough; gives that time.
    fn take(&mut self, now: u128, bytes: u64) -> u128 {
        let cost = self.cost(bytes);
        let slack = BURST - cost.min(BURST);
        let start = now.max(self.full_at.saturating_sub(slack));
        self.full_at = self.full_at.max(start) + cost;
        start
    }

    /// Gives back `bytes` that were taken and not used.
    fn give_back(&mut self, bytes: u64) {
        let worth = u128::from(bytes) * SECOND / self.rate;
        self.full_at = self.full_at.saturating_sub(worth);
    }
}

/// A limit that any number of requests share.
#[derive(Debug)]
pub(super) struct Pace {
    rate: NonZeroU64,
    epoch: Instant,
    schedule: Mutex<Schedule>,
    /// Held by the request whose turn is next. tokio's lock is fair.
    queue: tokio::sync::Mutex<()>,
}

impl Pace {
    /// So many bytes a second.
    pub(super) fn new(rate: NonZeroU64) -> Self {
        Self {
            rate,
            epoch: Instant::now(),
            schedule: Mutex::new(Schedule::new(rate)),
            queue: tokio::sync::Mutex::default(),
        }
    }

    /// Waits until `bytes` may go, behind those that asked before.
    pub(super) async fn wait(&self, bytes: u64) {
        let _turn = self.queue.lock().await;
        self.wait_at_once(bytes).await;
    }

    /// The same past the queue, for a request that had its turn and has to be sent again: its
    /// signature and its deadline do not wait for others.
    pub(super) async fn wait_at_once(&self, bytes: u64) {
        let start = self.take(bytes);
        let nanos = u64::try_from(start).unwrap_or(u64::MAX);
        tokio::time::sleep_until(self.epoch + Duration::from_nanos(nanos)).await;
    }

    /// Charges bytes that came unasked, without waiting: those that come next wait for them.
    pub(super) fn charge(&self, bytes: u64) {
        self.take(bytes);
    }

    /// Gives back what was waited for and did not come.
    pub(super) fn give_back(&self, bytes: u64) {
        let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        schedule.give_back(bytes);
    }

    fn take(&self, bytes: u64) -> u128 {
        let now = self.epoch.elapsed().as_nanos();
        let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        schedule.take(now, bytes)
    }

    /// Bytes a second.
    pub(super) const fn rate(&self) -> NonZeroU64 {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    const MIB: u64 = 1 << 20;

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

    #[tokio::test(start_paused = true)]
    async fn parallel_requests_share_the_rate_in_turn() {
        let pace = Arc::new(Pace::new(rate(MIB)));
        let began = Instant::now();
        // so that all are waiting before the first has its turn
        pace.wait(MIB).await;
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let pace = Arc::clone(&pace);
                tokio::spawn(async move {
                    let mut turns = Vec::new();
                    for _ in 0..4 {
                        pace.wait(MIB).await;
                        turns.push(Instant::now().duration_since(began).as_secs());
                    }
                    turns
                })
            })
            .collect();
        for (i, task) in tasks.into_iter().enumerate() {
            let i = i as u64 + 1;
            assert_eq!(task.await.unwrap(), [i, i + 8, i + 16, i + 24], "task {i}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_given_up_takes_nothing_and_a_repeated_one_comes_first() {
        let pace = Arc::new(Pace::new(rate(MIB)));
        let began = Instant::now();
        let turn = |first: bool| {
            let pace = Arc::clone(&pace);
            tokio::spawn(async move {
                if first {
                    pace.wait_at_once(MIB).await;
                } else {
                    pace.wait(MIB).await;
                }
                Instant::now().duration_since(began).as_secs()
            })
        };
        let (a, b, given_up, c) = (turn(false), turn(false), turn(false), turn(false));
        tokio::task::yield_now().await;
        given_up.abort();
        let again = turn(true);
        assert_eq!(a.await.unwrap(), 0);
        assert_eq!(b.await.unwrap(), 1, "it was waiting for its time already");
        assert_eq!(again.await.unwrap(), 2);
        assert_eq!(c.await.unwrap(), 3);
        pace.charge(5 * MIB);
        pace.wait(MIB).await;
        assert_eq!(began.elapsed().as_secs(), 9);
    }
}
