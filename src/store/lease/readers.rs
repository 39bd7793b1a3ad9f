//! Who reads which backups, so that nobody deletes them meanwhile.
//!
//! A restore, a consolidation or a verification reads for hours what `prune` may remove in minutes. So
//! readers announce themselves at the top of the repository, and who deletes looks there:
//!
//! ```text
//! .lsnap/readers/<UUID>.reader             who, what for, which backups: JSON
//! .lsnap/readers/<UUID>.beat.<20 digits>   sign of life, every third of the time limit; the one before goes
//! .lsnap/readers/<UUID>.end                it ended, where the record could not be removed
//! ```
//!
//! # Why not both pass
//! - A reader puts its record, then looks whether a deletion of one of its backups was noted
//!   (`lsnap_deleting.json`) and whether each still has its manifest.
//! - A deletion puts its notes, then looks for records. Finding one it takes its notes back and leaves the
//!   backups alone; else it goes on and removes the manifests before anything else. A note that is there
//!   from a deletion that was interrupted is put anew.
//!
//! Had both passed, the deletion would have listed before the record was put, so its notes would have been
//! there when the reader looked; and when it was done by then, a manifest was missing. If both see each
//! other, the deletion gives way: a reader that finds a note waits until it is taken back.
//!
//! What it rests on are reads and listings that see finished writes (S3, GCS, Azure and directories have
//! them). Time limits protect effort only: a reader that stood still for longer than its limit may lose
//! what it reads, which it notices by the digests; a deletion that was interrupted after its note keeps
//! readers off for [`STALE`]. One that takes longer is known by the lease that it holds on the chain.
//!
//! Announcing needs the right to write. Who lacks it reads all the same, and says so.

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

/// Where readers announce themselves; hidden, so that no listing takes it for a backup.
pub(in crate::store) const DIRECTORY: &str = ".lsnap/readers";
const FORMAT: u32 = 1;
/// Longest record that is read, in bytes.
const MAX_RECORD: u64 = 4 << 20;
/// How old the note of a deletion must be, for the deletion to be taken for interrupted while the
/// manifest is still there.
pub(in crate::store) const STALE: TimeDelta = TimeDelta::seconds(300);
/// How much this host's clock may differ from the store's, where only effort depends on it.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::days(1);
/// A process that reads backups, as stored: JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    format: u32,
    /// A UUID: this reader and no other.
    pub(in crate::store) token: String,
    /// The process.
    pub holder: LeaseHolder,
    /// What it does, for people: `restore`, `verify`, `consolidate`, `cloud get`.
    pub work: String,
    /// Seconds after its last sign of life when it is taken for gone.
    ttl_seconds: u64,
    /// What it reads; empty for a record that can't be read: everything.
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

/// How it stands with backups that are about to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum Standing {
    /// Nobody deletes them.
    Clear,
    /// The deletion of this one was noted, then.
    Noted(BackupName, DateTime<Utc>),
    /// This one has no manifest any more.
    Gone(BackupName),
}

/// What is known of a reader by a listing.
#[derive(Debug, Default)]
struct Seen {
    record: Option<Path>,
    ended: bool,
    last: Option<DateTime<Utc>>,
    all: Vec<Path>,
}

/// The steps of both sides, each one request of the store, so that a test can interleave them.
#[derive(Debug, Clone)]
pub(in crate::store) struct Readers {
    store: Arc<dyn ObjectStore>,
    /// Longest component of a key, for a local store.
    limit: Option<usize>,
}

impl Readers {
    pub fn new(store: Arc<dyn ObjectStore>, limit: Option<usize>) -> Self {
        Self { store, limit }
    }

    fn at(token: &str, rest: &str) -> Result<Path, StoreError> {
        key::raw(&format!("{DIRECTORY}/{token}.{rest}"), None)
    }

    /// Puts the record of a reader; returns the store's time of it.
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
                // it may have arrived
                let _ = self.store.delete(&at).await;
                Err(StoreError::backend("putting", at.to_string(), error))
            }
        }
    }

    /// How it stands with a backup that is announced to be read. Without `manifest` only the note counts.
    pub async fn standing(
        &self,
        name: &BackupName,
        manifest: bool,
    ) -> Result<Standing, StoreError> {
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
            // S3 says so of a missing object to who may not list
            Err(StoreError::Request {
                kind: RequestFault::Denied,
                ..
            }) => None,
            Err(error) => return Err(error),
        };
        if manifest && head(MANIFEST).await?.is_none() {
            return Ok(Standing::Gone(name.clone()));
        }
        Ok(noted.map_or(Standing::Clear, |at| Standing::Noted(name.clone(), at)))
    }

    /// A reader of one of `backups` that is at work, after the deletion of these was noted.
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
                // Nobody may ever delete what it read, so its record is removed here. Without a question for the
                // store's time.
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

    /// A record; one that can't be read stands for a reader of everything.
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

    /// The store's time, by an object put now; this host's where that can't be.
    async fn now(&self, token: &str) -> DateTime<Utc> {
        let put = async {
            let at = Self::at(token, &format!("clock.{}", uuid::Uuid::new_v4()))?;
            let failed = |e| StoreError::backend("asking the time of", at.to_string(), e);
            self.create(&at, Bytes::from_static(b"{}"))
                .await
                .map_err(failed)?;
            let meta = self.store.head(&at).await.map_err(failed);
            // litter, if it fails
            let _ = self.store.delete(&at).await;
            Ok::<_, StoreError>(meta?.last_modified)
        };
        put.await.unwrap_or_else(|error: StoreError| {
            tracing::debug!("{error}");
            Utc::now()
        })
    }

    /// Removes what a reader that is gone left. A failure matters to nobody.
    async fn sweep(&self, seen: &Seen) {
        for at in &seen.all {
            let _ = self.store.delete(at).await;
        }
    }

    /// The `n`-th sign of life, from 1; the one before goes.
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

    /// Takes the record back; without the right to remove, says that the reader ended.
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
