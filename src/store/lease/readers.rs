//! Records of readers, so that backups are not deleted while they are read.
//!
//! A restore, a consolidation or a verification reads backups for hours, and `prune` can remove
//! them in minutes. Therefore readers put a record at the top of the repository, and deletions look
//! for it:
//!
//! ```text
//! .lsnap/readers/<UUID>.reader             the process, its work and its backups: JSON
//! .lsnap/readers/<UUID>.beat.<20 digits>   heartbeat, every third of the time limit; replaces the
//! one before
//! .lsnap/readers/<UUID>.end                the reader ended, if its record could not be removed
//! ```
//!
//! # Why a reader and a deletion exclude each other
//! - A reader puts its record, then looks for deletion notes of its backups (`lsnap_deleting.json`)
//!   and checks that each backup still has its manifest.
//! - A deletion puts its notes, then looks for records. If it finds one, it removes its notes and
//!   leaves the backups unchanged; else it continues and removes the manifests before anything
//!   else. The note of an earlier deletion that was interrupted is put again.
//!
//! If both continued, the deletion must have listed before the record was put, so its notes existed
//! when the reader looked; and if the deletion had completed by then, a manifest was missing. If
//! both find each other, the deletion gives way: a reader that finds a note waits until it is
//! removed.
//!
//! This assumes reads and listings that return completed writes (S3, GCS, Azure and directories
//! have them). Time limits only prevent wasted work: a reader that was paused for longer than its
//! limit may lose the backups that it reads, which it detects by the digests; a deletion that was
//! interrupted after its note blocks readers for [`STALE`]. A longer deletion is detected by its
//! lease on the chain.
//!
//! A record needs the permission to write. A reader without it reads nevertheless, and logs a
//! warning.

use crate::manifest::object_name;
use crate::store::error::request::RequestFault;
use crate::store::objects::single::create;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};

use crate::manifest::BackupName;
use crate::manifest::document::{DELETING, MANIFEST};
use crate::store::error::StoreError;
use crate::store::lease::chain_lease::DEFAULT_TTL;
use crate::store::lease::holder::LeaseHolder;
use crate::store::objects::key;
use crate::store::objects::single::exists;
use crate::store::objects::single::{Got, get};

/// The directory of the records. It is hidden, so that listings don't count it as a backup.
pub(in crate::store) const DIRECTORY: &str = ".lsnap/readers";
const FORMAT: u32 = 1;
/// Longest record that is read, in bytes.
const MAX_RECORD: u64 = 4 << 20;
/// The age from which a deletion note counts as that of an interrupted deletion, if the manifest
/// still exists.
pub(in crate::store) const STALE: TimeDelta = TimeDelta::seconds(300);
/// Assumed largest difference between this host's clock and the store's, where an error only costs
/// time.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::days(1);
/// A process that reads backups, as stored: JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    format: u32,
    /// A UUID that identifies this reader.
    pub(in crate::store) token: String,
    /// The process.
    pub holder: LeaseHolder,
    /// The work, for messages: `restore`, `verify`, `consolidate`, `cloud get`.
    pub work: String,
    /// The reader counts as dead this many seconds after its last heartbeat.
    ttl_seconds: u64,
    /// The backups that it reads. Empty if the record can't be read: the reader then counts for all
    /// backups.
    pub backups: Vec<BackupName>,
}

impl Reader {
    pub(in crate::store) fn new(work: &str, backups: &[BackupName], ttl: Duration) -> Self {
        Self {
            format: FORMAT,
            token: uuid::Uuid::new_v4().to_string(),
            holder: LeaseHolder::this(),
            work: work.to_owned(),
            ttl_seconds: ttl.as_secs().max(1),
            backups: backups.to_vec(),
        }
    }

    fn expires(&self, seen: DateTime<Utc>) -> DateTime<Utc> {
        let seconds = i64::try_from(self.ttl_seconds).unwrap_or(i64::MAX);
        let ttl = TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX);
        seen.checked_add_signed(ttl)
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// The deletion state of backups that are about to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum DeletionState {
    /// None of them is being deleted.
    Clear,
    /// This backup has a deletion note, put at this time.
    Noted(BackupName, DateTime<Utc>),
    /// This backup has no manifest any more.
    Gone(BackupName),
}

