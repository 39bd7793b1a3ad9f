//! Why something could not be looked at. What was looked at and is wrong is no error.

use crate::cancel::Cancelled;
use crate::counted::count;
use crate::error_kind::ErrorKind;
use crate::reader::ReadError;
use crate::restore::RestoreError;
use crate::store::StoreError;
use std::path::PathBuf;

/// Why a verification ended without an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The repository did not answer, or the backup is not in it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Bytes could not be read.
    #[error(transparent)]
    Read(ReadError),
    /// The restore could not be tried.
    #[error(transparent)]
    Restore(RestoreError),
    /// The scratch directory can't be made or removed.
    #[error("scratch directory {}: {source}; name another with --scratch", path.display())]
    Scratch {
        /// Where it was to be.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The verification was asked to stop.
    #[error("interrupted: the verification was stopped before its end")]
    Interrupted,
    /// No threads.
    #[error("cannot start {threads}: {reason}", threads = count(threads, "thread"))]
    Threads {
        /// How many were wanted.
        threads: usize,
        /// The system's answer.
        reason: String,
    },
}

impl From<Cancelled> for VerifyError {
    fn from(_: Cancelled) -> Self {
        Self::Interrupted
    }
}

impl From<ReadError> for VerifyError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Interrupted => Self::Interrupted,
            other => Self::Read(other),
        }
    }
}

impl From<RestoreError> for VerifyError {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Interrupted => Self::Interrupted,
            other => Self::Restore(other),
        }
    }
}

impl VerifyError {
    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Read(error) => error.kind(),
            Self::Restore(error) => error.kind(),
            Self::Scratch { source, .. } => ErrorKind::of_io(source),
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
