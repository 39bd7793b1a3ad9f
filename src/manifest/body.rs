//! The manifest: what a finished backup consists of. It is the last object of a backup; without it
//! there is none. How its bytes are protected and stored is in [`crate::manifest::document`].

use super::{
    AbsentSpace, BackupName, Dictionary, FileEntry, History, Layout, Mac, PageTracking,
    ReplicaPosition, packed,
};
use crate::innodb::{Lsn, PageSize};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Everything that a restore must know of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Manifest {
    /// `blake3:<64 hex digits>` of the document itself with these digits as zeros. Filled in when a
    /// manifest is read; ignored when one is written, the store computes it.
    #[serde(default, skip_serializing)]
    pub digest: String,
    /// Of an encrypted backup: made with its key, see [`Manifest::authenticate`]. It stands first, where
    /// its digits are found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// [`MANIFEST_FORMAT`](super::MANIFEST_FORMAT), or [`PACKED_FORMAT`](super::PACKED_FORMAT) when files share objects.
    pub format: u32,
    /// The version of the lsnap that wrote it.
    pub lsnap_version: String,
    /// A UUID: this backup and no other, whatever its name.
    pub id: String,
    /// Where it lies in the repository.
    pub name: BackupName,
    /// Full or incremental.
    pub kind: BackupKind,
    /// What an incremental stands on; `None` for a full backup.
    pub base: Option<BaseRef>,
    /// When the backup began (UTC).
    pub started_at: DateTime<Utc>,
    /// When the last file had been stored (UTC).
    pub finished_at: DateTime<Utc>,
    /// The server that was backed up.
    pub server: ServerIdentity,
    /// The positions in its redo log.
    pub lsn: LsnRange,
    /// The position in its binary log; `None` when it writes none.
    pub binlog: Option<Binlog>,
    /// Every file, in no particular order, each path once.
    pub files: Vec<FileEntry>,
    /// What was seen and deliberately not stored.
    pub left_out: Vec<LeftOutEntry>,
    /// How the pages that were read turned out.
    pub pages: PageCounts,
    /// Where the files' bytes are.
    #[serde(default, skip_serializing_if = "Layout::is_objects")]
    pub layout: Layout,
    /// How its changed pages were found; `None` when lsnap did not look at page tracking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_tracking: Option<PageTracking>,
    /// What the server's dictionary had; `None` in those of lsnaps that didn't look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dictionary: Option<Dictionary>,
    /// Of a replica: where it was in its sources' binary logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaPosition>,
    /// By what the next incremental knows the server again; `None` in backups of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
}

/// Full or incremental.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupKind {
    /// Every page.
    Full,
    /// The pages changed since a base.
    Incremental,
}

/// The backup that an incremental stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRef {
    /// Its name.
    pub name: BackupName,
    /// Its [`Manifest::id`].
    pub id: String,
    /// Its [`LsnRange::to_lsn`].
    pub to_lsn: Lsn,
}

/// A server, as far as a restore must know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerIdentity {
    /// `@@server_uuid`.
    pub uuid: String,
    /// `@@version`.
    pub version: String,
    /// Whose build it is, e.g. `MySQL`.
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
    /// `@@lower_case_table_names`: a restored server must run with the same.
    #[serde(default)]
    pub lower_case_table_names: u8,
}

/// Positions in the server's redo log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LsnRange {
    /// The `to_lsn` of the base; 0 for a full backup.
    pub from_lsn: Lsn,
    /// Pages with an LSN at or above it are in the backup; 0 for a full one.
    pub scan_floor: Lsn,
    /// The server's checkpoint when the copy began: where the redo of the backup starts.
    pub start_checkpoint: Lsn,
    /// The next incremental's `from_lsn`: [`Self::start_checkpoint`]. In a manifest of an lsnap before 2026-11-30, and
    /// in backups of xtrabackup, it is the server's checkpoint at the end.
    pub to_lsn: Lsn,
    /// The end of the redo of the backup.
    pub last_lsn: Lsn,
}

/// A position in the binary log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binlog {
    /// File name.
    pub file: String,
    /// Byte offset in it.
    pub position: u64,
    /// `gtid_executed` at that position; empty without GTIDs.
    pub gtid_executed: String,
}

/// Something that was deliberately not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutEntry {
    /// Its path.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// How pages turned out when they were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageCounts {
    /// Checksum, number and space right.
    pub verified: u64,
    /// All zero.
    pub zero: u64,
    /// Encrypted: only header fields could be checked.
    pub unverifiable: u64,
    /// Not checked (old doublewrite area).
    pub skipped: u64,
    /// Reads that were repeated because a page was torn.
    pub rereads: u64,
}

impl Manifest {
    /// The number of objects of its files, a pack counted once (lsnap's own documents not counted).
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.files.iter().flat_map(packed::counted).count() as u64
    }

    /// The bytes of these objects; saturates.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        let objects = self.files.iter().flat_map(|f| &f.objects);
        objects.fold(0, |sum, o| sum.saturating_add(o.bytes))
    }

    /// Length of the tablespace files of the server that it is a backup of, in bytes; saturates.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        let spaces = self.files.iter().filter_map(|f| f.role.space());
        spaces.fold(0, |sum, s| sum.saturating_add(s.bytes))
    }

    /// Tablespaces of the server whose files were missing when it was made.
    pub fn missing_tables(&self) -> impl Iterator<Item = &AbsentSpace> {
        self.dictionary.iter().flat_map(Dictionary::missing)
    }
}
