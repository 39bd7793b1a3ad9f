//! The ledger of a chain: the sequence of its changes. The protocol is in
//! [`crate::store::lease::chain_lease`]; here are its steps, each one request to the store, so that
//! a test can interleave them.

use crate::store::lease::record::{
    End, Entry, ExpiryRule, FORMAT, Found, Record, Work, beat_name, record_name,
};
use crate::store::objects::single::create;
use crate::store::objects::single::exists;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt};

use crate::manifest::BackupName;
use crate::store::error::StoreError;
use crate::store::error::lease::LeaseFault;
use crate::store::objects::key;
use crate::store::objects::manifest_key;
use crate::store::objects::manifest_key::ManifestKey;

/// The directory of a ledger in its chain's directory. It is hidden, so that listings don't count
/// it as a backup.
pub(in crate::store) const DIRECTORY: &str = ".lsnap";
/// Longest record that is read, in bytes.
const MAX_RECORD: u64 = 64 << 10;
/// How often a writer tries to take an epoch.
const TRIES: usize = 64;

/// The end of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tip {
    /// The chain ends at this backup.
    At(BackupName),
    /// The chain is being deleted.
    Closed,
    /// Unknown: other programs removed the backups in the ledger.
    Unknown,
}

/// The ledger of one chain.
#[derive(Debug, Clone)]
pub(in crate::store) struct Ledger {
    store: Arc<dyn ObjectStore>,
    /// The full backup.
    root: BackupName,
    directory: String,
    /// Longest component of a key, in bytes, for a local store.
    limit: Option<usize>,
}

impl Ledger {
    pub fn new(store: Arc<dyn ObjectStore>, member: &BackupName, limit: Option<usize>) -> Self {
        let root = member.base();
        Self {
            store,
            directory: format!("{}/{DIRECTORY}", root.chain_directory()),
            root,
            limit,
        }
    }

    pub const fn root(&self) -> &BackupName {
        &self.root
    }

    fn at(&self, rest: &str) -> Result<Path, StoreError> {
        key::raw(&format!("{}/{rest}", self.directory), self.limit)
    }

    fn manifest_location(&self, backup: &BackupName) -> Result<Path, StoreError> {
        manifest_key::location(backup, self.limit)
    }

    /// Takes the next epoch for `record.work` if the lease of the newest record has ended or
    /// expired. The work of that record is decided first. Sets `record.epoch` and returns it.
    ///
    /// # Errors
    /// [`LeaseFault`], or an error of the store. The chain is unchanged then, except for the
    /// decision.
    pub async fn take(
        &self,
        mut record: Record,
        expiry: &dyn ExpiryRule,
    ) -> Result<u64, StoreError> {
        let mut known = None;
        for _ in 0..TRIES {
            let newest = self.newest(known).await?;
            record.epoch = match &newest {
                None => 0,
                Some(newest) => {
                    self.refuse_if_held(newest, expiry).await?;
                    let tip = self.decide(newest, &record).await?;
                    // a repeated deletion: `decide` has just completed it
                    let again = record.work.is_deletion() && newest.record.work == record.work;
                    if !again {
                        self.refuse_if_elsewhere(&record.work, tip)?;
                    }
                    newest.record.epoch + 1
                }
            };
            if self.create(&record).await? {
                self.check_store(&record).await?;
                return Ok(record.epoch);
            }
            known = Some(record.epoch);
        }
        Err(LeaseFault::Busy {
            chain: self.root.clone(),
        }
        .into())
    }

    /// Returns the newest entry. A listing finds it quickly; newer ones are then looked up by key,
    /// so that an outdated listing only costs time.
    pub async fn newest(&self, known: Option<u64>) -> Result<Option<Entry>, StoreError> {
        let listed = self.listed().await?;
        let mut epoch = listed.iter().map(|o| o.epoch).max().max(known).unwrap_or(0);
        let mut found = self.record(epoch).await?;
        while found.is_some()
            && let Some(newer) = self.record(epoch + 1).await?
        {
            epoch += 1;
            found = Some(newer);
        }
        let Some((record, since)) = found else {
            return match epoch {
                0 => Ok(None),
                _ => Err(self.damaged(epoch, "its record is missing".to_owned())),
            };
        };
        let of = || listed.iter().filter(|o| o.epoch == epoch);
        Ok(Some(Entry {
            record,
            since,
            seen: of().map(|o| o.time).max().unwrap_or(since).max(since),
            end: of().find_map(|o| o.end),
        }))
    }

