//! The prepared backup: its checks and its files.

use super::error::{BackError, io, target};
use crate::manifest::{BackupType, CHECKPOINTS, Checkpoints};
use crate::restore::prepare::{JOURNAL, PreparedList, prepared_list};
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// The settings of the source server.
const SETTINGS: &str = "backup-my.cnf";
/// The places of tablespaces.
const TABLESPACES: &str = "xtrabackup_tablespaces";
/// The position in the binary log.
const BINLOG_INFO: &str = "xtrabackup_binlog_info";
/// The files of the system tablespace of a server without the setting.
const DATA_FILE_PATH: &str = "ibdata1:12M:autoextend";
/// Longest text file of the backup that is read, in bytes.
const LONGEST: u64 = 64 << 20;

/// A file of the backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its path in the directory of the backup.
    pub(super) name: PathBuf,
    /// Its length in bytes.
    pub(super) bytes: u64,
}

/// A prepared backup.
#[derive(Debug)]
pub(super) struct Source {
    /// The real path of its directory.
    pub(super) path: PathBuf,
    /// The text of `xtrabackup_checkpoints`.
    pub(super) checkpoints: String,
    /// The files of the system tablespace.
    pub(super) data_file_path: String,
    /// The tablespaces with places of their own: the name of the file in the backup without `.ibd`,
    /// and its place.
    pub(super) external: Vec<External>,
    /// The last binary log.
    pub(super) binary_log: Option<String>,
    /// What the last step of prepare left, unless another program prepared it.
    pub(super) prepared: Option<PreparedList>,
    /// Its files.
    pub(super) files: Vec<Found>,
    /// Its directories without files.
    pub(super) empty: Vec<PathBuf>,
    /// What was left out, if that is worth a warning.
    pub(super) warnings: Vec<String>,
}

/// An entry of `xtrabackup_tablespaces`.
#[derive(Debug, Clone, serde::Deserialize)]
pub(super) struct External {
    /// The path on the source server.
    pub(super) file_name: PathBuf,
    /// The name of the tablespace.
    #[serde(default)]
    pub(super) tablespace_name: String,
    /// `TABLESPACE` or `UNDO_LOG`.
    #[serde(default)]
    pub(super) tablespace_type: String,
}

#[derive(serde::Deserialize)]
struct Tablespaces {
    #[serde(default)]
    external_tablespaces: Vec<External>,
}

impl External {
    /// Parses the text of the file.
    ///
    /// # Errors
    /// It is not JSON of this kind.
    pub(super) fn list(text: &str) -> Result<Vec<Self>, String> {
        let read: Result<Tablespaces, _> = serde_json::from_str(text);
        read.map(|read| read.external_tablespaces)
            .map_err(|error| error.to_string())
    }

    /// Returns the place of the tablespace for a data directory; `None` for a place to which the backup in `backup` must
    /// not be copied.
    pub(super) fn place(&self, datadir: &Path, backup: &Path) -> Option<PathBuf> {
        let path = datadir.join(&self.file_name);
        let mut parts = path.components();
        let upwards = parts.any(|part| part == Component::ParentDir);
        let is_one = path.extension() == Some("ibd".as_ref()) && !path.starts_with(backup);
        (is_one && !upwards).then(|| path.components().collect())
    }
}

/// Returns the places of tablespaces in an `xtrabackup_tablespaces`, for the fuzzer: `None` for each that is refused.
///
/// # Errors
/// The text is not such a file.
pub(crate) fn places(
    text: &str,
    datadir: &Path,
    backup: &Path,
) -> Result<Vec<Option<PathBuf>>, String> {
    let list = External::list(text)?;
    Ok(list
        .iter()
        .map(|external| external.place(datadir, backup))
        .collect())
}

