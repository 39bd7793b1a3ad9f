//! The slots of one schedule: the steps of the protocol in [`crate::store::slots`].

use super::key::{self, DIRECTORY, PAUSED, valid_schedule_name};
use super::record::{Content, Ended, Entry, FORMAT, Record, SlotEnd};
use super::seen::Seen;
use crate::manifest::BackupName;
use crate::store::error::{SlotFault, StoreError};
use crate::store::lease::holder::LeaseHolder;
use crate::store::objects::key::raw;
use crate::store::objects::manifest_key::{self, ManifestKey};
use crate::store::objects::repository::Repository;
use crate::store::objects::single::{Got, create, exists, get};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Longest record that is read, in bytes.
const MAX_RECORD: u64 = 64 << 10;
/// How often a record is tried to be written.
const TRIES: usize = 64;

/// The slots of one schedule in a repository. Cheap to clone. Its calls block, as those of the repository.
#[derive(Debug, Clone)]
pub(crate) struct ScheduleSlots {
    repository: Repository,
    schedule: String,
}

/// A claim of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claimed {
    /// The nominal time.
    pub(crate) slot: DateTime<Utc>,
    /// The UUID of the claim, which its job gets.
    pub(crate) token: String,
    /// The try within the slot, from 1.
    pub(crate) attempt: u32,
    /// How many tries failed before.
    pub(crate) failures: u32,
    number: u64,
    agent: String,
    ttl: Duration,
    beats: u64,
}

/// The result of the backup of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decided {
    /// The backup is finished.
    Finished(BackupName),
    /// There is none, and there will be none.
    Nothing,
}

/// A mark: slots up to its time are over.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    format: u32,
    /// How many slots before it were missed without a record of their own.
    #[serde(default, skip_serializing_if = "is_zero")]
    missed: u64,
    /// The expression and the time zone of the schedule.
    #[serde(default)]
    times: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Repository {
    /// Returns the slots of a schedule.
    ///
    /// # Errors
    /// [`SlotFault::Name`].
    pub(crate) fn slots(&self, schedule: &str) -> Result<ScheduleSlots, StoreError> {
        if !valid_schedule_name(schedule) {
            return Err(SlotFault::Name {
                name: schedule.to_owned(),
            }
            .into());
        }
        Ok(ScheduleSlots {
            repository: self.clone(),
            schedule: schedule.to_owned(),
        })
    }
}

impl ScheduleSlots {
    /// Lists the objects of the schedule.
    pub(crate) fn look(&self) -> Result<Seen, StoreError> {
        let directory = format!("{DIRECTORY}/{}", self.schedule);
        self.wait("listing slots", move |store| async move {
            let prefix = raw(&directory, None)?;
            let failed = |e| StoreError::backend("listing", &directory, e);
            let mut listing = store.list(Some(&prefix));
            let mut seen = Seen::default();
            while let Some(meta) = listing.try_next().await.map_err(failed)? {
                let name = meta.location.filename().unwrap_or_default();
                seen.add(name, meta.last_modified);
            }
            Ok(seen)
        })
    }

    /// Reads the newest record of a slot. A listing finds it quickly; newer ones are looked up by key.
    pub(crate) fn newest(
        &self,
        slot: DateTime<Utc>,
        seen: &Seen,
    ) -> Result<Option<Entry>, StoreError> {
        let listed = seen.slots.get(&slot);
        let (known, time) = listed.map_or((0, None), |s| (s.newest, s.seen));
        let mut entry = self.newest_from(slot, known)?;
        if let (Some(entry), Some(time)) = (&mut entry, time) {
            entry.seen = entry.seen.max(time);
        }
        Ok(entry)
    }

    fn newest_from(&self, slot: DateTime<Utc>, known: u64) -> Result<Option<Entry>, StoreError> {
        let of = self.clone();
        self.wait("reading a slot", move |store| async move {
            let mut number = known;
            let mut found = of.record(&*store, slot, number).await?;
            while found.is_some()
                && let Some(newer) = of.record(&*store, slot, number + 1).await?
            {
                number += 1;
                found = Some(newer);
            }
            Ok(found.map(|(record, seen)| Entry { record, seen }))
        })
    }

