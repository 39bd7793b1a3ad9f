//! `lsnap_manifest.json`: all that a restore must know of a backup, and a digest of everything.
//!
//! It is stored like every other file of a backup, as xbstream chunks. Its last field is a digest
//! over its own text, taken with 64 zeros in the digest's place.

use super::{BackupName, StoreError};
use crate::innodb::{Lsn, PageSize, SpaceFlags, SpaceId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The manifest's path within a backup.
pub const MANIFEST: &str = "lsnap_manifest.json";
/// The format that this code writes and reads.
const FORMAT: u32 = 1;
/// What stands before the digest of the manifest itself.
const SELF: &str = "\"digest\":\"blake3:";
/// Hexadecimal digits of a digest.
const HEX: usize = 64;
/// The largest manifest that is read, in bytes.
pub(super) const BYTES_MAX: u64 = 1 << 30;

/// A finished backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this structure: 1.
    pub format: u32,
    /// The lsnap that wrote it.
    pub lsnap_version: String,
    /// A UUID of this backup.
    pub id: String,
    /// Its name in the repository.
    pub name: BackupName,
    /// Full or incremental.
    pub kind: BackupKind,
    /// What it continues; `None` for a full one.
    pub base: Option<BaseRef>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When its data was complete.
    pub finished_at: DateTime<Utc>,
    /// The server that it is a backup of.
    pub server: ServerIdentity,
    /// Its places in the server's redo log.
    pub lsn: LsnRange,
    /// Its place in the server's binary log; `None` when the server had none.
    pub binlog: Option<Binlog>,
    /// Its files.
    pub files: Vec<FileEntry>,
    /// What was found beside the data and is not in the backup.
    pub left_out: Vec<LeftOutEntry>,
    /// What the page checks counted.
    pub pages: PageCounts,
    /// Digest of this text; empty until it is written.
    #[serde(default)]
    pub digest: String,
}

/// Full or incremental.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupKind {
    /// Holds every page.
    Full,
    /// Holds the pages that changed since its base.
    Incremental,
}

/// The backup that an incremental continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRef {
    /// Its name.
    pub name: BackupName,
    /// Its [`Manifest::id`].
    pub id: String,
    /// Its `to_lsn`, which is the incremental's `from_lsn`.
    pub to_lsn: Lsn,
}

/// A server, as far as backups and restores must know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerIdentity {
    /// `server_uuid`.
    pub uuid: String,
    /// `version`.
    pub version: String,
    /// MySQL or Percona Server.
    pub flavor: String,
    /// `hostname`.
    pub hostname: String,
    /// `innodb_page_size`.
    pub page_size: PageSize,
    /// Format of the redo files.
    pub redo_format: u32,
    /// Creator in the header of the redo files.
    pub redo_creator: String,
    /// Identity of the set of redo files.
    pub redo_log_uuid: u32,
    /// `innodb_data_file_path`, base names only.
    pub data_file_path: String,
    /// `lower_case_table_names`: a restored server must run with the same.
    #[serde(default)]
    pub lower_case_table_names: u8,
}

/// The places of a backup in the redo log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LsnRange {
    /// The `to_lsn` of what it continues; 0 for a full backup.
    pub from_lsn: Lsn,
    /// Pages with this LSN or a later one are in the deltas; 0 for a full backup.
    pub scan_floor: Lsn,
    /// The checkpoint before the first page was read; the redo begins there.
    pub start_checkpoint: Lsn,
    /// The last checkpoint at the end.
    pub to_lsn: Lsn,
    /// The end of the redo: the state that a restore gives.
    pub last_lsn: Lsn,
}

/// A place in the binary log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binlog {
    /// The file's name.
    pub file: String,
    /// Offset in it, in bytes.
    pub position: u64,
    /// The GTID set of everything before that place; empty without GTIDs.
    pub gtid_executed: String,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its path as stored, such as `db/t.ibd.delta`.
    pub path: String,
    /// What it is.
    #[serde(flatten)]
    pub role: FileRole,
    /// Its length, in bytes.
    pub bytes: u64,
    /// Its objects, by index.
    pub objects: Vec<ObjectEntry>,
}

/// What a file of a backup is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum FileRole {
    /// A whole tablespace file.
    Tablespace(SpaceFile),
    /// The changed pages of a tablespace file.
    Delta(SpaceFile),
    /// The `.meta` beside a delta.
    DeltaMeta,
    /// A file of another engine, or of the server.
    Plain,
    /// The end of the binary log, which tells recovery what was committed.
    BinaryLog,
    /// `xtrabackup_logfile`.
    Redo,
    /// A file about the backup.
    Metadata,
}

