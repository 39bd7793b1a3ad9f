//! The jobs of an agent, and which of them may begin. No process and no thread is here.

use super::job::{Error, Job, JobId, JobSpec, Progress, Refused, State};
use crate::cancel::Cancel;
use chrono::{DateTime, Utc};
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

/// The limits of an agent's jobs.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// The most jobs at the same time.
    pub running: usize,
    /// The most jobs that wait.
    pub waiting: usize,
    /// The most jobs that ended and are still known.
    pub history: usize,
    /// The most bytes of reports of ended jobs. Those of the oldest are dropped.
    pub report_bytes: usize,
    /// The time to tidy up after a cancellation. A process that takes longer is killed.
    pub tidy: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            running: 2,
            waiting: 100,
            history: 200,
            report_bytes: 16 << 20,
            tidy: Duration::from_secs(60),
        }
    }
}

/// Why a job was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// A request.
    Asked,
    /// Its deadline.
    Deadline,
    /// The agent ends.
    ShuttingDown,
}

/// A job with what only the agent needs.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) job: Job,
    pub(super) deadline: Option<Duration>,
    /// The repositories whose chains it changes.
    pub(super) changes: Vec<String>,
    pub(super) why: Option<Why>,
    pub(super) log: PathBuf,
    /// Cancelled when the job is over: it wakes the threads that wait for that.
    pub(super) over: Cancel,
    report_bytes: usize,
}

/// A job whose process is to be started.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) job: Job,
    pub(super) deadline: Option<Duration>,
    pub(super) log: PathBuf,
}

/// How a job ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) state: State,
    pub(super) exit_code: Option<u8>,
    pub(super) report: Option<serde_json::Value>,
    pub(super) report_bytes: usize,
    pub(super) error: Option<Error>,
}

/// The jobs of an agent, oldest first.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: VecDeque<Entry>,
    pub(super) limits: Limits,
    /// Whether no more jobs are taken.
    pub(super) is_closed: bool,
    /// Whether running jobs get no more time to finish.
    pub(super) is_hurried: bool,
}

impl Table {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    fn count(&self, state: impl Fn(State) -> bool) -> usize {
        let jobs = self.entries.iter();
        jobs.filter(|entry| state(entry.job.state)).count()
    }

    /// Returns the number of processes.
    pub(super) fn running(&self) -> usize {
        self.count(|state| matches!(state, State::Running | State::Cancelling))
    }

    /// Returns whether every job is over.
    pub(super) fn is_idle(&self) -> bool {
        self.entries.iter().all(|entry| entry.job.state.is_over())
    }

    /// Takes a job, which waits until [`Self::begin_next`] returns it. `log` returns the file for an id.
    pub(super) fn push(
        &mut self,
        spec: JobSpec,
        changes: Vec<String>,
        now: DateTime<Utc>,
        log: impl Fn(&JobId) -> PathBuf,
    ) -> Result<JobId, Refused> {
        if self.is_closed {
            return Err(Refused::ShuttingDown);
        }
        let waiting = self.count(|state| state == State::Queued);
        if waiting >= self.limits.waiting {
            return Err(Refused::Full { waiting });
        }
        let id = self.new_id(now);
        self.entries.push_back(Entry {
            deadline: spec.deadline,
            changes,
            why: None,
            log: log(&id),
            over: Cancel::new(),
            report_bytes: 0,
            job: Job {
                id: id.clone(),
                kind: spec.kind,
                repository: spec.repository,
                arguments: spec.arguments,
                origin: spec.origin,
                state: State::Queued,
                queued_at: now,
                started_at: None,
                ended_at: None,
                progress: None,
                exit_code: None,
                report: None,
                error: None,
            },
        });
        Ok(id)
    }

    fn new_id(&self, now: DateTime<Utc>) -> JobId {
        loop {
            let random = uuid::Uuid::new_v4().simple().to_string();
            let id = format!("{}-{}", now.format("%Y%m%dT%H%M%SZ"), &random[..6]);
            let id = JobId(id);
            if self.get(&id).is_none() {
                return id;
            }
        }
    }

