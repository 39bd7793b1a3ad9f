//! The manifest: what a finished backup consists of. It is the last object of a backup; without it
//! there is none. How its bytes are protected and stored is in [`crate::manifest::document`].

use crate::manifest::check_path;
use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::counted::count;
use crate::innodb::{Lsn, PageSize, SpaceFlags, SpaceId};
use crate::manifest::dictionary::is_zero;
use crate::manifest::{
    AbsentSpace, BackupName, Dictionary, Finding, History, Mac, PackPlace, PageTracking,
    ReplicaPosition, StoredPath, packed,
};

/// The format of a manifest without packs. Fields may be added without a new number; a change
/// that makes an older reader restore wrongly needs one.
pub const MANIFEST_FORMAT: u32 = 1;

/// The format of a manifest with packs ([`ObjectEntry::pack`]), and of its summary.
pub const PACKED_FORMAT: u32 = 2;

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
    /// [`MANIFEST_FORMAT`], or [`PACKED_FORMAT`] when files share objects.
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

/// Where the bytes of a backup's files are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// In objects of a repository, each one or more whole xbstream chunks.
    #[default]
    Objects,
    /// In one xbstream, and in the directory that it is extracted to. An [`ObjectEntry`] then stands
    /// for a range of its file, and its length and digest are of the stored bytes themselves, without
    /// the chunks' headers and holes.
    Stream,
}

impl Layout {
    #[allow(clippy::trivially_copy_pass_by_ref)] // as serde wants it
    const fn is_objects(&self) -> bool {
        matches!(self, Self::Objects)
    }
}

/// What lies around a file's bytes where they are stored: first compressed, then encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrapping {
    /// `zstd` or `lz4`: concatenated frames, at least one a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// `AES128`, `AES192` or `AES256`: xbcrypt chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
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

/// One file of the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path as stored, e.g. `db/t.ibd.delta` or `db/t.ibd.zst.xbcrypt`. The name of the file is
    /// [`plain_path`](Self::plain_path).
    pub path: StoredPath,
    /// What it is.
    pub role: FileRole,
    /// Logical length before it was wrapped, in bytes (without a wrapping: what `xbstream -x` makes of
    /// it).
    pub bytes: u64,
    /// What lies around its bytes; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrapping: Option<Wrapping>,
    /// Its objects, by index, dense from 0.
    pub objects: Vec<ObjectEntry>,
}

/// What a file of a backup is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileRole {
    /// A whole tablespace file.
    Tablespace(SpaceFile),
    /// The changed pages of one (`.delta`).
    Delta(SpaceFile),
    /// A `.meta` file beside a delta.
    DeltaMeta,
    /// A file of the server that is copied as it is.
    Plain,
    /// The end of the binary log, which tells recovery what was committed.
    BinaryLog,
    /// `xtrabackup_logfile`.
    Redo,
    /// A file that only describes the backup.
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

/// The tablespace file that a stored file becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceFile {
    /// Restored path, e.g. `db/t.ibd`.
    pub name: String,
    /// Which tablespace.
    pub space_id: SpaceId,
    /// 0, or the ordinal of `ibdataN`.
    pub node: u32,
    /// The flags in its page 0.
    pub flags: SpaceFlags,
    /// Physical page size.
    pub page_size: PageSize,
    /// Length of the tablespace file in bytes.
    pub bytes: u64,
    /// An undo tablespace.
    pub undo: bool,
    /// Its pages are encrypted.
    pub encrypted: bool,
    /// The directory outside of the datadir that it came from.
    pub external: Option<String>,
    /// The tablespace's SQL name, where it has one.
    pub tablespace_name: Option<String>,
    /// Of a delta: the delta holds every page with an LSN at or above this one. 0: it holds every page
    /// that isn't zeros, so nothing older is needed. `None` in manifests that don't record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Lsn>,
    /// Bytes that the file took on the source's disk, where holes made that fewer than `bytes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated: Option<u64>,
}

/// One object of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectEntry {
    /// The 20 digits of its name.
    pub index: u64,
    /// Logical offset in the (unwrapped) file of its first byte, that of a leading hole included.
    pub offset: u64,
    /// Offset of its first byte in the file as stored, where a wrapping makes it another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// Length of the object in bytes.
    pub bytes: u64,
    /// `blake3:<64 hex digits>` of its bytes.
    pub digest: String,
    /// Where it lies in an object that it shares with other files; `None`: it is an object of its own.
    /// `bytes` and `digest` are of its own bytes in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<PackPlace>,
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

    /// Whether it contradicts itself; the text says where.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub fn check(&self) -> Result<(), Finding> {
        check_kind(self.kind, self.base.as_ref(), &self.name, &self.lsn)?;
        if self.id.is_empty() || self.server.uuid.is_empty() {
            return Err("id and server uuid must not be empty".into());
        }
        let mut paths = HashSet::with_capacity(self.files.len());
        for file in &self.files {
            if !paths.insert(file.path.as_stored()) {
                return Err(format!("file {} is listed twice", file.path).into());
            }
            file.check(self.layout)?;
            file.check_floor(self.lsn.scan_floor)?;
        }
        if packed::any(&self.files) && self.format < PACKED_FORMAT {
            return Err(Finding::new(
                format!("it has format {} and files that share objects", self.format),
                format!("format {PACKED_FORMAT}"),
            ));
        }
        if let Some(dictionary) = &self.dictionary {
            dictionary.check(&self.files)?;
        }
        packed::check(&self.files, self.layout)
    }
}

