//! Errors of a prepare step.

use crate::error_kind::ErrorKind;
use crate::innodb::Lsn;
use crate::reader::ReadError;
use crate::restore::RestoreError;
use std::path::PathBuf;

/// The reason why a step was refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// `xtrabackup_checkpoints` is missing or can't be parsed.
    #[error("{}: {why}", path.display())]
    Checkpoints {
        /// The file.
        path: PathBuf,
        /// What was found, and what was expected.
        why: String,
    },
    /// The target, or the incremental, is a backup of another type.
    #[error("{} has backup_type = {found}, expected {expected}", path.display())]
    Type {
        /// The directory.
        path: PathBuf,
        /// Its type.
        found: String,
        /// The types that are accepted.
        expected: &'static str,
    },
    /// An incremental can only be merged into a target that was prepared with
    /// [`PrepareOptions::log_only`](super::PrepareOptions::log_only).
    #[error(
        "applying incremental backup needs target prepared with PrepareOptions::log_only. {} has backup_type = {found}",
        target.display()
    )]
    NotLogApplied {
        /// The target.
        target: PathBuf,
        /// Its type.
        found: String,
    },
    /// The incremental doesn't continue the target.
    #[error(
        "This incremental backup seems not to be proper for the target. {} has from_lsn = {from_lsn}, {} has \
         to_lsn = {to_lsn}. Apply the incremental that continues the target",
        incremental.display(), target.display()
    )]
    NotProper {
        /// The incremental.
        incremental: PathBuf,
        /// Its `from_lsn`.
        from_lsn: Lsn,
        /// The target.
        target: PathBuf,
        /// Its `to_lsn`.
        to_lsn: Lsn,
    },
    /// The redo log of the directory was applied already.
    #[error(
        "xtrabackup_logfile of {} was already used to prepare. Extract or copy the backup again",
        path.display()
    )]
    Used {
        /// The directory.
        path: PathBuf,
    },
    /// The incremental ends before the target does: pages would be set back to an older state.
    #[error(
        "{} ends at LSN {found}, before the end {expected} of {}: it is older than what was applied already. Apply \
         the incrementals in the order in which they were made",
        incremental.display(), target.display()
    )]
    Older {
        /// The incremental.
        incremental: PathBuf,
        /// The end of its redo log.
        found: Lsn,
        /// The target.
        target: PathBuf,
        /// The end of its redo log.
        expected: Lsn,
    },
    /// The incremental belongs to another server or to another backup.
    #[error(
        "{} has the {what} {found}, {} has {expected}: it belongs to another full backup",
        incremental.display(), target.display()
    )]
    Foreign {
        /// The incremental.
        incremental: PathBuf,
        /// The quantity that differs.
        what: &'static str,
        /// Its value in the incremental.
        found: String,
        /// The target.
        target: PathBuf,
        /// Its value in the target.
        expected: String,
    },
    /// The incremental lacks pages that changed while the backup before it was made.
    #[error(
        "{} has the changes since LSN {from}, but the copy in {} began at LSN {start}: the changes between are only \
         in the redo log of the target, which would have to be applied before. Prepare this chain with the xtrabackup \
         that made it",
        incremental.display(), target.display()
    )]
    NoOverlap {
        /// The incremental.
        incremental: PathBuf,
        /// The LSN from which on it has all changes.
        from: Lsn,
        /// The target.
        target: PathBuf,
        /// The LSN at which its redo log begins.
        start: Lsn,
    },
    /// A file is still compressed or encrypted.
    #[error("{} was found instead of the plain file: {layer} the files of the directory first", path.display())]
    Wrapped {
        /// The file.
        path: PathBuf,
        /// `decrypt` or `decompress`.
        layer: &'static str,
    },
    /// Another step was interrupted.
    #[error(
        "{} is half prepared, because the step {} was interrupted. Run the same step again",
        target.display(), step(incremental.as_deref(), *log_only)
    )]
    Unfinished {
        /// The target.
        target: PathBuf,
        /// The incremental of the step.
        incremental: Option<String>,
        /// Whether the step left out the redo log.
        log_only: bool,
    },
    /// Another process works on the directory.
    #[error(
        "another process prepares {} (or its mysqld still runs); wait until it has ended",
        target.display()
    )]
    Busy {
        /// The target.
        target: PathBuf,
    },
    /// The directory contains something that does not fit to its state.
    #[error("{}: {why}", path.display())]
    State {
        /// The file or directory.
        path: PathBuf,
        /// What was found, what was expected, and a remedy.
        why: String,
    },
    /// The backup can't be read or written, or its redo log can't be applied.
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

fn step(incremental: Option<&str>, log_only: bool) -> String {
    let incremental = incremental.map_or_else(String::new, |path| {
        format!(" and PrepareOptions::incremental = {path}")
    });
    format!("with PrepareOptions::log_only = {log_only}{incremental}")
}

impl From<ReadError> for PrepareError {
    fn from(error: ReadError) -> Self {
        Self::Restore(error.into())
    }
}

impl PrepareError {
    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Checkpoints { .. } | Self::State { .. } => ErrorKind::Damaged,
            Self::Busy { .. } | Self::Unfinished { .. } => ErrorKind::Conflict,
            Self::Restore(error) => error.kind(),
            _ => ErrorKind::Arguments,
        }
    }

    /// Returns whether the same call can succeed later ([`ErrorKind::is_retryable`]).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}
