//! A schedule with its state in this agent. All that must survive the agent is in the repository.

use super::super::jobs::JobId;
use super::super::settings::{CatchUp, ScheduleSettings};
use super::active::{Active, Next, status_of};
use super::delay::{self, delta};
use super::runner::{Access, Runner};
use super::slot::{Outcome, ScheduleStatus, SlotStatus};
use super::timetable::{Timetable, TimetableError};
use super::{arguments, due};
use crate::cancel::Cancel;
use crate::store::{OpenFault, Repository, ScheduleSlots, SlotEnd, StoreError};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use std::collections::BTreeMap;

/// How often a running job is looked at.
const POLL: TimeDelta = TimeDelta::seconds(1);
/// How often a schedule is looked at in the repository if nothing is due.
const REFRESH: TimeDelta = TimeDelta::minutes(5);
/// The wait after a failed request: doubles up to the second.
const AFTER_ERROR: (TimeDelta, TimeDelta) = (TimeDelta::seconds(5), TimeDelta::seconds(60));
/// With `catch-up = skip`, a slot is begun at most this much after its planned start.
const LATE: TimeDelta = TimeDelta::minutes(10);
/// Why a slot was not begun while an earlier one ran.
pub(super) const BUSY: &str = "an earlier slot of the schedule was still running";
/// How long others can take a slot that this agent handed over.
const HAND_OVER: TimeDelta = TimeDelta::minutes(2);
/// How many ended slots are shown.
pub(super) const SHOWN: usize = 20;
/// How many slots keep their records.
const KEPT: usize = 100;

/// What a schedule needs for one step.
pub(super) struct Env<'a> {
    /// The name of this agent.
    pub(super) agent: &'a str,
    pub(super) runner: &'a dyn Runner,
    pub(super) access: &'a dyn Access,
    pub(super) now: DateTime<Utc>,
    pub(super) mode: Mode,
}

impl Env<'_> {
    /// Returns the time up to which slots are due.
    pub(super) fn due(&self) -> DateTime<Utc> {
        match self.mode {
            Mode::Once(until) => until.min(self.now),
            Mode::Daemon | Mode::Ending => self.now,
        }
    }
}

/// How far an agent goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It runs slots until it is ended.
    Daemon,
    /// It runs the slots up to this time. Later ones are left, because a schedule whose jobs take longer than its interval would
    /// have no end.
    Once(DateTime<Utc>),
    /// It ends: no slot is begun.
    Ending,
}

/// A failure of the repository, for the reason of missed slots.
#[derive(Debug, Clone)]
pub(super) struct Outage {
    pub(super) since: DateTime<Utc>,
    pub(super) until: Option<DateTime<Utc>>,
    pub(super) error: String,
    wait: TimeDelta,
}

/// A schedule with its state in this agent.
pub(super) struct Planned {
    pub(super) settings: ScheduleSettings,
    pub(super) table: Timetable,
    repository: Option<Repository>,
    pub(super) paused: bool,
    /// The slots that ended, by what was read or recorded.
    pub(super) ended: BTreeMap<DateTime<Utc>, SlotStatus>,
    /// The slots that other agents run.
    pub(super) elsewhere: Vec<SlotStatus>,
    pub(super) active: Option<Active>,
    /// Deletions after a backup.
    pub(super) prunes: Vec<JobId>,
    pub(super) next_look: DateTime<Utc>,
    pub(super) outage: Option<Outage>,
    /// The last slot that this agent handed over, and when.
    handed_over: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// The last slot that this agent ran, and when it was over.
    pub(super) ran: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Why a slot waits.
    pub(super) waits: BTreeMap<DateTime<Utc>, String>,
    /// Dead holders by their slots: the number of the record, and when this agent found it first.
    pub(super) dead: BTreeMap<DateTime<Utc>, (u64, DateTime<Utc>)>,
    /// The first look, which finds whether the times were changed.
    pub(super) first: bool,
    /// When a slot that is due can be begun.
    pub(super) pending: Option<DateTime<Utc>>,
    /// It is no longer configured: only the slot that runs is ended.
    pub(super) retired: bool,
    /// What this agent recorded, for `--once`.
    pub(super) recorded: Vec<SlotStatus>,
}

