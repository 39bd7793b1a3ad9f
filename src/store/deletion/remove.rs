//! Removes the objects of one backup, so that the removal can be interrupted at any point.
//!
//! The order is: a note that the deletion was begun ([`DELETING`]); the files that mark the backup
//! as finished, for lsnap (the manifest), for xbcloud (`xtrabackup_tablespaces`) and for the
//! operator (`xtrabackup_info`); `<name>.md5`; all other objects, with repeated listings until none
//! is found; the claim, which identifies the owner of leftovers; the note. So the remains of an
//! interrupted removal are recognised as leftovers, and the next removal continues with them. If
//! the note can't be put (on a full store), only this is missing: leftovers then look like those of
//! an interrupted backup.
//!
//! Keys are matched by `<name>/` and whole components: `prod-full` matches neither `prod-full-2`
//! nor `prod-full.incr`.

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
use crate::store::lease::chain_lease::Deletion;
use crate::store::lease::readers::STALE;
use crate::store::objects::bucket::Bucket;
use crate::store::objects::own::Belongs;
use crate::store::objects::parallel::each_in_parallel;
use crate::store::objects::repository::Repository;

/// Number of keys that are held in memory at a time.
const ROUND: usize = 10_000;
/// The files that mark a backup as finished, in the order of their removal. That of xbcloud is a
/// prefix, because compression adds suffixes.
const MARKS: [&str; 3] = [MANIFEST, "xtrabackup_tablespaces", "xtrabackup_info"];

/// The objects that were removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Number of objects.
    pub objects: u64,
    /// Bytes of these objects.
    pub bytes: u64,
}

/// The removal of a backup.
#[derive(Debug)]
pub(crate) struct Removal<'a> {
    bucket: Bucket,
    name: &'a BackupName,
    parallel: usize,
    /// Ends the removal between two objects.
    cancel: Cancel,
    /// The lease without which nothing is removed any more.
    lease: Option<&'a Deletion>,
    /// Whether the manifest, which is a void, stays. It must outlive the member, so that the member
    /// can't be finished.
    keep_void: bool,
    /// Whether objects with other names than a backup's are removed too.
    unknown_too: bool,
    /// The directory markers that were found.
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
            lease: None,
            keep_void: false,
            unknown_too: false,
            markers: Mutex::default(),
            removed: Mutex::default(),
        }
    }

    /// Ends the removal between two objects when `cancel` is cancelled.
    pub(crate) fn cancelled_by(mut self, cancel: &Cancel) -> Self {
        self.cancel = cancel.clone();
        self
    }

    /// Ends the removal before the next object when another process took the lease over: it may have put objects again
    /// under the same name.
    pub(in crate::store) fn under(mut self, lease: Option<&'a Deletion>) -> Self {
        self.lease = lease;
        self
    }

    /// Keeps the manifest.
    pub(super) fn keep_void(mut self) -> Self {
        self.keep_void = true;
        self
    }

    /// Removes all objects under the name, whatever their names, except those of another
    /// repository.
    pub(crate) fn with_unknown(mut self) -> Self {
        self.unknown_too = true;
        self
    }

    /// Puts a note that the deletion was begun. A failure is logged and doesn't prevent the
    /// deletion. Returns whether the note didn't exist before.
    pub(in crate::store) fn announce(&self) -> bool {
        match self.put_note() {
            Ok(()) => return true,
            Err(StoreError::ObjectExists { .. }) => {}
            Err(error) => tracing::warn!("deleting {}: {error}", self.name),
        }
        false
    }

    /// As [`Self::announce`], for readers: a note that is so old that readers may soon ignore it
    /// ([`STALE`]) is replaced. Returns whether this call put the note.
    pub(super) fn announce_anew(&self) -> bool {
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

    /// Removes the note of [`Self::announce`].
    pub(super) fn withdraw(&self) {
        if let Err(error) = self.bucket.delete(&self.key(DELETING)) {
            tracing::warn!("{}: {error}", self.name);
        }
    }

    /// Removes all objects except the claim and the note.
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
                    Belongs::Unknown if self.unknown_too => round.push((key, bytes)),
                    Belongs::Unknown | Belongs::Nested => other = Some(key),
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
            // with a store that reports a removal and lists the object again, this loop would not
            // end
            if keys == before {
                let reason = "the store reported them as removed, but lists them again".to_owned();
                return Err(self.not_deleted(keys.into_iter().collect(), reason, None));
            }
            before = keys;
            self.all(round, progress)?;
        }
    }

    /// Removes a void that was kept.
    pub(super) fn remove_void(&self) -> Result<(), StoreError> {
        if !self.keep_void {
            return Ok(());
        }
        self.bucket.delete(&self.key(MANIFEST))
    }

    /// Removes the claim and the note, after all other objects.
    pub(crate) fn complete(self) -> Result<Removed, StoreError> {
        let claim = self.key(CLAIM);
        if let Some(bytes) = self.bucket.length(&claim)? {
            self.one(&claim, bytes)?;
        }
        self.lease.map_or(Ok(()), Deletion::still_held)?;
        // the deletion's own note is not counted
        self.bucket.delete(&self.key(DELETING))?;
        Ok(self.removed.unlocked())
    }

    /// Removes directory markers if the store supports it: `object_store` can't represent a key
    /// that ends with a slash, but some stores have them without. All readers ignore the remaining
    /// ones.
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

    /// Removes the files that mark the backup as finished, one after the other, in the order of
    /// their indices.
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
        self.lease.map_or(Ok(()), Deletion::still_held)?;
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

/// Removes the object with MD5 digests next to a backup, which `xbcloud put --md5` stores.
///
/// Returns the number of removed objects and their bytes.
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
