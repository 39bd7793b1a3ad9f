//! The result of the copy, from which the metadata and the manifest are made.

use super::plain::CopiedFile;
use super::redo_files::StartPoint;
use super::spaces::CopiedSpace;
use super::throttle::ThrottleReport;
use crate::datadir::LeftOut;
use crate::manifest::{Dictionary, PageMark, PageTracking, RedoMark, ReplicaPosition};
use crate::server::LogStatus;
use std::time::Duration;

/// Everything but the redo.
pub(super) struct Contents {
    pub spaces: Vec<CopiedSpace>,
    /// In the order of their names.
    pub plain: Vec<CopiedFile>,
    pub found: Found,
    pub binary_log: Vec<CopiedFile>,
    /// The digest of the beginning of the binary log file.
    pub binlog_digest: Option<String>,
    pub status: LogStatus,
    pub replica: Option<ReplicaPosition>,
    pub throttle: Option<ThrottleReport>,
}

/// What was found out before the copy.
pub(super) struct Found {
    /// Every schema's directory, with or without files in it.
    pub schemas: Vec<String>,
    pub left_out: Vec<LeftOut>,
    /// The server's dictionary, compared with the disk.
    pub dictionary: Dictionary,
    /// What a person should know of the contents.
    pub warnings: Vec<String>,
    pub tracking: PageTracking,
    /// Pages that the base recorded, as they were when this backup began.
    pub pages_of_base: Vec<PageMark>,
}

/// The redo.
pub(super) struct CopiedRedo {
    pub start: StartPoint,
    /// Its length as it was stored, in bytes.
    pub bytes: u64,
    /// By what its end can be recognised later.
    pub mark: Option<RedoMark>,
}

/// What was copied under the locks, before the metadata.
pub(super) struct Copied {
    pub contents: Contents,
    pub redo: CopiedRedo,
    /// How long tables were locked.
    pub tables_locked: Duration,
}