impl Planned {
    /// Checks the times of a schedule.
    pub(super) fn new(settings: ScheduleSettings) -> Result<Self, TimetableError> {
        let table = Timetable::parse(&settings.cron, settings.time_zone.as_deref())?;
        Ok(Self {
            settings,
            table,
            repository: None,
            paused: false,
            ended: BTreeMap::new(),
            elsewhere: Vec::new(),
            active: None,
            prunes: Vec::new(),
            next_look: DateTime::<Utc>::MIN_UTC,
            outage: None,
            handed_over: None,
            ran: None,
            waits: BTreeMap::new(),
            dead: BTreeMap::new(),
            first: true,
            pending: None,
            retired: false,
            recorded: Vec::new(),
        })
    }

    /// Returns the text by which a change of the times is found.
    pub(super) fn times(&self) -> String {
        let zone = self.settings.time_zone.as_deref().unwrap_or("UTC");
        format!("{} {zone}", self.settings.cron)
    }

    /// Takes new settings. A slot that runs goes on.
    pub(super) fn replace(&mut self, settings: ScheduleSettings) -> Result<(), TimetableError> {
        self.table = Timetable::parse(&settings.cron, settings.time_zone.as_deref())?;
        if self.settings.repository != settings.repository {
            (self.repository, self.ended) = (None, BTreeMap::new());
        }
        self.settings = settings;
        (self.first, self.next_look) = (true, DateTime::<Utc>::MIN_UTC);
        Ok(())
    }

    /// Returns it for the slot that it runs only.
    pub(super) fn retire(self) -> Self {
        Self {
            retired: true,
            ..self
        }
    }

    /// Does what is due. Returns when to come again.
    pub(super) fn step(&mut self, env: &Env<'_>) -> DateTime<Utc> {
        match self.advance(env) {
            Ok(next) => {
                if let Some(outage) = &mut self.outage
                    && outage.until.is_none()
                {
                    outage.until = Some(env.now);
                    let name = &self.settings.name;
                    tracing::info!("the repository of the schedule {name} is reachable again");
                }
                next
            }
            Err(error) => {
                if env.mode == Mode::Ending {
                    // the claim expires, and the backup is found by its manifest
                    self.active = None;
                }
                self.failed(&error, env.now)
            }
        }
    }

    fn failed(&mut self, error: &StoreError, now: DateTime<Utc>) -> DateTime<Utc> {
        // credentials and addresses are read anew
        self.repository = None;
        let (first, most) = AFTER_ERROR;
        let outage = match self.outage.take().filter(|outage| outage.until.is_none()) {
            Some(outage) => Outage {
                error: error.to_string(),
                wait: (outage.wait * 2).min(most),
                ..outage
            },
            None => {
                tracing::warn!("the schedule {}: {error}", self.settings.name);
                Outage {
                    since: now,
                    until: None,
                    error: error.to_string(),
                    wait: first,
                }
            }
        };
        let next = now + outage.wait;
        self.outage = Some(outage);
        self.next_look = next;
        self.pending = None;
        next
    }

    fn advance(&mut self, env: &Env<'_>) -> Result<DateTime<Utc>, StoreError> {
        if self.active.is_some() {
            // a repository that can't be opened doesn't keep the job from going on
            let slots = self.slots(env)?;
            self.advance_active(&slots, env);
            if self.active.is_some() {
                return Ok(env.now + POLL);
            }
        }
        if env.mode == Mode::Ending || self.retired {
            return Ok(env.now + REFRESH);
        }
        if env.now >= self.next_look {
            let slots = self.slots(env)?;
            let latest = due::look(self, &slots, env)?;
            let next_slot = self.table.next_after(env.now);
            let refresh = env.now + REFRESH;
            let soonest = latest.min(refresh);
            self.next_look = next_slot.map_or(soonest, |next| next.min(soonest));
            if self.active.is_some() {
                return Ok(env.now + POLL);
            }
        }
        Ok(self.next_look)
    }

