//! Why no full backup was made. Nothing of it looks finished then.

use crate::cancel::Cancelled;
use crate::codec::CodecError;
use crate::counted::count;
use crate::error_kind::ErrorKind;
use crate::reader::ReadError;
use crate::store::StoreError;
use crate::xbstream::XbstreamError;

/// Why a consolidation was refused or failed. What it had put is removed again; the chain it read is
/// untouched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsolidateError {
    /// The repository refused, or the backup is not in it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A member can't be read, is damaged, or does not belong to the chain.
    #[error(transparent)]
    Source(ReadError),
    /// Bytes could not be compressed or encrypted.
    #[error("compressing or encrypting {path}: {source}")]
    Codec {
        /// The file.
        path: String,
        /// The codec's answer.
        source: CodecError,
    },
    /// A path that no stream can hold.
    #[error("{path}: {source}")]
    Path {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: XbstreamError,
    },
    /// It can't be done with what was given.
    #[error("{backup}: {why}")]
    Refused {
        /// The backup.
        backup: String,
        /// Found, expected, and what to do.
        why: String,
    },
    /// No threads.
    #[error("cannot start {threads}: {reason}", threads = count(threads, "thread"))]
    Threads {
        /// How many were wanted.
        threads: usize,
        /// The system's answer.
        reason: String,
    },
    /// Somebody asked to stop.
    #[error("stopped; what was uploaded has been removed again")]
    Interrupted,
}

impl From<Cancelled> for ConsolidateError {
    fn from(_: Cancelled) -> Self {
        Self::Interrupted
    }
}

impl From<ReadError> for ConsolidateError {
    /// What both can say has one form.
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => Self::Store(*error),
            ReadError::Interrupted => Self::Interrupted,
            other => Self::Source(other),
        }
    }
}

impl ConsolidateError {
    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Source(error) => error.kind(),
            Self::Codec { source, .. } => source.kind(),
            Self::Path { source, .. } => source.kind(),
            Self::Refused { .. } => ErrorKind::Arguments,
            Self::Interrupted => ErrorKind::Interrupted,
            Self::Threads { .. } => ErrorKind::System,
        }
    }

    /// Returns whether the same call can succeed later ([`ErrorKind::is_retryable`]).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}