impl Source {
    /// Opens the directory of a backup, and lists its files.
    ///
    /// # Errors
    /// It is not fully prepared, or has files that can't be placed.
    pub(super) fn open(path: &Path) -> Result<Self, BackError> {
        let path = path
            .canonicalize()
            .map_err(io("open the directory", path))?;
        if path.join(JOURNAL).symlink_metadata().is_ok() {
            return Err(target(
                &path,
                format!(
                    "a step of --prepare did not end ({JOURNAL} is in it); run that step again"
                ),
            ));
        }
        let checkpoints = prepared(&path)?;
        let settings = text(&path, SETTINGS)?.unwrap_or_default();
        let tablespaces = text(&path, TABLESPACES)?;
        let external = match tablespaces {
            None => Vec::new(),
            Some(text) => {
                let list = External::list(&text);
                list.map_err(|why| {
                    target(
                        &path,
                        format!("its {TABLESPACES} can't be read: {why}; use another backup"),
                    )
                })?
            }
        };
        let position = text(&path, BINLOG_INFO)?.unwrap_or_default();
        let list = prepared_list(&path).map_err(|error| target(&path, error.to_string()))?;
        let mut source = Self {
            prepared: list,
            checkpoints,
            data_file_path: setting(&settings, "innodb_data_file_path")
                .unwrap_or_else(|| DATA_FILE_PATH.to_owned()),
            external,
            binary_log: position
                .split(['\t', '\n'])
                .next()
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            files: Vec::new(),
            empty: Vec::new(),
            warnings: Vec::new(),
            path,
        };
        source.walk(Path::new(""))?;
        source.files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(source)
    }

    /// Lists the files below a directory; returns whether there are any.
    fn walk(&mut self, below: &Path) -> Result<bool, BackError> {
        let directory = self.path.join(below);
        let mut any = false;
        for entry in fs::read_dir(&directory).map_err(io("list", &directory))? {
            let entry = entry.map_err(io("list", &directory))?;
            let name = below.join(entry.file_name());
            // The directory of a file system, which only root may read.
            if name == Path::new("lost+found") || is_private(&entry.file_name()) {
                continue;
            }
            let path = entry.path();
            let meta = fs::symlink_metadata(&path).map_err(io("look at", &path))?;
            if meta.is_dir() {
                any = true;
                if !self.walk(&name)? {
                    self.empty.push(name);
                }
            } else if meta.is_file() {
                any = true;
                self.files.push(Found {
                    name,
                    bytes: meta.len(),
                });
            } else {
                let kind = if meta.is_symlink() {
                    "a symbolic link"
                } else {
                    "neither a file nor a directory"
                };
                return Err(target(
                    &self.path,
                    format!(
                        "{} is {kind}, which no backup has; remove it, then run the same command again",
                        name.display()
                    ),
                ));
            }
        }
        Ok(any)
    }

    /// Returns whether the backup has a file.
    pub(super) fn has(&self, name: &Path) -> bool {
        self.files
            .binary_search_by(|file| file.name.as_path().cmp(name))
            .is_ok()
    }
}

/// Returns whether a file was left by an interrupted run of lsnap.
fn is_private(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".lsnap-")
}

/// Returns the text of `xtrabackup_checkpoints` of a backup that is fully prepared.
fn prepared(path: &Path) -> Result<String, BackError> {
    let found = text(path, CHECKPOINTS)?.ok_or_else(|| {
        target(
            path,
            format!("it has no {CHECKPOINTS}, so it is not a backup; correct BackOptions::target"),
        )
    })?;
    let read = Checkpoints::parse(found.as_bytes())
        .map_err(|what| target(path, format!("{CHECKPOINTS}: {what}; use another backup")))?;
    let remedy = match read.kind {
        BackupType::Prepared => return Ok(found),
        BackupType::Full => "Run --prepare on it first",
        BackupType::LogApplied => "Run --prepare on it without --apply-log-only",
        BackupType::Incremental => "Apply it to its full backup with --prepare",
    };
    Err(target(
        path,
        format!(
            "The target is not fully prepared: backup_type = {} found, full-prepared expected. {remedy}",
            read.kind
        ),
    ))
}

/// Reads a text file of the backup; `None` if it is missing.
fn text(path: &Path, name: &str) -> Result<Option<String>, BackError> {
    let file = path.join(name);
    match fs::symlink_metadata(&file) {
        Ok(meta) if !meta.is_file() || meta.len() > LONGEST => Err(target(
            path,
            format!("{name} is not a text file of a backup; use another backup"),
        )),
        Ok(_) => fs::read_to_string(&file)
            .map(Some)
            .map_err(io("read", &file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io("look at", &file)(error)),
    }
}

/// Returns the value of a setting of an option file.
fn setting(text: &str, wanted: &str) -> Option<String> {
    let mut values = text.lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim().replace('-', "_") == wanted).then(|| value.trim().to_owned())
    });
    values.next_back().filter(|value| !value.is_empty())
}
