//! The target directory: it stays empty until the restore is finished.
//!
//! Files are written to `<datadir>.lsnap-restoring/`, next to the target, and one rename of its
//! `data/` finishes the restore. If the target is a mount point, or its parent directory is not
//! writable, the work directory is `.lsnap-restoring/` in the target, and the entries are moved one
//! by one; the last is `mysql.ibd`, without which a server doesn't start.
//!
//! The work directory contains a marker file, which is locked as long as the restore runs (the redo
//! applier inherits the lock). A work directory whose marker is not locked was left by a killed
//! restore, and is removed. So is one whose lock is only held by the redo applier of a killed
//! restore, after that was stopped ([`super::orphan`]).
//!
//! The marker is the first file that is created in a work directory and the last that is removed.
//! So a directory that is empty, or contains only an empty marker, was being created or removed
//! when a restore was killed, and the next restore can remove it.

use super::error::{RestoreError, io, refuse};
use super::new_directory::make_directory;
use super::target_place::{Handover, SUFFIX, place};
use super::work_dir::{
    MARKER, MOVING, OURS, lock, lock_leftover, moved_entries, remove, remove_work,
};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// An entry that an empty file system can have.
const LOST_FOUND: &str = "lost+found";
/// Moved last: a server doesn't start without it.
const LAST: &str = "mysql.ibd";

/// The target and the work directory.
#[derive(Debug)]
pub(crate) struct Target {
    datadir: PathBuf,
    work: PathBuf,
    handover: Handover,
    marker: File,
    keep: bool,
    done: bool,
}

impl Target {
    /// Checks whether a restore to this directory can begin; doesn't change anything.
    pub(crate) fn check(datadir: &Path) -> Result<(), RestoreError> {
        let (datadir, work, handover) = place(datadir)?;
        let ours = match std::fs::symlink_metadata(&work) {
            Ok(_) => lock_leftover(&work)?.moved,
            Err(_) => Vec::new(),
        };
        if handover == Handover::Rename && !datadir.exists() {
            return Ok(());
        }
        for entry in std::fs::read_dir(&datadir).map_err(io("list", &datadir))? {
            let name = entry.map_err(io("list", &datadir))?.file_name();
            let expected = handover == Handover::Inside
                && (name == SUFFIX
                    || name == LOST_FOUND
                    || ours.iter().any(|moved| name == moved.as_str()));
            if !expected {
                return Err(refuse(
                    &datadir,
                    format!("it is not empty (it has {name:?}); empty it or name another"),
                ));
            }
        }
        Ok(())
    }

    /// Checks the target, removes the files of a killed restore, and creates the work directory.
    pub(crate) fn begin(datadir: &Path, keep_failed: bool) -> Result<Self, RestoreError> {
        Self::check(datadir)?;
        let (datadir, work, handover) = place(datadir)?;
        if std::fs::symlink_metadata(&work).is_ok() {
            // The lock is held until everything is removed.
            let left = lock_leftover(&work)?;
            for entry in &left.moved {
                remove(&datadir.join(entry))?;
            }
            remove_work(&work)?;
        }
        make_directory(&work)?;
        let path = work.join(MARKER);
        let mut marker = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(io("create", &path))?;
        lock(&marker, &work)?;
        writeln!(marker, "{OURS}").map_err(io("write", &path))?;
        make_directory(&work.join("data"))?;
        Ok(Self {
            datadir,
            work,
            handover,
            marker,
            keep: keep_failed,
            done: false,
        })
    }

    /// Returns the directory that becomes the data directory.
    pub(crate) fn root(&self) -> PathBuf {
        self.work.join("data")
    }

    /// Returns the directory for logs and temporary files.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// Returns the target itself.
    pub(crate) fn datadir(&self) -> &Path {
        &self.datadir
    }

    /// Returns the locked marker, for a child process to hold.
    pub(crate) fn lock_for_child(&self) -> Result<File, RestoreError> {
        self.marker.try_clone().map_err(io("share", &self.work))
    }

    /// Checks that there is space for this many bytes.
    pub(crate) fn check_space(&self, needed: u64) -> Result<(), RestoreError> {
        let stat = rustix::fs::statvfs(&self.work)
            .map_err(|error| io("ask for the free space of", &self.work)(error.into()))?;
        let available = stat.f_bavail.saturating_mul(stat.f_frsize);
        if available >= needed {
            return Ok(());
        }
        Err(RestoreError::NoSpace {
            path: self.work.clone(),
            needed,
            available,
        })
    }

    /// Moves the finished directory to the target.
    pub(crate) fn hand_over(mut self) -> Result<(), RestoreError> {
        let root = self.root();
        sync_directories(&root)?;
        match self.handover {
            Handover::Rename => {
                std::fs::rename(&root, &self.datadir)
                    .map_err(io("rename the finished directory to", &self.datadir))?;
                if let Some(parent) = self.datadir.parent() {
                    sync(parent)?;
                }
            }
            Handover::Inside => self.move_entries(&root)?,
        }
        self.done = true;
        remove_work(&self.work)
    }

    /// Removes everything including the log, because the restore was cancelled.
    pub(crate) fn discard(mut self) -> Result<(), RestoreError> {
        self.done = true;
        remove_work(&self.work)
    }

    /// Returns the target itself if it is kept: a mount point can't be replaced by the finished
    /// directory.
    pub(crate) fn kept_root(&self) -> Option<&Path> {
        (self.handover == Handover::Inside).then_some(self.datadir.as_path())
    }

    fn move_entries(&mut self, root: &Path) -> Result<(), RestoreError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(root).map_err(io("list", root))? {
            let name = entry.map_err(io("list", root))?.file_name();
            names.push(name.into_string().map_err(|name| {
                refuse(root, format!("the name of an entry is not UTF-8: {name:?}"))
            })?);
        }
        names.sort_by_key(|name| name == LAST);
        let listed = format!("{MOVING}\n{}\n", names.join("\n"));
        self.marker
            .write_all(listed.as_bytes())
            .and_then(|()| self.marker.sync_all())
            .map_err(io("write the marker in", &self.work))?;
        for name in &names {
            let (from, to) = (root.join(name), self.datadir.join(name));
            if name == LAST {
                sync(&self.datadir)?;
            }
            std::fs::rename(&from, &to).map_err(io("move an entry to", &to))?;
        }
        sync(&self.datadir)?;
        // From here on the entries belong to a restored server, and are not removed by the next
        // restore.
        self.marker
            .set_len(OURS.len() as u64 + 1)
            .and_then(|()| self.marker.sync_all())
            .map_err(io("write the marker in", &self.work))
    }
}

impl Drop for Target {
    /// Keeps the log of a failed restore, and removes everything that a server can start on.
    fn drop(&mut self) {
        if self.done || self.keep {
            return;
        }
        let mut moved = String::new();
        if self.marker.rewind().is_ok() && self.marker.read_to_string(&mut moved).is_ok() {
            for entry in moved_entries(&moved) {
                let _ = remove(&self.datadir.join(entry));
            }
        }
        let _ = std::fs::remove_dir_all(self.root());
    }
}

/// Syncs a directory, so that its entries are durable.
fn sync(directory: &Path) -> Result<(), RestoreError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(io("sync the directory", directory))
}

fn sync_directories(directory: &Path) -> Result<(), RestoreError> {
    for entry in std::fs::read_dir(directory).map_err(io("list", directory))? {
        let entry = entry.map_err(io("list", directory))?;
        let path = entry.path();
        if entry.file_type().map_err(io("look at", &path))?.is_dir() {
            sync_directories(&path)?;
        }
    }
    sync(directory)
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
