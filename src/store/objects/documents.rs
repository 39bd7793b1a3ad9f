//! Reads the documents of a backup, and its objects by their entries in the manifest.

use crate::counted::count;
use crate::manifest::document::{CLAIM, MANIFEST, MAX_OBJECT};
use crate::manifest::{
    BackupName, Finding, Layout, MANIFEST_FORMAT, Manifest, ObjectEntry, PACKED_FORMAT, document,
    object_name, split_object_name,
};
use crate::store::error::StoreError;
use crate::store::error::backup::BackupFault;
use crate::store::objects::checked::get_checked;
use crate::store::objects::manifest_key;
use crate::store::objects::own::is_xtrabackups;
use crate::store::objects::repository::Repository;
use crate::store::objects::single::{Got, get};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

impl Repository {
    /// Reads a backup's manifest.
    ///
    /// # Errors
    /// [`BackupFault::NotFound`](crate::store::BackupFault::NotFound),
    /// [`BackupFault::NotFinished`](crate::store::BackupFault::NotFinished) and
    /// [`BackupFault::Foreign`](crate::store::BackupFault::Foreign) if there is no manifest;
    /// [`BackupFault::Streamed`](crate::store::BackupFault::Streamed) if it is that of a stream;
    /// [`StoreError::Damaged`] if it has other bytes than those that were written, or contradicts
    /// itself; [`StoreError::UnknownFormat`].
    pub fn manifest(&self, name: &BackupName) -> Result<Manifest, StoreError> {
        let read = match self.text(name, MANIFEST) {
            // lsnap stores its manifest as a single object; in a stream each chunk is an object
            Err(StoreError::Damaged { .. }) if self.has_second_object(name)? => {
                return Err(StoreError::Backup(BackupFault::Streamed {
                    name: name.clone(),
                }));
            }
            read => read?,
        };
        let Some((json, digest, key)) = read else {
            return Err(self.missing_manifest_error(name)?);
        };
        let damaged = |what| StoreError::Damaged {
            object: key.clone(),
            what,
        };
        let mut manifest: Manifest = document::parse(&json).map_err(damaged)?;
        manifest.read_from(&json);
        if manifest.layout == Layout::Stream {
            return Err(StoreError::Backup(BackupFault::Streamed {
                name: name.clone(),
            }));
        }
        if manifest.name != *name {
            return Err(damaged(Finding::new(
                format!("it is the manifest of {}", manifest.name),
                format!("{name}: the directory was renamed or copied, rename it back"),
            )));
        }
        manifest.check().map_err(damaged)?;
        manifest.digest = digest;
        Ok(manifest)
    }

    /// Fetches a whole object of the file `path`, or the file's part of a pack, and checks its
    /// length and digest.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], or an error of the store.
    pub fn fetch(
        &self,
        name: &BackupName,
        path: &str,
        object: &ObjectEntry,
    ) -> Result<Bytes, StoreError> {
        if let Some(place) = &object.pack {
            return self.fetch_packed(name, path, object, place);
        }
        let location = self.location(name, &object_name(path, object.index))?;
        let location = self.readable(location)?;
        let (store, object) = (Arc::clone(self.store()?), object.clone());
        self.runtime().wait("fetching an object", async move {
            get_checked(&*store, &location, &object).await
        })?
    }

    /// Reads and checks one of lsnap's documents. Returns the value, its digest and its key, or
    /// `None` if it doesn't exist.
    pub(in crate::store) fn document<T: DeserializeOwned>(
        &self,
        name: &BackupName,
        path: &str,
    ) -> Result<Option<(T, String, String)>, StoreError> {
        let Some((json, digest, key)) = self.text(name, path)? else {
            return Ok(None);
        };
        let value = document::parse(&json).map_err(|what| StoreError::Damaged {
            object: key.clone(),
            what,
        })?;
        Ok(Some((value, digest, key)))
    }

    /// As [`Self::document`], but returns the JSON text.
    fn text(
        &self,
        name: &BackupName,
        path: &str,
    ) -> Result<Option<(Bytes, String, String)>, StoreError> {
        self.check_format()?;
        let location = self.location(name, &object_name(path, 0))?;
        let key = location.to_string();
        let store = Arc::clone(self.store()?);
        let got = self.runtime().wait("reading a document", async move {
            get(&*store, &location, None, |n| n <= MAX_OBJECT).await
        })??;
        let damaged = |what| StoreError::Damaged {
            object: key.clone(),
            what,
        };
        let object = match got {
            Got::Bytes(object) => object,
            Got::Nothing => return Ok(None),
            Got::Length(found) => {
                return Err(damaged(
                    format!(
                        "{found} found, expected at most {MAX_OBJECT}",
                        found = count(found, "byte")
                    )
                    .into(),
                ));
            }
        };
        let (json, digest) = document::open(path, &object).map_err(damaged)?;
        if path == MANIFEST && manifest_key::is_void(&json) {
            return Ok(None);
        }
        let Format { format } = document::parse(&json).map_err(damaged)?;
        if !(MANIFEST_FORMAT..=PACKED_FORMAT).contains(&format) {
            return Err(StoreError::UnknownFormat {
                key,
                found: format,
                expected: PACKED_FORMAT,
            });
        }
        Ok(Some((json, digest, key)))
    }

    fn has_second_object(&self, name: &BackupName) -> Result<bool, StoreError> {
        let second = format!("{name}/{}", object_name(MANIFEST, 1));
        Ok(self.bucket().length(&second)?.is_some())
    }

    fn missing_manifest_error(&self, name: &BackupName) -> Result<StoreError, StoreError> {
        let (mut any, mut ours, mut theirs) = (false, false, false);
        self.each_object(name.as_str(), |object, _| {
            any = true;
            ours |=
                split_object_name(object).is_some_and(|(path, _)| matches!(path, CLAIM | MANIFEST));
            theirs |= is_xtrabackups(object);
            !ours
        })?;
        Ok(if !any {
            StoreError::Backup(BackupFault::NotFound {
                name: name.to_string(),
                url: self.url().to_owned(),
                hint: format!("there are no objects under {name}/"),
            })
        } else if theirs && !ours {
            StoreError::Backup(BackupFault::Foreign { name: name.clone() })
        } else {
            StoreError::Backup(BackupFault::NotFinished {
                name: name.clone(),
                manifest: MANIFEST,
            })
        })
    }
}

/// The format field, which is read before the other fields, because an unknown format may have
/// changed them.
#[derive(Deserialize)]
struct Format {
    format: u32,
}