impl FileEntry {
    /// Its path without the suffixes of its wrapping.
    #[must_use]
    pub fn plain_path(&self) -> &str {
        let Some(wrapping) = &self.wrapping else {
            return self.path.as_stored();
        };
        let mut path = self.path.as_stored();
        if wrapping.encryption.is_some() {
            path = path.strip_suffix(".xbcrypt").unwrap_or(path);
        }
        match wrapping.compression.as_deref() {
            Some("zstd") => path.strip_suffix(".zst").unwrap_or(path),
            Some("lz4") => path.strip_suffix(".lz4").unwrap_or(path),
            _ => path,
        }
    }

    fn check(&self, layout: Layout) -> Result<(), Finding> {
        check_path(self.path.as_stored()).map_err(|e| e.to_string())?;
        if let Some(space) = self.role.space() {
            check_path(&space.name).map_err(|e| format!("restored path of {}: {e}", self.path))?;
        }
        check_objects_of(self.path.as_stored(), &self.objects, layout)?;
        self.check_lengths()?;
        self.check_last()
    }

    fn check_last(&self) -> Result<(), Finding> {
        match self.objects.last() {
            Some(last) if last.offset > self.bytes => Err(format!(
                "file {} has {}, but object {} begins at {}",
                self.path,
                count(self.bytes, "byte"),
                last.index,
                last.offset
            )
            .into()),
            _ => Ok(()),
        }
    }
}

/// Indices dense from 0, offsets from 0 and never falling, no empty object, digests well formed.
pub(crate) fn check_objects(path: &str, objects: &[ObjectEntry]) -> Result<(), Finding> {
    check_objects_of(path, objects, Layout::Objects)
}

/// As [`check_objects`]; a range of a stream may have no bytes of its own (the end of a file).
fn check_objects_of(path: &str, objects: &[ObjectEntry], layout: Layout) -> Result<(), Finding> {
    if objects.is_empty() {
        return Err(Finding::new(
            format!("file {path} has no objects"),
            "at least its end chunk",
        ));
    }
    let mut floor = 0;
    for (expected, object) in (0u64..).zip(objects) {
        if object.index != expected {
            return Err(Finding::new(
                format!("file {path}: object index {}", object.index),
                expected,
            ));
        }
        if object.offset < floor || (expected == 0 && object.offset != 0) {
            return Err(Finding::new(
                format!("file {path}: object {expected} begins at {}", object.offset),
                format!(
                    "{} {floor}",
                    if expected == 0 { "exactly" } else { "at least" }
                ),
            ));
        }
        if (object.bytes == 0 && layout == Layout::Objects) || !is_digest(&object.digest) {
            return Err(Finding::new(
                format!(
                    "file {path}: object {expected} has {} and digest `{}`",
                    count(object.bytes, "byte"),
                    object.digest
                ),
                "some bytes and blake3:<64 hex digits>",
            ));
        }
        floor = object.offset;
    }
    Ok(())
}

pub(crate) fn check_kind(
    kind: BackupKind,
    base: Option<&BaseRef>,
    name: &BackupName,
    lsn: &LsnRange,
) -> Result<(), Finding> {
    match (kind, base) {
        (BackupKind::Full, None) => {
            if name.is_incremental() || lsn.from_lsn != Lsn(0) || lsn.scan_floor != Lsn(0) {
                return Err(format!(
                    "a full backup lies outside of .incr directories and starts at LSN 0; found {name}, \
                     from_lsn {}, scan_floor {}",
                    lsn.from_lsn, lsn.scan_floor
                ).into());
            }
        }
        (BackupKind::Incremental, Some(base)) => {
            if !name.is_incremental()
                || lsn.from_lsn != base.to_lsn
                || lsn.scan_floor > lsn.from_lsn
            {
                return Err(format!(
                    "an incremental lies in a .incr directory, starts at its base's to_lsn {} and scans \
                     from there or below; found {name}, from_lsn {}, scan_floor {}",
                    base.to_lsn, lsn.from_lsn, lsn.scan_floor
                ).into());
            }
        }
        (kind, base) => {
            return Err(format!(
                "kind {kind:?} with {} base",
                if base.is_some() { "a" } else { "no" }
            )
            .into());
        }
    }
    if lsn.from_lsn > lsn.to_lsn || lsn.start_checkpoint > lsn.to_lsn || lsn.to_lsn > lsn.last_lsn {
        return Err(format!(
            "expected from_lsn <= to_lsn <= last_lsn and start_checkpoint <= to_lsn; found from_lsn {}, \
             start_checkpoint {}, to_lsn {}, last_lsn {}",
            lsn.from_lsn, lsn.start_checkpoint, lsn.to_lsn, lsn.last_lsn
        ).into());
    }
    Ok(())
}

