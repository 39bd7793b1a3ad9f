//! Errors of a consolidation. After an error there is no new finished backup.

use crate::cancel::Cancelled;
use crate::codec::CodecError;
use crate::counted::count;
use crate::error_kind::ErrorKind;
use crate::reader::ReadError;
use crate::store::StoreError;
use crate::xbstream::XbstreamError;

/// The reason why a consolidation was refused or failed. The objects that it uploaded are removed;
/// the source chain is not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsolidateError {
    /// The repository refused a request, or the backup is not in it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A member can't be read, is damaged, or doesn't belong to the chain.
    #[error(transparent)]
    Source(ReadError),
    /// Bytes could not be compressed or encrypted.
    #[error("compressing or encrypting {path}: {source}")]
    Codec {
        /// The file.
        path: String,
        /// The error of the codec.
        source: CodecError,
    },
    /// A path that a stream can't contain.
    #[error("{path}: {source}")]
    Path {
        /// The file.
        path: String,
        /// The reason.
        source: XbstreamError,
    },
    /// The consolidation is impossible with these options.
    #[error("{backup}: {why}")]
    Refused {
        /// The backup.
        backup: String,
        /// The reason, and a remedy.
        why: String,
    },
    /// The threads could not be started.
    #[error("cannot start {threads}: {reason}", threads = count(threads, "thread"))]
    Threads {
        /// Number of threads.
        threads: usize,
        /// The error of the system.
        reason: String,
    },
    /// The consolidation was cancelled.
    #[error("stopped; what was uploaded has been removed again")]
    Interrupted,
}

impl From<Cancelled> for ConsolidateError {
    fn from(_: Cancelled) -> Self {
        Self::Interrupted
    }
}

impl From<ReadError> for ConsolidateError {
    /// Converts errors that both types have to the same variant.
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
