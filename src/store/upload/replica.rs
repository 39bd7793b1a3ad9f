//! Writing a finished backup of another repository, byte for byte.
//!
//! ```text
//! begin:  claim with the digest of the manifest; an earlier copy of the same manifest is continued
//! put:    objects, whose digests the caller has checked
//! finish: a listing of the store is compared with the manifest, then the summary, then the manifest
//! ```
//! The claim says which manifest the backup will have: a claim of a backup, or of a copy of another
//! one, is refused. An interrupted copy leaves its objects, because the next one continues with
//! them. It is listed as unfinished, and `prune` removes it when it is old.
//!
//! # The chain
//! A copy enters the ledger of its chain as an incremental does
//! ([`crate::store::lease::chain_lease`]), with one difference: if the newest entry is that of the
//! same backup on the same base, it is not voided (see `Ledger::decide`). Both processes put the
//! same manifest at the same key, so the chain can't fork.

use crate::manifest::document::{CLAIM, MANIFEST, MAX_OBJECT, SUMMARY};
use crate::manifest::{
    BackupName, FileEntry, Finding, MANIFEST_FORMAT, Manifest, Summary, document, object_name,
    split_object_name,
};
use crate::store::error::StoreError;
use crate::store::error::open::OpenFault;
use crate::store::error::upload::UploadFault;
use crate::store::lease::chain_lease::Lease;
use crate::store::lease::record::{End, Work};
use crate::store::listing::listed::Listed;
use crate::store::objects::bucket::Held;
use crate::store::objects::manifest_key::{self, Put};
use crate::store::objects::repository::Repository;
use crate::store::objects::short::ShortNames;
use crate::store::objects::single::{Got, create, exists, get};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A finished backup, with the bytes of the object of its manifest.
#[derive(Debug)]
pub(crate) struct Original {
    pub manifest: Manifest,
    object: Bytes,
}

/// A copy that is being written. If it is dropped without [`Self::finish`], its objects stay.
#[derive(Debug)]
pub(crate) struct Replica<'a> {
    repository: &'a Repository,
    original: &'a Original,
    /// For an incremental: the lease on its chain.
    lease: Option<Lease>,
    /// The lengths of the objects that were there at the beginning, by their names.
    found: HashMap<String, u64>,
}

/// The claim of a copy.
#[derive(Serialize)]
struct Claim<'a> {
    format: u32,
    lsnap_version: &'static str,
    upload_id: String,
    name: &'a BackupName,
    claimed_at: DateTime<Utc>,
    /// The digest of the manifest that the backup will have.
    copy_of: &'a str,
}

/// The field of a claim by which a copy is recognised.
#[derive(Deserialize)]
struct CopyOf {
    #[serde(default)]
    copy_of: Option<String>,
}