impl FileRole {
    /// The tablespace file that it is, or is a delta of.
    #[must_use]
    pub const fn space(&self) -> Option<&SpaceFile> {
        match self {
            Self::Tablespace(space) | Self::Delta(space) => Some(space),
            _ => None,
        }
    }
}

/// A file of a tablespace, as it is to be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceFile {
    /// Its path in a restored directory, such as `db/t.ibd`.
    pub name: String,
    /// The tablespace.
    pub space_id: SpaceId,
    /// Which file of it: 0, or the ordinal of `ibdataN`.
    pub node: u32,
    /// The tablespace's flags.
    pub flags: SpaceFlags,
    /// Physical page size.
    pub page_size: PageSize,
    /// Length of the file, in bytes.
    pub bytes: u64,
    /// Whether it holds undo logs.
    pub undo: bool,
    /// Whether its pages are encrypted.
    pub encrypted: bool,
    /// The directory outside of the data directory where it was.
    pub external: Option<String>,
    /// The tablespace's name in the server.
    pub tablespace_name: Option<String>,
}

/// An object of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectEntry {
    /// Its number in the file, from 0.
    pub index: u64,
    /// Where in the file its first chunk belongs, in bytes.
    pub offset: u64,
    /// Its length, in bytes.
    pub bytes: u64,
    /// `blake3:` and 64 hexadecimal digits.
    pub digest: String,
}

/// Something that is not in the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutEntry {
    /// Where it lies.
    pub path: String,
    /// Why it was left out.
    pub reason: String,
}

/// What the page checks counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PageCounts {
    /// Pages whose checksum was right.
    pub verified: u64,
    /// Pages of zeros.
    pub zero: u64,
    /// Pages that can't be checked without a key: read until two reads agreed.
    pub unverifiable: u64,
    /// Pages that are never checked (an old doublewrite area).
    pub skipped: u64,
    /// Reads that were repeated because a page was being written.
    pub rereads: u64,
}

/// The digest of an object, as the manifest writes it.
pub(super) fn digest_text(hash: &blake3::Hash) -> String {
    format!("blake3:{}", hash.to_hex())
}

impl Manifest {
    /// The manifest's text, with its digest.
    pub(super) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let mut this = self.clone();
        this.digest = format!("blake3:{}", "0".repeat(HEX));
        let mut text = serde_json::to_vec(&this).map_err(|e| StoreError::Failed {
            action: "encode",
            object: format!("{}/{MANIFEST}", self.name),
            reason: e.to_string(),
        })?;
        let hash = blake3::hash(&text).to_hex();
        let at = text.len() - HEX - 2;
        text[at..at + HEX].copy_from_slice(hash.as_bytes());
        Ok(text)
    }

    /// Reads a manifest's text and checks its digest and format.
    pub(super) fn decode(text: &[u8], name: &BackupName) -> Result<Self, StoreError> {
        let damaged = |what: String| StoreError::Damaged {
            object: format!("{name}/{MANIFEST}"),
            what,
        };
        let tail = text
            .len()
            .checked_sub(SELF.len() + HEX + 2)
            .map(|at| &text[at..]);
        let ends = tail.is_some_and(|t| t.starts_with(SELF.as_bytes()) && t.ends_with(b"\"}"));
        if !ends {
            return Err(damaged(
                "it does not end with its digest: it was cut off or changed".into(),
            ));
        }
        let at = text.len() - HEX - 2;
        let found = {
            let mut hasher = blake3::Hasher::new();
            hasher
                .update(&text[..at])
                .update(&[b'0'; HEX])
                .update(&text[at + HEX..]);
            hasher.finalize().to_hex()
        };
        if found.as_bytes() != &text[at..at + HEX] {
            return Err(damaged(format!(
                "its digest is {found}, it says {}",
                String::from_utf8_lossy(&text[at..at + HEX])
            )));
        }
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(text).map_err(|e| damaged(e.to_string()))?;
        if format != FORMAT {
            return Err(damaged(format!(
                "its format is {format}, this lsnap reads {FORMAT}: use a newer one"
            )));
        }
        let this: Self = serde_json::from_slice(text).map_err(|e| damaged(e.to_string()))?;
        if this.name != *name {
            return Err(damaged(format!(
                "it is the manifest of {}: the backup was renamed or copied",
                this.name
            )));
        }
        Ok(this)
    }
}
