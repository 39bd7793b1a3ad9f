//! The slot that this agent runs.

use super::super::jobs::{Job, JobId, State};
use super::super::settings::{OnMissingBase, ScheduledJob};
use super::delay::delta;
use super::planned::{Env, Mode, Planned};
use super::slot::{Outcome, SlotStatus};
use super::{arguments, delay};
use crate::cancel::Cancel;
use crate::store::{Claimed, DEFAULT_TTL, Ended, ScheduleSlots, SlotEnd, StoreError};
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// The first wait before a failed job is tried again; it doubles.
const BACKOFF: Duration = Duration::from_secs(30);
const MAX_BACKOFF: Duration = Duration::from_secs(600);
/// The wait before a record that could not be put is tried again.
const AGAIN: TimeDelta = TimeDelta::seconds(10);
/// The kind of an incremental without a usable base, in the documents of `--json`.
const NO_BASE: &str = "chain_broken";

/// The slot that this agent runs.
#[derive(Debug)]
pub(super) struct Active {
    claimed: Claimed,
    phase: Phase,
    next_beat: DateTime<Utc>,
    /// A full backup is made in place of an incremental.
    full: bool,
}

#[derive(Debug, Clone)]
enum Phase {
    /// The job runs.
    Running(JobId),
    /// The job failed and is tried again at this time.
    Waiting { until: DateTime<Utc>, failures: u32 },
    /// The end is to be recorded, not before this time.
    Ending(SlotEnd, DateTime<Utc>),
}

/// What an active slot became.
pub(super) enum Next {
    /// It goes on.
    Active(Active),
    /// It is over; this was recorded.
    Over(SlotStatus, Claimed),
    /// The server of this agent has no base for it: it was given up, so that another agent can take it.
    HandedOver(DateTime<Utc>),
    /// It was given up or lost.
    Gone,
}

impl Active {
    /// Starts the job of a claim. If the job is refused, the claim is given up.
    pub(super) fn start(
        claimed: Claimed,
        full: bool,
        plan: &Planned,
        slots: &ScheduleSlots,
        env: &Env<'_>,
    ) -> Result<Option<Self>, StoreError> {
        match env
            .runner
            .start(arguments::of_slot(&plan.settings, &claimed, full))
        {
            Ok(id) => Ok(Some(Self {
                next_beat: env.now + delta(DEFAULT_TTL) / 3,
                claimed,
                phase: Phase::Running(id),
                full,
            })),
            Err(refused) => {
                tracing::warn!("the schedule {}: {refused}", plan.settings.name);
                slots.release(&claimed, claimed.failures)?;
                Ok(None)
            }
        }
    }

    /// Returns what is known of the slot now.
    pub(super) fn status(&self, agent: &str) -> SlotStatus {
        let job = match &self.phase {
            Phase::Running(id) => Some(id.0.clone()),
            Phase::Ending(end, _) => end.job.clone(),
            Phase::Waiting { .. } => None,
        };
        SlotStatus {
            slot: self.claimed.slot,
            agent: Some(agent.to_owned()),
            outcome: Outcome::Running,
            job,
            backup: None,
            error: None,
            ended_at: None,
        }
    }

    /// Does what is due: a heartbeat, the next try, or the record of the end.
    pub(super) fn advance(mut self, plan: &Planned, slots: &ScheduleSlots, env: &Env<'_>) -> Next {
        if env.now >= self.next_beat
            && let Err(lost) = self.beat(slots, env)
        {
            tracing::warn!("{lost}");
            if let Phase::Running(id) = &self.phase {
                env.runner.cancel(id);
            }
            return Next::Gone;
        }
        match self.phase.clone() {
            Phase::Running(id) => self.look_at(id, plan, slots, env),
            Phase::Waiting { until, failures } => {
                if env.mode == Mode::Ending {
                    self.give_up(slots, failures, env)
                } else if env.now >= until {
                    self.try_again(plan, slots, failures, env)
                } else {
                    Next::Active(self)
                }
            }
            Phase::Ending(end, at) if env.now >= at => self.record(slots, end, env),
            Phase::Ending(..) => Next::Active(self),
        }
    }

