//! The buffer of an upload for staged puts.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// The buffered bytes that are not in flight yet.
#[derive(Debug, Default)]
pub(in crate::store) struct StagingBuffer {
    /// The directory of the file; `None`: puts wait for a slot.
    pub(super) directory: Option<PathBuf>,
    pub(super) file: Option<Arc<File>>,
    /// The file's length in bytes.
    pub(super) end: u64,
    pub(super) in_memory: u64,
}

impl StagingBuffer {
    pub fn is_on(&self) -> bool {
        self.directory.is_some()
    }
}
