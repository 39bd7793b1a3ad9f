//! Finds the files of a directory to unwrap. Those that can't be unwrapped are found before anything is written.

use super::super::error::{ArchiveError, io};
use super::{Layer, private};
use crate::codec::{Format, suffixes};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub(super) const NOT_REGULAR: &str =
    "it is not a regular file, and links are not followed: replace it by the file";

/// One file to unwrap.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Job {
    /// The directory below the root; "" for the root.
    pub directory: String,
    pub from: String,
    pub to: String,
    /// The compression to remove.
    pub format: Option<Format>,
    /// Whether the encryption is removed.
    pub encrypted: bool,
    /// Stored length in bytes.
    pub bytes: u64,
}

/// The root directory. Each directory is opened relative to its parent, without following symbolic links.
pub(super) struct Tree {
    root: OwnedFd,
    path: PathBuf,
}

/// The kinds and lengths of the files of a directory, by name.
type Names = BTreeMap<String, (FileType, u64)>;

pub(super) fn refused(path: &Path, what: &str) -> ArchiveError {
    ArchiveError::Unsupported {
        path: path.display().to_string(),
        what: what.to_owned(),
    }
}

impl Tree {
    pub(super) fn open(path: &Path) -> Result<Self, ArchiveError> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let root =
            rustix::fs::open(path, flags, Mode::empty()).map_err(io("open the directory", path))?;
        Ok(Self {
            root,
            path: path.to_owned(),
        })
    }

    pub(super) fn shown(&self, directory: &str, name: &str) -> PathBuf {
        self.path.join(directory).join(name)
    }

    pub(super) fn directory(&self, directory: &str) -> Result<OwnedFd, ArchiveError> {
        let path = self.path.join(directory);
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY | OFlags::NOFOLLOW;
        let mut open = openat(&self.root, ".", flags, Mode::empty())
            .map_err(io("open the directory", &path))?;
        for part in directory.split('/').filter(|part| !part.is_empty()) {
            open = openat(&open, part, flags, Mode::empty())
                .map_err(io("open the directory", &path))?;
        }
        Ok(open)
    }

    /// Lists the files to unwrap, by path, and removes the private files of killed runs.
    pub(super) fn survey(&self, layer: &Layer) -> Result<Vec<Job>, ArchiveError> {
        let mut jobs = Vec::new();
        let mut left = vec![String::new()];
        let mut stale = Vec::new();
        while let Some(directory) = left.pop() {
            let names = self.names(&directory)?;
            for (name, &(kind, bytes)) in &names {
                if kind.is_dir() {
                    left.push(format!("{directory}{name}/"));
                } else if kind.is_file() && private::is_private(name) {
                    stale.push((directory.clone(), name.clone()));
                } else if let Some(wanted) = self.wanted(&directory, name, layer, &names)? {
                    if !kind.is_file() {
                        return Err(refused(&self.shown(&directory, name), NOT_REGULAR));
                    }
                    jobs.push(Job {
                        directory: directory.clone(),
                        from: name.clone(),
                        to: wanted.to,
                        format: wanted.format,
                        encrypted: wanted.encrypted,
                        bytes,
                    });
                }
            }
        }
        for (directory, name) in stale {
            let path = self.shown(&directory, &name);
            private::remove_stale(&self.directory(&directory)?, &name)
                .map_err(io("remove the left-over", &path))?;
        }
        jobs.sort_by(|a, b| (&a.directory, &a.from).cmp(&(&b.directory, &b.from)));
        Ok(jobs)
    }

    fn names(&self, directory: &str) -> Result<Names, ArchiveError> {
        let path = self.path.join(directory);
        let open = self.directory(directory)?;
        let mut names = Names::new();
        for entry in Dir::read_from(&open).map_err(io("list", &path))? {
            let entry = entry.map_err(io("list", &path))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = statat(&open, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(io("look at", &path.join(shown(name))))?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            match name.to_str() {
                Ok(name) => drop(names.insert(name.to_owned(), (kind, stat.st_size as u64))),
                Err(_) if kind.is_dir() || is_wrapped(&name.to_string_lossy()) => {
                    let what = "its name is not UTF-8, which names of MySQL's files are: move it away, or rename it";
                    return Err(refused(&path.join(shown(name)), what));
                }
                Err(_) => {}
            }
        }
        Ok(names)
    }

    /// Returns how to unwrap a file, if it has the layer.
    fn wanted(
        &self,
        directory: &str,
        name: &str,
        layer: &Layer,
        names: &Names,
    ) -> Result<Option<Wanted>, ArchiveError> {
        let refuse = |what| Err(refused(&self.shown(directory, name), what));
        let found = suffixes(name);
        let decrypted = name.strip_suffix(".xbcrypt").unwrap_or(name);
        // An original that was kept when the layer was removed earlier.
        let kept = |inner: &str| names.get(inner).is_some_and(|(kind, _)| kind.is_file());
        match layer {
            Layer::Encryption(_) => Ok(found.encrypted.then(|| Wanted {
                to: decrypted.to_owned(),
                format: None,
                encrypted: true,
            })),
            Layer::Compression if found.encrypted => {
                let compressed = found.quicklz || found.compression.is_some();
                if compressed && !kept(decrypted) && !kept(found.inner) {
                    return refuse("it is encrypted: run `lsnap decrypt` on the directory first");
                }
                Ok(None)
            }
            Layer::Compression | Layer::All(_) if found.quicklz && !kept(found.inner) => refuse(
                "it is compressed with quicklz, which lsnap does not read: decompress it with the program qpress",
            ),
            // It was unwrapped earlier, by another program.
            Layer::All(_) if found.quicklz => Ok(None),
            Layer::Compression | Layer::All(_) => {
                let wanted = Wanted {
                    to: found.inner.to_owned(),
                    format: found.compression,
                    encrypted: found.encrypted,
                };
                let any = wanted.encrypted || wanted.format.is_some();
                Ok(any.then_some(wanted))
            }
        }
    }
}

/// How a file is unwrapped.
struct Wanted {
    to: String,
    format: Option<Format>,
    encrypted: bool,
}

fn is_wrapped(name: &str) -> bool {
    let found = suffixes(name);
    found.encrypted || found.quicklz || found.compression.is_some()
}

fn shown(name: &CStr) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()))
}
