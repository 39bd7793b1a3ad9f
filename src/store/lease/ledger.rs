//! The ledger of a chain: who changed it, one after the other. The protocol is in [`crate::store::lease::chain_lease`];
//! here are its steps, each one request of the store, so that a test can interleave them as it likes.

use crate::store::lease::record::{
    End, Entry, FORMAT, Found, Patience, Record, Work, beat_name, record_name,
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

/// Where a ledger lies in its chain's directory; hidden, so that no listing takes it for a backup.
pub(in crate::store) const DIRECTORY: &str = ".lsnap";
/// Longest record that is read, in bytes.
const MAX_RECORD: u64 = 64 << 10;
/// How often a writer that finds the next epoch taken looks again.
const TRIES: usize = 64;

/// Where a chain ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum Tip {
    /// At this backup.
    At(BackupName),
    /// It is being deleted.
    Closed,
    /// The ledger can't say: what it knows of was removed by others.
    Unknown,
}

/// The ledger of one chain.
#[derive(Debug, Clone)]
pub(in crate::store) struct Ledger {
    store: Arc<dyn ObjectStore>,
    /// The full backup.
    root: BackupName,
    directory: String,
    /// Longest component of a key, for a local store.
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

    fn register(&self, backup: &BackupName) -> Result<Path, StoreError> {
        manifest_key::location(backup, self.limit)
    }

    /// Takes the next epoch for `record.work`, when the one before it has ended or run out of time;
    /// its work is decided before. Fills in `record.epoch` and returns it.
    ///
    /// # Errors
    /// [`LeaseFault`], or the store's own error: then the chain is as it was, apart from the decision.
    pub async fn take(
        &self,
        mut record: Record,
        patience: &dyn Patience,
    ) -> Result<u64, StoreError> {
        let mut known = None;
        for _ in 0..TRIES {
            let newest = self.newest(known).await?;
            record.epoch = match &newest {
                None => 0,
                Some(newest) => {
                    self.refuse_if_held(newest, patience).await?;
                    let tip = self.decide(newest, &record).await?;
                    // a deletion that was begun and is repeated: that it is done was just seen to
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

    /// The newest entry. A listing finds it quickly; whether there is a newer one is asked by key, so
    /// that a listing that lags behind only costs time.
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

    /// Objects of the ledger; others that lie there are passed over.
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
            let what = format!("{size} bytes, at most {MAX_RECORD} expected");
            return Err(self.damaged(epoch, what));
        }
        let bytes = got.bytes().await.map_err(failed)?;
        let record: Record = serde_json::from_slice(&bytes)
            .map_err(|e| self.damaged(epoch, format!("its JSON is not as expected: {e}")))?;
        if record.format != FORMAT {
            return Err(StoreError::UnknownFormat {
                key: at.to_string(),
                found: record.format,
                expected: FORMAT,
            });
        }
        if record.epoch != epoch {
            let what = format!("it says that it is entry {}", record.epoch);
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

    /// Creates the record; `false` when another has this epoch.
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

    /// Everything rests on the store's refusing to put what is there: it is asked, with the bytes
    /// that are there.
    async fn check_store(&self, record: &Record) -> Result<(), StoreError> {
        let at = self.at(&record_name(record.epoch))?;
        match self.create_only(&at, json(record)?).await {
            Ok(()) => Err(LeaseFault::Overwrites {
                key: at.to_string(),
            }
            .into()),
            // also any other failure: nothing was overwritten
            Err(_) => Ok(()),
        }
    }

    async fn create_only(&self, at: &Path, body: Bytes) -> Result<(), Error> {
        create(&*self.store, at, body.into()).await
    }

    async fn refuse_if_held(
        &self,
        entry: &Entry,
        patience: &dyn Patience,
    ) -> Result<(), StoreError> {
        if entry.end.is_some() {
            return Ok(());
        }
        if !patience.is_over(entry, self.now().await?) {
            return Err(self.held(entry));
        }
        let Some(wait) = patience.last_chance(entry) else {
            return Ok(());
        };
        tokio::time::sleep(wait).await;
        match self.newest(Some(entry.record.epoch)).await? {
            Some(again) if again.record.epoch == entry.record.epoch && again.seen > entry.seen => {
                Err(self.held(&again))
            }
            // ended, or taken over meanwhile: creating the next record decides
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

    /// The store's time: that of an object put now. A writer's own clock is asked nothing.
    async fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        let at = self.at(&format!("clock.{}", uuid::Uuid::new_v4()))?;
        let failed = |e| StoreError::backend("asking the time of", at.to_string(), e);
        self.create_only(&at, Bytes::from_static(b"{}"))
            .await
            .map_err(failed)?;
        let meta = self.store.head(&at).await.map_err(failed);
        // litter, if it fails
        let _ = self.store.delete(&at).await;
        Ok(meta?.last_modified)
    }

    /// Makes sure that the work of an entry is done or will never be, and says where the chain then
    /// ends. May be done by any number at any time: all find the same.
    async fn decide(&self, entry: &Entry, by: &Record) -> Result<Tip, StoreError> {
        let tip = match (&entry.record.work, entry.end) {
            (Work::Append { base, .. }, Some(End::Unsent)) => Tip::At(base.clone()),
            (Work::Append { backup, base }, end) => {
                let at = self.register(backup)?;
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
            // from the newest member down: for the one who asked to do, or to do again
            (Work::Delete { then: None, .. }, _) => Tip::Closed,
            // never taken back, or one who comes late would carry through what was called off
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
        match manifest_key::read(&*self.store, &self.register(name)?).await? {
            ManifestKey::Manifest { .. } => Ok(tip),
            ManifestKey::Void | ManifestKey::Empty => Ok(Tip::Unknown),
        }
    }

    /// What makes a deletion that was begun irrevocable.
    pub async fn delete_manifest(&self, member: &BackupName) -> Result<(), StoreError> {
        let at = self.register(member)?;
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

    /// Fails when a later entry exists: the work of this one has been decided by others.
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

    /// A sign of life, the `n`-th from 1; the one before is removed.
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

    /// Removes a sign of life. Deleting is a right that a writer need not have.
    async fn sweep(&self, epoch: u64, n: u64) -> Result<(), StoreError> {
        if n > 0 {
            let _ = self.store.delete(&self.at(&beat_name(epoch, n))?).await;
        }
        Ok(())
    }

    /// Says how the work of an entry ended; `beats` signs of life were given.
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
