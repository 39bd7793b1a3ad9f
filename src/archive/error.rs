//! Errors of streams and directories.

use crate::cancel::Cancelled;
use crate::codec::CodecError;
use crate::counted;
use crate::error_kind::ErrorKind;
use crate::shown::{shown, shown_path};
use crate::xbstream::XbstreamError;
use std::path::{Path, PathBuf};

/// Error of extracting, listing or creating a stream, or of unwrapping files in place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The stream is damaged or can't be read.
    #[error(transparent)]
    Xbstream(#[from] XbstreamError),
    /// A compressed or encrypted file can't be unwrapped.
    #[error("{}: {source}", shown(path))]
    Codec {
        /// The file in the stream.
        path: String,
        /// The problem.
        source: CodecError,
    },
    /// A path that is refused.
    #[error("path {path:?} in the stream {why}; nothing was written for it")]
    Path {
        /// The path in the stream.
        path: String,
        /// The reason, and what to do.
        why: String,
    },
    /// A file for a stream is not a regular file.
    #[error(
        "{} is {kind}, expected a regular file: name files, for example those that `find DIR -type f` lists",
        path.display()
    )]
    NotRegular {
        /// The path.
        path: PathBuf,
        /// The kind of the file.
        kind: &'static str,
    },
    /// The stream has no chunk.
    #[error(
        "the stream is empty: the program that writes it failed before it wrote anything, or this is the wrong \
         input; check that program's messages"
    )]
    Empty,
    /// A file to be written exists.
    #[error(
        "{} exists already: extract into an empty directory, or move it away",
        shown_path(path)
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The target of unwrapping exists, with another content.
    #[error(
        "{} exists already and differs from the content of {}: nothing was overwritten; move it away, then run this again",
        shown_path(path),
        shown_path(original)
    )]
    Occupied {
        /// The existing file.
        path: PathBuf,
        /// The file that was to be unwrapped.
        original: PathBuf,
    },
    /// The chunks of a file are inconsistent.
    #[error("{}: {what}; the file was removed", shown(path))]
    File {
        /// The file in the stream.
        path: String,
        /// What was found and expected.
        what: String,
    },
    /// A chunk of a file after its end.
    #[error(
        "{}: chunks of it follow its end: the stream is damaged, or two streams were concatenated; the data \
         before its end is kept",
        shown(path)
    )]
    Ended {
        /// The file in the stream.
        path: String,
    },
    /// The stream ended before some files.
    #[error(
        "the stream ended, but {count} did not (the first: {}): it was cut off, or its writer failed; the \
         received parts of them were removed",
        shown(first), count = counted::count(count, "file")
    )]
    Incomplete {
        /// The number of incomplete files.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// Requested files that the stream doesn't have.
    #[error(
        "the stream has no {}: give names as `lsnap xbstream -t` lists them, suffixes included; the other \
         requested files were extracted",
        listed(files)
    )]
    NotThere {
        /// The requested paths.
        files: Vec<String>,
    },
    /// An operation of the file system failed.
    #[error("cannot {what} {}: {source}", shown_path(path))]
    Io {
        /// The operation, a verb.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Written data could not be synced.
    #[error(
        "{} did not reach the disk: {source}; other extracted files can be incomplete too: free space or check the \
         disk, then extract again into an empty directory",
        shown_path(path)
    )]
    Unsynced {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A FIFO that can't be used.
    #[error("{} {what}", path.display())]
    Fifo {
        /// The path.
        path: PathBuf,
        /// The problem, and what to do.
        what: String,
    },
    /// A format that is not supported.
    #[error("{}: {what}", shown(path))]
    Unsupported {
        /// The file in the stream.
        path: String,
        /// The problem, and what to do.
        what: String,
    },
    /// A thread panicked.
    #[error("internal error: a thread that {0} panicked; please report this")]
    Panicked(&'static str),
    /// The job was cancelled.
    #[error("interrupted")]
    Interrupted,
    /// Another thread failed; its error is reported.
    #[error("stopped because of an earlier error")]
    Stopped,
}

impl From<Cancelled> for ArchiveError {
    fn from(_: Cancelled) -> Self {
        Self::Interrupted
    }
}

/// Maximum number of names in a message.
const LISTED_MAX: usize = 10;

fn listed(files: &[String]) -> String {
    let names = files
        .iter()
        .take(LISTED_MAX)
        .map(|name| format!("{name:?}"));
    let mut text = names.collect::<Vec<_>>().join(", ");
    if let Some(more) = files.len().checked_sub(LISTED_MAX).filter(|more| *more > 0) {
        text += &format!(" and {more} more");
    }
    text
}

impl ArchiveError {
    /// Returns the error for requested `files` that were not found; nothing if there are none.
    pub(crate) fn not_there(files: impl IntoIterator<Item = String>) -> Option<Self> {
        let files: Vec<_> = files.into_iter().collect();
        (!files.is_empty()).then_some(Self::NotThere { files })
    }
}

/// Adds a verb and a path to an I/O error.
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
