//! What a backup says of itself: its name, its manifest with the documents around it, and
//! `xtrabackup_checkpoints`. It knows bytes and their meaning, and nothing of files, servers or stores.

mod blank;
mod body;
mod checkpoints;
mod claims;
mod dictionary;
pub(crate) mod document;
mod error;
mod finding;
mod first_mac;
#[cfg(test)]
pub(crate) mod fixture;
mod history;
mod info;
pub(crate) mod mac;
pub(crate) mod name;
mod object_name;
pub(crate) mod packed;
mod replica;
mod stored_path;
#[cfg(test)]
mod tests;
mod tracking;

pub use body::{
    BackupKind, BaseRef, Binlog, FileEntry, FileRole, Layout, LeftOutEntry, LsnRange,
    MANIFEST_FORMAT, Manifest, ObjectEntry, PACKED_FORMAT, PageCounts, ServerIdentity, SpaceFile,
    Summary, Wrapping,
};
pub(crate) use body::{DIGEST_TAG, check_kind, check_objects, digest_text};
pub use checkpoints::{BackupType, CHECKPOINTS, Checkpoints};
pub use dictionary::{Absence, AbsentSpace, Dictionary, EngineTable};
pub use document::{CLAIM, MANIFEST, is_document, manifest_chunks, parse_manifest};
pub use error::ManifestError;
pub use finding::Finding;
pub use history::{History, PageMark, RedoMark};
pub(crate) use info::line_value;
pub use mac::{Authenticity, Mac};
pub use name::BackupName;
pub(crate) use object_name::INDEX_DIGITS;
pub use object_name::{check_path, object_name, split_object_name};
pub use packed::{PackChoice, PackPlace};
pub use replica::{ReplicaPosition, SourcePosition};
pub use stored_path::StoredPath;
pub use tracking::PageTracking;
