//! A data directory on disk: its contents ([`survey()`]) and its pages, verified ([`PageReader`]).
//!
//! Sources of facts: `docs/format/delta.md#names`, `docs/format/checkpoints.md#plain-files`,
//! `docs/format/pages.md`, the MySQL manual (`innodb_data_file_path`, undo tablespaces, general
//! tablespaces, `DATA DIRECTORY`), and a MySQL 9.7.4 data directory with all of these.
//!
//! A survey compares the server's dictionary, the files that the server has open and the files on
//! disk (`compare`). It reports differences instead of resolving them: every [`Difference`] has a
//! kind, and the caller decides on its consequence.

mod classify;
mod compare;
mod error;
mod file;
mod found;
mod holes;
mod listed;
mod place;
mod reader;
mod report;
mod reread;
mod survey;
mod system;
mod walk;

#[cfg(test)]
mod tests;

pub use classify::is_keyring_config;
pub use error::DatadirError;
pub use file::ReadMode;
pub use reader::PageReader;
pub use report::ReadReport;
pub(crate) use survey::is_hidden;
pub use survey::survey;

use crate::innodb::{PageSize, SpaceFlags, SpaceId};
use std::path::PathBuf;

/// The directories of a server: the values of its variables. Relative paths are relative to
/// `datadir`, as in the server.
#[derive(Debug, Clone)]
pub struct ServerPaths {
    /// `datadir`; absolute.
    pub datadir: PathBuf,
    /// `innodb_data_home_dir`; empty if not set (then the files of the system tablespace are
    /// relative to `datadir`, or absolute).
    pub data_home: PathBuf,
    /// `innodb_data_file_path`, such as `ibdata1:12M:autoextend`.
    pub data_file_path: String,
    /// `innodb_undo_directory`; empty or `.` is the data directory.
    pub undo_dir: PathBuf,
    /// The directory that contains `#innodb_redo` (`innodb_log_group_home_dir`).
    pub redo_dir: PathBuf,
    /// `innodb_doublewrite_dir`, if set.
    pub doublewrite_dir: Option<PathBuf>,
    /// `innodb_temp_tablespaces_dir`.
    pub temp_dir: PathBuf,
    /// `innodb_page_size`.
    pub page_size: PageSize,
}

/// The two lists of tablespaces of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerLists {
    /// Every tablespace, open or not.
    pub dictionary: Vec<DictionarySpace>,
    /// Every open file.
    pub open: Vec<ServerTablespace>,
}

/// The source of the list of tablespaces of a data directory.
#[derive(Debug, Clone, Copy)]
pub enum Spaces<'a> {
    /// The server's own lists. A list without the dictionary's tablespace is an error, so an empty
    /// list can't be mistaken for [`Self::OnDisk`].
    OfServer(&'a ServerLists),
    /// The files on disk, because there is no server (an offline data directory). Every file at its
    /// usual path is taken; tablespaces outside of the data directory are not found.
    OnDisk,
}

/// A tablespace of the server's dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DictionarySpace {
    /// `INNODB_TABLESPACES.SPACE`
    pub space_id: SpaceId,
    /// `INNODB_TABLESPACES.NAME`
    pub name: String,
    /// `INNODB_DATAFILES.PATH`: relative to the data directory, to the undo directory, or absolute.
    pub path: Option<PathBuf>,
    /// Whether it is an undo tablespace.
    pub undo: bool,
    /// Whether it has no file because `ALTER TABLE ... DISCARD TABLESPACE` removed it.
    pub discarded: bool,
}

/// A row of `information_schema.FILES`: a tablespace file that the server has open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTablespace {
    /// `FILE_ID`. It is NULL for a tablespace that isn't open: such rows must not be passed.
    pub space_id: SpaceId,
    /// `TABLESPACE_NAME`: `db/t`, `db/t#p#p0`, `innodb_undo_001`, ...
    pub name: String,
    /// `FILE_NAME` in the server's notation: `./db/t.ibd` relative to the data directory, or
    /// absolute.
    pub path: PathBuf,
    /// Whether `FILE_TYPE` is `UNDO LOG`.
    pub undo: bool,
}

