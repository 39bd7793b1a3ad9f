//! The errors of wrapping and unwrapping bytes.

use crate::counted::count;
use crate::error_kind::ErrorKind;

/// Why bytes can't be wrapped or unwrapped. Offsets count from the start of the wrapped bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes are neither a chunk or frame, nor the end.
    #[error(
        "offset {at}: found {found:02x?}, expected {expected}: not {format}, or damaged before this place"
    )]
    NotA {
        /// The format that was expected.
        format: &'static str,
        /// Offset, in bytes.
        at: u64,
        /// The bytes at this offset.
        found: Vec<u8>,
        /// The bytes that were expected.
        expected: &'static str,
    },
    /// The bytes end in the middle of a chunk or frame.
    #[error("offset {at}: the bytes end inside {part}: they were cut off")]
    Truncated {
        /// Offset of the chunk or frame, in bytes.
        at: u64,
        /// The part that is incomplete.
        part: &'static str,
    },
    /// The bytes don't match their checksum or length.
    #[error("offset {at}: {what}: damaged")]
    Damaged {
        /// Offset of the chunk or frame, in bytes.
        at: u64,
        /// The value found and the value expected.
        what: String,
    },
    /// The ciphertext is intact, but the plaintext doesn't match its digest.
    #[error(
        "offset {at}: the ciphertext is intact (its CRC is right), but its {algorithm} plaintext does not match the \
         digest inside: it was encrypted with another key or another algorithm"
    )]
    WrongKey {
        /// Offset of the chunk, in bytes.
        at: u64,
        /// The algorithm that was used to decrypt.
        algorithm: &'static str,
    },
    /// The size exceeds the limit of the caller.
    #[error("offset {at}: {what}, at most {max} are accepted", max = count(max, "byte"))]
    TooLarge {
        /// Offset of the chunk or frame, in bytes.
        at: u64,
        /// The item that is too large.
        what: String,
        /// The limit.
        max: u64,
    },
    /// A variant of a format that is not supported.
    #[error("offset {at}: {what}")]
    Unsupported {
        /// Offset, in bytes.
        at: u64,
        /// The variant, and an instruction.
        what: String,
    },
    /// A key of an impossible length.
    #[error(
        "a key of {found}, expected 16, 24 or 32 bytes (or twice as many hexadecimal digits)", found = count(found, "byte")
    )]
    BadKey {
        /// The length found, in bytes.
        found: usize,
    },
    /// An unknown name of an algorithm or compression.
    #[error("{found:?} is no {what}: expected {expected}")]
    BadSpec {
        /// The name found.
        found: String,
        /// The kind of name.
        what: &'static str,
        /// The names that exist.
        expected: &'static str,
    },
    /// A library returned an error.
    #[error("cannot {what}: {why}")]
    Failed {
        /// The operation that failed.
        what: &'static str,
        /// The message of the library.
        why: String,
    },
}

impl From<CodecError> for std::io::Error {
    fn from(error: CodecError) -> Self {
        let kind = match error {
            CodecError::Truncated { .. } => std::io::ErrorKind::UnexpectedEof,
            _ => std::io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

impl CodecError {
    /// Returns the kind of the failure.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NotA { .. }
            | Self::Truncated { .. }
            | Self::Damaged { .. }
            | Self::TooLarge { .. } => ErrorKind::Damaged,
            Self::WrongKey { .. } => ErrorKind::Key,
            Self::Unsupported { .. } => ErrorKind::Incompatible,
            Self::BadKey { .. } | Self::BadSpec { .. } => ErrorKind::Arguments,
            Self::Failed { .. } => ErrorKind::System,
        }
    }
}
