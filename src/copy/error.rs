//! Errors of a copy. After an error the target may have a part of a backup, which is listed as
//! unfinished, and which the next copy continues.

use crate::cancel::Cancelled;
use crate::error_kind::ErrorKind;
use crate::manifest::BackupName;
use crate::reader::ReadError;
use crate::store::{Repository, StoreError};

/// The reason why a copy was refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// A repository refused a request, or the backup is not in it.
    #[error("{url}: {error}")]
    Store {
        /// The repository: the source or the target.
        url: String,
        /// The error.
        error: StoreError,
    },
    /// A backup can't be read, or the key doesn't authenticate it.
    #[error(transparent)]
    Source(ReadError),
    /// The target has another backup of the same name. It was not changed.
    #[error(
        "{url} has another backup named {name}: its manifest has digest {found}, expected {expected}; copy into another \
         repository, or delete the backup there if it is not needed"
    )]
    OtherBackup {
        /// The backup.
        name: BackupName,
        /// The target.
        url: String,
        /// The digest of the manifest in the target.
        found: String,
        /// That in the source.
        expected: String,
    },
    /// The target has a part of the backup, or the whole backup, with other bytes. It was not changed.
    #[error("{object} in {url}: {what}; delete {name} there, then copy it again")]
    DamagedThere {
        /// The backup.
        name: BackupName,
        /// The target.
        url: String,
        /// The object, or the backup.
        object: String,
        /// What was found and what was expected.
        what: String,
    },
    /// The target has another incremental on the same base.
    #[error(
        "{name} can't be copied to {url}: {other} is based on the same backup {base} there, and a chain must not fork; copy \
         into another repository, or copy the next chain"
    )]
    Forks {
        /// The backup.
        name: BackupName,
        /// The base of both.
        base: BackupName,
        /// The other backup.
        other: BackupName,
        /// The target.
        url: String,
    },
    /// The base of an incremental is not in the target.
    #[error(
        "{name} can't be copied to {url}: its base {base} is not there, or is another backup of this name; copy the base \
         first"
    )]
    NoBase {
        /// The backup.
        name: BackupName,
        /// Its base.
        base: BackupName,
        /// The target.
        url: String,
    },
    /// The copy is impossible with these repositories and options.
    #[error("{what}: {why}")]
    Refused {
        /// The backup or the repository.
        what: String,
        /// The reason, and a remedy.
        why: String,
    },
    /// The copy was cancelled.
    #[error("stopped; run it again to continue")]
    Interrupted,
}

impl From<Cancelled> for CopyError {
    fn from(_: Cancelled) -> Self {
        Self::Interrupted
    }
}

impl From<ReadError> for CopyError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Interrupted => Self::Interrupted,
            other => Self::Source(other),
        }
    }
}

impl CopyError {
    /// Returns a function that adds a repository to its errors.
    pub(super) fn of(repository: &Repository) -> impl Fn(StoreError) -> Self {
        let url = repository.url().to_owned();
        move |error| match error {
            StoreError::Interrupted => Self::Interrupted,
            error => Self::Store {
                url: url.clone(),
                error,
            },
        }
    }

    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store { error, .. } => error.kind(),
            Self::Source(error) => error.kind(),
            Self::OtherBackup { .. } => ErrorKind::AlreadyExists,
            Self::DamagedThere { .. } => ErrorKind::Damaged,
            Self::Forks { .. } | Self::NoBase { .. } => ErrorKind::ChainBroken,
            Self::Refused { .. } => ErrorKind::Arguments,
            Self::Interrupted => ErrorKind::Interrupted,
        }
    }

    /// Returns whether the same call can succeed later ([`ErrorKind::is_retryable`]).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }

    /// Returns whether other backups can't be copied either: a store doesn't respond, refuses
    /// access or is full, or the copy was cancelled.
    pub(super) fn ends_the_copy(&self) -> bool {
        match self {
            Self::Store { error, .. } => error.is_of_the_store(),
            Self::Interrupted => true,
            _ => false,
        }
    }
}
