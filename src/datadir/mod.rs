//! A data directory on disk: what is in it ([`survey()`]) and its pages, verified ([`PageReader`]).
//!
//! Where the facts come from: `docs/format/delta.md#names`, `docs/format/checkpoints.md#plain-files`,
//! `docs/format/pages.md`, the MySQL manual (`innodb_data_file_path`, undo
//! tablespaces, general tablespaces, `DATA DIRECTORY`), and a MySQL 9.7.4 data directory looked at
//! with all of these in it.
//!
//! A survey compares the server's dictionary, the files that the server has open and the files on disk
//! (`compare`), and where they differ it says so rather than choosing: every [`Difference`] has a name, and
//! the caller decides what comes of it.

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

/// Where a server keeps its files: the values of its variables. Relative paths are relative to
/// `datadir`, as they are for the server.
#[derive(Debug, Clone)]
pub struct ServerPaths {
    /// `datadir`; absolute.
    pub datadir: PathBuf,
    /// `innodb_data_home_dir`; empty when not set (then the files of the system tablespace are
    /// relative to `datadir`, or absolute).
    pub data_home: PathBuf,
    /// `innodb_data_file_path`, such as `ibdata1:12M:autoextend`.
    pub data_file_path: String,
    /// `innodb_undo_directory`; empty or `.` is the data directory.
    pub undo_dir: PathBuf,
    /// The directory that holds `#innodb_redo` (`innodb_log_group_home_dir`).
    pub redo_dir: PathBuf,
    /// `innodb_doublewrite_dir`, when set.
    pub doublewrite_dir: Option<PathBuf>,
    /// `innodb_temp_tablespaces_dir`.
    pub temp_dir: PathBuf,
    /// `innodb_page_size`.
    pub page_size: PageSize,
}

/// What a server says of its tablespaces, in the two ways that it has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerLists {
    /// Every tablespace that there is, open or not.
    pub dictionary: Vec<DictionarySpace>,
    /// Every file that is open.
    pub open: Vec<ServerTablespace>,
}

/// Where the list of the tablespaces of a data directory comes from.
#[derive(Debug, Clone, Copy)]
pub enum Spaces<'a> {
    /// The server's own lists. A list without the dictionary's tablespace is an error, so an empty list is never
    /// mistaken for [`Self::OnDisk`].
    OfServer(&'a ServerLists),
    /// The files on disk, because there is no server (an offline data directory). Every file in its usual place is
    /// taken; tablespaces outside of the data directory are not found.
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
    /// `FILE_ID`. A tablespace that isn't open has NULL there: such a row must not be handed over.
    pub space_id: SpaceId,
    /// `TABLESPACE_NAME`: `db/t`, `db/t#p#p0`, `innodb_undo_001`, ...
    pub name: String,
    /// `FILE_NAME` as the server gives it: `./db/t.ibd` relative to the data directory, or absolute.
    pub path: PathBuf,
    /// Whether `FILE_TYPE` is `UNDO LOG`.
    pub undo: bool,
}

/// What is in a data directory, and what of it belongs into a backup.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Every file of every tablespace, the system tablespace first, then by name.
    pub tablespaces: Vec<Tablespace>,
    /// Files that are copied as they are, by name.
    pub plain: Vec<PlainFile>,
    /// Every schema's directory, with or without files in it, by its name on disk (MySQL's file
    /// name encoding: `odd@0020name`).
    pub schemas: Vec<String>,
    /// What was seen and doesn't belong into a backup.
    pub left_out: Vec<LeftOut>,
    /// Where the server's lists and the disk differ; empty when no lists were given.
    pub differences: Vec<Difference>,
    /// `undo_<n>_trunc.log` files: the server is (or was, when it crashed) truncating that undo
    /// tablespace, and a copy of it made now may be of no use.
    pub undo_truncation: Vec<PathBuf>,
}

/// One file of a tablespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tablespace {
    /// The file.
    pub source: PathBuf,
    /// Its path within the backup, `/` separated: `db/t.ibd`, `ibdata1`, `undo_001`, `ts.ibd`.
    pub name: String,
    /// What it is.
    pub kind: TablespaceKind,
    /// The tablespace's id: at page 0, and in the server's list.
    pub space_id: SpaceId,
    /// 0, or for the files of the system tablespace their ordinal.
    pub node: u32,
    /// The number within the tablespace of the file's first page: 0 but for `ibdata2` and on.
    pub first_page: u32,
    /// The flags of page 0 (for `ibdata2` and on: those of `ibdata1`).
    pub flags: SpaceFlags,
    /// The size of a page on disk (for `ROW_FORMAT=COMPRESSED` the compressed size).
    pub page_size: PageSize,
    /// The length of its whole pages in bytes when it was surveyed; always a multiple of
    /// `page_size`. What the server adds later comes from the redo log.
    pub bytes: u64,
    /// The server's name for it: `db/t`, `innodb_undo_001`; `None` when no list was given.
    pub tablespace_name: Option<String>,
    /// When the file isn't at `datadir/name`: the directory that it belongs into. For a table with
    /// `DATA DIRECTORY` that is this directory (the file is `external/schema/table.ibd`), for all
    /// others the directory that holds the file.
    pub external: Option<PathBuf>,
}

/// What a tablespace is for.
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
    /// Made with `CREATE TABLESPACE`.
    General,
}

/// A file that is copied as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainFile {
    /// The file.
    pub source: PathBuf,
    /// Its path within the backup, `/` separated.
    pub name: String,
    /// Its length in bytes when it was surveyed.
    pub bytes: u64,
}

/// Something in the data directory that is not backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its path: relative to the data directory, or absolute when outside of it. Directories end
    /// with `/`.
    pub path: String,
    /// Why.
    pub reason: &'static str,
}

/// A difference between the server's lists and the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The tablespace's id; `None` for a file without one.
    pub space_id: Option<SpaceId>,
    /// The tablespace's name for the server; empty when the server has none of this id.
    pub name: String,
    /// The file; absolute.
    pub path: PathBuf,
    /// What the difference is.
    pub kind: DifferenceKind,
}

/// The differences that there can be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// The server hasn't opened the file yet, or can't (without the key). It is backed up.
    NotOpened,
    /// The dictionary says that the tablespace was discarded: it has no file.
    Discarded,
    /// The dictionary has it, and its file isn't there; why.
    Missing(String),
    /// A tablespace file in the data directory whose id the server doesn't have.
    Unknown,
    /// A second file of a tablespace that the server has elsewhere.
    Copy,
    /// A file with a tablespace's name and no valid page 0; why.
    NoTablespace(String),
}

impl LeftOut {
    /// Of a file of keys that lies at `path`.
    #[must_use]
    pub const fn keys(path: String) -> Self {
        Self {
            path,
            reason: classify::KEYS,
        }
    }

    /// Whether `reason` is that of something without which a restored server can't open encrypted tablespaces.
    #[must_use]
    pub fn opens_keys(reason: &str) -> bool {
        reason == classify::KEYRING_CONFIG || reason == classify::KEYS
    }
}