    async fn record(
        &self,
        store: &dyn ObjectStore,
        slot: DateTime<Utc>,
        number: u64,
    ) -> Result<Option<(Record, DateTime<Utc>)>, StoreError> {
        let at = key::at(&self.schedule, &key::record(slot, number))?;
        let failed = |e| StoreError::backend("reading", at.to_string(), e);
        let damaged = |what: String| SlotFault::Unreadable {
            key: at.to_string(),
            what,
        };
        let got = match store.get_opts(&at, GetOptions::default()).await {
            Ok(got) => got,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let (size, time) = (got.meta.size, got.meta.last_modified);
        if size > MAX_RECORD {
            return Err(damaged(format!("{size} bytes, expected at most {MAX_RECORD}")).into());
        }
        let bytes = got.bytes().await.map_err(failed)?;
        let record: Record = serde_json::from_slice(&bytes)
            .map_err(|e| damaged(format!("its JSON is not valid: {e}")))?;
        if record.format != FORMAT {
            return Err(StoreError::UnknownFormat {
                key: at.to_string(),
                found: record.format,
                expected: FORMAT,
            });
        }
        if record.number != number {
            return Err(damaged(format!("its number is {}", record.number)).into());
        }
        Ok(Some((record, time)))
    }

    /// Claims a slot, after `entry`, its newest record, which is none, a release, or that of a dead holder whose commit
    /// was decided. Returns `None` if another agent was first, or if the slot is over.
    pub(crate) fn claim(
        &self,
        slot: DateTime<Utc>,
        entry: Option<&Entry>,
        agent: &str,
        failures: u32,
        ttl: Duration,
    ) -> Result<Option<Claimed>, StoreError> {
        let attempt = entry.map_or(0, |entry| entry.tries().0) + 1;
        let ttl_seconds = ttl.as_secs().max(1);
        let content = Content::Claim {
            attempt,
            failures,
            ttl_seconds,
        };
        let token = uuid::Uuid::new_v4().to_string();
        let number = entry.map_or(0, |entry| entry.number() + 1);
        let record = self.compose(number, &token, agent, content);
        if !self.create(slot, &record)? {
            return Ok(None);
        }
        self.check_store(slot, &record)?;
        if self.is_over(slot)? {
            return Ok(None);
        }
        Ok(Some(Claimed {
            slot,
            token,
            attempt,
            failures,
            number,
            agent: agent.to_owned(),
            ttl,
            beats: 0,
        }))
    }

    /// Returns the result of the backup of a commit, and makes it final. A holder that is only paused can't finish it any
    /// more.
    pub(crate) fn decide(&self, entry: &Entry) -> Result<Decided, StoreError> {
        let Content::Commit { backup, .. } = &entry.record.content else {
            return Ok(Decided::Nothing);
        };
        let location = manifest_key::location(backup, self.repository.longest_component())?;
        let name = backup.clone();
        let found = self.wait("deciding a slot", move |store| async move {
            manifest_key::void(&*store, &name, &location, &LeaseHolder::this()).await
        })?;
        Ok(match found {
            ManifestKey::Manifest { .. } => Decided::Finished(backup.clone()),
            ManifestKey::Void | ManifestKey::Empty => Decided::Nothing,
        })
    }

    /// Puts a heartbeat and removes the one before.
    ///
    /// # Errors
    /// [`SlotFault::Taken`] or [`SlotFault::Over`]: the claim was lost.
    pub(crate) fn beat(&self, held: &mut Claimed) -> Result<(), StoreError> {
        let newest = self.newest_from(held.slot, held.number)?;
        self.refuse_if_lost(held.slot, &held.token, newest.as_ref())?;
        let n = held.beats + 1;
        let at = key::at(&self.schedule, &key::beat(held.slot, held.number, n))?;
        let put = self.put(&at, Bytes::from_static(b"{}"))?;
        if let Err(error) = put
            && !exists(&error)
        {
            return Err(StoreError::backend("putting", at.to_string(), error));
        }
        held.beats = n;
        self.sweep(held, n - 1)
    }

    /// Removes a heartbeat. Failures are ignored: a writer may lack the permission to delete.
    fn sweep(&self, held: &Claimed, n: u64) -> Result<(), StoreError> {
        if n > 0 {
            self.remove(&key::beat(held.slot, held.number, n))?;
        }
        Ok(())
    }

    fn refuse_if_lost(
        &self,
        slot: DateTime<Utc>,
        token: &str,
        newest: Option<&Entry>,
    ) -> Result<(), StoreError> {
        let (schedule, fault) = (self.schedule.clone(), newest.map(|entry| &entry.record));
        Err(match fault {
            None => SlotFault::NotClaimed { schedule, slot },
            Some(Record {
                content: Content::End(_),
                ..
            }) => SlotFault::Over { schedule, slot },
            Some(record)
                if record.token == token && !matches!(record.content, Content::Released { .. }) =>
            {
                return Ok(());
            }
            Some(record) => SlotFault::Taken {
                schedule,
                slot,
                agent: record.agent.clone(),
            },
        }
        .into())
    }

    /// Records that the backup of a claim is about to be finished.
    ///
    /// # Errors
    /// [`SlotFault`]: it must not be finished.
    pub(in crate::store) fn commit(
        &self,
        slot: DateTime<Utc>,
        token: &str,
        backup: &BackupName,
    ) -> Result<(), StoreError> {
        let mut known = self.look()?.slots.get(&slot).map_or(0, |s| s.newest);
        for _ in 0..TRIES {
            let newest = self.newest_from(slot, known)?;
            self.refuse_if_lost(slot, token, newest.as_ref())?;
            let Some(entry) = newest else { continue };
            match &entry.record.content {
                Content::Commit { backup: before, .. } if before == backup => {}
                Content::Commit { .. }
                    if let Decided::Finished(backup) = self.decide(&entry)? =>
                {
                    let schedule = self.schedule.clone();
                    return Err(SlotFault::Finished {
                        schedule,
                        slot,
                        backup,
                    }
                    .into());
                }
                Content::Claim {
                    attempt,
                    failures,
                    ttl_seconds,
                }
                | Content::Commit {
                    attempt,
                    failures,
                    ttl_seconds,
                    ..
                } => {
                    let content = Content::Commit {
                        backup: backup.clone(),
                        attempt: *attempt,
                        failures: *failures,
                        ttl_seconds: *ttl_seconds,
                    };
                    known = entry.number() + 1;
                    let record = self.compose(known, token, &entry.record.agent, content);
                    if !self.create(slot, &record)? {
                        continue;
                    }
                }
                Content::Released { .. } | Content::End(_) => continue,
            }
            // records of old slots are removed after a mark was put
            return match self.is_over(slot)? {
                false => Ok(()),
                true => {
                    let schedule = self.schedule.clone();
                    Err(SlotFault::Over { schedule, slot }.into())
                }
            };
        }
        let schedule = self.schedule.clone();
        Err(SlotFault::Busy { schedule, slot }.into())
    }

    /// Claims the slot of a claim again, for the next try. Returns `None` if a backup of it is finished, or if it is over.
    ///
    /// # Errors
    /// [`SlotFault`]: the claim was lost.
    pub(crate) fn again(
        &self,
        held: &Claimed,
        failures: u32,
    ) -> Result<Option<Claimed>, StoreError> {
        let newest = self.newest_from(held.slot, held.number)?;
        self.refuse_if_lost(held.slot, &held.token, newest.as_ref())?;
        if let Some(entry) = &newest
            && self.decide(entry)? != Decided::Nothing
        {
            return Ok(None);
        }
        let next = self.claim(held.slot, newest.as_ref(), &held.agent, failures, held.ttl)?;
        self.sweep(held, held.beats)?;
        Ok(next)
    }

    /// Gives a claim up, so that another agent can take the slot at once. Returns whether it was given up: it is not if a
    /// backup of it is finished.
    ///
    /// # Errors
    /// [`SlotFault`]: the claim was lost.
    pub(crate) fn release(&self, held: &Claimed, failures: u32) -> Result<bool, StoreError> {
        let newest = self.newest_from(held.slot, held.number)?;
        self.refuse_if_lost(held.slot, &held.token, newest.as_ref())?;
        let Some(entry) = newest else {
            return Ok(true);
        };
        if self.decide(&entry)? != Decided::Nothing {
            return Ok(false);
        }
        let attempt = held.attempt;
        let content = Content::Released { attempt, failures };
        let record = self.compose(entry.number() + 1, &held.token, &held.agent, content);
        self.create(held.slot, &record)?;
        self.sweep(held, held.beats)?;
        Ok(true)
    }

    /// Records how the slot of a claim ended. A backup that was committed is decided first: if it is finished, the slot
    /// has succeeded. Returns what is recorded.
    ///
    /// # Errors
    /// [`SlotFault`]: the claim was lost.
    pub(crate) fn end(&self, held: &Claimed, end: &SlotEnd) -> Result<SlotEnd, StoreError> {
        for _ in 0..TRIES {
            let newest = self.newest_from(held.slot, held.number)?;
            self.refuse_if_lost(held.slot, &held.token, newest.as_ref())?;
            let ended = self.close(held.slot, newest.as_ref(), &held.token, &held.agent, end)?;
            if let Some(ended) = ended {
                self.sweep(held, held.beats)?;
                return Ok(ended);
            }
        }
        let (schedule, slot) = (self.schedule.clone(), held.slot);
        Err(SlotFault::Busy { schedule, slot }.into())
    }

    /// Records how a slot ended that no living agent runs, after `entry`, its newest record. Returns what was recorded, or
    /// `None` if another agent wrote a record first.
    pub(crate) fn close(
        &self,
        slot: DateTime<Utc>,
        entry: Option<&Entry>,
        token: &str,
        agent: &str,
        end: &SlotEnd,
    ) -> Result<Option<SlotEnd>, StoreError> {
        let mut end = end.clone();
        if end.outcome != Ended::Succeeded
            && let Some(entry) = entry
            && let Decided::Finished(backup) = self.decide(entry)?
        {
            end = end.finished(&backup, &entry.record.agent);
        }
        let number = entry.map_or(0, |entry| entry.number() + 1);
        let record = self.compose(number, token, agent, Content::End(end.clone()));
        Ok(self.create(slot, &record)?.then_some(end))
    }

    /// Puts a mark: slots up to `time` are over. The first one begins the schedule. `missed` slots had no record.
    pub(crate) fn mark(
        &self,
        time: DateTime<Utc>,
        times: &str,
        missed: u64,
    ) -> Result<(), StoreError> {
        let at = key::at(&self.schedule, &key::mark(time))?;
        let mark = Mark {
            format: FORMAT,
            missed,
            times: times.to_owned(),
        };
        match self.put(&at, json(&mark)?)? {
            Err(error) if !exists(&error) => {
                Err(StoreError::backend("putting", at.to_string(), error))
            }
            _ => Ok(()),
        }
    }

    /// Returns the expression and the time zone with which a mark was put; empty if it can't be read.
    pub(crate) fn times(&self, mark: DateTime<Utc>) -> Result<String, StoreError> {
        let at = key::at(&self.schedule, &key::mark(mark))?;
        let got = self.wait("reading a mark", move |store| async move {
            get(&*store, &at, Some(MAX_RECORD), |n| n <= MAX_RECORD).await
        })?;
        let mark = match got {
            Got::Bytes(bytes) => serde_json::from_slice::<Mark>(&bytes).ok(),
            Got::Nothing | Got::Length(_) => None,
        };
        Ok(mark.map(|mark| mark.times).unwrap_or_default())
    }

    /// Removes the records of slots up to the newest mark, and earlier marks.
    pub(crate) fn tidy(&self) -> Result<(), StoreError> {
        let seen = self.look()?;
        let Some(since) = seen.since else {
            return Ok(());
        };
        for mark in &seen.old_marks {
            self.remove(&key::mark(*mark))?;
        }
        for (_, slot) in seen.slots.range(..=since) {
            for name in &slot.names {
                self.remove(name)?;
            }
        }
        Ok(())
    }

    /// Pauses the schedule, or resumes it.
    pub(crate) fn pause(&self, paused: bool) -> Result<(), StoreError> {
        let at = key::at(&self.schedule, PAUSED)?;
        if !paused {
            return self.delete(&at)?.or_else(|error| match error {
                Error::NotFound { .. } => Ok(()),
                error => Err(StoreError::backend("removing", at.to_string(), error)),
            });
        }
        match self.put(
            &at,
            json(&serde_json::json!({"format": FORMAT, "at": Utc::now()}))?,
        )? {
            Err(error) if !exists(&error) => {
                Err(StoreError::backend("putting", at.to_string(), error))
            }
            _ => Ok(()),
        }
    }

    /// Returns the store's time: that of an object put now.
    pub(crate) fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        let at = key::at(&self.schedule, &format!("clock.{}", uuid::Uuid::new_v4()))?;
        let failed = |e| StoreError::backend("reading the time of", at.to_string(), e);
        self.put(&at, Bytes::from_static(b"{}"))?.map_err(failed)?;
        let of = at.clone();
        let meta = self.wait("reading a time", move |store| async move {
            Ok(store.head(&of).await)
        })?;
        // if this fails, the object stays; it is ignored
        let _ = self.delete(&at)?;
        Ok(meta.map_err(failed)?.last_modified)
    }

