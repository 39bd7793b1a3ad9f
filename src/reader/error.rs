//! What can go wrong when backups are read.

use crate::cancel::Cancelled;
use crate::counted::count;
use crate::error_kind::ErrorKind;
use crate::innodb::{InnodbError, Lsn};
use crate::manifest::Finding;
use crate::store::StoreError;
use std::error::Error;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Why a backup, or a chain of them, could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The repository did not give what was asked of it.
    #[error(transparent)]
    Store(Box<StoreError>),
    /// The chain cannot be restored by merging, because a member does not reach back far enough.
    #[error(
        "{member} was scanned from LSN {scan_floor}, but its predecessor {previous} began to copy at LSN \
         {start_checkpoint}: pages changed in between are only in the predecessor's redo log, so the chain \
         cannot be merged. It needs the stepwise way (xtrabackup --prepare --apply-log-only of each member): \
         get each member into a directory of its own (`lsnap cloud get -C`), and restore from these with \
         --from, --incremental-dir and --redo-applier=xtrabackup; or restore {previous} and take a new full backup"
    )]
    NoOverlap {
        /// The member without overlap.
        member: String,
        /// Where its scan began.
        scan_floor: Lsn,
        /// The member before it.
        previous: String,
        /// The checkpoint at which that one began.
        start_checkpoint: Lsn,
    },
    /// A chain that begins in the middle.
    #[error(
        "{backup} is an incremental backup that begins at LSN {from_lsn}: the full backup of its chain, and \
         what lies between, must come before it"
    )]
    NotFull {
        /// The first member.
        backup: String,
        /// Where it begins.
        from_lsn: Lsn,
    },
    /// A directory holds no backup, or none that can be restored.
    #[error("cannot restore from {}: {why}", path.display())]
    NoBackup {
        /// The directory.
        path: PathBuf,
        /// What was found, and what to do.
        why: String,
    },
    /// Two members of a chain do not belong together.
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
        /// The value that would fit.
        expected: String,
    },
    /// A path out of a manifest that must not be written to.
    #[error("{backup}: its manifest names the file {path:?}, {why}; refusing to write it")]
    Path {
        /// The backup.
        backup: String,
        /// The path as it stands in the manifest.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A stored file is not what the manifest or its format says.
    #[error(
        "{object} is damaged: {}; run `lsnap verify` on it, and restore another backup", shown(found, expected.as_ref())
    )]
    Damaged {
        /// The file with the name of its backup before it, or the key of the object.
        object: String,
        /// What was found.
        found: String,
        /// What was expected in its place; `None` if that is clear from what was found.
        expected: Option<String>,
        /// The error that a lower layer gave.
        #[source]
        cause: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The key of an encrypted backup is missing or wrong.
    #[error("{backup}: {why}")]
    Key {
        /// The backup.
        backup: String,
        /// Found, expected, and what to do.
        why: String,
    },
    /// An object is larger than the memory that the restore may use.
    #[error(
        "{backup}/{path}: object {index} is {bytes}, more than the {limit} of --memory; raise --memory",
        bytes = count(bytes, "byte"), limit = count(limit, "byte")
    )]
    ObjectTooLarge {
        /// The backup.
        backup: String,
        /// The file within it.
        path: String,
        /// The object's index.
        index: u64,
        /// Its length.
        bytes: u64,
        /// What is allowed.
        limit: u64,
    },
    /// Bytes of InnoDB that make no sense.
    #[error("{what}: {source}")]
    Innodb {
        /// Where they stand.
        what: String,
        /// What is wrong with them.
        source: InnodbError,
    },
    /// The file system refused something.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried, a verb.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It was asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

/// Puts a path and a verb to an I/O error.
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

/// The sentence of both fields.
fn shown(found: &str, expected: Option<&String>) -> String {
    match expected {
        Some(expected) => format!("{found}, expected {expected}"),
        None => found.to_owned(),
    }
}

impl ReadError {
    /// A damaged file of a backup.
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

    /// The same error with the error of a lower layer as its cause.
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

    /// The same error about one object of the file, by its key.
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
