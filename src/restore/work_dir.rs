//! The work directory of a restore: its marker, its lock, and what a killed restore left in it.

use super::error::{RestoreError, io, refuse};
use super::orphan;
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

pub(super) const MARKER: &str = "lsnap-restore";
/// First line of the marker.
pub(super) const OURS: &str =
    "This directory belongs to a running `lsnap restore`, or is left of one.";
/// First line of the list of entries that are being moved into the target.
pub(super) const MOVING: &str = "moving:";

/// Stops the server that a killed restore left in the work directory `work`. One that is no work directory is left
/// as it is.
///
/// # Errors
/// [`RestoreError::Target`] if a restore still works in it.
pub(super) fn end_left(work: &Path) -> Result<(), RestoreError> {
    match std::fs::symlink_metadata(work.join(MARKER)) {
        Ok(_) => left_behind(work).map(drop),
        Err(_) => Ok(()),
    }
}

/// Removes a work directory, its marker last.
pub(super) fn remove_work(work: &Path) -> Result<(), RestoreError> {
    for entry in std::fs::read_dir(work).map_err(io("list", work))? {
        let entry = entry.map_err(io("list", work))?;
        if entry.file_name() != MARKER {
            remove(&entry.path())?;
        }
    }
    remove(&work.join(MARKER))?;
    std::fs::remove_dir(work).map_err(io("remove", work))
}

/// Removes an entry of either kind; that it is gone already is fine.
pub(super) fn remove(path: &Path) -> Result<(), RestoreError> {
    let gone = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match gone {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// How long a process that was killed may take to let go of its lock: it may have much memory.
const LETS_GO: Duration = Duration::from_secs(60);

pub(super) fn lock(marker: &File, work: &Path) -> Result<(), RestoreError> {
    let path = work.join(MARKER);
    // While this one waited, another restore may have removed that marker and made its own.
    let is_there = || {
        let (held, there) = (marker.metadata(), std::fs::symlink_metadata(&path));
        matches!((held, there), (Ok(held), Ok(there)) if held.dev() == there.dev() && held.ino() == there.ino())
    };
    let try_it = || {
        rustix::fs::flock(marker, FlockOperation::NonBlockingLockExclusive).is_ok() && is_there()
    };
    if try_it() {
        return Ok(());
    }
    if orphan::stop(&path, work) {
        let began = Instant::now();
        while began.elapsed() < LETS_GO {
            if try_it() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Err(refuse(
        work,
        "another restore to it is running (or a mysqld that one started); wait for it or stop it",
    ))
}

/// What a killed restore left.
#[derive(Debug, Default)]
pub(super) struct LeftBehind {
    /// The locked marker, where there is one.
    _marker: Option<File>,
    /// The entries that it had begun to move into the target.
    pub(super) moved: Vec<String>,
}

/// Makes sure that an existing work directory is ours and that nobody works in it.
pub(super) fn left_behind(work: &Path) -> Result<LeftBehind, RestoreError> {
    let path = work.join(MARKER);
    let foreign = || {
        refuse(
            work,
            "it exists, and no restore of lsnap made it; move it away",
        )
    };
    let directory = std::fs::symlink_metadata(work).map_err(io("look at", work))?;
    if !directory.is_dir() {
        return Err(foreign());
    }
    let entries = std::fs::read_dir(work).map_err(io("list", work))?.count();
    if entries == 0 {
        return Ok(LeftBehind::default());
    }
    let plain = std::fs::symlink_metadata(&path).map_err(|_| foreign())?;
    if !plain.is_file() {
        return Err(foreign());
    }
    let mut marker = File::open(&path).map_err(io("open", &path))?;
    lock(&marker, work)?;
    let mut text = String::new();
    marker
        .read_to_string(&mut text)
        .map_err(io("read", &path))?;
    let unwritten = text.is_empty() && entries == 1;
    if text.lines().next() != Some(OURS) && !unwritten {
        return Err(foreign());
    }
    Ok(LeftBehind {
        moved: moved_entries(&text),
        _marker: Some(marker),
    })
}

/// The entries named after the line that says that they are being moved.
pub(super) fn moved_entries(marker: &str) -> Vec<String> {
    marker
        .lines()
        .skip_while(|line| *line != MOVING)
        .skip(1)
        .filter(|name| !name.is_empty() && !name.contains('/') && *name != "." && *name != "..")
        .map(str::to_owned)
        .collect()
}
