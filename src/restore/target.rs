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
//! If the content of the target is moved aside ([`super::aside`]), that happens at the end, immediately
//! before the finished directory takes its place. In a target that is kept, everything old is in its
//! new place before the list of the new entries is written, because the next restore after a killed
//! one removes the entries of that list.
//!
//! The marker is the first file that is created in a work directory and the last that is removed.
//! So a directory that is empty, or contains only an empty marker, was being created or removed
//! when a restore was killed, and the next restore can remove it.

use super::RestoreOptions;
use super::aside::{self, Aside};
use super::error::{RestoreError, io, refuse};
use super::new_directory::make_directory;
use super::target_place::{Handover, SUFFIX, place};
use super::work_dir::{
    MARKER, MOVING, Moved, OURS, lock, lock_leftover, moved_entries, remove_moved, remove_work,
};
use std::ffi::OsStr;
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
    options: TargetOptions,
    done: bool,
}

/// The options of a restore that concern its target.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TargetOptions {
    /// Keep the work directory of a failed restore.
    pub(crate) keep_failed: bool,
    /// Move the content of the target aside.
    pub(crate) move_aside: bool,
}

impl From<&RestoreOptions> for TargetOptions {
    fn from(options: &RestoreOptions) -> Self {
        Self {
            keep_failed: options.keep_failed,
            move_aside: options.force_move_aside,
        }
    }
}

impl Target {
    /// Checks whether a restore to this directory can begin; doesn't change anything.
    pub(crate) fn check(datadir: &Path, options: TargetOptions) -> Result<(), RestoreError> {
        let (datadir, work, handover) = place(datadir)?;
        let ours = match std::fs::symlink_metadata(&work) {
            Ok(_) => lock_leftover(&work)?.moved,
            Err(_) => Vec::new(),
        };
        let Some(entry) = occupied(&datadir, handover, &ours)? else {
            return Ok(());
        };
        if options.move_aside {
            if handover == Handover::Inside {
                aside::refuse_mounts(&datadir)?;
            }
            return aside::check(&datadir);
        }
        Err(RestoreError::NotEmpty {
            path: datadir,
            entry,
        })
    }

