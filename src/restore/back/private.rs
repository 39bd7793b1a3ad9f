//! Files with a private name, until they are complete.

use super::error::{BackError, io};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Begin of the names of incomplete files.
const PRIVATE: &str = ".lsnap-back-";
/// Number of hexadecimal digits after it.
const DIGITS: usize = 16;
/// The permissions of a placed file: those of the backup's file, as far as the server gives them to
/// its own files.
pub(super) const MODE: u32 = 0o640;
/// The owner may always read and write.
const OWN: u32 = 0o600;
/// A file with a private name, which is removed on drop unless it was renamed.
#[derive(Debug)]
pub(super) struct Private {
    path: PathBuf,
    pub(super) file: File,
    named: bool,
}

impl Private {
    pub(super) fn create(directory: &Path, mode: u32) -> Result<Self, BackError> {
        loop {
            let mut random = [0; DIGITS / 2];
            getrandom::fill(&mut random)
                .map_err(|error| io("make a name in", directory)(std::io::Error::other(error)))?;
            let name = format!("{PRIVATE}{:0DIGITS$x}", u64::from_ne_bytes(random));
            let path = directory.join(name);
            let made = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(OWN)
                .open(&path);
            let file = match made {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                made => made.map_err(io("create a file in", directory))?,
            };
            let private = Self {
                path,
                file,
                named: false,
            };
            let permissions = fs::Permissions::from_mode((mode & MODE) | OWN);
            private
                .file
                .set_permissions(permissions)
                .map_err(io("set the permissions of", &private.path))?;
            return Ok(private);
        }
    }

    pub(super) fn rename(mut self, to: &Path) -> Result<(), BackError> {
        rename(&self.path, to).map_err(|error| failed_name(to, error))?;
        self.named = true;
        Ok(())
    }

    /// It was renamed.
    fn keep(mut self) {
        self.named = true;
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if !self.named {
            // On failure, the next run removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Returns whether this is a private name.
pub(super) fn is_private(name: &str) -> bool {
    name.strip_prefix(PRIVATE).is_some_and(|digits| {
        digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// Renames a file without replacing another.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Errno> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // For file systems without this flag: a hard link doesn't replace a file either.
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::link(from, to).and_then(|()| rustix::fs::unlink(from))
        }
        renamed => renamed,
    }
}

/// Returns the error for a name that could not be given.
pub(super) fn failed_name(to: &Path, error: Errno) -> BackError {
    if error == Errno::EXIST {
        return BackError::Exists {
            path: to.to_path_buf(),
        };
    }
    io("give its name to", to)(error)
}

/// Writes a new file, which is complete, synced and locked when it gets its name; returns it with its
/// lock. `None` if the name was given to another file.
pub(super) fn write_locked(path: &Path, text: &[u8]) -> Result<Option<File>, BackError> {
    let private = Private::create(path.parent().unwrap_or(path), MODE)?;
    // Nobody else knows its name, and the lock of a copy of the descriptor is the same lock.
    is_locked_by_another(&private.file).map_err(io("lock", path))?;
    let mut file = private.file.try_clone().map_err(io("write", path))?;
    file.write_all(text)
        .and_then(|()| file.sync_all())
        .map_err(io("write", path))?;
    match rename(&private.path, path) {
        // The run that gave it removes private files.
        Err(Errno::EXIST | Errno::NOENT) => Ok(None),
        renamed => {
            renamed.map_err(|error| failed_name(path, error))?;
            private.keep();
            Ok(Some(file))
        }
    }
}

/// Locks a file, unless another run has it locked. File systems without locks have none.
pub(super) fn is_locked_by_another(file: &File) -> Result<bool, Errno> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(true),
        Ok(()) | Err(Errno::NOTSUP | Errno::NOSYS | Errno::NOLCK | Errno::INVAL | Errno::BADF) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
