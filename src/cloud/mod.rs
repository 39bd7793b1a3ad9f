//! xbstreams and objects in xbcloud's layout: `put`, `get` and `delete`.
//!
//! Facts: `docs/format/manifest.md#keys-and-objects`, and `xbcloud.cc` for the lines of
//! `<name>.md5` (`md5hex`, two blanks, `path.index` without the backup's name, in the order of the
//! stream; this object is stored last).
//!
//! ```text
//! <name>/<path>.<20 digits>    one xbstream chunk with its header; the last one is the end chunk
//! <name>.md5                   only with `PutOptions::md5`
//! ```
//!
//! Differences from xbcloud: chunks are checked in both directions (CRC, path, every byte of a file
//! exactly once), a missing object is an error, the objects of a failed upload are removed, a path
//! that continues after its end chunk is refused (xbcloud overwrites its objects), and `delete`
//! removes the files that mark a backup as finished first. All access to the store goes through
//! [`crate::store::Bucket`].

mod budget;
mod catalog;
mod delete;
mod error;
mod get;
mod in_order;
mod ledger;
mod put;
mod raw;
mod sealed;
mod state;
#[cfg(test)]
mod tests;
mod verify;
mod whole;

pub use delete::{DeleteOptions, DeleteReport, delete};
pub use error::CloudError;
pub use get::{GetOptions, GetReport, Proof, get, get_into, get_streams};
pub use put::{PutManner, PutOptions, PutReport, put};
pub(crate) use state::stored_state;

use crate::manifest::{BackupName, MANIFEST};

/// The file by which xbcloud recognises a complete backup (a prefix: compression adds suffixes).
const TABLESPACES: &str = "xtrabackup_tablespaces";

/// Returns whether the file `path` marks a backup as finished, for xbcloud or for lsnap.
fn marks_finished(path: &str) -> bool {
    path.starts_with(TABLESPACES) || path == MANIFEST
}

/// Returns the key of a backup's MD5 digests: next to its directory, as in xbcloud.
fn md5_key(name: &BackupName) -> String {
    format!("{name}.md5")
}