    fn is_over(&self, slot: DateTime<Utc>) -> Result<bool, StoreError> {
        Ok(self.look()?.since.is_some_and(|since| slot <= since))
    }

    fn compose(&self, number: u64, token: &str, agent: &str, content: Content) -> Record {
        Record {
            format: FORMAT,
            number,
            token: token.to_owned(),
            agent: agent.to_owned(),
            holder: LeaseHolder::this(),
            at: Utc::now(),
            content,
        }
    }

    /// Creates a record. Returns `false` if there is another one of its number.
    fn create(&self, slot: DateTime<Utc>, record: &Record) -> Result<bool, StoreError> {
        let at = key::at(&self.schedule, &key::record(slot, record.number))?;
        let Err(error) = self.put(&at, json(record)?)? else {
            return Ok(true);
        };
        // refused, or the response was lost
        let (of, number) = (self.clone(), record.number);
        let found = self.wait("reading a slot", move |store| async move {
            of.record(&*store, slot, number).await
        })?;
        match found {
            Some((found, _)) => Ok(found == *record),
            None => Err(StoreError::backend("putting", at.to_string(), error)),
        }
    }

    /// Checks that the store refuses to overwrite an object, by putting the same bytes again.
    fn check_store(&self, slot: DateTime<Utc>, record: &Record) -> Result<(), StoreError> {
        let at = key::at(&self.schedule, &key::record(slot, record.number))?;
        match self.put(&at, json(record)?)? {
            Ok(()) => Err(SlotFault::Overwrites {
                key: at.to_string(),
            }
            .into()),
            // any other failure also means that nothing was overwritten
            Err(_) => Ok(()),
        }
    }

    fn put(
        &self,
        at: &object_store::path::Path,
        body: Bytes,
    ) -> Result<Result<(), Error>, StoreError> {
        let at = at.clone();
        self.wait("putting a slot's object", move |store| async move {
            Ok(create(&*store, &at, body.into()).await)
        })
    }

    fn delete(&self, at: &object_store::path::Path) -> Result<Result<(), Error>, StoreError> {
        let at = at.clone();
        self.wait("removing a slot's object", move |store| async move {
            Ok(store.delete(&at).await)
        })
    }

    /// Removes an object; failures of the store are ignored.
    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.delete(&key::at(&self.schedule, name)?).map(drop)
    }

    fn wait<T: Send + 'static, F>(
        &self,
        what: &str,
        work: impl FnOnce(Arc<dyn ObjectStore>) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let store = Arc::clone(self.repository.store()?);
        self.repository.runtime().wait(what, work(store))?
    }
}

fn json(value: &impl Serialize) -> Result<Bytes, StoreError> {
    let json = serde_json::to_vec(value).map_err(|e| StoreError::TaskDied {
        what: format!("writing a slot's object as JSON ({e})"),
    })?;
    Ok(Bytes::from(json))
}