    fn advance_active(&mut self, slots: &ScheduleSlots, env: &Env<'_>) {
        let Some(active) = self.active.take() else {
            return;
        };
        match active.advance(self, slots, env) {
            Next::Active(active) => self.active = Some(active),
            Next::Gone => self.next_look = env.now + POLL,
            Next::HandedOver(slot) => {
                self.handed_over = Some((slot, env.now));
                self.next_look = env.now + POLL;
            }
            Next::Over(status, claimed) => {
                self.ran = Some((status.slot, env.now));
                let made = delay::reads_server(self.settings.job);
                if let Some(keep) = self.settings.keep
                    && status.outcome == Outcome::Succeeded
                    && made
                {
                    match env
                        .runner
                        .start(arguments::prune(&self.settings, &claimed, keep))
                    {
                        Ok(id) => self.prunes.push(id),
                        // the next backup deletes them
                        Err(refused) => {
                            tracing::warn!(
                                "the schedule {} deletes nothing: {refused}",
                                self.settings.name
                            );
                        }
                    }
                }
                self.remember(status);
                self.next_look = env.now;
            }
        }
    }

    /// Remembers a slot that this agent recorded.
    pub(super) fn remember(&mut self, status: SlotStatus) {
        let name = &self.settings.name;
        match (status.outcome, &status.error) {
            (Outcome::Succeeded, None) => {
                tracing::info!("the schedule {name}: the slot {} succeeded", status.slot);
            }
            (outcome, error) => tracing::warn!(
                "the schedule {name}: the slot {} is recorded as {}: {}",
                status.slot,
                outcome.word(),
                error.as_deref().unwrap_or("no reason is known")
            ),
        }
        self.waits.remove(&status.slot);
        self.dead.remove(&status.slot);
        self.recorded.push(status.clone());
        let excess = self.recorded.len().saturating_sub(KEPT);
        self.recorded.drain(..excess);
        self.ended.insert(status.slot, status);
    }

    /// Returns the slots in the repository, which is opened if it isn't yet.
    fn slots(&mut self, env: &Env<'_>) -> Result<ScheduleSlots, StoreError> {
        let repository = match &self.repository {
            Some(repository) => repository,
            None => {
                let opened = env.access.repository(self.settings.repository.as_deref())?;
                self.repository.insert(opened)
            }
        };
        repository.slots(&self.settings.name)
    }

    /// Returns the URL of the repository.
    pub(super) fn url(&self) -> &str {
        self.repository.as_ref().map_or("", Repository::url)
    }

    /// Creates the directory of a local repository that doesn't exist yet, as its first backup does.
    pub(super) fn create_if_missing<T>(
        &self,
        looked: impl Fn() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match (looked(), &self.repository) {
            (Err(StoreError::Open(OpenFault::NoRepository { .. })), Some(repository)) => {
                repository.mark_for_backup()?;
                looked()
            }
            (looked, _) => looked,
        }
    }

    /// Returns when this agent begins a slot at the earliest.
    pub(super) fn start_of(&self, slot: DateTime<Utc>, env: &Env<'_>) -> DateTime<Utc> {
        let jitter = match env.mode {
            Mode::Once(_) => TimeDelta::zero(),
            Mode::Daemon | Mode::Ending => delay::jitter(&self.settings, self.url(), slot),
        };
        let preference = delay::preference(&self.settings, env.access.server().as_ref());
        let bound = delay::bound(&self.settings, slot, self.table.next_after(slot));
        let start = slot + (jitter + preference).min(bound);
        match self.handed_over {
            Some((of, at)) if of == slot => start.max(at + HAND_OVER.min(bound)),
            _ => start,
        }
    }

    /// Returns whether this agent gave others the chance to take a slot.
    pub(super) fn was_handed_over(&self, slot: DateTime<Utc>) -> bool {
        self.handed_over.is_some_and(|(of, _)| of == slot)
    }

    /// Returns the latest time at which a slot is begun.
    pub(super) fn limit(&self, slot: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let window = self.settings.window.map(|window| slot + delta(window));
        let late = match self.settings.catch_up {
            CatchUp::Once => return window,
            CatchUp::Skip => slot + delta(self.settings.jitter) + LATE,
        };
        Some(window.map_or(late, |window| window.min(late)))
    }

