//! The objects of one backup are removed, so that it may end at any point.
//!
//! In this order: a note that the deletion was begun ([`DELETING`]); what makes the backup look
//! finished, to lsnap (the manifest), to xbcloud (`xtrabackup_tablespaces`), to the operator
//! (`xtrabackup_info`); `<name>.md5`; everything else, listing again until nothing more is found; the
//! claim, which says whose the leftovers are; the note. So whatever is left is known as leftovers and
//! goes when the same is done again. Without the note (a store so full that it takes none) only that
//! is missed: leftovers look like those of an interrupted backup.
//!
//! Everything is named by `<name>/` and whole components: `prod-full` is not `prod-full-2`, nor
//! `prod-full.incr`.

use crate::cancel::Cancel;
use crate::locked::Locked;
use crate::manifest::{object_name, split_object_name};
use crate::store::error::deletion::DeletionFault;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::manifest::document::{CLAIM, DELETING, MANIFEST};
use crate::manifest::{BackupName, MANIFEST_FORMAT, document};
use crate::progress::{Phase, Progress};
use crate::store::error::StoreError;
use crate::store::lease::readers::STALE;
use crate::store::objects::bucket::Bucket;
use crate::store::objects::own::Belongs;
use crate::store::objects::parallel::each_in_parallel;
use crate::store::objects::repository::Repository;

/// Keys that are held at a time.
const ROUND: usize = 10_000;
/// What makes a backup look finished, in the order in which it goes. That of xbcloud is a
/// prefix: compression adds suffixes.
const MARKS: [&str; 3] = [MANIFEST, "xtrabackup_tablespaces", "xtrabackup_info"];

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Number of objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A backup that is being removed.
#[derive(Debug)]
pub(crate) struct Removal<'a> {
    bucket: Bucket,
    name: &'a BackupName,
    parallel: usize,
    /// Ends it between two objects.
    cancel: Cancel,
    /// A manifest that is a void stays: it outlives the member that can't be finished any more.
    keep_void: bool,
    /// Remove also what is nobody's.
    strange_too: bool,
    /// Directory markers that were seen.
    markers: Mutex<BTreeSet<String>>,
    removed: Mutex<Removed>,
}

#[derive(Debug, Serialize)]
struct Note<'a> {
    format: u32,
    name: &'a BackupName,
    deleted_at: DateTime<Utc>,
}

impl<'a> Removal<'a> {
    pub(crate) fn new(repository: &Repository, name: &'a BackupName, parallel: usize) -> Self {
        Self {
            bucket: repository.bucket(),
            name,
            parallel,
            cancel: Cancel::new(),
            keep_void: false,
            strange_too: false,
            markers: Mutex::default(),
            removed: Mutex::default(),
        }
    }

    /// Ends between two objects when `cancel` is cancelled.
    pub(crate) fn cancelled_by(mut self, cancel: &Cancel) -> Self {
        self.cancel = cancel.clone();
        self
    }

    /// Leaves the manifest where it is.
    pub(in crate::store) fn keep_void(mut self) -> Self {
        self.keep_void = true;
        self
    }

    /// Removes everything under the name, whosever it is; never what belongs to another repository.
    pub(crate) fn with_strange(mut self) -> Self {
        self.strange_too = true;
        self
    }

    /// Says that the deletion was begun. One that can't be said is no reason not to delete. Returns
    /// whether nobody had said it before.
    pub(in crate::store) fn announce(&self) -> bool {
        match self.put_note() {
            Ok(()) => return true,
            Err(StoreError::ObjectExists { .. }) => {}
            Err(error) => tracing::warn!("deleting {}: {error}", self.name),
        }
        false
    }

    /// As [`Self::announce`], for readers to see: a note so old that it may be about to count for nothing
    /// ([`STALE`]) is put anew. Returns whether the note is of this call.
    pub(in crate::store) fn announce_anew(&self) -> bool {
        if self.announce() {
            return true;
        }
        let key = self.key(DELETING);
        let renewed = self.bucket.time(&key).and_then(|time| {
            let age = time.map(|time| Utc::now().signed_duration_since(time));
            if age.is_none_or(|age| age < STALE / 2) {
                return Ok(false);
            }
            self.bucket.delete(&key)?;
            self.put_note().map(|()| true)
        });
        renewed.unwrap_or_else(|error| {
            tracing::debug!("{key}: {error}");
            false
        })
    }

    fn put_note(&self) -> Result<(), StoreError> {
        let note = Note {
            format: MANIFEST_FORMAT,
            name: self.name,
            deleted_at: Utc::now(),
        };
        let sealed = document::seal(self.name, DELETING, &note)?;
        self.bucket.put_new(&self.key(DELETING), sealed.parts)
    }

    /// Takes [`Self::announce`] back.
    pub(in crate::store) fn renounce(&self) {
        if let Err(error) = self.bucket.delete(&self.key(DELETING)) {
            tracing::warn!("{}: {error}", self.name);
        }
    }

