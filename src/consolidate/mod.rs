//! A new full backup out of a chain, in its repository, without the database: a *synthetic full*.
//!
//! A member of a chain is the newest version of each page in it and before it, and its redo log
//! (`docs/design.md#overlap`); a full backup is every page and a redo log. So the new backup has the pages that a
//! restore would merge, and the redo log, small files and metadata of the member. It restores to what
//! the member restores to, by lsnap and, after `lsnap cloud get`, by xtrabackup: nothing in it tells it
//! from a full backup that was taken at that time.
//!
//! ```text
//! file of a tablespace: window by window (2^20 pages)
//!     headers of the deltas' clusters -> which member has the newest version of each page
//!     range of the image in which no delta has a page -> its object is copied inside of the store
//!     other ranges -> fetched, laid over one another, every page checked, wrapped, put
//! ```
//! Memory does not grow with the data: a window's table of pages, the ranges of one batch, and a cache
//! of fetched objects whose pages are needed again by the next batches. A delta's pages mostly ascend,
//! so that cache needs about one object a member; with less of it objects are fetched again.
//!
//! **The next incremental** stands on the new full backup as on any other: `backup --incremental` takes
//! the newest full backup of the server and the end of its chain. The synthetic full counts as old as
//! the member it was made of (`started_at` is the member's), so one that was made of an older member
//! never passes for the latest state. Its id is new: incrementals of the old chain stay where they are,
//! and once nobody needs them, the old chain can be deleted.

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
use crate::manifest::{BackupName, PackChoice};
use crate::reader::resources;
use serde::Serialize;

/// How the new backup's files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compress {
    /// As those of the member that it is made of.
    #[default]
    Keep,
    /// Not at all.
    Not,
    /// So.
    With(Compression),
}

/// How a chain is to be consolidated.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConsolidateOptions {
    /// The new backup's name; default: the chain's cluster and the present time.
    pub name: Option<BackupName>,
    /// Threads that fetch, lay together and wrap.
    pub threads: usize,
    /// Objects that are written at the same time.
    pub uploads: usize,
    /// Bytes of pages and objects held at one time; at least about 100 MiB are used.
    pub memory: usize,
    /// What encrypted members are decrypted with. When the member is encrypted, so is the new backup.
    pub key: Option<Key>,
    /// Take members that the key proves nothing of: plain ones, and those whose MAC has the first form.
    pub accept_unauthenticated: bool,
    /// How files are compressed.
    pub compress: Compress,
    /// Whether small files share objects.
    pub pack_small_files: PackChoice,
    /// Ends the consolidation early.
    pub cancel: Cancel,
    /// Bytes of a range that is built; for tests.
    #[doc(hidden)]
    pub range_bytes: usize,
    /// Pages of a window; for tests.
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

/// What was made.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ConsolidateReport {
    /// The new full backup.
    pub name: BackupName,
    /// The member that it equals.
    pub of: BackupName,
    /// The members that were read, the full backup first.
    pub chain: Vec<BackupName>,
    /// Objects of the new backup.
    pub objects: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Objects that were copied inside of the store.
    pub copied_objects: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Bytes that were fetched.
    pub fetched_bytes: u64,
    /// Pages that were fetched and checked.
    pub checked_pages: u64,
    /// What a person should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}
