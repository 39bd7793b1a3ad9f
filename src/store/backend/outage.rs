//! Retries while a store is unavailable.
//!
//! `object_store` is configured to attempt every request once. Its own retries would end after a
//! number of attempts, however little time has passed; they keep the signature of the first
//! request, which S3 accepts for 15 minutes; and they neither report the wait nor end when the
//! process is to stop. Here time is the limit ([`Limits::deadline`]), every attempt has a new
//! signature, the wait is reported, and a [`Cancel`] ends it.
//!
//! Only temporary failures are retried ([`Fault::is_passing`]): no connection, a broken one, a
//! timeout, 5xx and 429. Refused credentials and a missing bucket are final.

use crate::cancel::Cancel;
use crate::locked::Locked;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use object_store::{Error, Result};
use tokio::time::Instant;

use crate::counted::count;
use crate::store::backend::fault::{Fault, Kind, classified};

/// The first wait between two attempts.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Failures that end within this time are not reported: a store that sheds load responds with 503
/// now and then.
const QUIET: Duration = Duration::from_secs(2);
/// The interval between two reports of a wait.
const EVERY: Duration = Duration::from_secs(30);
/// How long a request may take once the process is to stop.
const GRACE: Duration = Duration::from_secs(5);

/// The limits of retries.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Limits {
    /// Number of attempts after the first.
    pub retries: usize,
    pub longest_wait: Duration,
    /// The last attempt begins at most this long after the first failure.
    pub deadline: Duration,
}

/// The state that all requests to one store share.
#[derive(Debug)]
pub(super) struct Outages {
    /// The store's name in messages.
    store: String,
    limits: Limits,
    cancel: Cancel,
    /// Whether a request failed after the process was to stop. The others would fail too.
    gone: AtomicBool,
    /// The time of the last report of a wait; `None` if the store is available.
    reported: Mutex<Option<Instant>>,
}

impl Outages {
    pub fn new(store: &str, limits: Limits, cancel: Cancel) -> Arc<Self> {
        Arc::new(Self {
            store: store.to_owned(),
            limits,
            cancel,
            gone: AtomicBool::new(false),
            reported: Mutex::default(),
        })
    }

    /// Makes one request and classifies its error. If the process is to stop, the request may take
    /// a few seconds more.
    pub async fn attempt<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(result) = self.unless_stopped(request).await else {
            return Err(stopped());
        };
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => classified(error),
        };
        if self.cancel.is_cancelled() && is_passing(&error) {
            self.gone.store(true, Ordering::Release);
        }
        Err(error)
    }

    /// Waits for `future`. Returns `None` if the process is to stop and the future takes too long.
    pub async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        if self.cancel.is_cancelled() && self.gone.load(Ordering::Acquire) {
            return None;
        }
        let late = async {
            self.cancel.cancelled().await;
            tokio::time::sleep(GRACE).await;
            self.gone.store(true, Ordering::Release);
        };
        tokio::select! {
            biased;
            value = future => Some(value),
            () = late => None,
        }
    }

    /// Makes a request until it succeeds, fails permanently, or reaches a limit.
    pub async fn repeated<T, F>(self: &Arc<Self>, mut request: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut tries = Tries::of(self);
        loop {
            match self.attempt(request()).await {
                Ok(value) => {
                    tries.succeeded();
                    return Ok(value);
                }
                Err(error) => tries.again(error).await?,
            }
        }
    }

    fn reported(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.reported.locked()
    }
}

/// Returns whether an error is a temporary failure.
pub(super) fn is_passing(error: &Error) -> bool {
    Fault::of(error).is_some_and(Fault::is_passing)
}

/// Returns the error for a request whose response was not awaited.
pub(in crate::store) fn stopped() -> Error {
    Fault {
        kind: Kind::TimedOut,
        what: "cancelled, because the process is to stop".to_owned(),
    }
    .into_error()
}

/// The attempts of one request.
#[derive(Debug)]
pub(super) struct Tries {
    outages: Arc<Outages>,
    failing: Option<Failing>,
    wait: Duration,
    /// Number of retries.
    pub done: usize,
}

/// The time of the first failure, by the monotonic clock and by the system's clock.
#[derive(Debug, Clone, Copy)]
struct Failing {
    since: Instant,
    time: DateTime<Utc>,
}