/// The objects of a reader in a listing.
#[derive(Debug, Default)]
struct Seen {
    record: Option<Path>,
    ended: bool,
    last: Option<DateTime<Utc>>,
    all: Vec<Path>,
}

/// The steps of readers and deletions, each one request to the store, so that a test can interleave
/// them.
#[derive(Debug, Clone)]
pub(in crate::store) struct Readers {
    store: Arc<dyn ObjectStore>,
    /// Longest component of a key, in bytes, for a local store.
    limit: Option<usize>,
}

impl Readers {
    pub fn new(store: Arc<dyn ObjectStore>, limit: Option<usize>) -> Self {
        Self { store, limit }
    }

    fn at(token: &str, rest: &str) -> Result<Path, StoreError> {
        key::raw(&format!("{DIRECTORY}/{token}.{rest}"), None)
    }

    /// Puts the record of a reader. Returns its time by the store's clock.
    pub async fn announce(&self, reader: &Reader) -> Result<DateTime<Utc>, StoreError> {
        let at = Self::at(&reader.token, "reader")?;
        let json = serde_json::to_vec(reader).map_err(|e| StoreError::TaskDied {
            what: format!("writing a reader's record as JSON ({e})"),
        })?;
        let put = async {
            self.create(&at, json.into()).await?;
            self.store.head(&at).await
        };
        match put.await {
            Ok(meta) => Ok(meta.last_modified),
            Err(error) => {
                // the put may have succeeded
                let _ = self.store.delete(&at).await;
                Err(StoreError::backend("putting", at.to_string(), error))
            }
        }
    }

    /// Returns the deletion state of a backup. If `manifest` is false, a missing manifest isn't
    /// checked.
    pub async fn deletion_state(
        &self,
        name: &BackupName,
        manifest: bool,
    ) -> Result<DeletionState, StoreError> {
        let head = async |document| {
            let at = key::location(name, &object_name(document, 0), self.limit)?;
            match self.store.head(&at).await {
                Ok(meta) => Ok(Some(meta.last_modified)),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(StoreError::backend("looking for", at.to_string(), error)),
            }
        };
        let noted = match head(DELETING).await {
            Ok(noted) => noted,
            // S3 responds so for a missing object if the permission to list is missing
            Err(StoreError::Request {
                kind: RequestFault::Denied,
                ..
            }) => None,
            Err(error) => return Err(error),
        };
        if manifest && head(MANIFEST).await?.is_none() {
            return Ok(DeletionState::Gone(name.clone()));
        }
        Ok(noted.map_or(DeletionState::Clear, |at| {
            DeletionState::Noted(name.clone(), at)
        }))
    }

    /// Returns an active reader of one of `backups`. The deletion notes must have been put before.
    pub async fn find(&self, backups: &[BackupName]) -> Result<Option<Reader>, StoreError> {
        let mut now = None;
        for (token, seen) in self.listed().await? {
            let (Some(at), false) = (&seen.record, seen.ended) else {
                self.sweep(&seen).await;
                continue;
            };
            let reader = match self.record(at).await? {
                Some(reader) => reader,
                None => continue,
            };
            let reads = |name| reader.backups.is_empty() || reader.backups.contains(name);
            if !backups.iter().any(reads) {
                // These backups may never be deleted, so an old record is removed here. This host's
                // clock is used, which saves a request.
                let long_ago = reader.expires(seen.last.unwrap_or(DateTime::<Utc>::MAX_UTC));
                if reader.holder.is_gone() || Utc::now() - CLOCKS_DIFFER >= long_ago {
                    self.sweep(&seen).await;
                }
                continue;
            }
            let now = match now {
                Some(now) => now,
                None => *now.insert(self.now(&token).await),
            };
            let last = seen.last.unwrap_or(now);
            if reader.holder.is_gone() || now >= reader.expires(last) {
                self.sweep(&seen).await;
                continue;
            }
            return Ok(Some(reader));
        }
        Ok(None)
    }

