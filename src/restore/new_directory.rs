//! Directories that a restore makes.

use super::error::{RestoreError, io};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Mode of restored directories, as `mysqld` makes them.
pub(crate) const DIRECTORY_MODE: u32 = 0o750;

/// Makes one directory.
pub(super) fn make_directory(path: &Path) -> Result<(), RestoreError> {
    DirBuilder::new()
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(io("create the directory", path))
}
