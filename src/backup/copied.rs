//! The result of the copy, from which the metadata and the manifest are made.

use super::plain::CopiedFile;
use super::redo_files::StartPoint;
use super::spaces::CopiedSpace;
use super::throttle::ThrottleReport;
use crate::datadir::LeftOut;
use crate::manifest::{Dictionary, PageMark, PageTracking, RedoMark, ReplicaPosition};
use crate::server::LogStatus;
use std::time::Duration;

/// All results except the redo.
pub(super) struct Contents {
    pub spaces: Vec<CopiedSpace>,
    /// Sorted by name.
    pub plain: Vec<CopiedFile>,
    pub found: Found,
    pub binary_log: Vec<CopiedFile>,
    /// The digest of the start of the binary log file.
    pub binlog_digest: Option<String>,
    pub status: LogStatus,
    pub replica: Option<ReplicaPosition>,
    /// The state of the Galera cluster.
    pub galera: Option<String>,
    pub throttle: Option<ThrottleReport>,
}

/// Findings of the survey before the copy.
pub(super) struct Found {
    /// The directory of every schema, including empty ones.
    pub schemas: Vec<String>,
    pub left_out: Vec<LeftOut>,
    /// The server's dictionary, compared with the files on disk.
    pub dictionary: Dictionary,
    /// Warnings about the contents.
    pub warnings: Vec<String>,
    pub tracking: PageTracking,
    /// Pages that the base recorded, as they were at the start of this backup.
    pub pages_of_base: Vec<PageMark>,
}

/// The redo.
pub(super) struct CopiedRedo {
    pub start: StartPoint,
    /// Its stored length in bytes.
    pub bytes: u64,
    /// Identifies the end of the redo in later backups.
    pub mark: Option<RedoMark>,
}

/// The results of the copy under the locks, before the metadata.
pub(super) struct Copied {
    pub contents: Contents,
    pub redo: CopiedRedo,
    /// How long tables were locked.
    pub tables_locked: Duration,
}
