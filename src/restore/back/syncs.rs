//! The directories whose entries were changed, and that must be synced.

use super::error::{BackError, io};
use crate::locked::Locked;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Directories with changed entries.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    changed: Mutex<BTreeSet<PathBuf>>,
    /// Directories whose own entries, and those of the directories above them, are on the disk.
    lasting: Mutex<BTreeSet<PathBuf>>,
}

impl Syncs {
    /// Adds the directory of a file or directory.
    pub(super) fn changed(&self, path: &Path) {
        if let Some(parent) = path.parent() {
            self.changed.locked().insert(parent.to_path_buf());
        }
    }

    /// Syncs the directories that were added since the last call.
    pub(super) fn sync(&self) -> Result<(), BackError> {
        let changed = std::mem::take(&mut *self.changed.locked());
        for directory in changed {
            sync(&directory).map_err(io("sync the directory", &directory))?;
        }
        Ok(())
    }

    /// Syncs the directories above a directory, which this run or a former one may have made. Does
    /// so once for each; another thread waits for it.
    pub(super) fn keep(&self, directory: &Path) -> Result<(), BackError> {
        let mut lasting = self.lasting.locked();
        let mut new = Vec::new();
        for below in directory.ancestors() {
            let Some(above) = below.parent() else { break };
            if lasting.contains(below) {
                break;
            }
            match sync(above) {
                // No run made an entry there.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::PermissionDenied
                            | ErrorKind::ReadOnlyFilesystem
                            | ErrorKind::InvalidInput
                    ) => {}
                synced => synced.map_err(io("sync the directory", above))?,
            }
            new.push(below.to_path_buf());
        }
        lasting.extend(new);
        Ok(())
    }

    /// Returns whether the entry of a directory is on the disk.
    #[cfg(test)]
    pub(super) fn is_kept(&self, directory: &Path) -> bool {
        self.lasting.locked().contains(directory)
    }
}

fn sync(directory: &Path) -> std::io::Result<()> {
    File::open(directory).and_then(|directory| directory.sync_all())
}
