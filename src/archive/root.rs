//! The directory that a stream is extracted to. Only this module creates files from paths of a stream.
//!
//! Each component is opened relative to its parent, without following symbolic links, so no path leads out of the
//! root, also if directories are exchanged meanwhile.

use super::error::{ArchiveError, io};
use crate::locked::Locked;
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Mode of files; that of directories follows. Percona's xbstream leaves the modes to the umask. A stream doesn't
/// have the modes of the server's files, which only their owner and group may read.
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o700);

/// An open directory.
#[derive(Debug)]
pub(super) struct Root {
    dir: OwnedFd,
    path: PathBuf,
    absolute: bool,
    /// The directories with changed entries, relative to this one or absolute.
    changed: Mutex<BTreeSet<String>>,
}

/// The directory of a file.
struct Parent<'a> {
    /// The directory.
    dir: OwnedFd,
    /// Its path.
    name: String,
    /// The last component of the file's path.
    last: &'a str,
}

impl Root {
    /// Opens `path`, which must exist. With `absolute`, absolute paths, `..` and symbolic links are allowed.
    pub(super) fn open(path: &Path, absolute: bool) -> Result<Self, ArchiveError> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let dir = fs::open(path, flags, Mode::empty()).map_err(io("open the directory", path))?;
        Ok(Self {
            dir,
            path: path.to_owned(),
            absolute,
            changed: Mutex::default(),
        })
    }

    /// Returns the path of a file, for messages.
    pub(super) fn shown(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn change(&self, directory: String) {
        let mut changed = self.changed.locked();
        changed.insert(directory);
    }

    /// Takes the directories whose entries were changed and that must be synced.
    pub(super) fn take_changed(&self) -> BTreeSet<String> {
        let mut changed = self.changed.locked();
        std::mem::take(&mut *changed)
    }

    /// Opens one of these directories.
    pub(super) fn directory(&self, name: &str) -> Result<File, ArchiveError> {
        let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty()).collect();
        // Not created again if it was removed meanwhile, because files were in it.
        self.descend(name, name.starts_with('/'), &parts, false)
            .map(File::from)
    }

    /// Opens the directory of the file `name`, and creates it if necessary.
    fn parent<'a>(&self, name: &'a str) -> Result<Parent<'a>, ArchiveError> {
        let (absolute, parts) = components(name, self.absolute)?;
        let (last, above) = parts.split_last().map_or(("", &[][..]), |(l, a)| (*l, a));
        Ok(Parent {
            dir: self.descend(name, absolute, above, true)?,
            name: joined(absolute, above),
            last,
        })
    }

    /// Opens a directory below this one, or below `/` with `absolute`. With `make`, missing directories are created.
    fn descend(
        &self,
        name: &str,
        absolute: bool,
        parts: &[&str],
        make: bool,
    ) -> Result<OwnedFd, ArchiveError> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let start = if absolute {
            Path::new("/")
        } else {
            Path::new(".")
        };
        let mut dir = if absolute {
            fs::open(start, flags, Mode::empty())
        } else {
            self.dir.try_clone().map_err(|_| Errno::MFILE)
        }
        .map_err(io("open the directory", start))?;
        let no_links = if self.absolute {
            OFlags::empty()
        } else {
            OFlags::NOFOLLOW
        };
        for (depth, part) in parts.iter().enumerate() {
            let failed = || self.shown(name);
            dir = match fs::openat(&dir, *part, flags | no_links, Mode::empty()) {
                Err(Errno::NOENT) if make => {
                    match fs::mkdirat(&dir, *part, DIRECTORY_MODE) {
                        Ok(()) => self.change(joined(absolute, &parts[..depth])),
                        // Another thread created it.
                        Err(Errno::EXIST) => {}
                        Err(error) => return Err(io("create a directory for", &failed())(error)),
                    }
                    fs::openat(&dir, *part, flags | no_links, Mode::empty())
                }
                opened => opened,
            }
            .map_err(|error| self.no_directory(name, part, error))?;
        }
        Ok(dir)
    }

    fn no_directory(&self, name: &str, part: &str, error: Errno) -> ArchiveError {
        if matches!(error, Errno::LOOP | Errno::NOTDIR) {
            return ArchiveError::Path {
                path: name.to_owned(),
                why: format!(
                    "goes through {part:?}, which is a symbolic link or a file below {}",
                    self.path.display()
                ),
            };
        }
        io("open the directory of", &self.shown(name))(error)
    }

    /// Creates the file `name`, which must not exist.
    pub(super) fn create(&self, name: &str) -> Result<File, ArchiveError> {
        let at = self.parent(name)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = fs::openat(at.dir.as_fd(), at.last, flags, FILE_MODE)
            .map_err(io("create", &self.shown(name)))?;
        self.change(at.name);
        Ok(File::from(made))
    }

    /// Opens and truncates a file that this extraction created.
    pub(super) fn empty(&self, name: &str) -> Result<File, ArchiveError> {
        let at = self.parent(name)?;
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(at.dir.as_fd(), at.last, flags, Mode::empty())
            .map(File::from)
            .map_err(io("empty", &self.shown(name)))
    }

    /// Renames a file that this extraction created. With `replace`, a file `to` is replaced, which this
    /// extraction must have created too.
    pub(super) fn rename(&self, name: &str, to: &str, replace: bool) -> Result<(), ArchiveError> {
        let (from, new) = (self.parent(name)?, self.parent(to)?);
        let renamed = if replace {
            fs::renameat(from.dir.as_fd(), from.last, new.dir.as_fd(), new.last)
        } else {
            let flags = fs::RenameFlags::NOREPLACE;
            fs::renameat_with(
                from.dir.as_fd(),
                from.last,
                new.dir.as_fd(),
                new.last,
                flags,
            )
        };
        renamed.map_err(io("create", &self.shown(to)))?;
        self.change(from.name);
        self.change(new.name);
        Ok(())
    }

    /// Removes a file that this extraction created.
    pub(super) fn remove(&self, name: &str) -> Result<(), ArchiveError> {
        let at = self.parent(name)?;
        fs::unlinkat(at.dir.as_fd(), at.last, AtFlags::empty())
            .map_err(io("remove", &self.shown(name)))?;
        self.change(at.name);
        Ok(())
    }
}

/// Joins the components of a directory.
fn joined(absolute: bool, parts: &[&str]) -> String {
    let root = if absolute { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

/// Checks a path, and returns whether it is absolute, and its components. With `allow_absolute`, absolute paths
/// and `..` are allowed.
pub(crate) fn components(
    name: &str,
    allow_absolute: bool,
) -> Result<(bool, Vec<&str>), ArchiveError> {
    let wrong = |why: &str| {
        Err(ArchiveError::Path {
            path: name.to_owned(),
            why: why.to_owned(),
        })
    };
    let absolute = name.starts_with('/');
    if absolute && !allow_absolute {
        return wrong("is absolute (ExtractOptions::absolute_names allows it)");
    }
    let parts: Vec<&str> = name
        .split('/')
        .filter(|p| !matches!(*p, "" | "."))
        .collect();
    if parts.contains(&"..") && !allow_absolute {
        return wrong("leads upwards (`..`)");
    }
    if parts.is_empty() || name.ends_with('/') {
        return wrong("names no file");
    }
    if parts.iter().any(|part| part.len() > 255) {
        return wrong("has a component of more than 255 bytes, which no file system takes");
    }
    Ok((absolute, parts))
}
