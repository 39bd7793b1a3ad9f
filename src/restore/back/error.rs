//! Errors of copying a prepared backup into a data directory.

use crate::cancel::Cancelled;
use crate::counted::count;
use crate::error_kind::ErrorKind;
use crate::restore::RestoreError;
use std::path::{Path, PathBuf};

/// The reason why a prepared backup was not placed in a data directory. Before the first file is
/// placed, nothing was changed; from then on the error is [`BackError::Unfinished`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackError {
    /// The backup can't be placed.
    #[error("cannot place the backup in {} in a data directory: {why}", path.display())]
    Target {
        /// The directory of the backup.
        path: PathBuf,
        /// The reason, and a remedy.
        why: String,
    },
    /// A directory can't be filled.
    #[error("cannot place a backup in {}: {why}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The reason, and a remedy.
        why: String,
    },
    /// A file exists where one was to be placed.
    #[error("{} exists already, and nothing is overwritten; move it away, then run the same command again", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file or a directory could not be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The operation.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The error.
        source: std::io::Error,
    },
    /// The file system is full.
    #[error("no space left on the device while writing {}; free space, then run the same command again", path.display())]
    Full {
        /// The file being written.
        path: PathBuf,
    },
    /// Looking for a server that uses the directories failed.
    #[error(transparent)]
    Server(RestoreError),
    /// The job was cancelled.
    #[error("interrupted")]
    Interrupted,
    /// It failed after the first file was placed.
    #[error(
        "{error}. {} of {} were placed in {}, where no server can start: the system tablespace is placed last. Run \
         the same command again, which continues; or empty the directory{}",
        done, count(*all, "file"), datadir.display(), kept(*moved)
    )]
    Unfinished {
        /// The number of files that were placed.
        done: usize,
        /// The number of files to place.
        all: usize,
        /// The data directory.
        datadir: PathBuf,
        /// Whether the backup has lost the files that were placed.
        moved: bool,
        /// The failure.
        error: Box<BackError>,
    },
}

const fn kept(moved: bool) -> &'static str {
    if moved {
        " after its files were moved back: the backup has only the rest"
    } else {
        " to begin again: the backup is unchanged"
    }
}

impl BackError {
    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Target { .. } | Self::Directory { .. } => ErrorKind::Conflict,
            Self::Exists { .. } => ErrorKind::AlreadyExists,
            Self::Io { .. } => ErrorKind::System,
            Self::Full { .. } => ErrorKind::Full,
            Self::Server(error) => error.kind(),
            Self::Interrupted => ErrorKind::Interrupted,
            Self::Unfinished { error, .. } => error.kind(),
        }
    }

    /// Returns whether the same call can succeed later ([`ErrorKind::is_retryable`]).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}

impl From<Cancelled> for BackError {
    fn from(_: Cancelled) -> Self {
        Self::Interrupted
    }
}

impl From<RestoreError> for BackError {
    fn from(error: RestoreError) -> Self {
        Self::Server(error)
    }
}

const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;

/// Returns a function that adds a verb and a path to an I/O error.
pub(super) fn io<E: Into<std::io::Error>>(
    what: &'static str,
    path: &Path,
) -> impl FnOnce(E) -> BackError + use<E> {
    let path = path.to_path_buf();
    move |source| {
        let source = source.into();
        match source.raw_os_error() {
            Some(ENOSPC | EDQUOT) => BackError::Full { path },
            _ => BackError::Io { what, path, source },
        }
    }
}

/// Returns the error for a backup that is refused.
pub(super) fn target(path: &Path, why: impl Into<String>) -> BackError {
    BackError::Target {
        path: path.to_path_buf(),
        why: why.into(),
    }
}

/// Returns the error for a directory that is refused.
pub(super) fn directory(path: &Path, why: impl Into<String>) -> BackError {
    BackError::Directory {
        path: path.to_path_buf(),
        why: why.into(),
    }
}
