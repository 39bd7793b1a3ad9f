//! Copies finished backups from one repository to another, byte for byte.
//!
//! ```text
//! choose   a backup with the chain that it needs, all backups, or those that a policy keeps
//! plan     a backup that the target has (the same manifest) is not copied again
//! backup   base before member; claim, objects, summary, manifest last
//! object   fetched, every digest of the manifest in it checked, put create-only
//! ```
//! The bytes of objects and of the manifest are unchanged, so the copy has the same id, compression,
//! encryption and MAC. No key is needed; if one is given, every manifest must be authenticated by it
//! before anything is copied.
//!
//! **Interruption.** The manifest is put after all objects, so an interrupted copy is never listed
//! as finished. The next copy continues it: an object that the target has is read from the target
//! and its digests are checked, because a name and a length prove nothing. It is not sent again. An
//! object with other bytes is an error, because nothing is overwritten.
//!
//! **Deletions.** The copied chain is announced as being read in the source, so that `prune` leaves
//! it there. In the target an incremental holds the lease of its chain, and the members before it
//! are announced as being read.
//!
//! **Memory.** Each thread holds one object. The number of threads is limited by
//! [`CopyOptions::memory`].

mod choose;
mod error;
mod objects;
mod run;
#[cfg(test)]
mod tests;

pub use error::CopyError;
pub use run::copy;

use crate::cancel::Cancel;
use crate::codec::xbcrypt::Key;
use crate::manifest::BackupName;
use crate::reader::resources;
use crate::store::{DEFAULT_TTL, Policy};
use serde::Serialize;
use std::time::Duration;

/// The backups to copy. A base is always copied with its incrementals.
#[derive(Debug, Clone, Copy)]
pub enum CopyWhich<'a> {
    /// A backup (any name that [`Repository::resolve`](crate::store::Repository::resolve) accepts)
    /// and those that its restore needs.
    Named(&'a str),
    /// All finished backups of the cluster of
    /// [`Repository::with_latest`](crate::store::Repository::with_latest), or of the repository.
    All,
    /// Of these, those that a policy keeps.
    Kept(&'a Policy),
}

/// Options of a copy.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CopyOptions {
    /// Number of objects that are copied concurrently.
    pub parallel: usize,
    /// Bytes of objects in memory at the same time; at least one object is.
    pub memory: usize,
    /// The key that must authenticate every manifest. Without a key nothing is authenticated.
    pub key: Option<Key>,
    /// Accept backups that the key doesn't authenticate: plain ones, and those whose MAC has the
    /// first form.
    pub accept_unauthenticated: bool,
    /// Pins the chains in the target that are pinned in the source.
    pub with_pins: bool,
    /// Only reports what would be copied.
    pub dry_run: bool,
    /// How long a copy that was killed blocks the target's chain.
    pub lease_ttl: Duration,
    /// Ends the copy early. Run it again to continue.
    pub cancel: Cancel,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            parallel: 8,
            memory: resources::MEMORY,
            key: None,
            accept_unauthenticated: false,
            with_pins: false,
            dry_run: false,
            lease_ttl: DEFAULT_TTL,
            cancel: Cancel::new(),
        }
    }
}

/// The report of a copy.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct CopyReport {
    /// Nothing was copied.
    pub dry_run: bool,
    /// The backups that were copied, or would be, in this order.
    pub copied: Vec<Copied>,
    /// The backups that the target had already.
    pub present: Vec<BackupName>,
    /// The backups that can't be copied, because they have no list of their objects: those of
    /// xtrabackup, and streams.
    pub skipped: Vec<NotCopied>,
    /// The backups whose copy failed. The others were copied nevertheless.
    pub failed: Vec<NotCopied>,
    /// The full backups whose chains were pinned in the target.
    pub pinned: Vec<BackupName>,
    /// Warnings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A backup that was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Copied {
    /// The backup.
    pub name: BackupName,
    /// Number of its objects, without lsnap's documents.
    pub objects: u64,
    /// Bytes of these objects.
    pub stored_bytes: u64,
    /// Number of objects that were sent. The target had the others from an interrupted copy.
    pub sent_objects: u64,
    /// Bytes of these objects.
    pub sent_bytes: u64,
}

/// A backup that was not copied.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct NotCopied {
    /// The backup.
    pub name: BackupName,
    /// The reason.
    pub reason: String,
    /// The error of a copy that failed.
    #[serde(skip)]
    pub error: Option<std::sync::Arc<CopyError>>,
}