    pub(super) fn get(&self, id: &JobId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.job.id == *id)
    }

    pub(super) fn get_mut(&mut self, id: &JobId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.job.id == *id)
    }

    /// Returns all jobs, newest first, without their reports.
    pub(super) fn list(&self) -> Vec<Job> {
        let jobs = self.entries.iter().rev();
        jobs.map(Entry::without_report).collect()
    }

    /// Marks the next job that may begin as running, and returns it. A job waits for a free place, and if it changes
    /// chains, for the jobs of the same repository that were asked for earlier.
    pub(super) fn begin_next(&mut self, now: DateTime<Utc>) -> Option<Begun> {
        if self.running() >= self.limits.running {
            return None;
        }
        let mut taken = BTreeSet::new();
        let running = self
            .entries
            .iter()
            .filter(|entry| matches!(entry.job.state, State::Running | State::Cancelling));
        taken.extend(running.flat_map(|entry| entry.changes.iter().cloned()));
        let next = self.entries.iter_mut().find(|entry| {
            if entry.job.state != State::Queued {
                return false;
            }
            let is_free = entry.changes.iter().all(|place| !taken.contains(place));
            // A later one doesn't overtake this one.
            taken.extend(entry.changes.iter().cloned());
            is_free
        })?;
        next.job.state = State::Running;
        next.job.started_at = Some(now);
        Some(Begun {
            job: next.without_report(),
            deadline: next.deadline,
            log: next.log.clone(),
        })
    }

    /// Cancels a job. One that waits is over; the process of one that runs must still be ended.
    pub(super) fn cancel(&mut self, id: &JobId, why: Why, now: DateTime<Utc>) -> Option<Job> {
        let entry = self.get_mut(id)?;
        let waits = entry.job.state == State::Queued;
        if matches!(entry.job.state, State::Queued | State::Running) {
            entry.why = Some(why);
            entry.job.state = State::Cancelling;
        }
        if waits {
            self.end(id, now, |_| End {
                state: State::Cancelled,
                exit_code: None,
                report: None,
                report_bytes: 0,
                error: None,
            });
        }
        self.get(id).map(|entry| entry.job.clone())
    }

    /// Cancels all jobs that wait, and returns the ids of those that run.
    pub(super) fn cancel_waiting(&mut self, why: Why, now: DateTime<Utc>) -> Vec<Job> {
        let waiting = self.entries.iter().map(|entry| &entry.job);
        let waiting = waiting.filter(|job| job.state == State::Queued);
        let waiting: Vec<JobId> = waiting.map(|job| job.id.clone()).collect();
        let cancelled = waiting.iter().map(|id| self.cancel(id, why, now));
        cancelled.flatten().collect()
    }

    /// Returns the ids of the jobs that run and weren't cancelled.
    pub(super) fn running_ids(&self) -> Vec<JobId> {
        let jobs = self.entries.iter().map(|entry| &entry.job);
        let jobs = jobs.filter(|job| job.state == State::Running);
        jobs.map(|job| job.id.clone()).collect()
    }

    /// Records the progress of a job.
    pub(super) fn advance(&mut self, id: &JobId, progress: Progress) -> Option<Job> {
        let entry = self.get_mut(id)?;
        entry.job.progress = Some(progress);
        Some(entry.without_report())
    }

    /// Records the end of a job, and returns it without its report. `how` gets the reason of its cancellation.
    pub(super) fn end(
        &mut self,
        id: &JobId,
        now: DateTime<Utc>,
        how: impl FnOnce(Option<Why>) -> End,
    ) -> Option<Job> {
        let entry = self.get_mut(id)?;
        let end = how(entry.why);
        entry.job.state = end.state;
        entry.job.ended_at = Some(now);
        entry.job.exit_code = end.exit_code;
        entry.job.report = end.report;
        entry.job.error = end.error;
        entry.report_bytes = end.report_bytes;
        let (job, over) = (entry.without_report(), entry.over.clone());
        over.cancel();
        self.drop_reports();
        Some(job)
    }

    fn drop_reports(&mut self) {
        let mut left = self.limits.report_bytes;
        for entry in self.entries.iter_mut().rev() {
            match left.checked_sub(entry.report_bytes) {
                Some(rest) => left = rest,
                None => {
                    left = 0;
                    entry.job.report = None;
                    entry.report_bytes = 0;
                }
            }
        }
    }

    /// Removes the oldest ended jobs that the history has no room for, and returns their logs.
    pub(super) fn forget(&mut self) -> Vec<PathBuf> {
        let ended = self.count(State::is_over);
        let mut too_many = ended.saturating_sub(self.limits.history);
        let mut logs = Vec::new();
        self.entries.retain(|entry| {
            let goes = too_many > 0 && entry.job.state.is_over();
            if goes {
                too_many -= 1;
                logs.push(entry.log.clone());
            }
            !goes
        });
        logs
    }
}

impl Entry {
    pub(super) fn without_report(&self) -> Job {
        // The report is not copied only to be dropped.
        let Job {
            id,
            kind,
            repository,
            arguments,
            origin,
            progress,
            error,
            ..
        } = &self.job;
        Job {
            id: id.clone(),
            kind: *kind,
            repository: repository.clone(),
            arguments: arguments.clone(),
            origin: origin.clone(),
            state: self.job.state,
            queued_at: self.job.queued_at,
            started_at: self.job.started_at,
            ended_at: self.job.ended_at,
            progress: progress.clone(),
            exit_code: self.job.exit_code,
            report: None,
            error: error.clone(),
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
