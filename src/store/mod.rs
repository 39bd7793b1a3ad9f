//! A repository of backups in an object store: names, layout, manifest, chain, upload, download.
//!
//! Facts: `specs/operator.md` section 1 (names, `.incr/` directories, prefix semantics),
//! `specs/xtrabackup-formats.md` section 8.2 (objects of xbcloud), DESIGN 2.4.
//!
//! ```text
//! <repository>/<cluster>-<time>-full/                          a full backup
//! <repository>/<cluster>-<time>-full.incr/<cluster>-<time>-incr/   its incrementals
//!   <path of a file>.<20 digits>       objects of a file: whole xbstream chunks of that path
//!   lsnap_manifest.json.<20 digits>    the last object put: without it the backup is not finished
//! ```
//!
//! Nothing is ever overwritten: every object is put in create mode.
//!
//! The public API blocks; a small runtime of its own lies inside. It must not be called from within
//! an asynchronous task (use `spawn_blocking` there).

mod chain;
mod error;
mod key;
mod list;
mod manifest;
mod name;
mod repository;
mod upload;

#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use list::{Listed, ListedState, Summary};
pub use manifest::{
    BackupKind, BaseRef, Binlog, FileEntry, FileRole, LeftOutEntry, LsnRange, MANIFEST, Manifest,
    ObjectEntry, PageCounts, ServerIdentity, SpaceFile,
};
pub use name::BackupName;
pub use repository::Repository;
pub use upload::Upload;
