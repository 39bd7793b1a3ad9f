//! Directories that a restore creates.

use super::error::{RestoreError, io};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Mode of restored directories, the same as that of `mysqld`.
pub(crate) const DIRECTORY_MODE: u32 = 0o750;

/// Creates one directory.
pub(super) fn make_directory(path: &Path) -> Result<(), RestoreError> {
    DirBuilder::new()
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(io("create the directory", path))
}
