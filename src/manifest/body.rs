//! The manifest: the content of a finished backup. It is the last object that a backup writes;
//! without it, the backup is not finished. [`crate::manifest::document`] describes how its bytes
//! are protected and stored.

use super::{
    AbsentSpace, BackupName, Dictionary, FileEntry, History, Layout, Mac, PageTracking,
    ReplicaPosition, ScheduledRun, ServerSettings, packed,
};
use crate::innodb::{Lsn, PageSize};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Everything that a restore needs to know about a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Manifest {
    /// `blake3:<64 hex digits>` of the document itself, with these digits as zeros. Set when a
    /// manifest is read; ignored when it is written, because the store computes it.
    #[serde(default, skip_serializing)]
    pub digest: String,
    /// The MAC of an encrypted backup: computed with its key, see [`Manifest::authenticate`]. It is the
    /// first field, so that its digits can be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// [`MANIFEST_FORMAT`](super::MANIFEST_FORMAT), or [`PACKED_FORMAT`](super::PACKED_FORMAT) when files share objects.
    pub format: u32,
    /// The version of lsnap that wrote the manifest.
    pub lsnap_version: String,
    /// A UUID that identifies the backup, independent of its name.
    pub id: String,
    /// The name of the backup: its path in the repository.
    pub name: BackupName,
    /// Full or incremental.
    pub kind: BackupKind,
    /// The base of an incremental; `None` for a full backup.
    pub base: Option<BaseRef>,
    /// When the backup began (UTC).
    pub started_at: DateTime<Utc>,
    /// When the last file was stored (UTC).
    pub finished_at: DateTime<Utc>,
    /// The server that was backed up.
    pub server: ServerIdentity,
    /// The positions in its redo log.
    pub lsn: LsnRange,
    /// The position in its binary log; `None` if the server writes none.
    pub binlog: Option<Binlog>,
    /// Every file, in no particular order, each path once.
    pub files: Vec<FileEntry>,
    /// Files that were found and deliberately not stored.
    pub left_out: Vec<LeftOutEntry>,
    /// The results of the checks of the pages that were read.
    pub pages: PageCounts,
    /// The location of the bytes of the files.
    #[serde(default, skip_serializing_if = "Layout::is_objects")]
    pub layout: Layout,
    /// How the changed pages were found; `None` if page tracking was not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_tracking: Option<PageTracking>,
    /// The tablespaces of the server's dictionary; `None` in manifests of versions that didn't read
    /// them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dictionary: Option<Dictionary>,
    /// The position of a replica in the binary logs of its sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaPosition>,
    /// Marks by which the next incremental identifies the server; `None` in backups of older
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// The schedule that the backup was made for; `None` if it was made by hand, and in backups of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<ScheduledRun>,
}

/// Full or incremental.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BackupKind {
    /// Every page.
    Full,
    /// The pages changed since the base.
    Incremental,
}

/// The base of an incremental.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRef {
    /// Its name.
    pub name: BackupName,
    /// Its [`Manifest::id`].
    pub id: String,
    /// Its [`LsnRange::to_lsn`].
    pub to_lsn: Lsn,
}

/// The properties of a server that a restore needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServerIdentity {
    /// `@@server_uuid`.
    pub uuid: String,
    /// `@@version`.
    pub version: String,
    /// The distribution, e.g. `MySQL`.
    pub flavor: String,
    /// `@@hostname`.
    pub hostname: String,
    /// `@@innodb_page_size`.
    pub page_size: PageSize,
    /// Format number in the redo files' header.
    pub redo_format: u32,
    /// Creator string in the redo files' header.
    pub redo_creator: String,
    /// Log uuid in the redo files' header.
    pub redo_log_uuid: u32,
    /// `@@innodb_data_file_path`.
    pub data_file_path: String,
    /// `@@lower_case_table_names`: a restored server must run with the same value.
    #[serde(default)]
    pub lower_case_table_names: u8,
    /// Its address and further settings; `None` in manifests of earlier versions and in backups of
    /// other programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<ServerSettings>,
}

/// Positions in the server's redo log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LsnRange {
    /// The `to_lsn` of the base; 0 for a full backup.
    pub from_lsn: Lsn,
    /// Every page with this LSN or a later one is in the backup; 0 for a full backup.
    pub scan_floor: Lsn,
    /// The server's checkpoint when the copy began: the start of the redo of the backup.
    pub start_checkpoint: Lsn,
    /// The next incremental's `from_lsn`: [`Self::start_checkpoint`]. In manifests of lsnap before
    /// 2026-11-30, and in backups of xtrabackup, it is the server's checkpoint at the end.
    pub to_lsn: Lsn,
    /// The end of the redo of the backup.
    pub last_lsn: Lsn,
}

/// A position in the binary log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Binlog {
    /// File name.
    pub file: String,
    /// Byte offset in it.
    pub position: u64,
    /// `gtid_executed` at that position; empty without GTIDs.
    pub gtid_executed: String,
}

/// A file that was deliberately not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LeftOutEntry {
    /// Its path.
    pub path: String,
    /// The reason.
    pub reason: String,
}

/// The results of the checks of pages, as counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PageCounts {
    /// Pages whose checksum, page number and space id are right.
    pub verified: u64,
    /// Pages of zeros only.
    pub zero: u64,
    /// Encrypted pages: only their header fields could be checked.
    pub unverifiable: u64,
    /// Pages that were not checked (old doublewrite area).
    pub skipped: u64,
    /// Reads that were repeated because a page was torn.
    pub rereads: u64,
}

impl Manifest {
    /// Returns the number of objects of the files, with a pack counted once. lsnap's own documents
    /// are not counted.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.files.iter().flat_map(packed::counted).count() as u64
    }

    /// Returns the length of these objects in bytes; saturates.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        let objects = self.files.iter().flat_map(|f| &f.objects);
        objects.fold(0, |sum, o| sum.saturating_add(o.bytes))
    }

    /// Returns the length of the server's tablespace files in bytes; saturates.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        let spaces = self.files.iter().filter_map(|f| f.role.space());
        spaces.fold(0, |sum, s| sum.saturating_add(s.bytes))
    }

    /// Returns the tablespaces of the server whose files were missing when the backup was made.
    pub fn missing_tables(&self) -> impl Iterator<Item = &AbsentSpace> {
        self.dictionary.iter().flat_map(Dictionary::missing)
    }
}