/// The contents of a data directory, and the part of it that belongs into a backup.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Every file of every tablespace, the system tablespace first, then by name.
    pub tablespaces: Vec<Tablespace>,
    /// Files that are copied unchanged, sorted by name.
    pub plain: Vec<PlainFile>,
    /// Every schema's directory, also empty ones, by its name on disk (MySQL's filename encoding:
    /// `odd@0020name`).
    pub schemas: Vec<String>,
    /// Files and directories that don't belong into a backup.
    pub left_out: Vec<LeftOut>,
    /// Differences between the server's lists and the disk; empty if no lists were given.
    pub differences: Vec<Difference>,
}

/// One file of a tablespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tablespace {
    /// The file.
    pub source: PathBuf,
    /// Its path in the backup, separated by `/`: `db/t.ibd`, `ibdata1`, `undo_001`, `ts.ibd`.
    pub name: String,
    /// Its kind.
    pub kind: TablespaceKind,
    /// The tablespace id, in page 0 and in the server's list.
    pub space_id: SpaceId,
    /// The ordinal of a file of the system tablespace; 0 for other tablespaces.
    pub node: u32,
    /// The number in the tablespace of the file's first page: 0 except for `ibdata2` and later.
    pub first_page: u32,
    /// The flags in page 0 (for `ibdata2` and later: those of `ibdata1`).
    pub flags: SpaceFlags,
    /// The size of a page on disk (for `ROW_FORMAT=COMPRESSED` the compressed size).
    pub page_size: PageSize,
    /// The length of its whole pages in bytes at the time of the survey; always a multiple of
    /// `page_size`. Pages that the server adds later come from the redo log.
    pub bytes: u64,
    /// The server's name of it: `db/t`, `innodb_undo_001`; `None` without lists.
    pub tablespace_name: Option<String>,
    /// The directory that the file belongs into, if it isn't at `datadir/name`. For a table with
    /// `DATA DIRECTORY` this is that directory (the file is `external/schema/table.ibd`), for
    /// others the directory of the file.
    pub external: Option<PathBuf>,
}

/// The kind of a tablespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TablespaceKind {
    /// `ibdata1`, ...
    System,
    /// `mysql.ibd`
    Dictionary,
    /// `undo_001`, `*.ibu`
    Undo,
    /// `db/t.ibd`: one table, or one partition.
    FilePerTable,
    /// Created by `CREATE TABLESPACE`.
    General,
}

/// A file that is copied unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainFile {
    /// The file.
    pub source: PathBuf,
    /// Its path in the backup, separated by `/`.
    pub name: String,
    /// Its length in bytes at the time of the survey.
    pub bytes: u64,
}

/// A file or directory that is not backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its path: relative to the data directory, or absolute if it is outside of it. Directories
    /// end with `/`.
    pub path: String,
    /// The reason.
    pub reason: &'static str,
}

/// A difference between the server's lists and the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The tablespace's id; `None` for a file without one.
    pub space_id: Option<SpaceId>,
    /// The server's name of the tablespace; empty if the server has none with this id.
    pub name: String,
    /// The absolute path of the file.
    pub path: PathBuf,
    /// The kind of the difference.
    pub kind: DifferenceKind,
}

/// The kinds of differences.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// The server hasn't opened the file yet, or can't (without the key). It is backed up.
    NotOpened,
    /// The tablespace is discarded in the dictionary: it has no file.
    Discarded,
    /// The file of a tablespace in the dictionary is missing, with the reason.
    Missing(String),
    /// The file is there, and the filter of a partial backup leaves it out.
    Filtered,
    /// A tablespace file in the data directory whose id isn't in the server's lists.
    Unknown,
    /// A second file of a tablespace whose file is at another path.
    Copy,
    /// A file with a tablespace's name and without a valid page 0, with the reason.
    NoTablespace(String),
}

impl LeftOut {
    /// Creates the entry of a key file at `path`.
    #[must_use]
    pub const fn keys(path: String) -> Self {
        Self {
            path,
            reason: classify::KEYS,
        }
    }

    /// Creates the entry of a file that the filter of a partial backup leaves out.
    #[must_use]
    pub const fn filtered(path: String) -> Self {
        Self {
            path,
            reason: "left out by the filter of the backup",
        }
    }

    /// Returns whether `reason` is that of a file that a restored server needs to open encrypted
    /// tablespaces.
    #[must_use]
    pub fn opens_keys(reason: &str) -> bool {
        reason == classify::KEYRING_CONFIG || reason == classify::KEYS
    }
}
