//! Writing a backup's objects.
//!
//! ```text
//! begin:  nothing under <name>/  ->  claim (lsnap_upload.json, create-only: of two uploads with
//!         one name the second fails here)
//! put:    many, in any order, limited by `parallel`
//! finish: wait, compare the manifest with the puts and with a listing of the store, then
//!         lsnap_summary.json, then lsnap_manifest.json
//! ```
//! Memory: the bytes of at most `parallel` objects and of the current pack, and one small entry for
//! each object of the files that are still open. The claim stays in the finished backup, because a
//! writer may lack the permission to delete.

use crate::manifest::document::CLAIM;
use crate::manifest::{BackupName, MANIFEST_FORMAT, document};
use crate::store::error::StoreError;
use crate::store::error::upload::UploadFault;
use crate::store::objects::repository::Repository;
use crate::store::upload::state::{Inner, Upload};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::sync::Arc;

/// The claim: it identifies the writer and reserves the name.
#[derive(Serialize)]
struct Claim<'a> {
    format: u32,
    lsnap_version: &'static str,
    upload_id: String,
    name: &'a BackupName,
    claimed_at: DateTime<Utc>,
}

impl Repository {
    /// Begins a backup. It claims the name, so that no other process can write under it. At most
    /// `parallel` (at least 1) objects are in flight.
    ///
    /// # Errors
    /// [`UploadFault::Exists`](crate::store::UploadFault::Exists) if objects exist under `<name>/`,
    /// those of [`Self::mark`], or an error of the store.
    pub fn begin(&self, name: &BackupName, parallel: usize) -> Result<Upload, StoreError> {
        self.mark_for_backup()?;
        let taken = |found: String| {
            StoreError::Upload(UploadFault::Exists {
                name: name.clone(),
                found,
            })
        };
        let mut found = None;
        self.each_object(name.as_str(), |object, _| {
            found = Some(format!("{name}/{object}"));
            false
        })?;
        if let Some(found) = found {
            return Err(taken(found));
        }
        let inner = Inner::new(self.clone(), name.clone(), parallel);
        let claim = Claim {
            format: MANIFEST_FORMAT,
            lsnap_version: env!("CARGO_PKG_VERSION"),
            upload_id: uuid::Uuid::new_v4().to_string(),
            name,
            claimed_at: Utc::now(),
        };
        let sealed = document::seal(name, CLAIM, &claim)?;
        if let Err(error) = inner.put_document(CLAIM, sealed.parts) {
            return Err(match error {
                StoreError::ObjectExists { key } => taken(key),
                // the claim may have been stored; if it stayed, the name would be reserved without
                // an owner
                other => inner.remove().err().unwrap_or(other),
            });
        }
        Ok(Upload {
            inner: Arc::new(inner),
        })
    }
}