    /// Lists the objects of the ledger. Other objects are ignored.
    async fn listed(&self) -> Result<Vec<Found>, StoreError> {
        let prefix = key::raw(&self.directory, None)?;
        let failed = |e| StoreError::backend("listing", &self.directory, e);
        let mut listing = self.store.list(Some(&prefix));
        let mut found = Vec::new();
        while let Some(meta) = listing.try_next().await.map_err(failed)? {
            let name = meta.location.filename().unwrap_or_default();
            found.extend(Found::parse(name, meta.last_modified));
        }
        Ok(found)
    }

    async fn record(&self, epoch: u64) -> Result<Option<(Record, DateTime<Utc>)>, StoreError> {
        let at = self.at(&record_name(epoch))?;
        let failed = |e| StoreError::backend("reading", at.to_string(), e);
        let got = match self.store.get_opts(&at, GetOptions::default()).await {
            Ok(got) => got,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let (size, time) = (got.meta.size, got.meta.last_modified);
        if size > MAX_RECORD {
            let what = format!("{size} bytes, expected at most {MAX_RECORD}");
            return Err(self.damaged(epoch, what));
        }
        let bytes = got.bytes().await.map_err(failed)?;
        let record: Record = serde_json::from_slice(&bytes)
            .map_err(|e| self.damaged(epoch, format!("its JSON is not valid: {e}")))?;
        if record.format != FORMAT {
            return Err(StoreError::UnknownFormat {
                key: at.to_string(),
                found: record.format,
                expected: FORMAT,
            });
        }
        if record.epoch != epoch {
            let what = format!("its epoch field is {}", record.epoch);
            return Err(self.damaged(epoch, what));
        }
        Ok(Some((record, time)))
    }

    fn damaged(&self, epoch: u64, what: String) -> StoreError {
        LeaseFault::Unreadable {
            key: format!("{}/{}", self.directory, record_name(epoch)),
            what,
        }
        .into()
    }

    /// Creates the record. Returns `false` if another process has taken this epoch.
    async fn create(&self, record: &Record) -> Result<bool, StoreError> {
        let at = self.at(&record_name(record.epoch))?;
        let error = match self.create_only(&at, json(record)?).await {
            Ok(()) => return Ok(true),
            Err(error) => error,
        };
        match self.record(record.epoch).await? {
            Some((found, _)) => Ok(found.token == record.token),
            None => Err(StoreError::backend("putting", at.to_string(), error)),
        }
    }

    /// Checks that the store refuses to overwrite an existing object, because the protocol depends
    /// on it. The check puts the same bytes again.
    async fn check_store(&self, record: &Record) -> Result<(), StoreError> {
        let at = self.at(&record_name(record.epoch))?;
        match self.create_only(&at, json(record)?).await {
            Ok(()) => Err(LeaseFault::Overwrites {
                key: at.to_string(),
            }
            .into()),
            // any other failure also means that nothing was overwritten
            Err(_) => Ok(()),
        }
    }

    async fn create_only(&self, at: &Path, body: Bytes) -> Result<(), Error> {
        create(&*self.store, at, body.into()).await
    }

    async fn refuse_if_held(
        &self,
        entry: &Entry,
        expiry: &dyn ExpiryRule,
    ) -> Result<(), StoreError> {
        if entry.end.is_some() {
            return Ok(());
        }
        if !expiry.is_over(entry, self.now().await?) {
            return Err(self.held(entry));
        }
        let Some(wait) = expiry.grace(entry) else {
            return Ok(());
        };
        tokio::time::sleep(wait).await;
        match self.newest(Some(entry.record.epoch)).await? {
            Some(again) if again.record.epoch == entry.record.epoch && again.seen > entry.seen => {
                Err(self.held(&again))
            }
            // ended or taken over in the meantime: the creation of the next record decides
            _ => Ok(()),
        }
    }

    fn held(&self, entry: &Entry) -> StoreError {
        LeaseFault::Held {
            chain: self.root.clone(),
            holder: Box::new(entry.record.holder.clone()),
            since: entry.since,
            expires: entry.expires(),
        }
        .into()
    }

    /// Returns the store's time: that of an object put now. This host's clock is not used.
    async fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        let at = self.at(&format!("clock.{}", uuid::Uuid::new_v4()))?;
        let failed = |e| StoreError::backend("reading the time of", at.to_string(), e);
        self.create_only(&at, Bytes::from_static(b"{}"))
            .await
            .map_err(failed)?;
        let meta = self.store.head(&at).await.map_err(failed);
        // if this fails, the object stays; it is ignored
        let _ = self.store.delete(&at).await;
        Ok(meta?.last_modified)
    }

