//! What can go wrong in a restore, in words that name the thing, what was found, and what to do.

use crate::cancel::Cancelled;
use crate::counted::count;
use crate::error_kind::ErrorKind;
use crate::reader::ReadError;
use crate::store::StoreError;
use std::path::{Path, PathBuf};

/// Why a restore was refused or failed. Whatever it is, the target directory holds nothing that starts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The backup could not be read, or a file could not be read or written.
    #[error(transparent)]
    Read(ReadError),
    /// The file system became full.
    #[error(
        "no space left on the device while writing {}; the plan said {planned} at most: \
         free space, or restore to a larger file system",
        path.display(), planned = count(planned, "byte")
    )]
    DeviceFull {
        /// The file being written.
        path: PathBuf,
        /// What the plan asked for.
        planned: u64,
    },
    /// There is too little space to begin.
    #[error(
        "{} has {available} available, the restore may need {needed}: free space, choose another directory, \
         or pass --skip-space-check",
        path.display(), available = count(available, "byte")
    )]
    NoSpace {
        /// The directory.
        path: PathBuf,
        /// Bytes needed at most.
        needed: u64,
        /// Bytes there.
        available: u64,
    },
    /// The target directory cannot be restored to.
    #[error("cannot restore to {}: {why}", path.display())]
    Target {
        /// The target or its work directory.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// No program can apply the redo log of this backup.
    #[error(
        "nothing here can apply the redo log of a backup of {server}: needed is {needed}. Looked at: {looked}"
    )]
    NoApplier {
        /// The server's version and flavour.
        server: String,
        /// What would do.
        needed: String,
        /// Where it looked and what it found there.
        looked: String,
    },
    /// A program could not be started or asked.
    #[error("{}: {what}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// What happened.
        what: String,
    },
    /// The redo applier failed.
    #[error("{program} could not apply the redo log: {what}\n--- last lines of {} ---\n{tail}", log.display())]
    Applier {
        /// Its name.
        program: &'static str,
        /// What happened.
        what: String,
        /// Its log, which is kept.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
    /// The account that shall own the files.
    #[error("cannot give the restored files to {user:?}: {why}")]
    Owner {
        /// As it was given.
        user: String,
        /// Found, and what to do.
        why: String,
    },
    /// A person's own option of the recovering server.
    #[error("the option {argument:?} of the recovering mysqld: {why}")]
    MysqldArgument {
        /// As it was given.
        argument: String,
        /// Found, and what to do.
        why: String,
    },
    /// The directory of a keyring configuration.
    #[error("the keyring configuration in {}: it {what}", path.display())]
    KeyringConfig {
        /// The directory.
        path: PathBuf,
        /// Found and expected.
        what: String,
    },
    /// The dictionary of the recovered server has tables without files.
    #[error(
        "{} of the recovered server's dictionary have no file in the restored directory: {}. The backup lacks \
         them, so it is not handed over; restore another backup. Log: {}",
        count(missing.len(), "table"), listed(missing), log.display()
    )]
    MissingTables {
        /// Table and file of each.
        missing: Vec<String>,
        /// The log of the recovery.
        log: PathBuf,
    },
    /// The restore was asked to stop.
    #[error("interrupted: the restore was stopped; what it had written was removed")]
    Interrupted,
    /// The recovered server is not at the recorded position.
    #[error(
        "the recovered server's gtid_executed is {found:?}, the backup recorded {expected:?}: \
         the restored data are not at the recorded position, so they are not handed over. Log: {}",
        log.display()
    )]
    Gtid {
        /// In the manifest.
        expected: String,
        /// In the recovered server.
        found: String,
        /// The log of the recovery.
        log: PathBuf,
    },
}

/// Missing tables or other files that a message names; the error or the report has all of them.
const NAMED: usize = 20;

/// The names, or the first of many.
pub(super) fn listed(names: &[String]) -> String {
    let mut text = names[..names.len().min(NAMED)].join(", ");
    if names.len() > NAMED {
        text += &format!(", and {} more", names.len() - NAMED);
    }
    text
}

impl From<Cancelled> for RestoreError {
    fn from(_: Cancelled) -> Self {
        Self::Interrupted
    }
}

impl From<ReadError> for RestoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Interrupted => Self::Interrupted,
            other => Self::Read(other),
        }
    }
}

impl From<StoreError> for RestoreError {
    fn from(error: StoreError) -> Self {
        Self::Read(error.into())
    }
}

/// A target that is refused.
pub(super) fn refuse(path: &Path, why: impl Into<String>) -> RestoreError {
    RestoreError::Target {
        path: path.to_path_buf(),
        why: why.into(),
    }
}

const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;

/// Puts a path and a verb to an I/O error.
pub(crate) fn io(
    what: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> RestoreError + use<> {
    let path = path.to_path_buf();
    move |source| match source.raw_os_error() {
        Some(ENOSPC | EDQUOT) => RestoreError::DeviceFull { path, planned: 0 },
        _ => RestoreError::Read(ReadError::Io { what, path, source }),
    }
}

impl RestoreError {
    /// Adds what the plan asked for to an error of a full device.
    pub(crate) fn with_planned(self, bytes: u64) -> Self {
        match self {
            Self::DeviceFull { path, .. } => Self::DeviceFull {
                path,
                planned: bytes,
            },
            other => other,
        }
    }
}

impl RestoreError {
    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Read(error) => error.kind(),
            Self::DeviceFull { .. } | Self::NoSpace { .. } => ErrorKind::Full,
            Self::Target { .. } => ErrorKind::Conflict,
            Self::NoApplier { .. } => ErrorKind::Incompatible,
            Self::Program { .. } | Self::Applier { .. } => ErrorKind::System,
            Self::Owner { .. } | Self::MysqldArgument { .. } | Self::KeyringConfig { .. } => {
                ErrorKind::Arguments
            }
            Self::MissingTables { .. } | Self::Gtid { .. } => ErrorKind::Damaged,
            Self::Interrupted => ErrorKind::Interrupted,
        }
    }

    /// Returns whether the same call can succeed later ([`ErrorKind::is_retryable`]).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}
