//! Errors of transfers between xbstreams and a repository.

use crate::archive::ArchiveError;
use crate::cancel::Cancelled;
use crate::counted::count;
use crate::error_kind::ErrorKind;
use crate::manifest::BackupName;
use crate::store::StoreError;
use crate::xbstream::XbstreamError;

/// An error of the `cloud` module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloudError {
    /// An error of the repository.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The input stream could not be read.
    #[error("{input}: {source}")]
    Stream {
        /// The stream.
        input: String,
        /// The cause.
        source: XbstreamError,
    },
    /// The stream's chunks are intact, but it can't be stored as a backup.
    #[error("{input}: {what}")]
    Refused {
        /// The stream.
        input: String,
        /// What was found and what was expected.
        what: String,
    },
    /// The stream ended before the backup was complete.
    #[error(
        "the stream of {name} ended, but the backup is not complete: {what}; check whether the program that wrote it \
         failed"
    )]
    Incomplete {
        /// The backup.
        name: BackupName,
        /// What is missing.
        what: String,
    },
    /// The put failed; everything that it stored was removed.
    #[error("{cause}; nothing of this put is left in the repository")]
    TakenBack {
        /// The cause.
        cause: Box<CloudError>,
    },
    /// The put failed, and not everything that it stored could be removed.
    #[error(
        "{cause}; {} of this put could not be removed or may still exist: {}; delete the backup \
         to remove them ({reason})",
        count(left.len(), "object"), some_of(left)
    )]
    Left {
        /// The cause.
        cause: Box<CloudError>,
        /// The keys that are left or may be.
        left: Vec<String>,
        /// The reason why the first of them could not be removed.
        reason: String,
    },
    /// An object is missing.
    #[error(
        "object {object} is missing: {what}; the file is incomplete, use another copy of the \
         backup"
    )]
    MissingObject {
        /// Its key.
        object: String,
        /// The reason why it is known to be missing.
        what: String,
    },
    /// An object has other contents than its name says.
    #[error(
        "object {object} is damaged or not of this backup: {what}; use another copy of the backup"
    )]
    BadObject {
        /// Its key.
        object: String,
        /// What was found and what was expected.
        what: String,
    },
    /// An object is larger than the permitted memory.
    #[error(
        "object {object} has {bytes}, but GetOptions::memory permits {limit}: set it higher", bytes = count(bytes, "byte")
    )]
    TooLarge {
        /// Its key.
        object: String,
        /// Its length in bytes.
        bytes: u64,
        /// The permitted memory in bytes.
        limit: u64,
    },
    /// Nothing marks the backup as finished.
    #[error(
        "backup {name} is not finished: it has neither lsnap_manifest.json nor \
         xtrabackup_tablespaces; set GetOptions::unfinished to true to get the existing objects"
    )]
    Unfinished {
        /// The backup.
        name: BackupName,
    },
    /// The backup doesn't have the requested file.
    #[error("backup {name} has no file `{file}`: give its name as stored, suffixes included{hint}")]
    NoFile {
        /// The backup.
        name: BackupName,
        /// The requested file.
        file: String,
        /// The name of a similar file.
        hint: String,
    },
    /// Other backups need this one.
    #[error("{name} was not deleted: {needed_by} depends on it; delete that first")]
    Needed {
        /// The backup.
        name: BackupName,
        /// An object or a backup that needs it.
        needed_by: String,
    },
    /// The output stream could not be written.
    #[error("writing the stream: {source}")]
    Output {
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The extraction failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The caller cancelled the transfer.
    #[error("interrupted")]
    Interrupted,
    /// A bug, or a process that is shutting down.
    #[error("{what} ended without an answer (a bug, or the process is shutting down)")]
    Lost {
        /// The part of the transfer.
        what: &'static str,
    },
}

/// Largest number of keys in a message.
const NAMED: usize = 10;

fn some_of(keys: &[String]) -> String {
    let mut text = keys
        .iter()
        .take(NAMED)
        .map(|key| key.escape_debug().to_string())
        .collect::<Vec<_>>()
        .join(", ");
    if keys.len() > NAMED {
        text += ", ...";
    }
    text
}

impl From<Cancelled> for CloudError {
    fn from(_: Cancelled) -> Self {
        Self::Interrupted
    }
}

impl CloudError {
    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Stream { source, .. } => source.kind(),
            Self::TakenBack { cause } | Self::Left { cause, .. } => cause.kind(),
            Self::Output { source } => ErrorKind::of_io(source),
            Self::Refused { .. }
            | Self::Incomplete { .. }
            | Self::MissingObject { .. }
            | Self::BadObject { .. } => ErrorKind::Damaged,
            Self::TooLarge { .. } => ErrorKind::Full,
            Self::Unfinished { .. } => ErrorKind::ChainBroken,
            Self::Needed { .. } => ErrorKind::Conflict,
            Self::NoFile { .. } => ErrorKind::NotFound,
            Self::Archive(error) => error.kind(),
            Self::Interrupted => ErrorKind::Interrupted,
            Self::Lost { .. } => ErrorKind::Internal,
        }
    }

    /// Returns whether the same call can succeed later ([`ErrorKind::is_retryable`]).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}
