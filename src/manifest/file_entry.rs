//! The files of a backup and their objects.

use super::digest::known;
use super::{CompressionFormat, Digest, StoredPath, Wrapping};
use crate::innodb::{Lsn, PageSize, SpaceFlags, SpaceId};
use serde::{Deserialize, Serialize};

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
    pub(super) const fn is_objects(&self) -> bool {
        matches!(self, Self::Objects)
    }
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

/// An offset in a file as it is stored. A type of its own, because in a wrapped file it is another than the offset in the
/// file itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoredOffset(pub u64);

impl StoredOffset {
    /// The bytes from `earlier` to here; `None` if that lies behind it.
    pub(crate) const fn since(self, earlier: Self) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }
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
    pub at: Option<StoredOffset>,
    /// Length of the object in bytes.
    pub bytes: u64,
    /// Digest of its bytes. `None`, written as an empty text, only for a range of a file that was read from a directory.
    #[serde(with = "known")]
    pub digest: Option<Digest>,
    /// Where it lies in an object that it shares with other files; `None`: it is an object of its own.
    /// `bytes` and `digest` are of its own bytes in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<PackPlace>,
}

impl ObjectEntry {
    /// Its digest as it is written; empty if it is not known.
    pub(crate) fn digest_text(&self) -> String {
        self.digest
            .map(|digest| digest.to_string())
            .unwrap_or_default()
    }

    /// Where its first byte lies in the file as stored: without a wrapping, where it lies in the file itself.
    #[must_use]
    pub const fn stored_offset(&self) -> StoredOffset {
        match self.at {
            Some(at) => at,
            None => StoredOffset(self.offset),
        }
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
        match &wrapping.compression {
            Some(CompressionFormat::Zstd) => path.strip_suffix(".zst").unwrap_or(path),
            Some(CompressionFormat::Lz4) => path.strip_suffix(".lz4").unwrap_or(path),
            _ => path,
        }
    }
}

/// The object that a packed file lies in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackPlace {
    /// Its name within the backup: that of the pack's first file with the 20 zeros.
    pub object: String,
    /// Offset in it of the file's first byte.
    pub from: u64,
}

impl PackPlace {
    /// What messages call a file in a pack with this key: there is no object of the file's name.
    pub(crate) fn named(&self, key: &str, path: &str) -> String {
        format!("{key} (file {path} at byte {} of it)", self.from)
    }
}
