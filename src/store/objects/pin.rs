//! Pins: they exclude chains from retention policies and deletions.
//!
//! ```text
//! lsnap_pinned.<full backup's name>     {"name":"<the backup that was pinned>","pinned_at":...}
//! ```
//!
//! A chain is kept or deleted as a whole, so a pin of any member is a pin of its chain. The object
//! is at the top level, where other programs and earlier versions of lsnap look for directories
//! only. It is put create-only and removed by [`Repository::unpin`].

use crate::manifest::BackupName;
use crate::store::error::StoreError;
use crate::store::objects::repository::Repository;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The prefix of a pin's key; the name of the chain's full backup follows.
const PREFIX: &str = "lsnap_pinned.";

/// The stored pin: JSON. Only the existence of the object matters.
#[derive(Debug, Serialize, Deserialize)]
struct Pin {
    name: BackupName,
    pinned_at: DateTime<Utc>,
}

fn key_of(name: &BackupName) -> String {
    format!("{PREFIX}{}", name.base())
}

/// Returns the full backup whose chain an object at the top level of a repository pins.
pub(in crate::store) fn pinned(file_name: &str) -> Option<BackupName> {
    let name = BackupName::parse(file_name.strip_prefix(PREFIX)?).ok()?;
    (!name.is_incremental()).then_some(name)
}

impl Repository {
    /// Pins the chain of a backup, so that no policy deletes it. A second pin of a chain has no
    /// effect.
    ///
    /// # Errors
    /// An error of the store. The existence of the backup is not checked.
    pub fn pin(&self, name: &BackupName) -> Result<(), StoreError> {
        self.check_format_to_change()?;
        let pin = Pin {
            name: name.clone(),
            pinned_at: Utc::now(),
        };
        self.put_once(&key_of(name), &pin)
    }

    /// Returns whether the chain of a backup is pinned.
    ///
    /// # Errors
    /// An error of the store.
    pub fn is_pinned(&self, name: &BackupName) -> Result<bool, StoreError> {
        Ok(self.bucket().length(&key_of(name))?.is_some())
    }

    /// Removes the pin of a backup's chain. Returns whether it was pinned.
    ///
    /// # Errors
    /// An error of the store.
    pub fn unpin(&self, name: &BackupName) -> Result<bool, StoreError> {
        self.check_format_to_change()?;
        let was_pinned = self.is_pinned(name)?;
        self.bucket().delete(&key_of(name))?;
        Ok(was_pinned)
    }
}
