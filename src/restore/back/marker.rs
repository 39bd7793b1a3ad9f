//! The file in a data directory that says that a backup is being placed in it. It stays after a
//! failure: then only the same backup may be placed there.

use super::error::{BackError, directory, io};
use super::place::Placing;
use super::plan::{Made, Plan};
use super::private::{is_locked_by_another, write_locked};
use super::source::Source;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The name of the file.
pub(super) const NAME: &str = ".lsnap-back.json";
/// Longest file that is read, in bytes.
const LONGEST: u64 = 64 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Document {
    /// The directory of the backup.
    backup: PathBuf,
    /// Its `xtrabackup_checkpoints`.
    checkpoints: String,
    /// The directories of all files: a run that was killed leaves incomplete files in them.
    directories: Vec<PathBuf>,
    /// The files that are written anew. If the binary logs are moved already, the backup doesn't
    /// have their names any more.
    made: Vec<Made>,
    /// The files of the backup that a server applies at its start. If they are moved already, the
    /// backup doesn't have their names any more.
    #[serde(default)]
    logs: Vec<PathBuf>,
}

/// The marker of a data directory. It is locked while its run is alive.
#[derive(Debug)]
pub(super) struct Marker {
    path: PathBuf,
    /// Has the lock.
    _locked: File,
    document: Document,
}

impl Marker {
    /// Reads and locks the marker of a former run, if there is one.
    ///
    /// # Errors
    /// A run that is alive has it.
    pub(super) fn find(datadir: &Path) -> Result<Option<Self>, BackError> {
        let path = datadir.join(NAME);
        let wrong = |why: String| {
            directory(
                datadir,
                format!("{NAME} in it {why}; empty the directory, then run the same command again"),
            )
        };
        loop {
            let meta = match fs::symlink_metadata(&path) {
                Ok(meta) => meta,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(io("look at", &path)(error)),
            };
            if !meta.is_file() || meta.len() > LONGEST {
                return Err(wrong("is not a file of lsnap".to_owned()));
            }
            let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                opened => opened.map_err(io("open", &path))?,
            };
            if is_locked_by_another(&file).map_err(io("lock", &path))? {
                return Err(occupied(datadir));
            }
            if file.metadata().map_err(io("look at", &path))?.nlink() == 0 {
                // Its run has just ended.
                continue;
            }
            let mut text = Vec::new();
            file.read_to_end(&mut text).map_err(io("read", &path))?;
            let document = serde_json::from_slice(&text)
                .map_err(|error| wrong(format!("can't be read: {error}")))?;
            return Ok(Some(Self {
                path,
                _locked: file,
                document,
            }));
        }
    }

    /// Checks that the former run placed the same backup.
    pub(super) fn check(&self, source: &Source) -> Result<(), BackError> {
        if self.document.backup == source.path && self.document.checkpoints == source.checkpoints {
            return Ok(());
        }
        let datadir = self.path.parent().unwrap_or(&self.path);
        let former = self.document.backup.display();
        let why = if self.document.backup == source.path {
            format!(
                "another backup was in {former} when a run that did not end placed its files here"
            )
        } else {
            format!("it has files of the backup in {former}, placed by a run that did not end")
        };
        Err(directory(
            datadir,
            format!(
                "{why}. Run that command again, which continues; or empty the directory before another backup is placed in it"
            ),
        ))
    }

    /// Writes the marker into a data directory.
    pub(super) fn write(
        datadir: &Path,
        source: &Source,
        plan: &Plan,
        placing: &Placing<'_>,
    ) -> Result<Self, BackError> {
        let path = datadir.join(NAME);
        let document = Document {
            backup: source.path.clone(),
            checkpoints: source.checkpoints.clone(),
            directories: plan.parents().into_iter().map(Path::to_path_buf).collect(),
            made: plan.made.clone(),
            logs: plan.logs(),
        };
        let text = serde_json::to_vec(&document)
            .map_err(|error| io("write", &path)(std::io::Error::other(error)))?;
        let locked = write_locked(&path, &text)?.ok_or_else(|| occupied(datadir))?;
        placing.syncs.changed(&path);
        placing.syncs.sync()?;
        Ok(Self {
            path,
            _locked: locked,
            document,
        })
    }

    /// Returns the directories of all files.
    pub(super) fn directories(&self) -> &[PathBuf] {
        &self.document.directories
    }

    /// Returns the files that are written anew.
    pub(super) fn made(&self) -> &[Made] {
        &self.document.made
    }

    /// Returns the files that a server applies at its start.
    pub(super) fn logs(&self) -> &[PathBuf] {
        &self.document.logs
    }

    /// Removes it: the data directory is complete.
    pub(super) fn remove(&self) -> Result<(), BackError> {
        fs::remove_file(&self.path).map_err(io("remove", &self.path))
    }
}

/// Returns the error for a data directory in which another run works.
fn occupied(datadir: &Path) -> BackError {
    directory(
        datadir,
        "another run places a backup in it; wait until that run has ended",
    )
}
