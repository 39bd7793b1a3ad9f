//! A data directory on disk: what is in it ([`survey`]) and its pages, verified ([`PageReader`]).
//!
//! Where the facts come from: `specs/xtrabackup-formats.md` (names in a backup 2.4, files that are
//! copied as they are 5.3, checks of pages 7), the MySQL manual (`innodb_data_file_path`, undo
//! tablespaces, general tablespaces, `DATA DIRECTORY`), and a MySQL 9.7.4 data directory looked at
//! with all of these in it.
//!
//! A survey believes the server's own list of tablespaces and the file that it finds, and where the
//! two differ it says so rather than choosing: a tablespace without its file is an error, a file
//! without a tablespace is left out by name.

mod classify;
mod error;
mod file;
mod holes;
mod place;
mod reader;
mod reread;
mod survey;
mod system;
mod walk;

#[cfg(test)]
mod tests;

pub use classify::is_keyring_config;
pub use error::DatadirError;
pub use reader::{PageReader, ReadMode, ReadReport};
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

/// A row of `information_schema.FILES`: a tablespace file that the server knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTablespace {
    /// `FILE_ID`. A discarded tablespace has NULL there, and no file: such a row must not be
    /// handed over.
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

/// Why a tablespace file that the server doesn't know is left out.
const ORPHAN: &str = "the server has no tablespace with this file (orphan, discarded or dropped)";

impl LeftOut {
    /// Whether it is a tablespace file that the server doesn't know: a person should hear of it.
    #[must_use]
    pub fn is_orphan(&self) -> bool {
        self.reason == ORPHAN
    }

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
