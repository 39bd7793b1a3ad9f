//! Waiting for a store that is away.
//!
//! `object_store` is told to try everything once. Its own tries would end by their number, whatever time has
//! passed; they keep the signature of the first request, which S3 accepts for 15 minutes; and they neither say
//! that they wait nor end when the process is to stop. Here time decides ([`Limits::deadline`]), every try is
//! signed anew, the wait is told, and a [`Cancel`] ends it.
//!
//! Only failures that pass are tried again ([`Fault::is_passing`]): no connection, a broken one, no answer in
//! time, 5xx and 429. Refused credentials and a missing bucket are final.

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
use crate::store::backend::fault::{Fault, Kind, told};

/// The first wait between two tries.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Failures that pass within this time are not told: a store that sheds load answers 503 now and then.
const QUIET: Duration = Duration::from_secs(2);
/// How often a wait is told.
const EVERY: Duration = Duration::from_secs(30);
/// How long a request may take once the process is to stop.
const GRACE: Duration = Duration::from_secs(5);

/// How long a request is tried.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Limits {
    /// Tries after the first.
    pub retries: usize,
    pub longest_wait: Duration,
    /// No try begins later than this after the first one that failed.
    pub deadline: Duration,
}

/// What all requests to one store share.
#[derive(Debug)]
pub(in crate::store) struct Outages {
    /// What messages call the store.
    store: String,
    limits: Limits,
    cancel: Cancel,
    /// A request failed after the process was told to stop: the others would, too.
    gone: AtomicBool,
    /// When a wait was told last; `None` when none is under way.
    told: Mutex<Option<Instant>>,
}

impl Outages {
    pub fn new(store: &str, limits: Limits, cancel: Cancel) -> Arc<Self> {
        Arc::new(Self {
            store: store.to_owned(),
            limits,
            cancel,
            gone: AtomicBool::new(false),
            told: Mutex::default(),
        })
    }

    /// Makes one request. Its error is told by kind. When the process is to stop, it has a few seconds.
    pub async fn attempt<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(result) = self.unless_stopped(request).await else {
            return Err(stopped());
        };
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => told(error),
        };
        if self.cancel.is_cancelled() && is_passing(&error) {
            self.gone.store(true, Ordering::Release);
        }
        Err(error)
    }

    /// Waits for `future`; `None` when the process is to stop and it takes too long.
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

    /// Makes a request until it succeeds, fails for good, or patience is at its end.
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

    fn told(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.told.locked()
    }
}

/// Whether an error is of a failure that passes.
pub(in crate::store) fn is_passing(error: &Error) -> bool {
    Fault::of(error).is_some_and(Fault::is_passing)
}

/// What stands for an answer that was not waited for.
pub(in crate::store) fn stopped() -> Error {
    Fault {
        kind: Kind::TimedOut,
        what: "not waited for, because the process is to stop".to_owned(),
    }
    .into_error()
}

/// The tries of one request.
#[derive(Debug)]
pub(in crate::store) struct Tries {
    outages: Arc<Outages>,
    failing: Option<Failing>,
    wait: Duration,
    /// How often it was tried again.
    pub done: usize,
}

/// Since when a request fails, by the two clocks.
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

    /// Waits for the next try.
    ///
    /// # Errors
    /// There is none: `error` does not pass, or patience is at its end.
    pub async fn again(&mut self, error: Error) -> Result<()> {
        if is_passing(&error) {
            return self.wait(error).await;
        }
        // an answer all the same
        self.succeeded();
        Err(error)
    }

    /// The same, of an error that is known to pass.
    ///
    /// # Errors
    /// Patience is at its end.
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
        self.tell(failing, elapsed, &error);
        let wait = jittered(self.wait).min(limits.deadline - elapsed);
        if self.sleep(wait).await {
            return Err(error);
        }
        self.wait = (self.wait * 2).min(limits.longest_wait);
        self.done += 1;
        Ok(())
    }

    /// Whether the process is to stop.
    async fn sleep(&self, wait: Duration) -> bool {
        let cancelled = self.outages.cancel.cancelled();
        tokio::time::timeout(wait, cancelled).await.is_ok()
    }

    /// Says that the store is back, if it was said that it is away.
    pub fn succeeded(&mut self) {
        let Some(failing) = self.failing.take() else {
            return;
        };
        self.done = 0;
        self.wait = FIRST_WAIT.min(self.outages.limits.longest_wait);
        let seconds = failing.since.elapsed().as_secs();
        let was_told = seconds >= QUIET.as_secs() && self.outages.told().take().is_some();
        if was_told {
            let store = &self.outages.store;
            tracing::warn!("{store}: the store answers again after {seconds} s");
        }
    }

    fn tell(&self, failing: Failing, elapsed: Duration, error: &Error) {
        tracing::info!(%error, "a request to the store is tried again");
        if elapsed < QUIET {
            return;
        }
        let mut told = self.outages.told();
        if told.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        *told = Some(Instant::now());
        drop(told);
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

    /// The same error, with how often and how long it was tried.
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

/// Between half of `wait` and all of it, so that many clients do not come back at once.
fn jittered(wait: Duration) -> Duration {
    let random = u64::from(uuid::Uuid::new_v4().as_fields().0);
    let half = wait / 2;
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
    half + Duration::from_nanos(nanos / (1 << 16) * (random >> 16))
}

#[cfg(test)]
#[path = "outage_tests.rs"]
mod tests;
