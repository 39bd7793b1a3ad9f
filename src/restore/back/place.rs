//! Copies or moves one file to its place.

use super::BackOptions;
use super::error::{BackError, io, target};
use super::plan::{Made, Placed};
use super::private::{MODE, Private, failed_name, is_private, rename};
use super::syncs::Syncs;
use crate::cancel::Cancel;
use crate::restore::new_directory::DIRECTORY_MODE;
use rustix::fs::{OFlags, SeekFrom, seek};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are copied at once.
const BUFFER: usize = 1 << 20;

/// Places files.
#[derive(Debug)]
pub(super) struct Placing<'a> {
    move_files: bool,
    /// A former run placed files.
    continued: bool,
    cancel: &'a Cancel,
    done: AtomicUsize,
    pub(super) syncs: Syncs,
}

/// A file that only needs its name.
#[derive(Debug)]
pub(super) struct Staged<'a> {
    file: &'a Placed,
    how: How,
}

#[derive(Debug)]
enum How {
    /// It is in its place since a former run.
    Same,
    /// It is renamed from the backup.
    Rename,
    /// It was copied.
    Copied(Private),
}

impl<'a> Placing<'a> {
    pub(super) fn new(options: &'a BackOptions, continued: bool) -> Self {
        Self {
            move_files: options.move_files,
            continued,
            cancel: &options.cancel,
            done: AtomicUsize::new(0),
            syncs: Syncs::default(),
        }
    }

    /// Returns the number of files in their places.
    pub(super) fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Does the part of the work that takes time; nothing has the file's name afterwards.
    pub(super) fn stage<'f>(&self, file: &'f Placed) -> Result<Staged<'f>, BackError> {
        if self.continued && file.to.symlink_metadata().is_ok() {
            if self.same(&file.from, &file.to)? {
                return Ok(Staged {
                    file,
                    how: How::Same,
                });
            }
            return Err(BackError::Exists {
                path: file.to.clone(),
            });
        }
        let parent = parent(&file.to);
        self.make_directory(parent)?;
        let how = if self.move_files && same_device(&file.from, parent)? {
            How::Rename
        } else {
            How::Copied(self.copy(file)?)
        };
        Ok(Staged { file, how })
    }

    /// Gives a file its name.
    pub(super) fn finish(&self, staged: Staged<'_>) -> Result<(), BackError> {
        let file = staged.file;
        match staged.how {
            How::Same => self.used_up(file)?,
            How::Rename => match self.renamed(file)? {
                // Two mounts of one file system.
                Err(Errno::XDEV) => {
                    let copied = self.copy(file)?;
                    self.name(file, copied)?;
                }
                renamed => {
                    renamed.map_err(|error| failed_name(&file.to, error))?;
                    self.syncs.changed(&file.from);
                    self.syncs.changed(&file.to);
                }
            },
            How::Copied(copied) => self.name(file, copied)?,
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Renames a file of the backup to its place.
    fn renamed(&self, file: &Placed) -> Result<Result<(), Errno>, BackError> {
        self.syncs.keep(parent(&file.to))?;
        Ok(rename(&file.from, &file.to))
    }

    fn name(&self, file: &Placed, copied: Private) -> Result<(), BackError> {
        copied.rename(&file.to)?;
        self.syncs.changed(&file.to);
        self.used_up(file)
    }

    /// Removes a file of the backup whose content is in its place.
    fn used_up(&self, file: &Placed) -> Result<(), BackError> {
        if !self.move_files {
            return Ok(());
        }
        // The new name must be on the disk before the old one is removed, and so must the names of
        // new directories above it.
        let directory = parent(&file.to);
        self.syncs.keep(directory)?;
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(io("sync the directory", directory))?;
        self.remove(&file.from)
    }

    /// Removes a file of the backup.
    pub(super) fn remove(&self, path: &Path) -> Result<(), BackError> {
        match fs::remove_file(path) {
            Ok(()) => {
                self.syncs.changed(path);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io("remove", path)(error)),
        }
    }

    /// Copies a file under a private name, with its holes, and syncs it.
    fn copy(&self, file: &Placed) -> Result<Private, BackError> {
        let from = open(&file.from)?;
        let before = from.metadata().map_err(io("look at", &file.from))?;
        let copy = Private::create(parent(&file.to), before.mode())?;
        let len = before.len();
        let mut buffer = vec![0; BUFFER];
        let mut at = 0;
        while let Some(data) = next_data(&from, at, len).map_err(io("read", &file.from))? {
            at = data.start;
            while at < data.end {
                self.cancel.check()?;
                let most = usize::try_from(data.end - at).unwrap_or(BUFFER);
                let piece = &mut buffer[..most.min(BUFFER)];
                from.read_exact_at(piece, at)
                    .map_err(io("read", &file.from))?;
                copy.file
                    .write_all_at(piece, at)
                    .map_err(io("write", &file.to))?;
                at += piece.len() as u64;
            }
        }
        copy.file.set_len(len).map_err(io("write", &file.to))?;
        copy.file.sync_all().map_err(io("sync", &file.to))?;
        let after = from.metadata().map_err(io("look at", &file.from))?;
        let state = |meta: &fs::Metadata| (meta.len(), meta.mtime(), meta.mtime_nsec());
        // A caller may write its log into the backup's directory.
        if is_tablespace(&file.from) && state(&after) != state(&before) {
            return Err(target(
                &file.from,
                "it was written to while it was copied; end the program that writes it, then run the same command again",
            ));
        }
        Ok(copy)
    }

    /// Compares two files.
    fn same(&self, from: &Path, to: &Path) -> Result<bool, BackError> {
        let (a, b) = (open(from)?, open(to)?);
        let len = |file: &File, path: &Path| {
            let meta = file.metadata().map_err(io("look at", path))?;
            Ok::<_, BackError>(meta.len())
        };
        if len(&a, from)? != len(&b, to)? {
            return Ok(false);
        }
        let (mut left, mut right) = (vec![0; BUFFER], vec![0; BUFFER]);
        loop {
            self.cancel.check()?;
            let read = fill(&a, &mut left).map_err(io("read", from))?;
            let found = fill(&b, &mut right).map_err(io("read", to))?;
            if left[..read] != right[..found] {
                return Ok(false);
            }
            if read < BUFFER {
                // The former run may have ended before it was synced.
                b.sync_all().map_err(io("sync", to))?;
                return Ok(true);
            }
        }
    }

    /// Writes a file that is not in the backup.
    pub(super) fn write(&self, made: &Made) -> Result<(), BackError> {
        let to = &made.to;
        if self.continued && to.symlink_metadata().is_ok() {
            let found = fs::read(to).map_err(io("read", to))?;
            if found == made.text {
                return Ok(());
            }
            return Err(BackError::Exists { path: to.clone() });
        }
        self.make_directory(parent(to))?;
        let mut file = Private::create(parent(to), MODE)?;
        file.file
            .write_all(&made.text)
            .and_then(|()| file.file.sync_all())
            .map_err(io("write", to))?;
        file.rename(to)?;
        self.syncs.changed(to);
        Ok(())
    }

    /// Makes a directory, and those above it, if they are missing.
    pub(super) fn make_directory(&self, path: &Path) -> Result<(), BackError> {
        if path.is_dir() {
            return Ok(());
        }
        if let Some(above) = path.parent() {
            self.make_directory(above)?;
        }
        match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
            Ok(()) => self.syncs.changed(path),
            // Another thread made it.
            Err(_) if path.is_dir() => {}
            Err(error) => return Err(io("create the directory", path)(error)),
        }
        Ok(())
    }

    /// Removes incomplete files of a former run.
    pub(super) fn remove_stale(&self, directories: &[PathBuf]) -> Result<(), BackError> {
        let directories = directories.iter().filter(|path| path.is_dir());
        for directory in directories.filter(|_| self.continued) {
            for entry in fs::read_dir(directory).map_err(io("list", directory))? {
                let entry = entry.map_err(io("list", directory))?;
                if is_private(&entry.file_name().to_string_lossy()) {
                    self.remove(&entry.path())?;
                }
            }
        }
        Ok(())
    }
}

