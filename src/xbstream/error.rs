//! The errors of reading and writing a stream.

use crate::error_kind::ErrorKind;
use crate::shown::shown;

/// Why a stream can't be read or written. Offsets count from the start of the stream (or object).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XbstreamError {
    /// The bytes are neither a chunk nor the end of the stream.
    #[error(
        "stream offset {at}: found {found:02x?} where a chunk must begin with \"XBSTCK01\": not an xbstream, or damaged before this place"
    )]
    Magic {
        /// Stream offset, in bytes.
        at: u64,
        /// The bytes at this offset.
        found: Vec<u8>,
    },
    /// The stream ends in the middle of a chunk.
    #[error(
        "stream offset {at}: the stream ends inside {part} of a chunk{}: it was cut off",
        of(path)
    )]
    Truncated {
        /// Stream offset of the chunk, in bytes.
        at: u64,
        /// The part of the chunk that is incomplete.
        part: &'static str,
        /// The path of the chunk, if it was read.
        path: Option<String>,
    },
    /// A chunk of an unknown type that is not marked as ignorable.
    #[error(
        "stream offset {at}: chunk type 0x{kind:02x} is unknown and not marked as ignorable: the stream was written by a newer program"
    )]
    UnknownType {
        /// Stream offset, in bytes.
        at: u64,
        /// The type byte.
        kind: u8,
    },
    /// A path that is not valid.
    #[error("stream offset {at}: {what}")]
    Path {
        /// Stream offset, in bytes (0 when writing).
        at: u64,
        /// The problem with the path.
        what: String,
    },
    /// A field with an impossible value.
    #[error("stream offset {at}, {}: {what}", shown(path))]
    Field {
        /// Stream offset, in bytes.
        at: u64,
        /// The path of the chunk.
        path: String,
        /// The value found and the value expected.
        what: String,
    },
    /// The checksum of a chunk doesn't match its bytes.
    #[error(
        "stream offset {at}, {}: the checksum of the chunk at file offset {offset} is {found:08x}, the stream has {expected:08x}: damaged",
        shown(path)
    )]
    Checksum {
        /// Stream offset, in bytes.
        at: u64,
        /// The path of the chunk.
        path: String,
        /// File offset of the chunk, in bytes.
        offset: u64,
        /// The checksum of the bytes.
        found: u32,
        /// The checksum that is stored in the stream.
        expected: u32,
    },
    /// Reading or writing failed.
    #[error("stream offset {at}: {source}")]
    Io {
        /// Stream offset, in bytes.
        at: u64,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

fn of(path: &Option<String>) -> String {
    path.as_ref()
        .map_or(String::new(), |p| format!(" of {}", shown(p)))
}

impl XbstreamError {
    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Magic { .. }
            | Self::Truncated { .. }
            | Self::Path { .. }
            | Self::Field { .. }
            | Self::Checksum { .. } => ErrorKind::Damaged,
            Self::UnknownType { .. } => ErrorKind::Incompatible,
            Self::Io { source, .. } => ErrorKind::of_io(source),
        }
    }

    /// Returns whether the same call can succeed later ([`ErrorKind::is_retryable`]).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}
