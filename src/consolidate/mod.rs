//! Creates a full backup from a chain, in its repository, without the database: a *synthetic full*.
//!
//! The content of a chain's member is the newest version of each page in it and the members before
//! it, and its redo log (`docs/design.md#overlap`); a full backup is every page and a redo log. So
//! the new backup has the pages that a restore would merge, and the redo log, small files and
//! metadata of the member. Restoring it gives the same result as restoring the member, with lsnap
//! and, after `lsnap cloud get`, with xtrabackup: it has the same form as a full backup made at
//! that time.
//!
//! ```text
//! file of a tablespace: window by window (2^20 pages)
//!     headers of the deltas' clusters -> the member with the newest version of each page
//!     range of the image without a page in a delta -> its object is copied within the store
//!     other ranges -> fetched, merged, every page checked, wrapped, uploaded
//! ```
//! Memory doesn't grow with the data: the table of pages of a window, the ranges of one batch, and
//! a cache of fetched objects whose pages the next batches need again. The pages of a delta mostly
//! ascend, so the cache needs about one object for each member; if it is smaller, objects are
//! fetched again.
//!
//! **The next incremental** uses the new full backup like any other: `backup --incremental` uses
//! the newest full backup of the server and the end of its chain. The age of the synthetic full is
//! that of its source member (it has the same `started_at`), so one that was made from an older
//! member is not taken for the latest state. Its id is new: incrementals of the old chain keep
//! their base, and when they are no longer needed, the old chain can be deleted.

mod begin;
mod build;
mod cache;
mod error;
mod metadata;
mod others;
mod run;
mod segments;
mod space;
#[cfg(test)]
mod tests;
mod window;
mod write;

pub use error::ConsolidateError;
pub use run::consolidate;

use crate::cancel::Cancel;
use crate::codec::Compression;
use crate::codec::xbcrypt::Key;
use crate::manifest::{BackupName, Manifest, PackChoice};
use crate::reader::resources;
use serde::Serialize;

/// The compression of the new backup's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compress {
    /// The same as that of the source member.
    #[default]
    Keep,
    /// None.
    Not,
    /// This one.
    With(Compression),
}

/// Options of a consolidation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConsolidateOptions {
    /// The new backup's name; default: the chain's cluster and the current time.
    pub name: Option<BackupName>,
    /// Number of threads that fetch, merge and wrap.
    pub threads: usize,
    /// Number of concurrent uploads of objects.
    pub uploads: usize,
    /// Bytes of pages and objects in memory at the same time; at least about 100 MiB are used.
    pub memory: usize,
    /// The key of encrypted members. If the source member is encrypted, so is the new backup.
    pub key: Option<Key>,
    /// Accept members that the key doesn't authenticate: plain ones, and those whose MAC has the
    /// first form.
    pub accept_unauthenticated: bool,
    /// The compression of files.
    pub compress: Compress,
    /// The choice whether small files share objects.
    pub pack_small_files: PackChoice,
    /// Cancels the consolidation.
    pub cancel: Cancel,
    /// Length of a built range in bytes; for tests.
    #[doc(hidden)]
    pub range_bytes: usize,
    /// Number of pages in a window; for tests.
    #[doc(hidden)]
    pub window_pages: u64,
}

impl Default for ConsolidateOptions {
    fn default() -> Self {
        Self {
            name: None,
            threads: resources::threads(),
            uploads: 4,
            memory: resources::MEMORY,
            key: None,
            accept_unauthenticated: false,
            compress: Compress::Keep,
            pack_small_files: PackChoice::Auto,
            cancel: Cancel::new(),
            range_bytes: 8 << 20,
            window_pages: 1 << 20,
        }
    }
}

/// The report of a consolidation.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ConsolidateReport {
    /// The new full backup.
    #[serde(skip)]
    pub name: BackupName,
    /// Its manifest.
    #[serde(skip)]
    pub manifest: Manifest,
    /// The member with the same content.
    pub of: BackupName,
    /// The members that were read, the full backup first.
    pub chain: Vec<BackupName>,
    /// Number of objects of the new backup.
    #[serde(skip)]
    pub objects: u64,
    /// Length of these objects in bytes.
    #[serde(skip)]
    pub stored_bytes: u64,
    /// Number of objects that were copied within the store.
    pub copied_objects: u64,
    /// Length of these objects in bytes.
    pub copied_bytes: u64,
    /// Number of bytes that were fetched.
    pub fetched_bytes: u64,
    /// Number of pages that were fetched and checked.
    pub checked_pages: u64,
    /// Warnings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}
