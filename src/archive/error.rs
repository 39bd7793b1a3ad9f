//! What can go wrong between a stream and a directory.

use crate::cancel::Cancelled;
use crate::codec::CodecError;
use crate::counted;
use crate::error_kind::ErrorKind;
use crate::shown::{shown, shown_path};
use crate::xbstream::XbstreamError;
use std::path::{Path, PathBuf};

/// Why a stream can't be extracted, listed or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The stream itself.
    #[error(transparent)]
    Xbstream(#[from] XbstreamError),
    /// What lies around a file's bytes.
    #[error("{}: {source}", shown(path))]
    Codec {
        /// The file in the stream.
        path: String,
        /// What is wrong.
        source: CodecError,
    },
    /// A path that must not be written.
    #[error("path {path:?} in the stream {why}; nothing was written for it")]
    Path {
        /// As it stands in the stream.
        path: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A stream is made of regular files.
    #[error(
        "{} is {kind}, expected a regular file: name files, for example those that `find DIR -type f` lists",
        path.display()
    )]
    NotRegular {
        /// What was named.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// Not one chunk came.
    #[error(
        "the stream is empty: the program that writes it failed before it wrote anything, or another input was \
         meant; look at that program's messages"
    )]
    Empty,
    /// A file that is there already.
    #[error(
        "{} exists already: extract into an empty directory, or move it away",
        shown_path(path)
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file that is there already, and is not what another one holds.
    #[error(
        "{} exists already and is not what {} holds: nothing was overwritten; move it away, then run this again",
        shown_path(path),
        shown_path(original)
    )]
    Occupied {
        /// The file that is there.
        path: PathBuf,
        /// The one that was to be unwrapped.
        original: PathBuf,
    },
    /// Chunks of a file don't fit together.
    #[error("{}: {what}; the file was removed", shown(path))]
    File {
        /// The file in the stream.
        path: String,
        /// Found and expected.
        what: String,
    },
    /// More of a file that is whole.
    #[error(
        "{}: it has ended already, but the stream goes on with it: damaged, or put together of two; what came \
         before its end is kept",
        shown(path)
    )]
    Ended {
        /// The file in the stream.
        path: String,
    },
    /// Files without their end.
    #[error(
        "the stream ended, but {count} did not (the first: {}): it was cut off, or its writer failed; what \
         there was of them was removed",
        shown(first), count = counted::count(count, "file")
    )]
    Incomplete {
        /// How many.
        count: usize,
        /// One of them.
        first: String,
    },
    /// Files that were asked for.
    #[error(
        "the stream has no {}: give names as `lsnap xbstream -t` lists them, suffixes included; what else was \
         asked for is there",
        listed(files)
    )]
    NotThere {
        /// As they were asked for.
        files: Vec<String>,
    },
    /// The file system refused something.
    #[error("cannot {what} {}: {source}", shown_path(path))]
    Io {
        /// What was tried, a verb.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// What was written did not reach the disk.
    #[error(
        "{} did not reach the disk: {source}; nothing that was extracted is sure to be there: make room or look \
         after the disk, then extract again into an empty directory",
        shown_path(path)
    )]
    Unsynced {
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A FIFO that can't be used.
    #[error("{} {what}", path.display())]
    Fifo {
        /// Its path.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Something that this build can't do.
    #[error("{}: {what}", shown(path))]
    Unsupported {
        /// The file in the stream.
        path: String,
        /// What, and what to do.
        what: String,
    },
    /// A thread of ours is gone.
    #[error("internal error: a thread that {0} panicked; please report this")]
    Panicked(&'static str),
    /// The job was ended by its `Cancel`.
    #[error("interrupted")]
    Interrupted,
    /// Another thread failed first.
    #[error("stopped because of an earlier error")]
    Stopped,
}

impl From<Cancelled> for ArchiveError {
    fn from(_: Cancelled) -> Self {
        Self::Interrupted
    }
}

/// Names that are told one by one, at most; who asked for more than that knows them.
const TOLD: usize = 10;

fn listed(files: &[String]) -> String {
    let told = files.iter().take(TOLD).map(|name| format!("{name:?}"));
    let mut text = told.collect::<Vec<_>>().join(", ");
    if let Some(more) = files.len().checked_sub(TOLD).filter(|more| *more > 0) {
        text += &format!(" and {more} more");
    }
    text
}

impl ArchiveError {
    /// What is wrong when `files` were asked for and not found; nothing if there are none.
    pub(crate) fn not_there(files: impl IntoIterator<Item = String>) -> Option<Self> {
        let files: Vec<_> = files.into_iter().collect();
        (!files.is_empty()).then_some(Self::NotThere { files })
    }
}

/// Puts a path and a verb to an I/O error.
pub(super) fn io<E: Into<std::io::Error>>(
    what: &'static str,
    path: &Path,
) -> impl FnOnce(E) -> ArchiveError {
    let path = path.to_owned();
    move |error| {
        let source: std::io::Error = error.into();
        if what == "create" && source.kind() == std::io::ErrorKind::AlreadyExists {
            return ArchiveError::Exists { path };
        }
        ArchiveError::Io { what, path, source }
    }
}

impl ArchiveError {
    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Xbstream(error) => error.kind(),
            Self::Codec { source, .. } => source.kind(),
            Self::Io { source, .. } | Self::Unsynced { source, .. } => ErrorKind::of_io(source),
            Self::NotRegular { .. } => ErrorKind::Arguments,
            Self::NotThere { .. } => ErrorKind::NotFound,
            Self::Exists { .. } | Self::Occupied { .. } => ErrorKind::AlreadyExists,
            Self::Empty
            | Self::Path { .. }
            | Self::File { .. }
            | Self::Ended { .. }
            | Self::Incomplete { .. } => ErrorKind::Damaged,
            Self::Fifo { .. } => ErrorKind::System,
            Self::Unsupported { .. } => ErrorKind::Incompatible,
            Self::Interrupted => ErrorKind::Interrupted,
            Self::Panicked(_) | Self::Stopped => ErrorKind::Internal,
        }
    }

    /// Returns whether the same call can succeed later ([`ErrorKind::is_retryable`]).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}
