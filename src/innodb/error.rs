//! The errors of parsing InnoDB's formats.

use super::ids::{BadPageSize, Lsn};
use crate::counted::count;
use crate::error_kind::ErrorKind;

/// Why bytes are not in a format that InnoDB of a supported version writes. The caller adds the
/// name of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InnodbError {
    /// The input is shorter than the structure.
    #[error("{what}: {found} given, at least {expected} needed; the file is cut short", found = count(found, "byte"))]
    Short {
        /// The structure.
        what: &'static str,
        /// Bytes given.
        found: usize,
        /// Bytes needed.
        expected: usize,
    },
    /// Tablespace flags that no supported server writes.
    #[error(
        "tablespace flags {flags:#010x}: {reason}; the first page is damaged, or the file is no MySQL 8.0+ tablespace"
    )]
    BadFlags {
        /// The flags as found at byte 54 of page 0.
        flags: u32,
        /// The part of the flags that is wrong.
        reason: &'static str,
    },
    /// A page size in the flags or the settings that does not exist.
    #[error(transparent)]
    PageSize(#[from] BadPageSize),
    /// Page 0 is all zero: the file has been created, and its header has not been written yet.
    #[error(
        "page 0 of the tablespace is all zero: its header was never written; retry when the server has flushed it, or remove the file if no server owns it"
    )]
    EmptyHeader,
    /// Page 0 has two different space ids.
    #[error(
        "page 0 of the tablespace: space id {in_page} in the page header (byte 34), {in_header} in the space header (byte 38); the page is damaged"
    )]
    SpaceIdsDiffer {
        /// The id at byte 34.
        in_page: u32,
        /// The id at byte 38.
        in_header: u32,
    },
    /// A redo block whose checksum is not that of its contents.
    #[error(
        "redo {what}: checksum {found:#010x} found, {expected:#010x} computed; the header is being written (retry) or damaged"
    )]
    RedoChecksum {
        /// The block.
        what: &'static str,
        /// As stored in bytes 508..512.
        found: u32,
        /// As computed over bytes 0..508.
        expected: u32,
    },
    /// A redo log format that is not supported.
    #[error(
        "redo log format {found} found, format {expected} (MySQL 8.0.30 and later) expected; back up such a server with its own tools, or upgrade lsnap"
    )]
    RedoFormat {
        /// As stored in bytes 0..4.
        found: u32,
        /// [`super::redo::FORMAT`].
        expected: u32,
    },
    /// No checkpoint block of a redo header is valid.
    #[error(
        "redo header: neither checkpoint block (bytes 512 and 1536) is valid, so recovery would not know where to start; the log is damaged, use another backup"
    )]
    NoCheckpoint,
    /// A checkpoint that is not in the redo file.
    #[error(
        "redo header: checkpoint {checkpoint} lies before the file's start LSN {start_lsn}; the header of the file that holds the checkpoint is needed"
    )]
    CheckpointOutside {
        /// The checkpoint.
        checkpoint: Lsn,
        /// The start LSN of the file whose header was given.
        start_lsn: Lsn,
    },
    /// The redo log belongs to another server, or was created anew on this one.
    #[error(
        "redo header: log uuid {found:#010x} found, {expected:#010x} expected; the log belongs to another data directory"
    )]
    RedoUuid {
        /// As stored in bytes 4..8.
        found: u32,
        /// The recorded value.
        expected: u32,
    },
    /// A timestamp that doesn't fit into the creator field.
    #[error(
        "redo header: stamp {found:?} found, 15 printable characters (YYMMDD HH:MM:SS) expected"
    )]
    BadStamp {
        /// The timestamp.
        found: String,
    },
}

impl InnodbError {
    /// Returns the kind of the failure.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Short { .. }
            | Self::BadFlags { .. }
            | Self::SpaceIdsDiffer { .. }
            | Self::RedoChecksum { .. }
            | Self::CheckpointOutside { .. }
            | Self::RedoUuid { .. }
            | Self::PageSize(_)
            | Self::EmptyHeader
            | Self::NoCheckpoint => ErrorKind::Damaged,
            Self::RedoFormat { .. } => ErrorKind::Incompatible,
            Self::BadStamp { .. } => ErrorKind::Internal,
        }
    }
}
