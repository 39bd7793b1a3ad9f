//! The file in a backup that says that its files are being moved to a data directory. While it is
//! there, the backup is incomplete, and only that data directory may get the rest.

use super::error::{BackError, io, target};
use super::place::Placing;
use super::private::write_locked;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The name of the file.
pub(super) const NAME: &str = crate::reader::directory::MOVED;

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    /// The data directory that the files are moved to.
    datadir: PathBuf,
}

/// Checks that the files of a backup were not moved to another directory. Call it after the files
/// were listed: a move that starts later has all of them.
///
/// # Errors
/// They were; or the data directory was emptied since.
pub(super) fn check(backup: &Path, datadir: &Path, continued: bool) -> Result<(), BackError> {
    let path = backup.join(NAME);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io("read", &path)(error)),
    };
    let document: Document = serde_json::from_slice(&text).map_err(|error| {
        target(
            backup,
            format!("its {NAME} can't be read: {error}; use another backup"),
        )
    })?;
    if document.datadir != datadir {
        return Err(target(
            backup,
            format!(
                "it is incomplete: a run that did not end moved files of it to {}. Run that command again, which \
                 continues; or use another backup",
                document.datadir.display()
            ),
        ));
    }
    if !continued {
        return Err(target(
            backup,
            format!(
                "it is incomplete: a run that did not end moved files of it to {}, which was emptied since. Move them \
                 back to that directory with its {}; or use another backup",
                datadir.display(),
                super::marker::NAME
            ),
        ));
    }
    Ok(())
}

/// Writes the file, before the first file of the backup is moved; returns whether it is new.
pub(super) fn write(
    backup: &Path,
    datadir: &Path,
    placing: &Placing<'_>,
) -> Result<bool, BackError> {
    let path = backup.join(NAME);
    let document = Document {
        datadir: datadir.to_path_buf(),
    };
    let text = serde_json::to_vec(&document)
        .map_err(|error| io("write", &path)(std::io::Error::other(error)))?;
    if write_locked(&path, &text)?.is_none() {
        // Of a former run of this job; or another run has just begun.
        check(backup, datadir, true)?;
        return Ok(false);
    }
    placing.syncs.changed(&path);
    placing.syncs.sync()?;
    Ok(true)
}

/// Removes the file: all files of the backup are in their places, or none was moved.
pub(super) fn remove(backup: &Path, placing: &Placing<'_>) -> Result<(), BackError> {
    placing.remove(&backup.join(NAME))?;
    placing.syncs.sync()
}
