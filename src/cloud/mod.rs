//! xbstreams and the objects that xbcloud makes of them: `put`, `get` and `delete`.
//!
//! Facts: `docs/format/manifest.md#keys-and-objects`, and `xbcloud.cc` itself for the lines of `<name>.md5`
//! (`md5hex`, two blanks, `path.index` without the backup's name, in the order of the stream; the
//! object is stored last).
//!
//! ```text
//! <name>/<path>.<20 digits>    one whole xbstream chunk, header included; its E chunk is the last
//! <name>.md5                   with `md5` only
//! ```
//!
//! Unlike xbcloud: chunks are checked on the way in and out (CRC, path, that every byte of a file came
//! once), a missing object is an error, an upload that failed is removed, a path that comes again after
//! its end is refused (xbcloud overwrites its objects), and `delete` begins with what makes a backup
//! look finished. The room knows no store: it goes through [`crate::store::Bucket`].

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
#[cfg(test)]
mod tests;
mod verify;
mod whole;

pub use delete::{DeleteOptions, DeleteReport, delete};
pub use error::CloudError;
pub use get::{GetOptions, GetReport, Proof, get, get_into};
pub use put::{PutOptions, PutReport, put};

use crate::manifest::{BackupName, MANIFEST};

/// The file that xbcloud looks for to call a backup whole (a prefix: compression adds suffixes).
const TABLESPACES: &str = "xtrabackup_tablespaces";

/// Whether the file `path` makes a backup look finished, to xbcloud or to lsnap.
fn marks_finished(path: &str) -> bool {
    path.starts_with(TABLESPACES) || path == MANIFEST
}

/// Where the MD5 digests of a backup lie: beside its directory, as xbcloud has it.
fn md5_key(name: &BackupName) -> String {
    format!("{name}.md5")
}
