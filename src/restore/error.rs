//! Errors of a restore.

use crate::cancel::Cancelled;
use crate::counted::count;
use crate::error_kind::ErrorKind;
use crate::reader::ReadError;
use crate::store::StoreError;
use std::path::{Path, PathBuf};

/// The reason why a restore was refused or failed. In each case, the target directory doesn't
/// contain anything that a server can start on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The backup could not be read, or a file could not be read or written.
    #[error(transparent)]
    Read(ReadError),
    /// The file system is full.
    #[error(
        "no space left on the device while writing {}; the plan needs at most {planned}: \
         free space, or restore to a larger file system",
        path.display(), planned = count(planned, "byte")
    )]
    DeviceFull {
        /// The file being written.
        path: PathBuf,
        /// Bytes that the plan needs at most.
        planned: u64,
    },
    /// There is too little space to begin.
    #[error(
        "{} has {available} available, the restore may need {needed}: free space, choose another directory, \
         or set RestoreOptions::skip_space_check",
        path.display(), available = count(available, "byte")
    )]
    NoSpace {
        /// The directory.
        path: PathBuf,
        /// Bytes needed at most.
        needed: u64,
        /// Bytes available.
        available: u64,
    },
    /// The target directory can't be used.
    #[error("cannot restore to {}: {why}", path.display())]
    Target {
        /// The target or its work directory.
        path: PathBuf,
        /// The reason, and a remedy.
        why: String,
    },
    /// The target directory is not empty.
    #[error(
        "cannot restore to {}: it is not empty (it has {entry:?}); empty it, name another directory, or set \
         RestoreOptions::force_move_aside to true, which moves its content aside",
        path.display()
    )]
    NotEmpty {
        /// The target.
        path: PathBuf,
        /// One of its entries.
        entry: String,
    },
    /// A server runs in the target directory, whose content was to be moved aside.
    #[error(
        "cannot restore to {}: a server runs in it{} ({sign}); stop it, then run the same command again",
        path.display(), process(*pid)
    )]
    ServerRuns {
        /// The target.
        path: PathBuf,
        /// The server's process, if it is known.
        pid: Option<u32>,
        /// The sign by which the server was found.
        sign: String,
    },
    /// The restore failed at its end, and the old content of the target could not be moved back.
    #[error(
        "{error}. The old content of {} is in {} now, and could not be moved back: {why}. Move it back with mv",
        datadir.display(), place.display()
    )]
    OldContentMoved {
        /// The target.
        datadir: PathBuf,
        /// The directory that has the old content.
        place: PathBuf,
        /// The reason why it could not be moved back.
        why: String,
        /// The failure of the restore.
        error: Box<RestoreError>,
    },
    /// No program can apply the redo log of this backup.
    #[error(
        "no program was found that can apply the redo log of a backup of {server}; needed: {needed}; considered: {looked}"
    )]
    NoApplier {
        /// The server's version and flavour.
        server: String,
        /// The programs that would be suitable.
        needed: String,
        /// The programs that were considered, and why they are unsuitable.
        looked: String,
    },
    /// An incremental without a manifest is not the only backup.
    #[error(
        "{} has no lsnap_manifest.json: an incremental on an LSN alone can only be prepared step by step, in the directory \
         of the full backup (xtrabackup --prepare). Nothing was written",
        incremental.display()
    )]
    OnlyByStep {
        /// The directories, that of the full backup first.
        directories: Vec<PathBuf>,
        /// The last of them that has no manifest.
        incremental: PathBuf,
    },
    /// A program could not be started.
    #[error("{}: {what}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// The failure.
        what: String,
    },
    /// The redo applier failed.
    #[error("{program} could not apply the redo log: {what}\n--- last lines of {} ---\n{tail}", log.display())]
    Applier {
        /// Its name.
        program: &'static str,
        /// The failure.
        what: String,
        /// The path of its log, which is kept.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
    /// The account for the files is unknown or invalid.
    #[error("cannot give the restored files to {user:?}: {why}")]
    Owner {
        /// The value of the option.
        user: String,
        /// The reason, and a remedy.
        why: String,
    },
    /// An additional option for the recovering server is refused.
    #[error("the option {argument:?} of the recovering mysqld: {why}")]
    MysqldArgument {
        /// The value of the option.
        argument: String,
        /// The reason, and a remedy.
        why: String,
    },
    /// The directory of a keyring configuration can't be used.
    #[error("the keyring configuration in {}: it {what}", path.display())]
    KeyringConfig {
        /// The directory.
        path: PathBuf,
        /// The found and the expected value.
        what: String,
    },
    /// The dictionary of the recovered server has tables without files.
    #[error(
        "{} of the recovered server's dictionary have no file in the restored directory: {}. The backup is \
         incomplete, so the directory is not moved to the target; restore another backup. Log: {}",
        count(missing.len(), "table"), listed(missing), log.display()
    )]
    MissingTables {
        /// Table and file of each.
        missing: Vec<String>,
        /// The log of the recovery.
        log: PathBuf,
    },
    /// The restore was cancelled.
    #[error("interrupted: the restore was stopped; what it had written was removed")]
    Interrupted,
    /// The recovered server is not at the recorded position.
    #[error(
        "the recovered server's gtid_executed is {found:?}, the backup recorded {expected:?}: \
         the restored data are not at the recorded position, so they are not moved to the target. Log: {}",
        log.display()
    )]
    Gtid {
        /// The value in the manifest.
        expected: String,
        /// The value of the recovered server.
        found: String,
        /// The log of the recovery.
        log: PathBuf,
    },
}

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(", process {pid}"))
}

/// Number of files that a message lists; the error or the report has all of them.
const NAMED: usize = 20;

/// Joins the names, or the first of them if there are many.
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

/// Returns the error for a target that is refused.
pub(super) fn refuse(path: &Path, why: impl Into<String>) -> RestoreError {
    RestoreError::Target {
        path: path.to_path_buf(),
        why: why.into(),
    }
}

const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;

/// Returns a function that adds a verb and a path to an I/O error.
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
    /// Adds the space that the plan needs to the error of a full device.
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
            Self::Target { .. } | Self::NotEmpty { .. } | Self::ServerRuns { .. } => {
                ErrorKind::Conflict
            }
            Self::OldContentMoved { error, .. } => error.kind(),
            Self::NoApplier { .. } | Self::OnlyByStep { .. } => ErrorKind::Incompatible,
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