    /// Checks the target, removes the files of a killed restore, and creates the work directory.
    pub(crate) fn begin(datadir: &Path, options: TargetOptions) -> Result<Self, RestoreError> {
        Self::check(datadir, options)?;
        let (datadir, work, handover) = place(datadir)?;
        if std::fs::symlink_metadata(&work).is_ok() {
            // The lock is held until everything is removed.
            let left = lock_leftover(&work)?;
            // With other entries, a server may have run on the moved ones: they are old content, which is moved aside.
            if occupied(&datadir, handover, &left.moved)?.is_none() {
                remove_moved(&datadir, &left.moved)?;
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
            options,
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

    /// Moves the finished directory to the target. Returns the place of the old content, if there
    /// was any.
    ///
    /// # Errors
    /// The old content is in its place again, or the error is
    /// [`RestoreError::OldContentMoved`].
    pub(crate) fn hand_over(mut self) -> Result<Option<PathBuf>, RestoreError> {
        let root = self.root();
        sync_directories(&root)?;
        let old = self.move_old()?;
        let moved = match self.handover {
            Handover::Rename => self.rename(&root),
            Handover::Inside => self
                .move_entries(&root)
                .or_else(|error| self.undo(error, old.as_ref())),
        };
        if let Err(error) = moved {
            return Err(match old {
                Some(old) => old.put_back(error),
                None => error,
            });
        }
        self.done = true;
        // The data are in place: a work directory that is left (NFS keeps open files) is no failure of the restore.
        if let Err(error) = remove_work(&self.work) {
            tracing::warn!("{error}");
        }
        Ok(old.map(Aside::into_place))
    }

    /// Moves the old content of the target aside.
    pub(super) fn move_old(&self) -> Result<Option<Aside>, RestoreError> {
        let found = self.datadir.exists();
        if !self.options.move_aside
            || !found
            || occupied(&self.datadir, self.handover, &[])?.is_none()
        {
            return Ok(None);
        }
        // A server may have been started on it meanwhile.
        aside::check(&self.datadir)?;
        let now = chrono::Utc::now();
        match self.handover {
            Handover::Rename => Aside::whole(&self.datadir, now),
            Handover::Inside => Aside::entries(&self.datadir, now),
        }
        .map(Some)
    }

    fn rename(&self, root: &Path) -> Result<(), RestoreError> {
        std::fs::rename(root, &self.datadir)
            .map_err(io("rename the finished directory to", &self.datadir))?;
        match self.datadir.parent() {
            Some(parent) => sync(parent),
            None => Ok(()),
        }
    }

    /// Removes the entries that were moved into the target, and their list: then the old content can
    /// be put back.
    fn undo(&mut self, error: RestoreError, old: Option<&Aside>) -> Result<(), RestoreError> {
        let moved = self.moved();
        let undone = remove_moved(&self.datadir, &moved).and_then(|()| self.forget_moved());
        match (undone, old) {
            (Err(undone), Some(old)) => Err(old.is_stuck(error, &undone.to_string())),
            _ => Err(error),
        }
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
        let moved = names.iter().map(|name| Moved::of(root, name));
        let moved = moved.collect::<Result<Vec<_>, _>>()?;
        let lines: String = moved.iter().map(ToString::to_string).collect();
        let listed = format!("{MOVING}\n{lines}");
        self.marker
            .write_all(listed.as_bytes())
            .and_then(|()| self.marker.sync_all())
            .map_err(io("write the marker in", &self.work))?;
        for name in &names {
            let (from, to) = (root.join(name), self.datadir.join(name));
            if to.symlink_metadata().is_ok() {
                return Err(refuse(
                    &self.datadir,
                    format!("{name:?} was created in it while the restore ran; it was left there"),
                ));
            }
            if name == LAST {
                sync(&self.datadir)?;
            }
            std::fs::rename(&from, &to).map_err(io("move an entry to", &to))?;
        }
        sync(&self.datadir)?;
        // From here on the entries belong to a restored server, and are not removed by the next
        // restore.
        self.forget_moved()
    }

    /// Removes the list of moved entries from the marker.
    fn forget_moved(&self) -> Result<(), RestoreError> {
        self.marker
            .set_len(OURS.len() as u64 + 1)
            .and_then(|()| self.marker.sync_all())
            .map_err(io("write the marker in", &self.work))
    }

    /// Returns the entries in the list of the marker.
    fn moved(&mut self) -> Vec<Moved> {
        let mut text = String::new();
        let read = self.marker.rewind().is_ok() && self.marker.read_to_string(&mut text).is_ok();
        if read {
            moved_entries(&text)
        } else {
            Vec::new()
        }
    }
}

/// Returns an entry of the target that isn't the restore's: neither of its work directory nor of
/// `ours`, the entries of a killed restore.
fn occupied(
    datadir: &Path,
    handover: Handover,
    ours: &[Moved],
) -> Result<Option<String>, RestoreError> {
    if handover == Handover::Rename && !datadir.exists() {
        return Ok(None);
    }
    for entry in std::fs::read_dir(datadir).map_err(io("list", datadir))? {
        let name = entry.map_err(io("list", datadir))?.file_name();
        let expected = handover == Handover::Inside
            && (is_kept(&name) || ours.iter().any(|moved| moved.is_there(datadir, &name)));
        if !expected {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

/// Returns whether an entry of a target that is kept stays where it is: the work directory, the
/// directories of earlier content, and that of the file system.
pub(super) fn is_kept(name: &OsStr) -> bool {
    name == SUFFIX || name == LOST_FOUND || name.as_encoded_bytes().starts_with(aside::INSIDE)
}

impl Drop for Target {
    /// Keeps the log of a failed restore, and removes everything that a server can start on.
    fn drop(&mut self) {
        if self.done || self.options.keep_failed {
            return;
        }
        let moved = self.moved();
        let _ = remove_moved(&self.datadir, &moved);
        let _ = std::fs::remove_dir_all(self.root());
    }
}

/// Syncs a directory, so that its entries are durable.
pub(super) fn sync(directory: &Path) -> Result<(), RestoreError> {
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
