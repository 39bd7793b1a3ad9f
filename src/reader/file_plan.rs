//! The files of a restored directory, and where the bytes of each come from.

use crate::innodb::{PageSize, SpaceId};
use serde::Serialize;

/// One file of a tablespace in the restored directory.
#[derive(Debug, Clone, Serialize)]
pub struct FilePlan {
    /// Path within the restored directory.
    pub path: String,
    /// Its tablespace.
    pub space_id: SpaceId,
    /// Which file of the tablespace: 0, or the ordinal of `ibdataN`.
    pub node: u32,
    /// Size of its pages.
    pub page_size: PageSize,
    /// Its length.
    pub bytes: u64,
    /// Whether it holds undo logs.
    pub undo: bool,
    /// Whether its pages are encrypted.
    pub encrypted: bool,
    /// The directory outside of the datadir in which the source server has it.
    pub external: Option<String>,
    /// Where its pages come from, newest first.
    pub sources: Vec<SourcePlan>,
}

/// What a member holds of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// The whole file.
    Image,
    /// The pages changed since the scan floor.
    Delta,
}

/// A stored file from which pages are taken.
#[derive(Debug, Clone, Serialize)]
pub struct SourcePlan {
    /// Its member, counted from the newest.
    pub member: usize,
    /// The member's name.
    pub backup: String,
    /// The file's path within that backup.
    pub path: String,
    /// Whole file or delta.
    pub kind: SourceKind,
    /// Its logical length.
    pub bytes: u64,
    /// The length of its objects together.
    pub stored_bytes: u64,
    /// Its index among the member's files.
    #[serde(skip)]
    pub(crate) entry: usize,
}

/// A file that is copied as it is.
#[derive(Debug, Clone, Serialize)]
pub struct PlainPlan {
    /// Path within the backup and the restored directory.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Whether it is the backup's own (only three of those stay in a restored directory).
    pub metadata: bool,
    /// Its index among the newest member's files.
    #[serde(skip)]
    pub(crate) entry: usize,
}
