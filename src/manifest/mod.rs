//! The description of a backup: its name, its manifest and the other documents, and
//! `xtrabackup_checkpoints`. This layer works on bytes; it doesn't access files, servers or stores.

mod authenticity;
mod blank;
mod body;
mod check;
mod checkpoints;
mod dictionary;
mod digest;
pub(crate) mod document;
mod error;
mod file_entry;
pub(crate) mod filter;
mod finding;
mod first_mac;
#[cfg(test)]
pub(crate) mod fixture;
mod history;
mod info;
mod link;
pub(crate) mod mac;
mod manifest_file;
pub(crate) mod name;
mod name_rules;
mod object_name;
pub(crate) mod packed;
mod replica;
mod scheduled;
mod server_settings;
mod stored_path;
mod summary;
#[cfg(test)]
mod tests;
mod tracking;
mod wrap;
mod wrapping;

pub use authenticity::Authenticity;
pub use body::{
    BackupKind, BaseRef, Binlog, LeftOutEntry, LsnRange, Manifest, PageCounts, ServerIdentity,
};
pub(crate) use check::{check_kind, check_objects, check_order};
pub use checkpoints::{BackupType, CHECKPOINTS, Checkpoints};
pub(crate) use dictionary::Filtering;
pub use dictionary::{Absence, AbsentSpace, Dictionary, EngineTable};
pub use digest::Digest;
pub(crate) use digest::{DIGEST_TAG, digest_text};
pub use document::{CLAIM, MANIFEST, is_document};
pub use error::ManifestError;
pub use file_entry::{
    FileEntry, FileRole, Layout, ObjectEntry, PackPlace, SpaceFile, StoredOffset,
};
pub use filter::{PatternError, TableFilter};
pub use finding::Finding;
pub use history::{History, PageMark, RedoMark};
pub(crate) use info::line_value;
pub(crate) use link::{LinkFault, LinkField, link_faults};
pub use mac::Mac;
pub use manifest_file::{manifest_chunks, parse_manifest};
pub use name::BackupName;
pub(crate) use name_rules::may_hold_backups;
pub(crate) use object_name::{INDEX_DIGITS, PathFault, path_fault};
pub use object_name::{check_path, object_name, split_object_name};
pub use packed::{MANIFEST_FORMAT, PACKED_FORMAT, PackChoice};
pub use replica::{ReplicaPosition, SourcePosition};
pub use scheduled::ScheduledRun;
pub use server_settings::ServerSettings;
pub use stored_path::StoredPath;
pub use summary::Summary;
pub use tracking::PageTracking;
pub(crate) use wrap::Wrap;
pub use wrapping::{CompressionFormat, EncryptionAlgorithm, Wrapping};
