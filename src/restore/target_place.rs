//! The real path of a target directory, and the path of the work directory next to it or in it.

use super::error::{RestoreError, io, refuse};
use rustix::fs::{Access, AtFlags, CWD, StatxAttributes, StatxFlags};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub(super) const SUFFIX: &str = ".lsnap-restoring";

/// How the finished directory is moved to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handover {
    /// One rename of the whole directory.
    Rename,
    /// A rename of each entry, from within the target.
    Inside,
}

/// Returns the real path of the target, the path of the work directory, and how the finished
/// directory is moved.
pub(super) fn place(datadir: &Path) -> Result<(PathBuf, PathBuf, Handover), RestoreError> {
    let named = std::path::absolute(datadir).map_err(io("find", datadir))?;
    match std::fs::metadata(&named) {
        Ok(found) if !found.is_dir() => Err(refuse(
            &named,
            "it is a file, expected a directory that is empty or does not exist; set RestoreOptions::datadir to another",
        )),
        Ok(_) => {
            let real = named.canonicalize().map_err(io("find", &named))?;
            let parent = real
                .parent()
                .ok_or_else(|| refuse(&real, "it is the root directory"))?;
            if is_mount_point(&real, parent)
                || rustix::fs::access(parent, Access::WRITE_OK).is_err()
            {
                Ok((real.clone(), real.join(SUFFIX), Handover::Inside))
            } else {
                Ok((real.clone(), sibling(&real), Handover::Rename))
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if named.is_symlink() {
                return Err(refuse(&named, "it is a symbolic link to nowhere"));
            }
            let (Some(parent), Some(name)) = (named.parent(), named.file_name()) else {
                return Err(refuse(&named, "it has no parent directory"));
            };
            let parent = parent.canonicalize().map_err(|_| {
                refuse(
                    &named,
                    "the directory above it does not exist; create it first",
                )
            })?;
            let real = parent.join(name);
            Ok((real.clone(), sibling(&real), Handover::Rename))
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            let file = named.ancestors().find(|above| above.is_file());
            let file = file.unwrap_or(&named).display();
            Err(refuse(
                &named,
                format!(
                    "{file} is a file, expected a directory; set RestoreOptions::datadir to another"
                ),
            ))
        }
        Err(error) => Err(refuse(
            &named,
            format!("it can't be accessed: {error}; set RestoreOptions::datadir to another"),
        )),
    }
}

/// Returns the real path of a target.
///
/// # Errors
/// [`RestoreError::Target`].
pub(super) fn real(datadir: &Path) -> Result<PathBuf, RestoreError> {
    Ok(place(datadir)?.0)
}

pub(super) fn sibling(datadir: &Path) -> PathBuf {
    let mut name = datadir.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

/// Returns whether another file system is mounted on a directory in `parent`.
pub(super) fn is_mount_point(directory: &Path, parent: &Path) -> bool {
    let look =
        |path: &Path| rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS);
    let (Ok(own), Ok(above)) = (look(directory), look(parent)) else {
        return false;
    };
    own.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
        || (own.stx_dev_major, own.stx_dev_minor) != (above.stx_dev_major, above.stx_dev_minor)
}