    /// Puts a heartbeat. Fails only if the claim was lost.
    fn beat(&mut self, slots: &ScheduleSlots, env: &Env<'_>) -> Result<(), StoreError> {
        let ttl = delta(DEFAULT_TTL);
        match slots.beat(&mut self.claimed) {
            Ok(()) => self.next_beat = env.now + ttl / 3,
            Err(lost @ StoreError::Slot(_)) => return Err(lost),
            Err(error) => {
                tracing::warn!("the claim of a slot could not be renewed: {error}");
                self.next_beat = env.now + ttl / 6;
            }
        }
        Ok(())
    }

    fn look_at(mut self, id: JobId, plan: &Planned, slots: &ScheduleSlots, env: &Env<'_>) -> Next {
        let at_once = Cancel::new();
        at_once.cancel();
        let job = env.runner.wait(&id, &at_once);
        let state = job.as_ref().map_or(State::Failed, |job| job.state);
        match state {
            State::Succeeded => {
                let backup = job.as_ref().and_then(backup_of);
                let end = SlotEnd {
                    outcome: Ended::Succeeded,
                    ran_by: Some(env.agent.to_owned()),
                    job: Some(id.0),
                    backup,
                    error: None,
                };
                self.record(slots, end, env)
            }
            State::Cancelled | State::Failed if env.mode == Mode::Ending => {
                let failures = self.claimed.failures;
                self.give_up(slots, failures, env)
            }
            State::Failed => {
                let (error, no_base) = described(job.as_ref());
                let no_base =
                    no_base && plan.settings.job == ScheduledJob::Incremental && !self.full;
                if no_base && !plan.was_handed_over(self.claimed.slot) {
                    return self.hand_over(plan, slots, &error, env);
                }
                if no_base && plan.settings.on_missing_base == OnMissingBase::Full {
                    tracing::warn!(
                        "the schedule {} makes a full backup in place of an incremental: {error}",
                        plan.settings.name
                    );
                    return self.restart(true, plan, slots, env);
                }
                let failures = self.claimed.failures + 1;
                let until = env.now + backoff(failures);
                if failures <= plan.settings.retries && plan.may_start(self.claimed.slot, until) {
                    self.phase = Phase::Waiting { until, failures };
                    return Next::Active(self);
                }
                self.record(slots, failed(env, id, error), env)
            }
            State::Cancelled => {
                let error = described(job.as_ref()).0;
                self.record(slots, failed(env, id, error), env)
            }
            State::Queued | State::Running | State::Cancelling => Next::Active(self),
        }
    }

    /// Gives the slot to the agent whose server has the base, if there is one.
    fn hand_over(self, plan: &Planned, slots: &ScheduleSlots, error: &str, env: &Env<'_>) -> Next {
        let slot = self.claimed.slot;
        tracing::info!(
            "the schedule {}: another agent may take the slot {slot}: {error}",
            plan.settings.name
        );
        let failures = self.claimed.failures;
        match self.give_up(slots, failures, env) {
            Next::Gone => Next::HandedOver(slot),
            next => next,
        }
    }

    /// Starts a job for the same claim.
    fn restart(self, full: bool, plan: &Planned, slots: &ScheduleSlots, env: &Env<'_>) -> Next {
        match Self::start(self.claimed, full, plan, slots, env) {
            Ok(Some(next)) => Next::Active(next),
            Ok(None) => Next::Gone,
            Err(error) => {
                tracing::warn!("a slot could not be given up, its claim expires: {error}");
                Next::Gone
            }
        }
    }

