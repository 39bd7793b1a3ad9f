//! Changes of the target's files: each is counted, so that a test can interrupt a step before any
//! of them, and each is durable when the function returns, if it says so.

use crate::restore::RestoreError;
pub(super) use crate::restore::error::io;
use crate::restore::new_directory::DIRECTORY_MODE;
use crate::restore::sparse::FILE_MODE;
use rustix::fs::OFlags;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown, lchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The suffix of a file that is being written in place of another.
const NEW: &str = ".lsnap_new";

/// Counts the changes of a step; a test lets it end before one of them.
#[derive(Debug)]
pub(super) struct Budget {
    done: AtomicU64,
    limit: u64,
}

impl Budget {
    pub(super) const fn unlimited() -> Self {
        Self::of(u64::MAX)
    }

    pub(super) const fn of(limit: u64) -> Self {
        Self {
            done: AtomicU64::new(0),
            limit,
        }
    }

    #[cfg(test)]
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Counts one change.
    ///
    /// # Errors
    /// The limit of a test is reached.
    pub(super) fn spend(&self) -> Result<(), RestoreError> {
        if self.done.fetch_add(1, Ordering::Relaxed) >= self.limit {
            return Err(RestoreError::Interrupted);
        }
        Ok(())
    }
}

/// The files of a target.
pub(super) struct Files<'a> {
    pub(super) root: &'a Path,
    pub(super) budget: &'a Budget,
    /// The owner of new files: that of the target, if this process is root.
    owner: Option<(u32, u32)>,
}

impl<'a> Files<'a> {
    pub(super) fn of(root: &'a Path, budget: &'a Budget) -> Result<Self, RestoreError> {
        let found = std::fs::metadata(root).map_err(io("look at", root))?;
        let is_root = rustix::process::geteuid().is_root();
        Ok(Self {
            root,
            budget,
            owner: is_root.then(|| (found.uid(), found.gid())),
        })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Gives a new file or directory to the owner of the target.
    pub(super) fn give(&self, path: &Path) -> Result<(), RestoreError> {
        match self.owner {
            Some((uid, gid)) => {
                lchown(path, Some(uid), Some(gid)).map_err(io("change the owner of", path))
            }
            None => Ok(()),
        }
    }

    /// Writes a small file in place of the old one: after a power loss it has the old or the new
    /// content. The owner and the mode of the old one are kept.
    pub(super) fn replace(&self, name: &str, text: &[u8]) -> Result<(), RestoreError> {
        self.budget.spend()?;
        let path = self.path(name);
        let new = self.path(&format!("{name}{NEW}"));
        remove_if_any(&new)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&new)
            .map_err(io("create", &new))?;
        match std::fs::symlink_metadata(&path) {
            Ok(old) => {
                file.set_permissions(old.permissions())
                    .map_err(io("set the mode of", &new))?;
                if self.owner.is_some() {
                    fchown(&file, Some(old.uid()), Some(old.gid()))
                        .map_err(io("change the owner of", &new))?;
                }
            }
            Err(_) => self.give(&new)?,
        }
        file.write_all(text).map_err(io("write", &new))?;
        file.sync_all().map_err(io("sync", &new))?;
        drop(file);
        std::fs::rename(&new, &path).map_err(io("rename a file to", &path))?;
        sync_parent(&path)
    }

    /// Copies a file over the one of this name, and syncs it. Its parent directory exists.
    pub(super) fn copy(&self, from: &Path, name: &str) -> Result<(), RestoreError> {
        self.budget.spend()?;
        let path = self.path(name);
        let mut source = File::open(from).map_err(io("open", from))?;
        let existed = std::fs::symlink_metadata(&path).is_ok();
        let mut out = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(io("open", &path))?;
        if !existed {
            self.give(&path)?;
        }
        std::io::copy(&mut source, &mut out).map_err(io("copy to", &path))?;
        out.sync_all().map_err(io("sync", &path))
    }

    /// Creates the directories above a file of the target.
    pub(super) fn make_parents(&self, name: &str) -> Result<(), RestoreError> {
        let Some((parent, _)) = name.rsplit_once('/') else {
            return Ok(());
        };
        let path = self.path(parent);
        if path.is_dir() {
            return Ok(());
        }
        self.make_parents(parent)?;
        self.budget.spend()?;
        DirBuilder::new()
            .mode(DIRECTORY_MODE)
            .create(&path)
            .map_err(io("create the directory", &path))?;
        self.give(&path)?;
        sync_parent(&path)
    }

    /// Renames a file; a file of the new name must not exist.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), RestoreError> {
        self.budget.spend()?;
        let (from, to) = (self.path(from), self.path(to));
        if std::fs::symlink_metadata(&to).is_ok() {
            return Err(crate::restore::error::refuse(
                &to,
                "a file of this name exists already; move it away, then run the same step again",
            ));
        }
        std::fs::rename(&from, &to).map_err(io("rename a file to", &to))
    }

    /// Removes a file, if it exists.
    pub(super) fn remove(&self, name: &str) -> Result<(), RestoreError> {
        self.budget.spend()?;
        remove_if_any(&self.path(name))
    }

    /// Returns whether a file exists.
    pub(super) fn has(&self, name: &str) -> bool {
        std::fs::symlink_metadata(self.path(name)).is_ok()
    }

    /// Syncs the target and the directories in it.
    pub(super) fn sync_directories(&self) -> Result<(), RestoreError> {
        crate::restore::target::sync(self.root)?;
        for entry in std::fs::read_dir(self.root).map_err(io("list", self.root))? {
            let entry = entry.map_err(io("list", self.root))?;
            let path = entry.path();
            if entry.file_type().map_err(io("look at", &path))?.is_dir() {
                crate::restore::target::sync(&path)?;
            }
        }
        Ok(())
    }
}

/// Reads a file of at most `longest` bytes.
pub(super) fn read(path: &Path, longest: u64) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(longest).read_to_end(&mut text)?;
    Ok(text)
}

fn remove_if_any(path: &Path) -> Result<(), RestoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn sync_parent(path: &Path) -> Result<(), RestoreError> {
    path.parent().map_or(Ok(()), crate::restore::target::sync)
}
