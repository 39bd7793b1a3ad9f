//! What an upload took aside.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// What was taken aside, as far as it is not on its way.
#[derive(Debug, Default)]
pub(in crate::store) struct Staging {
    /// Where the file goes; `None`: puts wait for their turn.
    pub(super) directory: Option<PathBuf>,
    pub(super) file: Option<Arc<File>>,
    /// The file's length in bytes.
    pub(super) end: u64,
    pub(super) in_memory: u64,
}

impl Staging {
    pub fn is_on(&self) -> bool {
        self.directory.is_some()
    }
}
