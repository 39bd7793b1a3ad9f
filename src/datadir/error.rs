//! What can go wrong with a data directory.

use crate::counted::count;
use crate::error_kind::ErrorKind;
use crate::innodb::{InnodbError, PageFault, PageNo, PageSize, SpaceId};
use std::io;
use std::path::PathBuf;

/// An error of this layer. The message names the file, what was found and expected, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatadirError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "open", "read", ...
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `innodb_data_file_path` can't be understood.
    #[error(
        "innodb_data_file_path is {spec:?}: {why} in {entry:?}; expected \
         NAME:SIZE[K|M|G][:autoextend[:max:SIZE]], separated by `;` (SELECT @@innodb_data_file_path)"
    )]
    DataFilePath {
        /// The whole value.
        spec: String,
        /// The file's part of it.
        entry: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The system tablespace lies on a raw device.
    #[error(
        "the system tablespace file {name} is a raw device (new/raw in innodb_data_file_path): \
         raw devices can't be backed up, move the system tablespace into a file"
    )]
    RawDevice {
        /// Its name as in the setting.
        name: String,
    },
    /// A file of the system tablespace hasn't the size that the setting says.
    #[error(
        "system tablespace file {}: it has {found}, innodb_data_file_path says {expected}: \
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
    /// The server has a tablespace whose file isn't there.
    #[error(
        "tablespace {name:?} (space {space_id}): the server says that its file is {}, where no file \
         is; if the table was dropped or moved meanwhile, start the backup again; else the server \
         has lost this file and a backup would lack it",
        path.display()
    )]
    MissingTablespace {
        /// Its name for the server.
        name: String,
        /// Its id.
        space_id: SpaceId,
        /// Where it should be.
        path: PathBuf,
    },
    /// A file name that isn't UTF-8: it has no name in a backup.
    #[error(
        "the name of {} is not UTF-8 and can't be stored in a backup: MySQL makes no such names, so \
         move it out of the data directory",
        path.display()
    )]
    NotUtf8 {
        /// The file, shown with its bad bytes replaced.
        path: PathBuf,
    },
    /// A symbolic link in the data directory that leads nowhere.
    #[error(
        "{} is a symbolic link that can't be followed ({source}): mend it or remove it",
        path.display()
    )]
    BadLink {
        /// The link.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Page 0 doesn't look like that of a tablespace.
    #[error("{}: its first page is not that of a tablespace: {source}", path.display())]
    NotATablespace {
        /// The file.
        path: PathBuf,
        /// What `innodb` says.
        source: InnodbError,
    },
    /// The file holds another tablespace than the server (or the survey) says.
    #[error(
        "{}: page 0 says that this is space {found}, expected space {expected} ({name:?}): the file \
         was replaced under the same name (DDL or an undo truncation while the backup ran); start \
         the backup again, and see to it that no DDL runs meanwhile",
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
    /// A tablespace whose page size isn't the one that it should have.
    #[error("{}: its page size is {found}, expected {expected}: {hint}", path.display())]
    PageSize {
        /// The file.
        path: PathBuf,
        /// By its flags.
        found: PageSize,
        /// The server's, or that of the survey.
        expected: PageSize,
        /// What to make of it.
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
    /// Two files say that they are the same tablespace.
    #[error(
        "{} and {} both say that they are space {space_id}: one is a stray copy; move it out of the \
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
    /// The file got shorter than it was.
    #[error(
        "{}: shrank while it was read: wanted the bytes from {offset} to {end}, the file ends at \
         {found_end}; it was truncated or replaced (DDL, undo truncation): start the backup again",
        path.display()
    )]
    Shrunk {
        /// The file.
        path: PathBuf,
        /// The first byte wanted.
        offset: u64,
        /// The end (exclusive) of the bytes wanted.
        end: u64,
        /// Where it ends now.
        found_end: u64,
    },
    /// A page that stayed wrong however often it was read.
    #[error(
        "{}: page {page} of space {space_id} is corrupt: {fault}; read {tries}, so it is no \
         write in progress. Find the table with SELECT * FROM information_schema.innodb_tablespaces \
         WHERE space={space_id}, check it with CHECK TABLE and innochecksum, and restore it",
        path.display(), tries = count(tries, "time")
    )]
    CorruptPage {
        /// The file.
        path: PathBuf,
        /// The page, counted within the file.
        page: PageNo,
        /// The tablespace.
        space_id: SpaceId,
        /// What is wrong with it.
        fault: PageFault,
        /// How often it was read.
        tries: u32,
    },
    /// A page that can't be checked and was different each time it was read.
    #[error(
        "{}: page {page} of space {space_id} can't be checked (it is encrypted, or was written \
         without a checksum), and no two of {tries} in a row agreed: the server writes it all \
         the time; try again at a quieter time",
        path.display(), tries = count(tries, "read")
    )]
    UnstablePage {
        /// The file.
        path: PathBuf,
        /// The page, counted within the file.
        page: PageNo,
        /// The tablespace.
        space_id: SpaceId,
        /// How often it was read.
        tries: u32,
    },
    /// [`ReadMode::Direct`](super::ReadMode::Direct) was asked for and isn't to be had.
    #[error(
        "{}: its file system doesn't grant direct reads (O_DIRECT): {source}; use the automatic \
         or the buffered mode",
        path.display()
    )]
    NoDirect {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A request beyond the pages that the file has, or a buffer too short: a bug of the caller.
    #[error(
        "{}: asked for {pages} from page {first} into {buffer}; the file has {has} of {page_size} bytes: this is a bug of lsnap, please report it",
        path.display(), pages = count(pages, "page"), buffer = count(buffer, "byte"), has = count(has, "page")
    )]
    BadRequest {
        /// The file.
        path: PathBuf,
        /// First page wanted.
        first: PageNo,
        /// Pages wanted.
        pages: usize,
        /// The buffer's length in bytes.
        buffer: usize,
        /// Whole pages of the file when it was surveyed.
        has: u64,
        /// The page size.
        page_size: PageSize,
    },
}

impl DatadirError {
    /// For `map_err`: wraps what the system said about `path`.
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
    /// Returns the kind of the failure.
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
