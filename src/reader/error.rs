//! Errors of reading backups.

use crate::cancel::Cancelled;
use crate::counted::count;
use crate::error_kind::ErrorKind;
use crate::innodb::{InnodbError, Lsn};
use crate::manifest::Finding;
use crate::store::StoreError;
use std::error::Error;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// The reason why a backup or a chain could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The repository could not be read.
    #[error(transparent)]
    Store(Box<StoreError>),
    /// The chain can't be merged, because a member doesn't reach back far enough.
    #[error(
        "{member} was scanned from LSN {scan_floor}, but its predecessor {previous} began to copy at LSN \
         {start_checkpoint}: pages changed in between are only in the predecessor's redo log, so the chain \
         cannot be merged. It can only be prepared stepwise (xtrabackup --prepare --apply-log-only of each member): \
         extract each member into a directory of its own, and restore from these directories with \
         RestoreOptions::applier set to xtrabackup; or restore {previous} and take a new full backup"
    )]
    NoOverlap {
        /// The member without overlap.
        member: String,
        /// The LSN from which it was scanned.
        scan_floor: Lsn,
        /// The member before it.
        previous: String,
        /// The checkpoint at which the copy of that member began.
        start_checkpoint: Lsn,
    },
    /// The first member of a chain is an incremental.
    #[error(
        "{backup} is an incremental backup that begins at LSN {from_lsn}: the full backup of its chain, and \
         what lies between, must come before it"
    )]
    NotFull {
        /// The first member.
        backup: String,
        /// The LSN at which it begins.
        from_lsn: Lsn,
    },
    /// A directory doesn't contain a backup, or contains one that can't be restored.
    #[error("cannot restore from {}: {why}", path.display())]
    NoBackup {
        /// The directory.
        path: PathBuf,
        /// The reason, and a remedy.
        why: String,
    },
    /// A member doesn't continue the one before it.
    #[error(
        "{member} does not continue {previous}: its {what} is {found}, expected {expected}; \
         restore {previous} instead, and take a new full backup"
    )]
    Chain {
        /// The younger member.
        member: String,
        /// The older member.
        previous: String,
        /// The quantity that differs.
        what: &'static str,
        /// Its value in the younger member.
        found: String,
        /// The expected value.
        expected: String,
    },
    /// A path in a manifest must not be written to.
    #[error("{backup}: its manifest names the file {path:?}, {why}; refusing to write it")]
    Path {
        /// The backup.
        backup: String,
        /// The path in the manifest.
        path: String,
        /// The fault.
        why: &'static str,
    },
    /// A stored file differs from the manifest or from its format.
    #[error(
        "{object} is damaged: {}; verify the backup, and restore another one", shown(found, expected.as_ref())
    )]
    Damaged {
        /// The file with the name of its backup, or the key of the object.
        object: String,
        /// The found value.
        found: String,
        /// The expected value; `None` if it is clear from what was found.
        expected: Option<String>,
        /// The error of a lower layer.
        #[source]
        cause: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The key of an encrypted backup is missing or wrong.
    #[error("{backup}: {why}")]
    Key {
        /// The backup.
        backup: String,
        /// The reason, and a remedy.
        why: String,
    },
    /// An object is larger than the memory that the restore may use.
    #[error(
        "{backup}/{path}: object {index} is {bytes}, more than the {limit} of RestoreOptions::memory; increase it",
        bytes = count(bytes, "byte"), limit = count(limit, "byte")
    )]
    ObjectTooLarge {
        /// The backup.
        backup: String,
        /// The file within it.
        path: String,
        /// The object's index.
        index: u64,
        /// Its length in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Bytes that are not valid in InnoDB's formats.
    #[error("{what}: {source}")]
    Innodb {
        /// The file that contains them.
        what: String,
        /// The reason why they are invalid.
        source: InnodbError,
    },
    /// A system call on a file failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The action that failed, as a verb.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The job was cancelled.
    #[error("interrupted")]
    Interrupted,
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

/// Returns a function that adds a verb and a path to an I/O error.
pub(crate) fn io(
    what: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> ReadError + use<> {
    let path = path.to_path_buf();
    move |source| ReadError::Io { what, path, source }
}

impl From<Cancelled> for ReadError {
    fn from(_: Cancelled) -> Self {
        Self::Interrupted
    }
}

/// Joins both fields into one text.
fn shown(found: &str, expected: Option<&String>) -> String {
    match expected {
        Some(expected) => format!("{found}, expected {expected}"),
        None => found.to_owned(),
    }
}

impl ReadError {
    /// Returns the error for a damaged file of a backup.
    pub(crate) fn damaged(
        backup: impl Display,
        path: impl Display,
        finding: impl Into<Finding>,
    ) -> Self {
        let Finding { found, expected } = finding.into();
        Self::Damaged {
            object: format!("{backup}/{path}"),
            found,
            expected,
            cause: None,
        }
    }

    /// Returns the same error with the error of a lower layer as its cause.
    pub(crate) fn because(self, error: impl Error + Send + Sync + 'static) -> Self {
        match self {
            Self::Damaged {
                object,
                found,
                expected,
                ..
            } => Self::Damaged {
                object,
                found,
                expected,
                cause: Some(Box::new(error)),
            },
            other => other,
        }
    }

    /// Returns the same error for one object of the file, named by its key.
    pub(crate) fn of_object(self, key: impl FnOnce() -> String) -> Self {
        match self {
            Self::Damaged {
                found,
                expected,
                cause,
                ..
            } => Self::Damaged {
                object: key(),
                found,
                expected,
                cause,
            },
            other => other,
        }
    }

    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Innodb { source, .. } => source.kind(),
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Damaged { .. } | Self::Path { .. } => ErrorKind::Damaged,
            Self::Chain { .. } | Self::NoOverlap { .. } | Self::NotFull { .. } => {
                ErrorKind::ChainBroken
            }
            Self::NoBackup { .. } => ErrorKind::NotFound,
            Self::Key { .. } => ErrorKind::Key,
            Self::ObjectTooLarge { .. } => ErrorKind::Full,
            Self::Interrupted => ErrorKind::Interrupted,
        }
    }

    /// Returns whether the same call can succeed later ([`ErrorKind::is_retryable`]).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}
