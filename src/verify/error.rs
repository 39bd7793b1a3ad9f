//! Errors that prevent a verification. Damage that a verification finds is not an error.

use crate::cancel::Cancelled;
use crate::counted::count;
use crate::error_kind::ErrorKind;
use crate::reader::ReadError;
use crate::restore::RestoreError;
use crate::store::StoreError;
use std::path::PathBuf;

/// The reason why a verification ended without a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The repository could not be read, or the backup is not in it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Bytes could not be read.
    #[error(transparent)]
    Read(ReadError),
    /// The restore could not be started.
    #[error(transparent)]
    Restore(RestoreError),
    /// The scratch directory can't be created or removed.
    #[error("scratch directory {}: {source}; set VerifyOptions::scratch to another", path.display())]
    Scratch {
        /// The path of the directory.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The verification was cancelled.
    #[error("interrupted: the verification was stopped before its end")]
    Interrupted,
    /// The threads could not be started.
    #[error("cannot start {threads}: {reason}", threads = count(threads, "thread"))]
    Threads {
        /// Number of threads.
        threads: usize,
        /// The error of the system.
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
