//! The rate limit of a store: a token bucket ([`Schedule`]) at which requests wait.
//!
//! Requests wait ([`Pace`]) in the order of their arrival, so none of many parallel requests
//! starves. An async lock keeps the order, so a request that is dropped while it waits doesn't use
//! any of the rate.

use crate::cancel::Cancel;
use crate::locked::Locked;
use crate::pace::Schedule;
use std::num::NonZeroU64;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// A rate limit that any number of requests share.
#[derive(Debug)]
pub(in crate::store) struct Pace {
    rate: NonZeroU64,
    epoch: Instant,
    schedule: Mutex<Schedule>,
    /// Held by the request that is next. tokio's lock is fair.
    queue: tokio::sync::Mutex<()>,
    /// Ends all waits.
    cancel: Cancel,
}

impl Pace {
    /// Creates a limit of `rate` bytes a second. When `cancel` is cancelled, requests no longer
    /// wait, so that the last ones of the process end soon.
    pub(in crate::store) fn new(rate: NonZeroU64, cancel: Cancel) -> Self {
        Self {
            rate,
            epoch: Instant::now(),
            schedule: Mutex::new(Schedule::new(rate)),
            queue: tokio::sync::Mutex::default(),
            cancel,
        }
    }

    /// Waits until `bytes` may be transferred, after all earlier requests.
    pub(in crate::store) async fn wait(&self, bytes: u64) {
        let _turn = self.queue.lock().await;
        self.wait_at_once(bytes).await;
    }

    /// Waits for `bytes` without queueing. For a request that has waited and is sent again: its
    /// signature and its deadline must not wait for others.
    pub(super) async fn wait_at_once(&self, bytes: u64) {
        let start = self.take(bytes);
        let nanos = u64::try_from(start).unwrap_or(u64::MAX);
        let until = self.epoch + Duration::from_nanos(nanos);
        // Ends when the time has come, or when waits are cancelled.
        let _ = tokio::time::timeout_at(until, self.cancel.cancelled()).await;
    }

    /// Charges bytes whose number was not known before, without a wait. Later requests wait for
    /// them.
    pub(super) fn charge(&self, bytes: u64) {
        self.take(bytes);
    }

    /// Returns bytes that were charged and not transferred.
    pub(super) fn give_back(&self, bytes: u64) {
        let mut schedule = self.schedule.locked();
        schedule.give_back(bytes);
    }

    fn take(&self, bytes: u64) -> u128 {
        let now = self.epoch.elapsed().as_nanos();
        let mut schedule = self.schedule.locked();
        schedule.take(now, bytes)
    }

    /// Returns the limit in bytes a second.
    pub(in crate::store) const fn rate(&self) -> NonZeroU64 {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const MIB: u64 = 1 << 20;

    fn rate(bytes: u64) -> NonZeroU64 {
        NonZeroU64::new(bytes).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn requests_do_not_wait_once_the_process_is_to_stop() {
        let cancel = Cancel::new();
        let pace = Arc::new(Pace::new(rate(1024), cancel.clone()));
        pace.wait(MIB).await;
        let began = Instant::now();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let pace = Arc::clone(&pace);
                tokio::spawn(async move { pace.wait(MIB).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(waiting.iter().all(|task| !task.is_finished()));
        cancel.cancel();
        for task in waiting {
            task.await.unwrap();
        }
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn parallel_requests_share_the_rate_in_turn() {
        let pace = Arc::new(Pace::new(rate(MIB), Cancel::new()));
        let began = Instant::now();
        // so that all are waiting before the first may proceed
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
    async fn a_dropped_request_uses_no_rate_and_a_retry_has_priority() {
        let pace = Arc::new(Pace::new(rate(MIB), Cancel::new()));
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
        let (a, b, dropped, c) = (turn(false), turn(false), turn(false), turn(false));
        tokio::task::yield_now().await;
        dropped.abort();
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
