//! Errors of a data directory.

use crate::counted::count;
use crate::error_kind::ErrorKind;
use crate::innodb::{InnodbError, PageFault, PageNo, PageSize, SpaceId};
use std::io;
use std::path::PathBuf;

/// An error of this layer. The message has the file, the finding, the expectation and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatadirError {
    /// An error of the operating system.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The action that failed: "open", "read", ...
        action: &'static str,
        /// Its path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// `innodb_data_file_path` can't be parsed.
    #[error(
        "innodb_data_file_path is {spec:?}: {why} in {entry:?}; expected \
         NAME:SIZE[K|M|G][:autoextend[:max:SIZE]], separated by `;` (SELECT @@innodb_data_file_path)"
    )]
    DataFilePath {
        /// The complete value.
        spec: String,
        /// The part of the file.
        entry: String,
        /// The cause.
        why: &'static str,
    },
    /// The system tablespace is on a raw device.
    #[error(
        "the system tablespace file {name} is a raw device (new/raw in innodb_data_file_path): \
         raw devices can't be backed up, move the system tablespace into a file"
    )]
    RawDevice {
        /// The name of the file in the setting.
        name: String,
    },
    /// A file of the system tablespace doesn't have the configured size.
    #[error(
        "system tablespace file {}: it has {found}, but innodb_data_file_path has {expected}: \
         is this the data directory of that server?",
        path.display(), found = count(found, "byte")
    )]
    SystemFileSize {
        /// The file.
        path: PathBuf,
        /// Its length, rounded down to whole MiB.
        found: u64,
        /// The configured length.
        expected: u64,
    },
    /// The file of a tablespace doesn't exist.
    #[error(
        "tablespace {name:?} (space {space_id}): its file {} doesn't exist; if the table was dropped or moved during \
         the backup, run the backup again; otherwise the server has lost this file, and a backup would lack it",
        path.display()
    )]
    MissingTablespace {
        /// The server's name of it.
        name: String,
        /// Its id.
        space_id: SpaceId,
        /// The expected path.
        path: PathBuf,
    },
    /// A file name isn't UTF-8, so it can't be stored in a backup.
    #[error(
        "the name of {} is not UTF-8 and can't be stored in a backup: MySQL creates no such names, so \
         move it out of the data directory",
        path.display()
    )]
    NotUtf8 {
        /// The file, with invalid bytes replaced.
        path: PathBuf,
    },
    /// A symbolic link in the data directory is broken.
    #[error(
        "{} is a symbolic link that can't be followed ({source}): fix it or remove it",
        path.display()
    )]
    BadLink {
        /// The link.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Page 0 isn't that of a tablespace.
    #[error("{}: its first page is not that of a tablespace: {source}", path.display())]
    NotATablespace {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: InnodbError,
    },
    /// The file contains another tablespace than in the server's list or in the survey.
    #[error(
        "{}: page 0 is that of space {found}, expected space {expected} ({name:?}): the file \
         was replaced under the same name (DDL or an undo truncation during the backup); run \
         the backup again, and make sure that no DDL runs during it",
        path.display()
    )]
    Replaced {
        /// The file.
        path: PathBuf,
        /// The tablespace's name.
        name: String,
        /// The id in the file.
        found: SpaceId,
        /// The id in the server's list, or at the time of the survey.
        expected: SpaceId,
    },
    /// A tablespace has an unexpected page size.
    #[error("{}: its page size is {found}, expected {expected}: {hint}", path.display())]
    PageSize {
        /// The file.
        path: PathBuf,
        /// The page size by its flags.
        found: PageSize,
        /// The server's page size, or that of the survey.
        expected: PageSize,
        /// The interpretation.
        hint: &'static str,
    },
    /// Two files would get the same name in the backup.
    #[error(
        "{} and {} would both be {name:?} in the backup: rename one of the tablespaces",
        first.display(), second.display()
    )]
    SameName {
        /// The name.
        name: String,
        /// One of them.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
    /// Two files have the same tablespace id.
    #[error(
        "{} and {} are both space {space_id}: one of them is a copy; move it out of the \
         data directory",
        first.display(), second.display()
    )]
    SameSpace {
        /// The id.
        space_id: SpaceId,
        /// One of them.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
    /// The file was shortened.
    #[error(
        "{}: shrank while it was read: expected the bytes from {offset} to {end}, the file ends at \
         {found_end}; it was truncated or replaced (DDL, undo truncation): run the backup again",
        path.display()
    )]
    Shrunk {
        /// The file.
        path: PathBuf,
        /// The first requested byte.
        offset: u64,
        /// The end (exclusive) of the requested bytes.
        end: u64,
        /// Its present end.
        found_end: u64,
    },
    /// A page was invalid in every read.
    #[error(
        "{}: page {page} of space {space_id} is corrupt: {fault}; read {tries}, so it is not a \
         write in progress. Find the table with SELECT * FROM information_schema.innodb_tablespaces \
         WHERE space={space_id}, check it with CHECK TABLE and innochecksum, and restore it",
        path.display(), tries = count(tries, "time")
    )]
    CorruptPage {
        /// The file.
        path: PathBuf,
        /// The page number in the file.
        page: PageNo,
        /// The tablespace.
        space_id: SpaceId,
        /// The cause.
        fault: PageFault,
        /// The number of reads.
        tries: u32,
    },
    /// A page that can't be verified differed in every read.
    #[error(
        "{}: page {page} of space {space_id} can't be verified (it is encrypted, or was written \
         without a checksum), and no two consecutive reads of {tries} were equal: the server writes it \
         continuously; run the backup again at a time with less load",
        path.display(), tries = count(tries, "read")
    )]
    UnstablePage {
        /// The file.
        path: PathBuf,
        /// The page number in the file.
        page: PageNo,
        /// The tablespace.
        space_id: SpaceId,
        /// The number of reads.
        tries: u32,
    },
    /// [`ReadMode::Direct`](super::ReadMode::Direct) is required, but not available.
    #[error(
        "{}: its file system doesn't support direct reads (O_DIRECT): {source}; use the automatic \
         or the buffered mode",
        path.display()
    )]
    NoDirect {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A request beyond the pages of the file, or with a too short buffer: a bug of the caller.
    #[error(
        "{}: {pages} requested from page {first} into {buffer}; the file has {has} of {page_size} bytes: this is a bug of lsnap, please report it",
        path.display(), pages = count(pages, "page"), buffer = count(buffer, "byte"), has = count(has, "page")
    )]
    BadRequest {
        /// The file.
        path: PathBuf,
        /// First requested page.
        first: PageNo,
        /// Number of requested pages.
        pages: usize,
        /// The buffer's length in bytes.
        buffer: usize,
        /// Number of whole pages of the file at the time of the survey.
        has: u64,
        /// The page size.
        page_size: PageSize,
    },
}

impl DatadirError {
    /// Wraps an I/O error with its action and path, for `map_err`.
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

impl DatadirError {
    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::NotATablespace { .. } | Self::CorruptPage { .. } => ErrorKind::Damaged,
            Self::Replaced { .. } | Self::Shrunk { .. } | Self::UnstablePage { .. } => {
                ErrorKind::Changed
            }
            Self::DataFilePath { .. }
            | Self::RawDevice { .. }
            | Self::SystemFileSize { .. }
            | Self::MissingTablespace { .. }
            | Self::NotUtf8 { .. }
            | Self::BadLink { .. }
            | Self::PageSize { .. }
            | Self::SameName { .. }
            | Self::SameSpace { .. } => ErrorKind::Precondition,
            Self::NoDirect { .. } => ErrorKind::Incompatible,
            Self::BadRequest { .. } => ErrorKind::Internal,
        }
    }
}
