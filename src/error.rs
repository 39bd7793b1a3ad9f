//! One error type for a function that runs several kinds of jobs.

use crate::archive::ArchiveError;
use crate::backup::BackupError;
use crate::cloud::CloudError;
use crate::codec::CodecError;
use crate::consolidate::ConsolidateError;
use crate::copy::CopyError;
use crate::error_kind::ErrorKind;
use crate::manifest::ManifestError;
use crate::reader::ReadError;
use crate::restore::prepare::PrepareError;
use crate::restore::{BackError, RestoreError};
use crate::server::ServerError;
use crate::store::StoreError;
use crate::verify::VerifyError;
use crate::xbstream::XbstreamError;

/// Any error of this crate, for a function that calls several of its jobs with `?`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Error of a backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Error of a restore.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// Error of a step that prepares a backup in its directory.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// Error of placing a prepared backup in a data directory.
    #[error(transparent)]
    Back(#[from] BackError),
    /// Error of a verification.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Error of a consolidation.
    #[error(transparent)]
    Consolidate(#[from] ConsolidateError),
    /// Error of a copy.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// Error of a repository.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Error of a name or a manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Error of reading a backup.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Error of a key, of compression or of encryption.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Error of the connection to a server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Error of a stream.
    #[error(transparent)]
    Xbstream(#[from] XbstreamError),
    /// Error of a stream and a directory.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Error of a stream and a repository.
    #[error(transparent)]
    Cloud(#[from] CloudError),
}

impl Error {
    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Backup(error) => error.kind(),
            Self::Restore(error) => error.kind(),
            Self::Prepare(error) => error.kind(),
            Self::Back(error) => error.kind(),
            Self::Verify(error) => error.kind(),
            Self::Consolidate(error) => error.kind(),
            Self::Copy(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Manifest(error) => error.kind(),
            Self::Read(error) => error.kind(),
            Self::Codec(error) => error.kind(),
            Self::Server(error) => error.kind(),
            Self::Xbstream(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Cloud(error) => error.kind(),
        }
    }

    /// Returns whether the same call can succeed later ([`ErrorKind::is_retryable`]).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancelled;
    use crate::progress::Silent;
    use crate::restore::prepare::{PrepareOptions, prepare};

    #[test]
    fn steps_under_the_old_names_are_jobs_too() {
        fn steps() -> Result<(), Error> {
            prepare(&PrepareOptions::new("/nonexistent"), &Silent)?;
            Ok(())
        }
        fn placed() -> Result<(), Error> {
            Err(BackError::from(Cancelled))?
        }
        let error = steps().unwrap_err();
        assert!(matches!(error, Error::Prepare(_)), "{error:?}");
        assert!(error.to_string().contains("/nonexistent"), "{error}");
        assert_eq!(placed().unwrap_err().kind(), ErrorKind::Interrupted);
    }
}