impl Tries {
    pub fn of(outages: &Arc<Outages>) -> Self {
        Self {
            outages: Arc::clone(outages),
            failing: None,
            wait: FIRST_WAIT.min(outages.limits.longest_wait),
            done: 0,
        }
    }

    /// Waits until the next attempt.
    ///
    /// # Errors
    /// Returns `error` if it is permanent or a limit is reached.
    pub async fn again(&mut self, error: Error) -> Result<()> {
        if is_passing(&error) {
            return self.wait(error).await;
        }
        // a permanent error also shows that the store is available
        self.succeeded();
        Err(error)
    }

    /// Waits until the next attempt, after an error that is known to be temporary.
    ///
    /// # Errors
    /// Returns `error` if a limit is reached.
    pub async fn wait(&mut self, error: Error) -> Result<()> {
        let failing = *self.failing.get_or_insert_with(|| Failing {
            since: Instant::now(),
            time: Utc::now(),
        });
        let elapsed = failing.since.elapsed();
        let limits = self.outages.limits;
        if self.done >= limits.retries || elapsed >= limits.deadline {
            return Err(self.given_up(error, elapsed));
        }
        if self.outages.cancel.is_cancelled() {
            return Err(error);
        }
        self.report(failing, elapsed, &error);
        let wait = jittered(self.wait).min(limits.deadline - elapsed);
        if self.sleep(wait).await {
            return Err(error);
        }
        self.wait = (self.wait * 2).min(limits.longest_wait);
        self.done += 1;
        Ok(())
    }

    /// Returns whether the wait ended because the process is to stop.
    async fn sleep(&self, wait: Duration) -> bool {
        let cancelled = self.outages.cancel.cancelled();
        tokio::time::timeout(wait, cancelled).await.is_ok()
    }

    /// Resets the limits, and reports that the store is available again if an outage was reported.
    pub fn succeeded(&mut self) {
        let Some(failing) = self.failing.take() else {
            return;
        };
        self.done = 0;
        self.wait = FIRST_WAIT.min(self.outages.limits.longest_wait);
        let seconds = failing.since.elapsed().as_secs();
        let was_reported = seconds >= QUIET.as_secs() && self.outages.reported().take().is_some();
        if was_reported {
            let store = &self.outages.store;
            tracing::warn!("{store}: the store is available again after {seconds} s");
        }
    }

    fn report(&self, failing: Failing, elapsed: Duration, error: &Error) {
        tracing::info!(%error, "a request to the store is retried");
        if elapsed < QUIET {
            return;
        }
        let mut reported = self.outages.reported();
        if reported.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        *reported = Some(Instant::now());
        drop(reported);
        let deadline = self.outages.limits.deadline;
        let store = &self.outages.store;
        let since = failing.time.format("%H:%M:%S");
        let last = match Fault::of(error) {
            Some(fault) => fault.to_string(),
            None => error.to_string(),
        };
        match chrono::TimeDelta::from_std(deadline)
            .ok()
            .and_then(|deadline| failing.time.checked_add_signed(deadline))
        {
            Some(until) => tracing::warn!(
                "{store}: the store has failed since {since} UTC; trying again until {} UTC ({last})",
                until.format("%H:%M:%S")
            ),
            None => tracing::warn!(
                "{store}: the store has failed since {since} UTC; trying again ({last})"
            ),
        }
    }

    /// Adds the number of attempts and their duration to an error.
    fn given_up(&self, error: Error, elapsed: Duration) -> Error {
        match Fault::of(&error) {
            Some(fault) if self.done > 0 => {
                let tries = self.done + 1;
                let what = format!(
                    "{}; tried {tries} in {} s",
                    fault.what,
                    elapsed.as_secs(),
                    tries = count(tries, "time")
                );
                let kind = fault.kind;
                Fault { kind, what }.into_error()
            }
            _ => error,
        }
    }
}

/// Returns a random wait between half of `wait` and all of it, so that many clients don't retry at
/// the same time.
fn jittered(wait: Duration) -> Duration {
    let random = u64::from(uuid::Uuid::new_v4().as_fields().0);
    let half = wait / 2;
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
    half + Duration::from_nanos(nanos / (1 << 16) * (random >> 16))
}

#[cfg(test)]
#[path = "outage_tests.rs"]
mod tests;
