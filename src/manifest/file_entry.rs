//! The files of a backup and their objects.

use super::digest::known;
use super::{CompressionFormat, Digest, StoredPath, Wrapping};
use crate::innodb::{Lsn, PageSize, SpaceFlags, SpaceId};
use serde::{Deserialize, Serialize};

/// The location of the bytes of a backup's files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// In objects of a repository; each object is one or more whole xbstream chunks.
    #[default]
    Objects,
    /// In one xbstream, or in the directory that it was extracted to. An [`ObjectEntry`] is then a
    /// range of its file, and its length and digest are those of the stored bytes, without chunk
    /// headers and holes.
    Stream,
}

impl Layout {
    #[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde requires
    pub(super) const fn is_objects(&self) -> bool {
        matches!(self, Self::Objects)
    }
}

/// One file of the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path as stored, e.g. `db/t.ibd.delta` or `db/t.ibd.zst.xbcrypt`. The path without suffixes
    /// is [`plain_path`](Self::plain_path).
    pub path: StoredPath,
    /// Its role in the backup.
    pub role: FileRole,
    /// Logical length before compression and encryption, in bytes (without a wrapping: the length
    /// after `xbstream -x`).
    pub bytes: u64,
    /// How the file is compressed and encrypted; `None`: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrapping: Option<Wrapping>,
    /// Its objects, by index, dense from 0.
    pub objects: Vec<ObjectEntry>,
}

/// The role of a file in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileRole {
    /// A whole tablespace file.
    Tablespace(SpaceFile),
    /// The changed pages of a tablespace file (`.delta`).
    Delta(SpaceFile),
    /// The `.meta` file of a delta.
    DeltaMeta,
    /// A file of the server that is copied unchanged.
    Plain,
    /// The end of the binary log, which recovery needs to find the committed transactions.
    BinaryLog,
    /// `xtrabackup_logfile`.
    Redo,
    /// A file that only describes the backup.
    Metadata,
}

impl FileRole {
    /// Returns its name as it is written: `delta_meta`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Tablespace(_) => "tablespace",
            Self::Delta(_) => "delta",
            Self::DeltaMeta => "delta_meta",
            Self::Plain => "plain",
            Self::BinaryLog => "binary_log",
            Self::Redo => "redo",
            Self::Metadata => "metadata",
        }
    }

    /// Returns the tablespace file that the file is, or is a delta of.
    #[must_use]
    pub const fn space(&self) -> Option<&SpaceFile> {
        match self {
            Self::Tablespace(space) | Self::Delta(space) => Some(space),
            _ => None,
        }
    }
}

/// The tablespace file that a stored file is restored to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceFile {
    /// Restored path, e.g. `db/t.ibd`.
    pub name: String,
    /// The id of the tablespace.
    pub space_id: SpaceId,
    /// 0, or the ordinal of `ibdataN`.
    pub node: u32,
    /// The flags in its page 0.
    pub flags: SpaceFlags,
    /// Physical page size.
    pub page_size: PageSize,
    /// Length of the tablespace file in bytes.
    pub bytes: u64,
    /// True if it is an undo tablespace.
    pub undo: bool,
    /// True if its pages are encrypted.
    pub encrypted: bool,
    /// The directory outside of the data directory that contains it.
    pub external: Option<String>,
    /// The SQL name of the tablespace, if it has one.
    pub tablespace_name: Option<String>,
    /// Of a delta: it holds every page with this LSN or a later one. 0: it holds every page that
    /// isn't zeros, so nothing older is needed. `None` in manifests of versions that don't record
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Lsn>,
    /// Bytes that the file occupied on the source's disk, if that is less than `bytes` because of
    /// holes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated: Option<u64>,
}

/// An offset in a file as it is stored. It has a type of its own because in a wrapped file it
/// differs from the offset in the plain file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoredOffset(pub u64);

impl StoredOffset {
    /// Returns the number of bytes from `earlier` to here; `None` if `earlier` is greater.
    pub(crate) const fn since(self, earlier: Self) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }
}

/// One object of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectEntry {
    /// The number in its name (20 digits).
    pub index: u64,
    /// Offset of its first byte in the plain file, in bytes; a leading hole belongs to the object.
    pub offset: u64,
    /// Offset of its first byte in the file as stored, if it differs because of a wrapping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<StoredOffset>,
    /// Length of the object in bytes.
    pub bytes: u64,
    /// Digest of its bytes. `None`, written as an empty text, only for a range of a file that was
    /// read from a directory.
    #[serde(with = "known")]
    pub digest: Option<Digest>,
    /// Its position in an object that it shares with other files; `None`: it is an object of its
    /// own. `bytes` and `digest` are always those of its own bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<PackPlace>,
}

impl ObjectEntry {
    /// Returns its digest as it is written; empty if it is unknown.
    pub(crate) fn digest_text(&self) -> String {
        self.digest
            .map(|digest| digest.to_string())
            .unwrap_or_default()
    }

    /// Returns the offset of its first byte in the file as stored; without a wrapping, that is the
    /// offset in the plain file.
    #[must_use]
    pub const fn stored_offset(&self) -> StoredOffset {
        match self.at {
            Some(at) => at,
            None => StoredOffset(self.offset),
        }
    }
}

impl FileEntry {
    /// Returns its path without the suffixes of its wrapping.
    #[must_use]
    pub fn plain_path(&self) -> &str {
        let Some(wrapping) = &self.wrapping else {
            return self.path.as_stored();
        };
        let mut path = self.path.as_stored();
        if wrapping.encryption.is_some() {
            path = path.strip_suffix(".xbcrypt").unwrap_or(path);
        }
        match &wrapping.compression {
            Some(CompressionFormat::Zstd) => path.strip_suffix(".zst").unwrap_or(path),
            Some(CompressionFormat::Lz4) => path.strip_suffix(".lz4").unwrap_or(path),
            _ => path,
        }
    }
}

/// The position of a packed file in its pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackPlace {
    /// Name of the pack within the backup: the path of the pack's first file and 20 zeros.
    pub object: String,
    /// Offset of the file's first byte in the pack.
    pub from: u64,
}

impl PackPlace {
    /// Returns the text by which messages name a file in a pack with this key, because the file has
    /// no object of its own.
    pub(crate) fn named(&self, key: &str, path: &str) -> String {
        format!("{key} (file {path} at byte {} of it)", self.from)
    }
}
