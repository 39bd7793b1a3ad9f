//! What can be wrong with wrapped bytes.

use crate::counted::count;
use crate::error_kind::ErrorKind;

/// Why bytes can't be wrapped or unwrapped. Offsets count from the start of the wrapped bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// Neither a chunk or frame, nor the end.
    #[error(
        "offset {at}: found {found:02x?}, expected {expected}: not {format}, or damaged before this place"
    )]
    NotA {
        /// The format that was expected.
        format: &'static str,
        /// Where.
        at: u64,
        /// The bytes there.
        found: Vec<u8>,
        /// What it must begin with.
        expected: &'static str,
    },
    /// The bytes end inside of a chunk or frame.
    #[error("offset {at}: the bytes end inside of {part}: they were cut off")]
    Truncated {
        /// Where the chunk or frame begins.
        at: u64,
        /// Which part.
        part: &'static str,
    },
    /// The bytes are not those that were written.
    #[error("offset {at}: {what}: damaged")]
    Damaged {
        /// Where the chunk or frame begins.
        at: u64,
        /// Found and expected.
        what: String,
    },
    /// The ciphertext is what was written, but doesn't decrypt to what its digest says.
    #[error(
        "offset {at}: the ciphertext is undamaged (its CRC is right), but the digest of what {algorithm} makes of it is \
         not the one inside: it was encrypted with another key or another algorithm"
    )]
    WrongKey {
        /// Where the chunk begins.
        at: u64,
        /// The algorithm that was tried.
        algorithm: &'static str,
    },
    /// More than the caller allows.
    #[error("offset {at}: {what}, at most {max} are accepted", max = count(max, "byte"))]
    TooLarge {
        /// Where the chunk or frame begins.
        at: u64,
        /// What is too large.
        what: String,
        /// The bound.
        max: u64,
    },
    /// A variant of a format that is not read.
    #[error("offset {at}: {what}")]
    Unsupported {
        /// Where.
        at: u64,
        /// What, and what to do.
        what: String,
    },
    /// A key that can't be one.
    #[error(
        "a key of {found}, expected 16, 24 or 32 bytes (or twice as many hexadecimal digits)", found = count(found, "byte")
    )]
    BadKey {
        /// The length found, in bytes.
        found: usize,
    },
    /// A key that can be read in two ways.
    #[error(
        "its 32 hexadecimal digits can be a key for AES128, or 32 bytes for AES256: name the algorithm"
    )]
    AmbiguousKey,
    /// The name of an algorithm or a compression that doesn't exist.
    #[error("{found:?} is no {what}: expected {expected}")]
    BadSpec {
        /// What was written.
        found: String,
        /// What it should be.
        what: &'static str,
        /// What there is.
        expected: &'static str,
    },
    /// A library refused.
    #[error("cannot {what}: {why}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// What it said.
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
            Self::BadKey { .. } | Self::AmbiguousKey | Self::BadSpec { .. } => ErrorKind::Arguments,
            Self::Failed { .. } => ErrorKind::System,
        }
    }
}
