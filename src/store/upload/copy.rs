//! Copies objects of one backup to another, within the store if its API supports it.
//!
//! The chunks in an object name its file, but not its backup or its index: a copy under the same
//! path is valid wherever its bytes belong to the same position in the file. If the store copies,
//! the bytes are not read; the digest of the source is used for the copy, and the end of the upload
//! compares the lengths. A local repository creates a hard link, because objects are never
//! modified. A file in a pack is read, and put into a pack or as an object of its own.

use crate::manifest::object_name;
use crate::store::objects::single::{create, exists};
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{CopyMode, CopyOptions, ObjectStore, ObjectStoreExt, PutPayload};

use crate::manifest::{BackupName, ObjectEntry, document};
use crate::store::error::StoreError;
use crate::store::objects::checked::get_checked;
use crate::store::upload::send::Outcome;
use crate::store::upload::state::Upload;
use crate::store::upload::state::UploadSlot;

impl Upload {
    /// Puts the file `path`, which is in a pack of the finished backup `from`, unchanged into a
    /// pack of this one. Returns and fails as [`Self::put_packed`] does.
    ///
    /// # Errors
    /// As [`Self::put_packed`], and errors of reading the file.
    pub(crate) fn repack(
        &self,
        path: &str,
        from: &BackupName,
        entry: &ObjectEntry,
    ) -> Result<(), StoreError> {
        let bytes = self.out_of_pack(path, from, entry)?;
        self.put_packed(path, vec![bytes])
    }

    fn out_of_pack(
        &self,
        path: &str,
        from: &BackupName,
        entry: &ObjectEntry,
    ) -> Result<Bytes, StoreError> {
        let inner = &self.inner;
        inner.keep(inner.repository.fetch(from, path, entry))
    }

    /// Puts the object `<name>/<path>.<20 digits of index>` as a copy of the object `entry` of the
    /// file `path` of the finished backup `from` in the same repository. Returns and fails as
    /// [`Self::put`] does. `offset` is as there; the caller sets [`ObjectEntry::at`].
    ///
    /// # Errors
    /// As [`Self::put`]. A source that is missing or has other bytes fails a later call with
    /// [`StoreError::Missing`] or [`StoreError::Damaged`], as far as this is detected without
    /// reading it.
    pub fn copy(
        &self,
        path: &str,
        index: u64,
        offset: u64,
        from: &BackupName,
        entry: &ObjectEntry,
    ) -> Result<(), StoreError> {
        let inner = &self.inner;
        if entry.pack.is_some() {
            let bytes = self.out_of_pack(path, from, entry)?;
            return self.put(path, index, offset, vec![bytes]);
        }
        let object = object_name(path, index);
        let repository = &inner.repository;
        let places = repository.location(&inner.name, &object).and_then(|to| {
            let from = repository.location(from, &object_name(path, entry.index))?;
            let from = repository.readable(from)?;
            if document::is_document(path) {
                return Err(
                    inner.misuse(format!("object {object} is one of lsnap's own documents"))
                );
            }
            Ok((from, to))
        });
        let (from, to) = inner.keep(places)?;
        let store = Arc::clone(repository.store()?);
        let local = repository.directory().is_some();
        inner.take_slot(path)?;
        let slot = UploadSlot::new(inner, path);
        let entry = ObjectEntry {
            index,
            offset,
            at: None,
            ..entry.clone()
        };
        repository.runtime().spawn(async move {
            let outcome = copy_object(&*store, local, &from, &to, object, entry).await;
            slot.release(outcome);
        });
        Ok(())
    }
}

async fn copy_object(
    store: &dyn ObjectStore,
    local: bool,
    from: &Path,
    to: &Path,
    object: String,
    entry: ObjectEntry,
) -> Outcome {
    let copied = store
        .copy_opts(
            from,
            to,
            CopyOptions {
                mode: CopyMode::Create,
                ..CopyOptions::default()
            },
        )
        .await;
    match copied {
        Ok(()) => Outcome::Stored(entry),
        Err(error) if exists(&error) => Outcome::Refused(StoreError::ObjectExists {
            key: to.to_string(),
        }),
        Err(object_store::Error::NotFound { .. }) => Outcome::Refused(StoreError::Missing {
            object: from.to_string(),
            bytes: entry.bytes,
        }),
        // A store without a conditional copy: the claim reserves the name, so a check for the
        // object is enough.
        Err(
            object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. },
        ) => match store.head(to).await {
            Ok(_) => Outcome::Refused(StoreError::ObjectExists {
                key: to.to_string(),
            }),
            Err(object_store::Error::NotFound { .. }) => {
                unconditional(store, from, to, object, entry).await
            }
            Err(error) => {
                Outcome::Refused(StoreError::backend("looking for", to.to_string(), error))
            }
        },
        // Some file systems don't support hard links, and all limit their number.
        Err(_) if local => through_here(store, from, to, object, entry).await,
        Err(error) => unsure(to, object, entry, error),
    }
}

async fn unconditional(
    store: &dyn ObjectStore,
    from: &Path,
    to: &Path,
    object: String,
    entry: ObjectEntry,
) -> Outcome {
    match store.copy(from, to).await {
        Ok(()) => Outcome::Stored(entry),
        Err(
            object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. },
        ) => through_here(store, from, to, object, entry).await,
        Err(error) => unsure(to, object, entry, error),
    }
}

fn unsure(to: &Path, object: String, entry: ObjectEntry, error: object_store::Error) -> Outcome {
    Outcome::Unsure(
        object,
        entry.digest_text(),
        StoreError::backend("copying to", to.to_string(), error),
    )
}

/// Reads the object, checks it, and puts it.
async fn through_here(
    store: &dyn ObjectStore,
    from: &Path,
    to: &Path,
    object: String,
    entry: ObjectEntry,
) -> Outcome {
    let bytes = match get_checked(store, from, &entry).await {
        Ok(bytes) => bytes,
        Err(error) => return Outcome::Refused(error),
    };
    match create(store, to, PutPayload::from(bytes)).await {
        Ok(()) => Outcome::Stored(entry),
        Err(error) if exists(&error) => Outcome::Refused(StoreError::ObjectExists {
            key: to.to_string(),
        }),
        Err(error) => unsure(to, object, entry, error),
    }
}
