//! What can go wrong between a stream and a repository.

use crate::archive::ArchiveError;
use crate::cancel::Cancelled;
use crate::counted::count;
use crate::error_kind::ErrorKind;
use crate::manifest::BackupName;
use crate::store::StoreError;
use crate::xbstream::XbstreamError;

/// Errors of the room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloudError {
    /// The repository.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stream that is read.
    #[error("{input}: {source}")]
    Stream {
        /// Which one.
        input: String,
        /// What is wrong with it.
        source: XbstreamError,
    },
    /// A stream that is sound chunk by chunk, but can't be stored as a backup.
    #[error("{input}: {what}")]
    Refused {
        /// Which stream.
        input: String,
        /// Found and expected.
        what: String,
    },
    /// The stream ended without all that a backup has.
    #[error(
        "the stream of {name} ended, but is no whole backup: {what}; did the program that wrote it \
         fail?"
    )]
    Incomplete {
        /// The backup.
        name: BackupName,
        /// What is missing.
        what: String,
    },
    /// A put that failed and took everything back.
    #[error("{cause}; nothing of this put is left in the repository")]
    TakenBack {
        /// Why it failed.
        cause: Box<CloudError>,
    },
    /// A put that failed and could not take everything back.
    #[error(
        "{cause}; {} object(s) of this put are left, or may be: {}; remove them with `lsnap cloud \
         delete` ({reason})",
        left.len(), some_of(left)
    )]
    Left {
        /// Why it failed.
        cause: Box<CloudError>,
        /// Keys of what is left.
        left: Vec<String>,
        /// Why the first of them could not be removed.
        reason: String,
    },
    /// An object that is not there.
    #[error(
        "object {object} is missing: {what}; the file can't be got whole, use another copy of the \
         backup"
    )]
    MissingObject {
        /// Its key.
        object: String,
        /// How that is known.
        what: String,
    },
    /// An object that does not hold what its name says.
    #[error("object {object} is damaged or foreign: {what}; use another copy of the backup")]
    BadObject {
        /// Its key.
        object: String,
        /// Found and expected.
        what: String,
    },
    /// An object larger than the memory that was granted.
    #[error(
        "object {object} has {bytes}, at most {limit} may be held: give more with --memory", bytes = count(bytes, "byte")
    )]
    TooLarge {
        /// Its key.
        object: String,
        /// Its length.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// Nothing says that the backup was ever finished.
    #[error(
        "backup {name} is not finished: it has neither lsnap_manifest.json nor \
         xtrabackup_tablespaces; what is there can be got with --unfinished"
    )]
    Unfinished {
        /// The backup.
        name: BackupName,
    },
    /// A file that was asked for.
    #[error("backup {name} has no file `{file}`: give its name as stored, suffixes included{hint}")]
    NoFile {
        /// The backup.
        name: BackupName,
        /// What was asked for.
        file: String,
        /// A name that is there.
        hint: String,
    },
    /// Other backups need it.
    #[error("{name} was not deleted: {needed_by} stands on it; delete that first")]
    Needed {
        /// The backup.
        name: BackupName,
        /// An object or a backup that needs it.
        needed_by: String,
    },
    /// The stream could not be written.
    #[error("writing the stream: {source}")]
    Output {
        /// What the system said.
        source: std::io::Error,
    },
    /// The extraction failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The caller wanted it to stop.
    #[error("interrupted")]
    Interrupted,
    /// A bug, or a process that is shutting down.
    #[error("{what} ended without an answer (a bug, or the process is shutting down)")]
    Lost {
        /// Which part.
        what: &'static str,
    },
}

/// How many keys a message names.
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