/// `blake3:<hex>`, as digests are written everywhere in a repository.
pub(crate) fn digest_text(hash: blake3::Hash) -> String {
    format!("{DIGEST_TAG}{}", hash.to_hex())
}

pub(crate) const DIGEST_TAG: &str = "blake3:";

fn is_digest(text: &str) -> bool {
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.strip_prefix(DIGEST_TAG)
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(lower_hex))
}

/// The manifest without its files: what a listing shows, and all that the rules of a chain look at.
/// Stored beside it as `lsnap_summary.json`, because a manifest grows with the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The manifest's format number.
    pub format: u32,
    /// The manifest's own digest.
    pub manifest_digest: String,
    /// Length in bytes of the manifest's object.
    pub manifest_bytes: u64,
    /// See [`Manifest::lsnap_version`].
    pub lsnap_version: String,
    /// See [`Manifest::id`].
    pub id: String,
    /// See [`Manifest::name`].
    pub name: BackupName,
    /// See [`Manifest::kind`].
    pub kind: BackupKind,
    /// See [`Manifest::base`].
    pub base: Option<BaseRef>,
    /// See [`Manifest::started_at`].
    pub started_at: DateTime<Utc>,
    /// See [`Manifest::finished_at`].
    pub finished_at: DateTime<Utc>,
    /// See [`ServerIdentity::uuid`].
    pub server_uuid: String,
    /// See [`ServerIdentity::redo_log_uuid`]; `None` in those of earlier lsnaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redo_log_uuid: Option<u32>,
    /// See [`ServerIdentity::version`].
    pub server_version: String,
    /// See [`ServerIdentity::hostname`]; empty in those of the first lsnaps.
    #[serde(default)]
    pub hostname: String,
    /// See [`Manifest::lsn`].
    pub lsn: LsnRange,
    /// See [`Manifest::binlog`].
    pub binlog: Option<Binlog>,
    /// See [`Manifest::pages`].
    pub pages: PageCounts,
    /// Number of files.
    pub files: u64,
    /// Bytes of the tablespaces when restored; saturates.
    pub data_bytes: u64,
    /// See [`Manifest::objects`].
    pub objects: u64,
    /// See [`Manifest::stored_bytes`].
    pub stored_bytes: u64,
    /// See [`Dictionary::lacking`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing_tables: u64,
}

impl Summary {
    /// Fields that say something else than the manifest, each with what was found and what was expected. Those that
    /// an earlier lsnap didn't write are passed over, and so are the manifest's length and digest, which are compared
    /// with the object itself.
    #[must_use]
    pub fn differences(&self, manifest: &Manifest) -> Vec<(String, String, String)> {
        let mut of_manifest = Self::of(manifest, self.manifest_digest.clone(), self.manifest_bytes);
        if self.redo_log_uuid.is_none() {
            of_manifest.redo_log_uuid = None;
        }
        if self.hostname.is_empty() {
            of_manifest.hostname.clear();
        }
        let fields = |summary: &Self| match serde_json::to_value(summary) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let (found, expected) = (fields(self), fields(&of_manifest));
        let names: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
        let text = |value: Option<&serde_json::Value>| {
            value.map_or_else(|| "nothing".to_owned(), ToString::to_string)
        };
        let differ = names
            .into_iter()
            .filter(|name| found.get(*name) != expected.get(*name));
        differ
            .map(|name| {
                (
                    name.clone(),
                    text(found.get(name)),
                    text(expected.get(name)),
                )
            })
            .collect()
    }

    /// Of a manifest that is stored with `digest` in an object of `bytes` bytes.
    pub(crate) fn of(manifest: &Manifest, digest: String, bytes: u64) -> Self {
        Self {
            format: manifest.format,
            manifest_digest: digest,
            manifest_bytes: bytes,
            lsnap_version: manifest.lsnap_version.clone(),
            id: manifest.id.clone(),
            name: manifest.name.clone(),
            kind: manifest.kind,
            base: manifest.base.clone(),
            started_at: manifest.started_at,
            finished_at: manifest.finished_at,
            server_uuid: manifest.server.uuid.clone(),
            redo_log_uuid: Some(manifest.server.redo_log_uuid),
            server_version: manifest.server.version.clone(),
            hostname: manifest.server.hostname.clone(),
            lsn: manifest.lsn,
            binlog: manifest.binlog.clone(),
            pages: manifest.pages,
            files: manifest.files.len() as u64,
            data_bytes: manifest.data_bytes(),
            objects: manifest.objects(),
            stored_bytes: manifest.stored_bytes(),
            missing_tables: manifest.dictionary.as_ref().map_or(0, Dictionary::lacking),
        }
    }
}
