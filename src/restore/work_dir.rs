//! The work directory of a restore: its marker, its lock, and the files of a killed restore.

use super::error::{RestoreError, io, refuse};
use super::orphan;
use rustix::fs::FlockOperation;
use std::ffi::OsStr;
use std::fmt;
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

/// Stops the server of a killed restore in the work directory `work`. A directory that is not a
/// work directory is not changed.
///
/// # Errors
/// [`RestoreError::Target`] if a restore is still running in it.
pub(super) fn stop_leftover(work: &Path) -> Result<(), RestoreError> {
    match std::fs::symlink_metadata(work.join(MARKER)) {
        Ok(_) => lock_leftover(work).map(drop),
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

/// Removes a file or a directory; it is not an error if it doesn't exist.
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

/// Timeout until a killed process must have released its lock: it may have much memory to free.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn lock(marker: &File, work: &Path) -> Result<(), RestoreError> {
    let path = work.join(MARKER);
    // In the meantime, another restore may have removed the marker and created its own.
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
        while began.elapsed() < RELEASE_TIMEOUT {
            if try_it() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Err(refuse(
        work,
        "another restore to it is running (or a mysqld that it started); wait for it or stop it",
    ))
}

/// The state of a killed restore's work directory.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    /// The locked marker, if there is one.
    _marker: Option<File>,
    /// The entries that it had begun to move into the target.
    pub(super) moved: Vec<Moved>,
}

/// Checks that an existing work directory was created by lsnap and is not in use, and locks it.
pub(super) fn lock_leftover(work: &Path) -> Result<Leftover, RestoreError> {
    let path = work.join(MARKER);
    let foreign = || {
        refuse(
            work,
            "it exists and was not created by a restore of lsnap; move it away",
        )
    };
    let directory = std::fs::symlink_metadata(work).map_err(io("look at", work))?;
    if !directory.is_dir() {
        return Err(foreign());
    }
    let entries = std::fs::read_dir(work).map_err(io("list", work))?.count();
    if entries == 0 {
        return Ok(Leftover::default());
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
    Ok(Leftover {
        moved: moved_entries(&text),
        _marker: Some(marker),
    })
}

/// An entry that a restore moved into the target, or was about to move. Somebody may have put another
/// entry of that name there since; the inode number tells them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) name: String,
    /// `None` in the list of an earlier version.
    inode: Option<u64>,
}

impl Moved {
    /// Describes an entry of `root`.
    pub(super) fn of(root: &Path, name: &str) -> Result<Self, RestoreError> {
        let path = root.join(name);
        let found = std::fs::symlink_metadata(&path).map_err(io("look at", &path))?;
        Ok(Self {
            name: name.to_owned(),
            inode: Some(found.ino()),
        })
    }

    /// Returns whether the entry `name` of the target is this one.
    pub(super) fn is_there(&self, datadir: &Path, name: &OsStr) -> bool {
        let found = std::fs::symlink_metadata(datadir.join(&self.name));
        let is_same = |inode| found.is_ok_and(|found| found.ino() == inode);
        name == self.name.as_str() && self.inode.is_none_or(is_same)
    }

    fn parse(line: &str) -> Option<Self> {
        let numbered = line
            .split_once(' ')
            .and_then(|(inode, name)| Some((Some(inode.parse().ok()?), name)));
        let (inode, name) = numbered.unwrap_or((None, line));
        let is_name = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
        is_name.then(|| Self {
            name: name.to_owned(),
            inode,
        })
    }
}

/// A line of the list, with its end.
impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.inode {
            Some(inode) => writeln!(f, "{inode} {}", self.name),
            None => writeln!(f, "{}", self.name),
        }
    }
}

/// Removes those of the entries that are in the target.
pub(super) fn remove_moved(datadir: &Path, moved: &[Moved]) -> Result<(), RestoreError> {
    let there = moved
        .iter()
        .filter(|entry| entry.is_there(datadir, OsStr::new(&entry.name)));
    for entry in there {
        remove(&datadir.join(&entry.name))?;
    }
    Ok(())
}

/// Returns the entries after the line that begins the list of moved entries.
pub(super) fn moved_entries(marker: &str) -> Vec<Moved> {
    marker
        .lines()
        .skip_while(|line| *line != MOVING)
        .skip(1)
        .filter_map(Moved::parse)
        .collect()
}