    async fn listed(&self) -> Result<BTreeMap<String, Seen>, StoreError> {
        let prefix = key::raw(DIRECTORY, None)?;
        let failed = |e| StoreError::backend("listing", DIRECTORY, e);
        let mut listing = self.store.list(Some(&prefix));
        let mut found: BTreeMap<String, Seen> = BTreeMap::new();
        while let Some(meta) = listing.try_next().await.map_err(failed)? {
            let name = meta.location.filename().unwrap_or_default();
            let Some((token, rest)) = name.split_once('.') else {
                continue;
            };
            let seen = found.entry(token.to_owned()).or_default();
            match rest {
                "reader" => seen.record = Some(meta.location.clone()),
                "end" => seen.ended = true,
                _ => {}
            }
            seen.last = seen.last.max(Some(meta.last_modified));
            seen.all.push(meta.location);
        }
        Ok(found)
    }

    /// Reads a record. A record that is not valid counts as a reader of all backups.
    async fn record(&self, at: &Path) -> Result<Option<Reader>, StoreError> {
        let bytes = match get(&*self.store, at, None, |n| n <= MAX_RECORD).await? {
            Got::Nothing => return Ok(None),
            Got::Length(_) => Bytes::new(),
            Got::Bytes(bytes) => bytes,
        };
        let reader = serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!("{at}, the record of a reader, can't be read: {error}");
            let mut unknown = Reader::new("unknown work", &[], DEFAULT_TTL);
            unknown.holder.place.clear();
            unknown.holder.host = "an unknown host".to_owned();
            unknown
        });
        Ok(Some(reader))
    }

    /// Returns the store's time, by an object put now, or this host's time if that fails.
    async fn now(&self, token: &str) -> DateTime<Utc> {
        let put = async {
            let at = Self::at(token, &format!("clock.{}", uuid::Uuid::new_v4()))?;
            let failed = |e| StoreError::backend("reading the time of", at.to_string(), e);
            self.create(&at, Bytes::from_static(b"{}"))
                .await
                .map_err(failed)?;
            let meta = self.store.head(&at).await.map_err(failed);
            // if this fails, the object stays; it is ignored
            let _ = self.store.delete(&at).await;
            Ok::<_, StoreError>(meta?.last_modified)
        };
        put.await.unwrap_or_else(|error: StoreError| {
            tracing::debug!("{error}");
            Utc::now()
        })
    }

    /// Removes the objects of a reader that no longer exists. Failures are ignored.
    async fn sweep(&self, seen: &Seen) {
        for at in &seen.all {
            let _ = self.store.delete(at).await;
        }
    }

    /// Puts the `n`-th heartbeat, counted from 1, and removes the one before.
    pub async fn beat(&self, token: &str, n: u64) -> Result<(), StoreError> {
        let at = Self::at(token, &format!("beat.{n:020}"))?;
        match self.create(&at, Bytes::from_static(b"{}")).await {
            Err(error) if !exists(&error) => {
                return Err(StoreError::backend("putting", at.to_string(), error));
            }
            _ => {}
        }
        self.forget_beat(token, n.saturating_sub(1)).await
    }

    async fn forget_beat(&self, token: &str, n: u64) -> Result<(), StoreError> {
        if n > 0 {
            let at = Self::at(token, &format!("beat.{n:020}"))?;
            let _ = self.store.delete(&at).await;
        }
        Ok(())
    }

    /// Removes the record. Without the permission to remove, puts a note that the reader ended.
    pub async fn end(&self, token: &str, beats: u64) -> Result<(), StoreError> {
        let at = Self::at(token, "reader")?;
        match self.store.delete(&at).await {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(_) => {
                let at = Self::at(token, "end")?;
                let put = self.create(&at, Bytes::from_static(b"{}")).await;
                put.map_err(|e| StoreError::backend("putting", at.to_string(), e))?;
            }
        }
        self.forget_beat(token, beats).await
    }

    async fn create(&self, at: &Path, body: Bytes) -> Result<(), Error> {
        create(&*self.store, at, body.into()).await
    }
}
