//! The files of a restored directory, and the sources of their bytes.

use crate::innodb::{PageSize, SpaceId};
use serde::Serialize;

/// One file of a tablespace in the restored directory.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FilePlan {
    /// Path within the restored directory.
    pub path: String,
    /// The id of its tablespace.
    pub space_id: SpaceId,
    /// The file within the tablespace: 0, or the ordinal of `ibdataN`.
    pub node: u32,
    /// Size of its pages in bytes.
    pub page_size: PageSize,
    /// Its length in bytes.
    pub bytes: u64,
    /// True if it belongs to an undo tablespace.
    pub undo: bool,
    /// True if its pages are encrypted.
    pub encrypted: bool,
    /// The directory outside of the data directory that contains it on the source server.
    pub external: Option<String>,
    /// The sources of its pages, newest first.
    pub sources: Vec<SourcePlan>,
}

/// The form in which a member holds a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// The whole file.
    Image,
    /// The pages changed since the scan floor.
    Delta,
}

/// A stored file from which pages are taken.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SourcePlan {
    /// The number of its member, counted from the newest.
    pub member: usize,
    /// The member's name.
    pub backup: String,
    /// The file's path within that backup.
    pub path: String,
    /// Whole file or delta.
    pub kind: SourceKind,
    /// Its logical length in bytes.
    pub bytes: u64,
    /// Total length of its objects in bytes.
    pub stored_bytes: u64,
    /// Its index among the member's files.
    #[serde(skip)]
    pub(crate) entry: usize,
}

/// A file that is copied unchanged.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlainPlan {
    /// Path within the backup and the restored directory.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// True if it only describes the backup (only three files of this kind stay in a restored
    /// directory).
    pub metadata: bool,
    /// Its index among the newest member's files.
    #[serde(skip)]
    pub(crate) entry: usize,
}