/// Opens a regular file for reading; a symbolic link is not followed.
fn open(path: &Path) -> Result<File, BackError> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(io("open", path))?;
    if !file.metadata().map_err(io("look at", path))?.is_file() {
        return Err(target(path, "it is not a regular file; remove it"));
    }
    Ok(file)
}

fn same_device(file: &Path, directory: &Path) -> Result<bool, BackError> {
    let device = |path: &Path| {
        let meta = fs::metadata(path).map_err(io("look at", path))?;
        Ok::<_, BackError>(meta.dev())
    };
    Ok(device(file)? == device(directory)?)
}

/// Returns the next part of a file of this length that is not a hole.
fn next_data(file: &File, at: u64, len: u64) -> Result<Option<Range<u64>>, Errno> {
    if at >= len {
        return Ok(None);
    }
    let start = match seek(file, SeekFrom::Data(at)) {
        Ok(start) if start < len => start,
        Ok(_) | Err(Errno::NXIO) => return Ok(None),
        // A file system without holes.
        Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => return Ok(Some(at..len)),
        Err(error) => return Err(error),
    };
    let end = seek(file, SeekFrom::Hole(start))?;
    Ok(Some(start..end.min(len)))
}

fn fill(mut file: &File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Returns whether a file is one that only a server writes.
fn is_tablespace(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ends = [".ibd", ".ibu"];
    let begins = ["ibdata", "undo_", "#ib_redo"];
    ends.iter().any(|end| name.ends_with(end)) || begins.iter().any(|begin| name.starts_with(begin))
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
