//! The target directory: nothing is in it until everything is.
//!
//! Work goes on in `<datadir>.lsnap-restoring/`, beside the target, and ends with one rename of its
//! `data/`. When the target is a mount point, or lies in a directory that may not be written to, the
//! work directory is `.lsnap-restoring/` inside of it, and the entries are moved one by one, with
//! `mysql.ibd`, without which no server starts, as the last.
//!
//! The work directory holds a marker file, locked as long as the restore runs (the redo applier
//! inherits the lock). A marker without a lock is what a killed restore left: it is removed. So is one
//! whose lock only such a restore's redo applier has, when that was stopped ([`super::orphan`]).
//!
//! The marker is the first that is made in a work directory and the last that is removed, so whenever a
//! restore is killed, the next one knows what it finds: a directory that is empty, or has nothing but an
//! empty marker, is one that was being made or removed.

use super::error::{RestoreError, io, refuse};
use super::new_directory::make_directory;
use super::target_place::{Handover, SUFFIX, place};
use super::work_dir::{
    MARKER, MOVING, OURS, left_behind, lock, moved_entries, remove, remove_work,
};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// What may lie in an empty file system.
const LOST_FOUND: &str = "lost+found";
/// Moved last: no server starts without it.
const LAST: &str = "mysql.ibd";

/// Where to restore to, and the work directory.
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
    /// Whether a restore to this directory could begin; changes nothing.
    pub(crate) fn check(datadir: &Path) -> Result<(), RestoreError> {
        let (datadir, work, handover) = place(datadir)?;
        let ours = match std::fs::symlink_metadata(&work) {
            Ok(_) => left_behind(&work)?.moved,
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

    /// Checks the target, clears what a killed restore left, and makes the work directory.
    pub(crate) fn begin(datadir: &Path, keep_failed: bool) -> Result<Self, RestoreError> {
        Self::check(datadir)?;
        let (datadir, work, handover) = place(datadir)?;
        if std::fs::symlink_metadata(&work).is_ok() {
            // Its lock is held until all of it is gone.
            let left = left_behind(&work)?;
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

    /// The directory that becomes the datadir.
    pub(crate) fn root(&self) -> PathBuf {
        self.work.join("data")
    }

    /// The directory for logs and temporary files.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// The target itself.
    pub(crate) fn datadir(&self) -> &Path {
        &self.datadir
    }

    /// The locked marker, for a child process to hold.
    pub(crate) fn lock_for_child(&self) -> Result<File, RestoreError> {
        self.marker.try_clone().map_err(io("share", &self.work))
    }

    /// Whether there is room for that many bytes.
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

    /// Brings the finished directory to its place.
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

    /// Removes everything, the log too: the restore was asked to stop.
    pub(crate) fn discard(mut self) -> Result<(), RestoreError> {
        self.done = true;
        remove_work(&self.work)
    }

    /// The target itself, where it stays what it is: a mount point is not exchanged for the finished
    /// directory.
    pub(crate) fn kept_root(&self) -> Option<&Path> {
        (self.handover == Handover::Inside).then_some(self.datadir.as_path())
    }

    fn move_entries(&mut self, root: &Path) -> Result<(), RestoreError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(root).map_err(io("list", root))? {
            let name = entry.map_err(io("list", root))?.file_name();
            names.push(name.into_string().map_err(|name| {
                refuse(
                    root,
                    format!("an entry has a name that is no text: {name:?}"),
                )
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
        // From here on the entries are a restored server's, and no left-over.
        self.marker
            .set_len(OURS.len() as u64 + 1)
            .and_then(|()| self.marker.sync_all())
            .map_err(io("write the marker in", &self.work))
    }
}

impl Drop for Target {
    /// A failed restore leaves its log, and nothing that starts.
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

/// Syncs a directory, so that its entries last.
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
