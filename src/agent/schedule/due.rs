//! The slots that are due: one look at the repository, and what follows from it.
//!
//! The newest slot is run, if its window and the rest allow it. Older ones that no agent ran are recorded as missed. A slot
//! isn't begun while an earlier one runs: it waits, as one that is late.

use super::active::{Active, status_of};
use super::delay;
use super::planned::{BUSY, Env, Planned, remember_read, whole};
use super::slot::{Outcome, SlotStatus};
use crate::store::{DEFAULT_TTL, Ended, Entry, ScheduleSlots, Seen, SlotEnd, StoreError};
use chrono::{DateTime, TimeDelta, Utc};

/// How long a slot that can't be begun waits for the next look.
const WAIT: TimeDelta = TimeDelta::seconds(15);
/// How long a holder whose claim expired is waited for: if the store was unavailable, it was for the holder too.
const GRACE: TimeDelta = TimeDelta::seconds(10);
/// The most slots that are recorded as missed one by one.
const MAX_MISSED: usize = 1000;
/// The most slots that are looked at.
const MAX_SLOTS: usize = 50_000;
/// How many agents may die over one slot.
const MAX_DEATHS: u32 = 10;

/// A slot that is not over.
struct Open {
    slot: DateTime<Utc>,
    entry: Option<Entry>,
}

/// One look. Its requests are few: a listing, and the newest records of slots that are not known to be over.
struct Look<'a, 'e> {
    plan: &'a mut Planned,
    slots: &'a ScheduleSlots,
    env: &'a Env<'e>,
    /// The time by the store's clock, if it was needed.
    clock: Option<DateTime<Utc>>,
    /// The next look.
    next: DateTime<Utc>,
}

/// Looks at the slots, and begins the one that is due. Returns when to look again.
pub(super) fn look(
    plan: &mut Planned,
    slots: &ScheduleSlots,
    env: &Env<'_>,
) -> Result<DateTime<Utc>, StoreError> {
    let seen = plan.create_if_missing(|| slots.look())?;
    (plan.paused, plan.pending) = (seen.paused, None);
    plan.elsewhere.clear();
    let Some(since) = seen.since else {
        // a new schedule doesn't catch up the past
        slots.mark(whole(env.now), &plan.times(), 0)?;
        plan.first = false;
        return Ok(DateTime::<Utc>::MAX_UTC);
    };
    let mut look = Look {
        plan,
        slots,
        env,
        clock: None,
        next: DateTime::<Utc>::MAX_UTC,
    };
    let open = look.open(since, &seen)?;
    let oldest = open.first().map(|open| open.slot);
    look.decide(open)?;
    let next = look.next;
    plan.tidy(slots, seen.slots.len(), oldest)?;
    Ok(next)
}

impl Look<'_, '_> {
    /// Returns the slots that are due and not over, oldest first.
    fn open(&mut self, since: DateTime<Utc>, seen: &Seen) -> Result<Vec<Open>, StoreError> {
        let mut open = Vec::new();
        let mut newest = since;
        for slot in seen.slots.keys().filter(|slot| **slot > since) {
            newest = newest.max(*slot);
            if self.plan.ended.contains_key(slot) {
                continue;
            }
            let entry = self.slots.newest(*slot, seen)?;
            match entry.as_ref().and_then(Entry::end) {
                Some(end) => {
                    let at = entry.as_ref().map_or(self.env.now, |entry| entry.record.at);
                    remember_read(&mut self.plan.ended, *slot, end, at);
                }
                // an agent whose clock is ahead may have claimed a slot that isn't due yet
                None => open.push(Open { slot: *slot, entry }),
            }
        }
        if self.plan.first && self.changed(since, open.is_empty())? {
            return Ok(open);
        }
        // a record is made only after all earlier slots have one, so slots without records are newer
        for slot in self.unrecorded(newest)? {
            open.push(Open { slot, entry: None });
        }
        Ok(open)
    }