    /// Ensures that the work of an entry is either done or can never be done, and returns the
    /// resulting end of the chain. Any number of processes may do this at any time; all get the
    /// same result.
    async fn decide(&self, entry: &Entry, by: &Record) -> Result<Tip, StoreError> {
        let tip = match (&entry.record.work, entry.end) {
            (Work::Append { base, .. }, Some(End::Unsent)) => Tip::At(base.clone()),
            // A copy that is continued: its earlier process and this one put the same manifest, so
            // nothing has to be decided.
            (Work::Append { base, .. }, _) if entry.record.work == by.work => Tip::At(base.clone()),
            (Work::Append { backup, base }, end) => {
                let at = self.manifest_location(backup)?;
                let found = match end {
                    Some(End::Done) => manifest_key::read(&*self.store, &at).await?,
                    _ => manifest_key::void(&*self.store, backup, &at, &by.holder).await?,
                };
                match found {
                    ManifestKey::Manifest { .. } => return Ok(Tip::At(backup.clone())),
                    ManifestKey::Void => Tip::At(base.clone()),
                    ManifestKey::Empty => Tip::Unknown,
                }
            }
            // for a deletion that begins at the newest member, or is repeated
            (Work::Delete { then: None, .. }, _) => Tip::Closed,
            // never reversed: otherwise a delayed process could complete a deletion that was
            // cancelled
            (Work::Delete { member, then }, end) => {
                if end != Some(End::Done) {
                    self.delete_manifest(member).await?;
                }
                then.clone().map_or(Tip::Closed, Tip::At)
            }
        };
        self.check_session(tip).await
    }

    async fn check_session(&self, tip: Tip) -> Result<Tip, StoreError> {
        let Tip::At(name) = &tip else {
            return Ok(tip);
        };
        match manifest_key::read(&*self.store, &self.manifest_location(name)?).await? {
            ManifestKey::Manifest { .. } => Ok(tip),
            ManifestKey::Void | ManifestKey::Empty => Ok(Tip::Unknown),
        }
    }

    /// Removes a member's manifest, which makes its deletion irrevocable.
    pub async fn delete_manifest(&self, member: &BackupName) -> Result<(), StoreError> {
        let at = self.manifest_location(member)?;
        match self.store.delete(&at).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StoreError::backend("removing", at.to_string(), error)),
        }
    }

    fn refuse_if_elsewhere(&self, work: &Work, tip: Tip) -> Result<(), StoreError> {
        let (wanted, whole) = match work {
            Work::Append { base, .. } => (base, false),
            Work::Delete { member, then } => (member, then.is_none()),
        };
        match tip {
            _ if whole => Ok(()),
            Tip::Unknown => Ok(()),
            Tip::At(newest) if newest == *wanted => Ok(()),
            Tip::At(newest) => Err(LeaseFault::Moved {
                expected: wanted.clone(),
                newest,
            }
            .into()),
            Tip::Closed => Err(LeaseFault::Closed {
                chain: self.root.clone(),
            }
            .into()),
        }
    }

    /// Fails if a later entry exists: other processes have decided the work of this one.
    pub async fn check(&self, epoch: u64) -> Result<(), StoreError> {
        match self.record(epoch + 1).await? {
            None => Ok(()),
            Some((record, _)) => Err(LeaseFault::Lost {
                chain: self.root.clone(),
                to: Some(Box::new(record.holder)),
            }
            .into()),
        }
    }

    /// Puts the `n`-th heartbeat, counted from 1, and removes the one before.
    pub async fn beat(&self, epoch: u64, n: u64) -> Result<(), StoreError> {
        self.check(epoch).await?;
        let at = self.at(&beat_name(epoch, n))?;
        match self.create_only(&at, Bytes::from_static(b"{}")).await {
            Ok(()) => {}
            Err(error) if exists(&error) => {}
            Err(error) => return Err(StoreError::backend("putting", at.to_string(), error)),
        }
        self.sweep(epoch, n.saturating_sub(1)).await
    }

    /// Removes a heartbeat. Failures are ignored, because a writer may lack the permission to
    /// delete.
    async fn sweep(&self, epoch: u64, n: u64) -> Result<(), StoreError> {
        if n > 0 {
            let _ = self.store.delete(&self.at(&beat_name(epoch, n))?).await;
        }
        Ok(())
    }

    /// Records how the work of an entry ended, and removes the last of `beats` heartbeats.
    pub async fn end(&self, epoch: u64, how: End, beats: u64) -> Result<(), StoreError> {
        let at = self.at(&format!("{}.end.{}", record_name(epoch), how.name()))?;
        match self.create_only(&at, Bytes::from_static(b"{}")).await {
            Err(error) if !exists(&error) => {
                return Err(StoreError::backend("putting", at.to_string(), error));
            }
            _ => {}
        }
        self.sweep(epoch, beats).await
    }
}

fn json(record: &Record) -> Result<Bytes, StoreError> {
    let json = serde_json::to_vec(record).map_err(|e| StoreError::TaskDied {
        what: format!("writing a ledger record as JSON ({e})"),
    })?;
    Ok(Bytes::from(json))
}
