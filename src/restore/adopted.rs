//! A target directory that is kept, because it is a mount point or its parent directory is not
//! writable. It gets the owner and the mode of a data directory, like a newly created one.

use super::error::{RestoreError, io};
use super::new_directory::DIRECTORY_MODE;
use super::owner::Owner;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

/// An existing target directory. Dropping it restores the previous state, unless [`Self::keep`] was
/// called.
#[derive(Debug)]
pub(super) struct Adopted {
    path: PathBuf,
    /// Previous owner, group and mode.
    before: Option<(u32, u32, u32)>,
    warning: Option<String>,
}

impl Adopted {
    /// Changes the owner to the account of the server, which works in it from now on, and sets the
    /// mode.
    ///
    /// # Errors
    /// [`RestoreError::Read`]. If the mode can't be set, that is a warning.
    pub(super) fn take(path: &Path, owner: Option<&Owner>) -> Result<Self, RestoreError> {
        let found = std::fs::metadata(path).map_err(io("look at", path))?;
        let mode = found.mode() & 0o7777;
        let mut adopted = Self {
            path: path.to_path_buf(),
            before: Some((found.uid(), found.gid(), mode)),
            warning: None,
        };
        if let Some(owner) = owner {
            owner.give(path)?;
        }
        if mode != DIRECTORY_MODE
            && let Err(error) =
                std::fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE))
        {
            adopted.warning = Some(format!(
                "{} keeps its mode {mode:04o}, which could not be set to {DIRECTORY_MODE:04o} ({error}): run `chmod \
                 {DIRECTORY_MODE:o}` on it as its owner",
                path.display()
            ));
        }
        Ok(adopted)
    }

    /// Returns the warning for the report, if there is one.
    pub(super) fn warning(&self) -> Option<String> {
        self.warning.clone()
    }

    /// Keeps the new state, because the restore has succeeded.
    pub(super) fn keep(mut self) {
        self.before = None;
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        if let Some((uid, gid, mode)) = self.before {
            let _ = lchown(&self.path, Some(uid), Some(gid));
            let _ = std::fs::set_permissions(&self.path, Permissions::from_mode(mode));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_of_a_data_directory_is_kept_if_the_restore_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("volume");
        std::fs::create_dir(&path).unwrap();
        let mode = || std::fs::metadata(&path).unwrap().mode() & 0o7777;
        for before in [0o1777, 0o700, 0o755] {
            std::fs::set_permissions(&path, Permissions::from_mode(before)).unwrap();
            let adopted = Adopted::take(&path, None).unwrap();
            assert_eq!((mode(), adopted.warning()), (DIRECTORY_MODE, None));
            drop(adopted);
            assert_eq!(mode(), before);
            Adopted::take(&path, None).unwrap().keep();
            assert_eq!(mode(), DIRECTORY_MODE);
        }
    }
}
