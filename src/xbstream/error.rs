//! What can be wrong with a stream.

use crate::error_kind::ErrorKind;
use crate::shown::shown;

/// Why a stream can't be read or written. Offsets count from the start of the stream (or object).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XbstreamError {
    /// Neither a chunk nor the end.
    #[error(
        "stream offset {at}: found {found:02x?} where a chunk must begin with \"XBSTCK01\": not an xbstream, or damaged before this place"
    )]
    Magic {
        /// Where.
        at: u64,
        /// The bytes there.
        found: Vec<u8>,
    },
    /// The stream ends inside of a chunk.
    #[error(
        "stream offset {at}: the stream ends inside of {part} of a chunk{}: it was cut off",
        of(path)
    )]
    Truncated {
        /// Where the chunk begins.
        at: u64,
        /// Which part.
        part: &'static str,
        /// The chunk's path, when it was read.
        path: Option<String>,
    },
    /// A chunk of a type that this reader doesn't know and must not skip.
    #[error(
        "stream offset {at}: chunk type 0x{kind:02x} is unknown and not marked as ignorable: the stream is of a newer program"
    )]
    UnknownType {
        /// Where.
        at: u64,
        /// The type byte.
        kind: u8,
    },
    /// A path that no file can have.
    #[error("stream offset {at}: {what}")]
    Path {
        /// Where (0 when writing).
        at: u64,
        /// What is wrong with it.
        what: String,
    },
    /// A field that can't be true.
    #[error("stream offset {at}, {}: {what}", shown(path))]
    Field {
        /// Where.
        at: u64,
        /// The chunk's path.
        path: String,
        /// Found and expected.
        what: String,
    },
    /// The bytes are not those that were written.
    #[error(
        "stream offset {at}, {}: the checksum of the chunk at file offset {offset} is {found:08x}, the stream says {expected:08x}: damaged",
        shown(path)
    )]
    Checksum {
        /// Where.
        at: u64,
        /// The chunk's path.
        path: String,
        /// The chunk's place in its file.
        offset: u64,
        /// Of the bytes.
        found: u32,
        /// In the stream.
        expected: u32,
    },
    /// Reading or writing failed.
    #[error("stream offset {at}: {source}")]
    Io {
        /// Where.
        at: u64,
        /// What the system said.
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