    /// Removes everything but the claim and the note.
    pub(crate) fn strip(&self, progress: &dyn Progress) -> Result<(), StoreError> {
        self.marks(progress)?;
        let mut before: BTreeSet<String> = BTreeSet::new();
        loop {
            let (mut round, mut other) = (Vec::new(), None);
            self.bucket.each_key(self.name.as_str(), |object, bytes| {
                let key = format!("{}/{object}", self.name);
                match Belongs::of(object, bytes) {
                    _ if self.stays(object) => {}
                    Belongs::DirectoryMarker => drop(self.markers().insert(key)),
                    Belongs::Strange if self.strange_too => round.push((key, bytes)),
                    Belongs::Strange | Belongs::Nested => other = Some(key),
                    Belongs::Own => round.push((key, bytes)),
                }
                round.len() < ROUND && other.is_none()
            })?;
            if let Some(key) = other {
                let name = self.name.clone();
                return Err(StoreError::Deletion(DeletionFault::Unexplained {
                    name,
                    key,
                }));
            }
            if round.is_empty() {
                self.remove_markers();
                return Ok(());
            }
            let keys: BTreeSet<String> = round.iter().map(|(key, _)| key.clone()).collect();
            // a store that says removed and lists it again would keep us here for ever
            if keys == before {
                let reason = "the store said that they were removed".to_owned();
                return Err(self.not_deleted(keys.into_iter().collect(), reason, None));
            }
            before = keys;
            self.all(round, progress)?;
        }
    }

    /// Removes a void that was kept.
    pub(in crate::store) fn remove_void(&self) -> Result<(), StoreError> {
        if !self.keep_void {
            return Ok(());
        }
        self.bucket.delete(&self.key(MANIFEST))
    }

    /// Removes the claim and the note, after all the rest.
    pub(crate) fn complete(self) -> Result<Removed, StoreError> {
        let claim = self.key(CLAIM);
        if let Some(bytes) = self.bucket.length(&claim)? {
            self.one(&claim, bytes)?;
        }
        // the deletion's own counts for nothing
        self.bucket.delete(&self.key(DELETING))?;
        Ok(self.removed.unlocked())
    }

    /// Removes directory markers where the store does that: `object_store` can't name a key that ends with
    /// a slash, but some stores have them without. What stays is passed over by every reader.
    fn remove_markers(&self) {
        for key in self.markers().iter().rev() {
            if let Err(error) = self.bucket.delete(key) {
                tracing::debug!("{key}/ stays: {error}");
            }
        }
    }

    fn markers(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.markers.locked()
    }

    /// One after the other: of several objects of one mark the first goes first.
    fn marks(&self, progress: &dyn Progress) -> Result<(), StoreError> {
        let children = self.bucket.children(self.name.as_str())?.objects;
        let start = format!("{}/", self.name);
        for mark in MARKS {
            let mut keys: Vec<&String> = children
                .iter()
                .filter(|key| {
                    let object = key.strip_prefix(&start).unwrap_or_default();
                    let path = split_object_name(object).map(|(path, _)| path);
                    path.is_some_and(|p| p.starts_with(mark)) && !self.stays(object)
                })
                .collect();
            keys.sort();
            for key in keys {
                self.cancel.check()?;
                let bytes = self.bucket.length(key)?.unwrap_or(0);
                self.one(key, bytes)
                    .map_err(|e| self.not_deleted(vec![key.clone()], e.to_string(), Some(e)))?;
                progress.advance(Phase::Transfer, bytes);
            }
        }
        Ok(())
    }

    fn stays(&self, object: &str) -> bool {
        match split_object_name(object) {
            Some((CLAIM | DELETING, 0)) => true,
            Some((MANIFEST, 0)) => self.keep_void,
            _ => false,
        }
    }

    fn all(&self, keys: Vec<(String, u64)>, progress: &dyn Progress) -> Result<(), StoreError> {
        let kept: Mutex<(Vec<String>, Option<StoreError>)> = Mutex::default();
        let keys = keys.into_iter().take_while(|_| !self.cancel.is_cancelled());
        each_in_parallel(keys, self.parallel, |(key, bytes)| {
            match self.one(&key, bytes) {
                Ok(()) => progress.advance(Phase::Transfer, bytes),
                Err(error) => {
                    let mut kept = kept.locked();
                    kept.1.get_or_insert(error);
                    kept.0.push(key);
                }
            }
        });
        match kept.unlocked() {
            (mut left, Some(error)) => {
                left.sort();
                Err(self.not_deleted(left, error.to_string(), Some(error)))
            }
            _ => Ok(self.cancel.check()?),
        }
    }

    fn one(&self, key: &str, bytes: u64) -> Result<(), StoreError> {
        self.bucket.delete(key)?;
        let mut removed = self.removed.locked();
        removed.objects += 1;
        removed.bytes = removed.bytes.saturating_add(bytes);
        Ok(())
    }

    fn key(&self, path: &str) -> String {
        format!("{}/{}", self.name, object_name(path, 0))
    }

    fn not_deleted(
        &self,
        left: Vec<String>,
        reason: String,
        cause: Option<StoreError>,
    ) -> StoreError {
        StoreError::NotDeleted {
            name: self.name.clone(),
            left,
            reason,
            cause: cause.map(Box::new),
        }
    }
}

/// Removes what was stored beside a backup: the digests that `xbcloud put --md5` keeps.
///
/// Returns what that was.
pub(crate) fn remove_md5(
    repository: &Repository,
    name: &BackupName,
) -> Result<Removed, StoreError> {
    let (bucket, key) = (repository.bucket(), format!("{name}.md5"));
    let Some(bytes) = bucket.length(&key)? else {
        return Ok(Removed::default());
    };
    bucket.delete(&key)?;
    Ok(Removed { objects: 1, bytes })
}
