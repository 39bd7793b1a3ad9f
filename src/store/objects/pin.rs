//! Pins: chains that no policy and no deletion removes.
//!
//! ```text
//! lsnap_pinned.<full backup's name>     {"name":"<the backup that was pinned>","pinned_at":...}
//! ```
//!
//! A chain is kept or deleted as a whole, so a pin of any member is a pin of its chain. The object lies at the top,
//! where other programs and earlier versions of lsnap look for directories only. It is put create-only and removed by
//! [`Repository::unpin`].

use crate::manifest::BackupName;
use crate::store::error::StoreError;
use crate::store::objects::repository::Repository;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What the key of a pin begins with; the name of the chain's full backup follows.
const PREFIX: &str = "lsnap_pinned.";

/// What a pin says, as stored: JSON. That the object is there is what counts.
#[derive(Debug, Serialize, Deserialize)]
struct Pin {
    name: BackupName,
    pinned_at: DateTime<Utc>,
}

fn key_of(name: &BackupName) -> String {
    format!("{PREFIX}{}", name.base())
}

/// The full backup whose chain an object at the top of a repository pins.
pub(in crate::store) fn pinned(file_name: &str) -> Option<BackupName> {
    let name = BackupName::parse(file_name.strip_prefix(PREFIX)?).ok()?;
    (!name.is_incremental()).then_some(name)
}

impl Repository {
    /// Keeps the chain of a backup, whatever a policy says; a second pin of a chain changes nothing.
    ///
    /// # Errors
    /// The store's own. Whether there is such a backup is not looked at.
    pub fn pin(&self, name: &BackupName) -> Result<(), StoreError> {
        self.check_format_to_change()?;
        let pin = Pin {
            name: name.clone(),
            pinned_at: Utc::now(),
        };
        self.put_once(&key_of(name), &pin)
    }

    /// Whether the chain of a backup is pinned.
    ///
    /// # Errors
    /// The store's own.
    pub fn is_pinned(&self, name: &BackupName) -> Result<bool, StoreError> {
        Ok(self.bucket().length(&key_of(name))?.is_some())
    }

    /// Lets policies decide on the chain of a backup again; whether it was pinned.
    ///
    /// # Errors
    /// The store's own.
    pub fn unpin(&self, name: &BackupName) -> Result<bool, StoreError> {
        self.check_format_to_change()?;
        let was_pinned = self.is_pinned(name)?;
        self.bucket().delete(&key_of(name))?;
        Ok(was_pinned)
    }
}