    /// Returns whether the times of the schedule were changed since its mark. Slots in the past are not caught up then.
    fn changed(&mut self, since: DateTime<Utc>, idle: bool) -> Result<bool, StoreError> {
        let times = self.plan.times();
        let before = self.slots.times(since)?;
        if before == times || before.is_empty() {
            self.plan.first = false;
            return Ok(false);
        }
        if idle {
            let name = &self.plan.settings.name;
            tracing::info!("the times of the schedule {name} were changed: it begins now");
            self.slots.mark(whole(self.env.now), &times, 0)?;
            self.plan.first = false;
        } else {
            // the slot that runs ends first
            self.soon(WAIT);
        }
        Ok(true)
    }

    /// Returns the slots that are due and have no record. If there are very many, the oldest are counted in a mark.
    fn unrecorded(&mut self, newest: DateTime<Utc>) -> Result<Vec<DateTime<Utc>>, StoreError> {
        let table = &self.plan.table;
        let mut slots = table.between(newest, self.env.due(), MAX_SLOTS);
        let excess = slots.len().saturating_sub(MAX_MISSED);
        if let Some(last) = excess.checked_sub(1).and_then(|at| slots.get(at)).copied() {
            let name = &self.plan.settings.name;
            tracing::warn!("the schedule {name}: {excess} slots up to {last} were missed");
            let missed = excess as u64;
            self.slots.mark(last, &self.plan.times(), missed)?;
            slots.drain(..excess);
        }
        Ok(slots)
    }

    fn decide(&mut self, open: Vec<Open>) -> Result<(), StoreError> {
        let mut busy = false;
        let mut blocked = false;
        let mut open = open.into_iter().peekable();
        while let Some(one) = open.next() {
            let next = open.peek().map(|next| next.slot);
            let newer = next.filter(|next| *next <= self.env.due());
            match newer {
                Some(newer) => {
                    let over = self.older(one, newer, &mut busy)?;
                    blocked |= !over;
                }
                None => self.newest(one, busy, blocked)?,
            }
        }
        Ok(())
    }

    /// Records an older slot that no agent runs. Returns whether it is over or runs.
    fn older(
        &mut self,
        one: Open,
        newer: DateTime<Utc>,
        busy: &mut bool,
    ) -> Result<bool, StoreError> {
        let Some(entry) = &one.entry else {
            // by the store's clock: an agent whose clock is ahead must not take the time of the others
            if self.clock()? < newer {
                self.soon(WAIT);
                return Ok(false);
            }
            return self.close_unrun(&one);
        };
        if self.is_held(&one, entry)? {
            *busy = true;
            return Ok(true);
        }
        self.close_unrun(&one)
    }

    /// Runs the newest slot, or finds why not.
    fn newest(&mut self, one: Open, busy: bool, blocked: bool) -> Result<(), StoreError> {
        let now = self.env.now;
        if let Some(entry) = &one.entry
            && self.is_held(&one, entry)?
        {
            return Ok(());
        }
        let slot = one.slot;
        if slot > self.env.due() {
            return Ok(());
        }
        let late = self.plan.limit(slot).is_some_and(|limit| now > limit);
        if self.plan.paused || late {
            // by the store's clock, as for older slots
            let limit = self.plan.limit(slot).filter(|_| !self.plan.paused);
            let over = match limit {
                Some(limit) => self.clock()? > limit,
                None => true,
            };
            if !over || !self.close_unrun(&one)? {
                self.soon(WAIT);
            }
            return Ok(());
        }
        let start = self.plan.start_of(slot, self.env);
        if blocked {
            self.soon(WAIT);
        } else if busy {
            self.wait(slot, BUSY);
        } else if now < start {
            self.plan.pending = Some(start);
            self.next = self.next.min(start);
        } else if let Some(error) = self.server_error() {
            self.wait(slot, &format!("the server could not be reached: {error}"));
        } else {
            self.begin(&one)?;
        }
        Ok(())
    }

