//! The key of a backup's manifest as a write-once register: it gets either the manifest, which
//! makes the backup finished, or a void, after which the backup can never be finished. A process
//! that must know the outcome of a silent writer tries to write the void: the store refuses to put
//! an existing object, so the first put decides, and all processes get the same result.
//!
//! A void is a document like the manifest itself (sealed, under the manifest's name), with a field
//! `void` that manifests don't have. For readers, its backup is unfinished. It must outlive the
//! other objects of an unfinished member of a chain, because the writer may continue later and must
//! not be able to finish the backup. Only the deletion of the whole chain removes it.

use crate::manifest::object_name;
use crate::store::objects::single::create;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{Error, ObjectStore, PutPayload};
use serde::{Deserialize, Serialize};

use crate::manifest::document::{MANIFEST, MAX_OBJECT};
use crate::manifest::{BackupName, MANIFEST_FORMAT, digest_text, document};
use crate::store::error::StoreError;
use crate::store::lease::holder::LeaseHolder;
use crate::store::objects::key;
use crate::store::objects::repository::Repository;
use crate::store::objects::single::{Got, get};

/// Longest void, in bytes. A longer object is a manifest, or was not written by lsnap.
pub(in crate::store) const MAX_VOID: u64 = 2 << 10;
/// How often the put of a void is attempted if its response was lost and the object doesn't exist.
const TRIES: usize = 3;

/// The contents of a register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum ManifestKey {
    /// Nothing yet.
    Empty,
    /// The backup can never be finished.
    Void,
    /// Any other object: the backup is finished (the object itself is not checked).
    Manifest {
        /// The digest of the object's bytes, if it is short enough to have been read.
        digest: Option<String>,
    },
}

/// The stored document.
#[derive(Debug, Serialize)]
struct Void<'a> {
    format: u32,
    void: VoidOrigin<'a>,
}

/// The process that wrote the void, and its time, for information only.
#[derive(Debug, Serialize)]
struct VoidOrigin<'a> {
    by: &'a LeaseHolder,
    at: DateTime<Utc>,
}

/// Returns whether the JSON text of a checked document is a void.
pub(in crate::store) fn is_void(json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        void: Option<serde::de::IgnoredAny>,
    }
    json.len() as u64 <= MAX_VOID
        && serde_json::from_slice::<Probe>(json).is_ok_and(|probe| probe.void.is_some())
}

impl Repository {
    /// Returns whether the manifest of `name` is a void.
    pub(in crate::store) fn is_voided(&self, name: &BackupName) -> Result<bool, StoreError> {
        let at = location(name, self.longest_component())?;
        let store = Arc::clone(self.store()?);
        let reading = async move { read(&*store, &at).await };
        let found = self.runtime().wait("reading a document", reading)??;
        Ok(found == ManifestKey::Void)
    }
}

/// Returns the key of a backup's manifest.
pub(in crate::store) fn location(
    backup: &BackupName,
    limit: Option<usize>,
) -> Result<Path, StoreError> {
    key::location(backup, &object_name(MANIFEST, 0), limit)
}

/// Reads a register. If the object is longer than any void, only its length is read.
pub(in crate::store) async fn read(
    store: &dyn ObjectStore,
    at: &Path,
) -> Result<ManifestKey, StoreError> {
    Ok(match get(store, at, None, |n| n <= MAX_VOID).await? {
        Got::Nothing => ManifestKey::Empty,
        Got::Length(_) => ManifestKey::Manifest { digest: None },
        Got::Bytes(bytes) => match document::open(MANIFEST, &bytes) {
            Ok((json, _)) if is_void(&json) => ManifestKey::Void,
            _ => ManifestKey::Manifest {
                digest: Some(digest_text(blake3::hash(&bytes))),
            },
        },
    })
}

/// Writes a void if the register is empty, and returns the resulting contents.
pub(in crate::store) async fn void(
    store: &dyn ObjectStore,
    name: &BackupName,
    at: &Path,
    by: &LeaseHolder,
) -> Result<ManifestKey, StoreError> {
    let value = Void {
        format: MANIFEST_FORMAT,
        void: VoidOrigin { by, at: Utc::now() },
    };
    let parts = document::seal(name, MANIFEST, &value)?.parts;
    let mut last = None;
    for _ in 0..TRIES {
        match put_new(store, at, parts.clone()).await {
            Ok(()) => return Ok(ManifestKey::Void),
            Err(error) => last = Some(error),
        }
        let found = read(store, at).await?;
        if found != ManifestKey::Empty {
            return Ok(found);
        }
    }
    Err(last.map_or_else(
        || StoreError::TaskDied {
            what: format!("voiding {name}"),
        },
        |e| StoreError::backend("putting", at.to_string(), e),
    ))
}

/// The outcome of the put of a manifest.
#[derive(Debug)]
pub(in crate::store) enum Put {
    /// The manifest exists: the backup is finished.
    Stored,
    /// A void was there first: the backup can never be finished.
    RefusedByVoid,
    /// Another manifest exists.
    Other,
    /// Unknown: the manifest may exist, or still arrive.
    Unsure(StoreError),
}

/// Puts a manifest, whose bytes are `parts`.
pub(in crate::store) async fn put(store: &dyn ObjectStore, at: &Path, parts: Vec<Bytes>) -> Put {
    let Err(error) = put_new(store, at, parts.clone()).await else {
        return Put::Stored;
    };
    // refused, or the response was lost: the existing object decides
    match holds(store, at, &parts).await {
        Ok(Some(put)) => put,
        Ok(None) => Put::Unsure(StoreError::backend("putting", at.to_string(), error)),
        Err(failed) => Put::Unsure(failed),
    }
}

/// Returns the outcome of a put by comparing the register with its bytes; `None` if the register is
/// empty.
async fn holds(
    store: &dyn ObjectStore,
    at: &Path,
    parts: &[Bytes],
) -> Result<Option<Put>, StoreError> {
    let bytes = match get(store, at, None, |n| n <= MAX_OBJECT).await? {
        Got::Nothing => return Ok(None),
        Got::Length(_) => return Ok(Some(Put::Other)),
        Got::Bytes(bytes) => bytes,
    };
    let mut rest = bytes.as_ref();
    let ours = parts
        .iter()
        .all(|part| match rest.strip_prefix(part.as_ref()) {
            Some(tail) => {
                rest = tail;
                true
            }
            None => false,
        });
    if ours && rest.is_empty() {
        return Ok(Some(Put::Stored));
    }
    let void = document::open(MANIFEST, &bytes).is_ok_and(|(json, _)| is_void(&json));
    Ok(Some(if void { Put::RefusedByVoid } else { Put::Other }))
}

async fn put_new(store: &dyn ObjectStore, at: &Path, parts: Vec<Bytes>) -> Result<(), Error> {
    create(store, at, PutPayload::from_iter(parts)).await
}