    /// Returns whether a slot can be begun at a time.
    pub(super) fn may_start(&self, slot: DateTime<Utc>, at: DateTime<Utc>) -> bool {
        let superseded = self.table.next_after(slot).is_some_and(|next| at >= next);
        self.limit(slot).is_none_or(|limit| at <= limit) && !superseded
    }

    /// Returns why no agent began a slot.
    pub(super) fn reason(&self, slot: DateTime<Utc>) -> String {
        if let Some(reason) = self.waits.get(&slot) {
            return reason.clone();
        }
        if self
            .ran
            .is_some_and(|(ran, over)| ran < slot && slot <= over)
        {
            return BUSY.to_owned();
        }
        match &self.outage {
            Some(outage) if outage.until.is_none_or(|until| until >= slot) => {
                format!(
                    "the repository could not be reached from {} on: {}",
                    outage.since, outage.error
                )
            }
            _ => "no agent was running, or none could run it".to_owned(),
        }
    }

    /// Returns what keeps this agent from the slots, unless an earlier one is still running.
    pub(super) fn stuck(&self) -> Option<String> {
        let outage = self.outage.as_ref().filter(|it| it.until.is_none());
        if let Some(outage) = outage {
            return Some(outage.error.clone());
        }
        let mut waits = self.waits.values().filter(|reason| *reason != BUSY);
        waits.next_back().cloned()
    }

    /// Returns whether deletions after backups still run.
    pub(super) fn is_pruning(&mut self, runner: &dyn Runner) -> bool {
        let at_once = Cancel::new();
        at_once.cancel();
        self.prunes.retain(|id| {
            let job = runner.wait(id, &at_once);
            job.is_some_and(|job| !job.state.is_over())
        });
        !self.prunes.is_empty()
    }

    /// Removes the records of old slots, if there are many. `listed` slots have records; those from `open` on are not over.
    pub(super) fn tidy(
        &mut self,
        slots: &ScheduleSlots,
        listed: usize,
        open: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        if listed <= KEPT {
            return Ok(());
        }
        let old = self.ended.keys().rev().nth(KEPT / 2).copied();
        let Some(old) = old.filter(|old| open.is_none_or(|open| *old < open)) else {
            return Ok(());
        };
        slots.mark(old, &self.times(), 0)?;
        slots.tidy()?;
        self.ended = self.ended.split_off(&old);
        Ok(())
    }

    /// Returns what is shown of the schedule.
    pub(super) fn status(&self, env_agent: &str, now: DateTime<Utc>) -> ScheduleStatus {
        let active = self.active.as_ref().map(|active| active.status(env_agent));
        let running = active.into_iter().chain(self.elsewhere.iter().cloned());
        let mut last: Vec<SlotStatus> = running.collect();
        last.extend(self.ended.values().rev().take(SHOWN).cloned());
        last.sort_by_key(|status| std::cmp::Reverse(status.slot));
        last.dedup_by_key(|status| status.slot);
        ScheduleStatus {
            name: self.settings.name.clone(),
            cron: self.settings.cron.clone(),
            time_zone: self
                .settings
                .time_zone
                .clone()
                .unwrap_or_else(|| "UTC".to_owned()),
            job: arguments::word(self.settings.job).to_owned(),
            repository: self.settings.repository.clone(),
            paused: self.paused,
            next: self.pending.or_else(|| self.table.next_after(now)),
            last,
        }
    }
}

/// Returns a time without its fraction of a second.
pub(super) fn whole(time: DateTime<Utc>) -> DateTime<Utc> {
    time.duration_trunc(TimeDelta::seconds(1)).unwrap_or(time)
}

/// Remembers a slot that another agent recorded.
pub(super) fn remember_read(
    ended: &mut BTreeMap<DateTime<Utc>, SlotStatus>,
    slot: DateTime<Utc>,
    end: &SlotEnd,
    at: DateTime<Utc>,
) {
    ended.insert(slot, status_of(slot, end, at));
}