    fn begin(&mut self, one: &Open) -> Result<(), StoreError> {
        let entry = one.entry.as_ref();
        if let Some(entry) = entry {
            let (attempt, failures) = entry.tries();
            let finished = self.slots.decide(entry)? != crate::store::Decided::Nothing;
            if finished || attempt > failures + MAX_DEATHS {
                self.close_unrun(one)?;
                return Ok(());
            }
        }
        let failures = entry.map_or(0, |entry| entry.tries().1);
        let (agent, ttl) = (self.env.agent, DEFAULT_TTL);
        let claimed = self.slots.claim(one.slot, entry, agent, failures, ttl)?;
        let Some(claimed) = claimed else {
            // another agent was first
            self.soon(TimeDelta::seconds(2));
            return Ok(());
        };
        self.plan.waits.remove(&one.slot);
        self.plan.active = Active::start(claimed, false, self.plan, self.slots, self.env)?;
        if self.plan.active.is_none() {
            self.wait(one.slot, "the agent refused the job");
        }
        Ok(())
    }

    /// Records a slot that no living agent runs. Returns whether it was recorded.
    fn close_unrun(&mut self, one: &Open) -> Result<bool, StoreError> {
        let slot = one.slot;
        let (outcome, ran_by, error) = match &one.entry {
            Some(entry) => {
                let agent = &entry.record.agent;
                let error = match entry.is_released() {
                    true => {
                        format!("the agent {agent} gave it up, and no other agent ran it in time")
                    }
                    false => format!(
                        "the agent {agent} ended or was paused before it recorded the outcome"
                    ),
                };
                (Ended::Failed, Some(agent.clone()), error)
            }
            None if self.plan.paused => (Ended::Skipped, None, "the schedule is paused".to_owned()),
            None => (Ended::Missed, None, self.plan.reason(slot)),
        };
        let end = SlotEnd {
            outcome,
            ran_by,
            job: None,
            backup: None,
            error: Some(error),
        };
        let token = uuid::Uuid::new_v4().to_string();
        let entry = one.entry.as_ref();
        let closed = self
            .slots
            .close(slot, entry, &token, self.env.agent, &end)?;
        match &closed {
            Some(end) => self.plan.remember(status_of(slot, end, self.env.now)),
            None => self.soon(TimeDelta::seconds(2)),
        }
        Ok(closed.is_some())
    }

    /// Returns whether an agent runs a slot. An expired claim is waited for once more.
    fn is_held(&mut self, one: &Open, entry: &Entry) -> Result<bool, StoreError> {
        let Some(expires) = entry.expires() else {
            return Ok(false);
        };
        let clock = self.clock()?;
        let now = self.env.now;
        let held = if entry.is_held(clock) {
            self.plan.dead.remove(&one.slot);
            let left = (expires - clock).clamp(TimeDelta::seconds(1), TimeDelta::seconds(30));
            self.soon(left);
            true
        } else if entry.record.holder.is_gone() {
            false
        } else {
            let number = entry.number();
            let found = match self.plan.dead.get(&one.slot) {
                Some((of, found)) if *of == number => *found,
                _ => now,
            };
            self.plan.dead.insert(one.slot, (number, found));
            let waits = now - found < GRACE;
            if waits {
                self.soon(GRACE);
            }
            waits
        };
        if held {
            self.plan.elsewhere.push(SlotStatus {
                slot: one.slot,
                agent: Some(entry.record.agent.clone()),
                outcome: Outcome::Running,
                job: None,
                backup: None,
                error: None,
                ended_at: None,
            });
        }
        Ok(held)
    }

    /// Returns the time by the store's clock.
    fn clock(&mut self) -> Result<DateTime<Utc>, StoreError> {
        let clock = match self.clock {
            Some(clock) => clock,
            None => self.slots.now()?,
        };
        self.clock = Some(clock);
        Ok(clock)
    }

    /// Returns why the server can't be backed up.
    fn server_error(&self) -> Option<String> {
        if !delay::reads_server(self.plan.settings.job) {
            return None;
        }
        self.env.access.server()?.reached.err()
    }

    fn wait(&mut self, slot: DateTime<Utc>, reason: &str) {
        self.plan.waits.insert(slot, reason.to_owned());
        self.soon(WAIT);
    }

    fn soon(&mut self, wait: TimeDelta) {
        self.next = self.next.min(self.env.now + wait);
    }
}