impl Repository {
    /// Reads the manifest of a finished backup for a copy.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub(crate) fn original(&self, name: &BackupName) -> Result<Original, StoreError> {
        let manifest = self.manifest(name)?;
        let key = format!("{name}/{}", object_name(MANIFEST, 0));
        let missing = || StoreError::Missing {
            object: key.clone(),
            bytes: 0,
        };
        let Held::Bytes(object) = self.bucket().get(&key, MAX_OBJECT)? else {
            return Err(missing());
        };
        let damaged = |what| StoreError::Damaged {
            object: key.clone(),
            what,
        };
        let (_, digest) = document::open(MANIFEST, &object).map_err(damaged)?;
        if digest != manifest.digest {
            return Err(damaged(Finding::new(
                format!("digest found {digest}"),
                &manifest.digest,
            )));
        }
        Ok(Original { manifest, object })
    }

    /// Ensures that the repository has a marker before a copy. A new repository gets
    /// `encrypted_only`.
    ///
    /// # Errors
    /// As [`Self::mark`]. Missing permissions for the marker are not an error.
    pub(crate) fn mark_for_copy(&self, encrypted_only: bool) -> Result<(), StoreError> {
        self.mark_if_permitted(encrypted_only)
    }

    /// Begins a copy, or continues an interrupted one of the same manifest.
    ///
    /// # Errors
    /// [`UploadFault::Exists`](crate::store::UploadFault::Exists) if the name is used by another
    /// backup, [`UploadFault::Voided`](crate::store::UploadFault::Voided), [`StoreError::Lease`],
    /// or an error of the store.
    pub(crate) fn replicate<'a>(
        &'a self,
        original: &'a Original,
        ttl: Duration,
    ) -> Result<Replica<'a>, StoreError> {
        let manifest = &original.manifest;
        let name = &manifest.name;
        let mut found = HashMap::new();
        self.each_object(name.as_str(), |object, bytes| {
            found.insert(object.to_owned(), bytes);
            true
        })?;
        if found.is_empty() {
            self.claim_copy(manifest)?;
        } else if self.is_voided(name)? {
            return Err(StoreError::Upload(UploadFault::Voided {
                name: name.clone(),
            }));
        }
        self.check_claim(manifest, found.keys().next())?;
        let short = ShortNames::of(manifest.files.iter().map(|f| f.path.as_stored()));
        let named = |(object, bytes): (String, u64)| {
            let whole = split_object_name(&object)
                .map(|(path, index)| object_name(short.path(path), index));
            (whole.unwrap_or(object), bytes)
        };
        let found = found.into_iter().map(named).collect();
        let lease = match &manifest.base {
            None => None,
            Some(base) => {
                let work = Work::Append {
                    backup: name.clone(),
                    base: base.name.clone(),
                };
                Some(self.lease(name, work, ttl)?)
            }
        };
        let replica = Replica {
            repository: self,
            original,
            lease,
            found,
        };
        // after the ledger was entered: a void is then decided
        if self.is_voided(name)? {
            replica.give_up();
            return Err(StoreError::Upload(UploadFault::Voided {
                name: name.clone(),
            }));
        }
        Ok(replica)
    }

    fn claim_copy(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let claim = Claim {
            format: MANIFEST_FORMAT,
            lsnap_version: env!("CARGO_PKG_VERSION"),
            upload_id: uuid::Uuid::new_v4().to_string(),
            name: &manifest.name,
            claimed_at: Utc::now(),
            copy_of: &manifest.digest,
        };
        let sealed = document::seal(&manifest.name, CLAIM, &claim)?;
        let key = format!("{}/{}", manifest.name, object_name(CLAIM, 0));
        match self.bucket().put_new(&key, sealed.parts) {
            // of another process: it is checked
            Ok(()) | Err(StoreError::ObjectExists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn check_claim(&self, manifest: &Manifest, first: Option<&String>) -> Result<(), StoreError> {
        let name = &manifest.name;
        let claim = self.document::<CopyOf>(name, CLAIM)?;
        let of = claim.and_then(|(claim, _, _)| claim.copy_of);
        if of.as_ref() == Some(&manifest.digest) {
            return Ok(());
        }
        let object = first.cloned().unwrap_or_else(|| object_name(CLAIM, 0));
        Err(StoreError::Upload(UploadFault::Exists {
            name: name.clone(),
            found: format!("{name}/{object}"),
        }))
    }

    /// Reads a whole object of `bytes` bytes. `object` is its name in the backup. The digest isn't
    /// checked.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], or an error of the store.
    pub(crate) fn whole_object(
        &self,
        name: &BackupName,
        object: &str,
        bytes: u64,
    ) -> Result<Bytes, StoreError> {
        let location = self.readable(self.location(name, object)?)?;
        let store = Arc::clone(self.store()?);
        let key = location.to_string();
        let got = self.runtime().wait("fetching an object", async move {
            get(&*store, &location, Some(bytes), |n| n == bytes).await
        })??;
        match got {
            Got::Bytes(found) => Ok(found),
            Got::Nothing => Err(StoreError::Missing { object: key, bytes }),
            Got::Length(found) => Err(StoreError::Damaged {
                object: key,
                what: Finding::new(format!("length found {found}"), bytes),
            }),
        }
    }

    /// Returns the backups of a repository that is created by the first one.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub(crate) fn list_if_any(&self) -> Result<Vec<Listed>, StoreError> {
        match self.list() {
            Err(StoreError::Open(OpenFault::NoRepository { .. })) => Ok(Vec::new()),
            other => other,
        }
    }
}

impl Replica<'_> {
    /// Returns the length of an object that was there at the beginning.
    pub(crate) fn found(&self, object: &str) -> Option<u64> {
        self.found.get(object).copied()
    }

    /// Puts an object whose digest was checked. Returns false if there is an object of that name:
    /// the caller compares it.
    ///
    /// # Errors
    /// An error of the store, or the lease on the chain was lost.
    pub(crate) fn put(&self, object: &str, bytes: Bytes) -> Result<bool, StoreError> {
        if let Some(lost) = self.lease.as_ref().and_then(Lease::lost) {
            return Err(lost);
        }
        let name = &self.original.manifest.name;
        let location = self.repository.location(name, object)?;
        let store = Arc::clone(self.repository.store()?);
        let key = location.to_string();
        let runtime = self.repository.runtime();
        let put = runtime.wait("putting an object", async move {
            create(&*store, &location, bytes.into()).await
        })?;
        match put {
            Ok(()) => Ok(true),
            Err(error) if exists(&error) => Ok(false),
            Err(error) => Err(StoreError::backend("putting", key, error)),
        }
    }

    /// Compares the objects in the store with the manifest, and puts the manifest last.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::Lease`],
    /// [`UploadFault::Voided`](crate::store::UploadFault::Voided), or an error of the store. The
    /// backup is not finished then, except if the response to the last put was lost.
    pub(crate) fn finish(self) -> Result<(), StoreError> {
        let finished = self.try_finish();
        match (&self.lease, &finished) {
            (Some(lease), Ok(())) => lease.end(End::Done),
            (Some(lease), Err(_)) if lease.was_sent() => lease.end(End::Unsure),
            (Some(lease), Err(_)) => lease.end(End::Unsent),
            (None, _) => {}
        }
        finished
    }

    /// Ends an incomplete copy. Its objects stay, so that the next one continues.
    pub(crate) fn give_up(self) {
        if let Some(lease) = &self.lease {
            lease.end(End::Unsent);
        }
    }

    fn try_finish(&self) -> Result<(), StoreError> {
        let Original { manifest, object } = self.original;
        let name = &manifest.name;
        let files: &[FileEntry] = &manifest.files;
        self.repository.compare_with_files(name, files)?;
        self.put_summary(manifest, object.len() as u64)?;
        if let Some(lease) = &self.lease {
            lease.check()?;
            lease.sending();
        }
        let location = manifest_key::location(name, self.repository.longest_component())?;
        let store = Arc::clone(self.repository.store()?);
        let (key, parts) = (location.to_string(), vec![object.clone()]);
        let runtime = self.repository.runtime();
        let put = runtime.wait("putting the manifest", async move {
            manifest_key::put(&*store, &location, parts).await
        })?;
        match put {
            Put::Stored => Ok(()),
            Put::RefusedByVoid => Err(StoreError::Upload(UploadFault::Voided {
                name: name.clone(),
            })),
            Put::Other => Err(StoreError::ObjectExists { key }),
            Put::Unsure(error) => Err(error),
        }
    }

    /// Puts the summary. An interrupted copy may have put it before.
    fn put_summary(&self, manifest: &Manifest, bytes: u64) -> Result<(), StoreError> {
        let name = &manifest.name;
        let summary = Summary::of(manifest, manifest.digest.clone(), bytes);
        let sealed = document::seal(name, SUMMARY, &summary)?;
        let key = format!("{name}/{}", object_name(SUMMARY, 0));
        match self.repository.bucket().put_new(&key, sealed.parts) {
            Err(StoreError::ObjectExists { .. }) => {}
            other => return other,
        }
        let found = self.repository.document::<Summary>(name, SUMMARY)?;
        let differs = found.and_then(|(found, _, _)| {
            if found.manifest_digest != manifest.digest {
                return Some(("manifest_digest".to_owned(), found.manifest_digest));
            }
            let (field, found, _) = found.differences(manifest).into_iter().next()?;
            Some((field, found))
        });
        match differs {
            None => Ok(()),
            Some((field, found)) => Err(StoreError::Damaged {
                object: key,
                what: Finding::new(
                    format!("field {field} found {found}"),
                    "the one of the manifest: delete the unfinished backup and copy it again",
                ),
            }),
        }
    }
}