    fn try_again(
        mut self,
        plan: &Planned,
        slots: &ScheduleSlots,
        failures: u32,
        env: &Env<'_>,
    ) -> Next {
        match slots.again(&self.claimed, failures) {
            Ok(Some(claimed)) => {
                self.claimed = claimed;
                let full = self.full;
                self.restart(full, plan, slots, env)
            }
            // a backup is finished after all: recording its end finds it
            Ok(None) => {
                let end = SlotEnd {
                    job: None,
                    ..failed(
                        env,
                        JobId(String::new()),
                        "the job failed after its backup".to_owned(),
                    )
                };
                self.record(slots, end, env)
            }
            Err(lost @ StoreError::Slot(_)) => {
                tracing::warn!("{lost}");
                Next::Gone
            }
            Err(error) => {
                tracing::warn!("a slot could not be tried again: {error}");
                let until = env.now + AGAIN;
                self.phase = Phase::Waiting { until, failures };
                Next::Active(self)
            }
        }
    }

    /// Gives the claim up, because the agent ends.
    fn give_up(self, slots: &ScheduleSlots, failures: u32, env: &Env<'_>) -> Next {
        match slots.release(&self.claimed, failures) {
            Ok(true) => Next::Gone,
            Ok(false) => {
                let error = "the job was ended after its backup".to_owned();
                self.record(slots, failed(env, JobId(String::new()), error), env)
            }
            Err(error) => {
                tracing::warn!("a slot could not be given up, its claim expires: {error}");
                Next::Gone
            }
        }
    }

    fn record(mut self, slots: &ScheduleSlots, end: SlotEnd, env: &Env<'_>) -> Next {
        match slots.end(&self.claimed, &end) {
            Ok(end) => Next::Over(status_of(self.claimed.slot, &end, env.now), self.claimed),
            Err(lost @ StoreError::Slot(_)) => {
                tracing::warn!("the outcome of a slot was not recorded: {lost}");
                Next::Gone
            }
            Err(error) => {
                tracing::warn!("the outcome of a slot could not be recorded: {error}");
                if env.mode == Mode::Ending {
                    return Next::Gone;
                }
                self.phase = Phase::Ending(end, env.now + AGAIN);
                Next::Active(self)
            }
        }
    }
}

fn failed(env: &Env<'_>, id: JobId, error: String) -> SlotEnd {
    SlotEnd {
        outcome: Ended::Failed,
        ran_by: Some(env.agent.to_owned()),
        job: Some(id.0).filter(|id| !id.is_empty()),
        backup: None,
        error: Some(error),
    }
}

/// Returns the error of a job, and whether it is a missing base.
fn described(job: Option<&Job>) -> (String, bool) {
    let Some(job) = job else {
        return ("the job is unknown to the agent".to_owned(), false);
    };
    match &job.error {
        Some(error) => (error.message.clone(), error.kind == NO_BASE),
        None if job.state == State::Cancelled => ("the job was cancelled".to_owned(), false),
        None => ("the job failed without an error".to_owned(), false),
    }
}

/// Returns the name of the backup that a job made.
fn backup_of(job: &Job) -> Option<String> {
    let report = job.report.as_ref()?;
    report.get("name")?.as_str().map(str::to_owned)
}

fn backoff(failures: u32) -> TimeDelta {
    let doubled = BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(10));
    delay::delta(doubled.min(MAX_BACKOFF))
}

/// Returns what is shown of a slot that ended.
pub(super) fn status_of(slot: DateTime<Utc>, end: &SlotEnd, at: DateTime<Utc>) -> SlotStatus {
    SlotStatus {
        slot,
        agent: end.ran_by.clone(),
        outcome: match end.outcome {
            Ended::Succeeded => Outcome::Succeeded,
            Ended::Failed => Outcome::Failed,
            Ended::Missed => Outcome::Missed,
            Ended::Skipped => Outcome::Skipped,
        },
        job: end.job.clone(),
        backup: end.backup.clone(),
        error: end.error.clone(),
        ended_at: Some(at),
    }
}
