//! How a stream is extracted, and what that did.

use crate::cancel::Cancel;
use crate::codec::xbcrypt::Key;
use std::collections::HashSet;
use std::path::PathBuf;

/// How a stream is to be extracted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExtractOptions {
    /// Where to; it must exist.
    pub directory: PathBuf,
    /// Threads that check and write.
    pub parallel: usize,
    /// Bytes of chunks on their way; a chunk that is larger comes alone.
    pub memory: usize,
    /// Take `.zst` and `.lz4` off.
    pub decompress: bool,
    /// Take `.xbcrypt` off.
    pub key: Option<Key>,
    /// Let absolute paths, `..` and symbolic links lead out of the directory.
    pub absolute_names: bool,
    /// Only these paths, as they stand in the stream, and all of them; `None`: what there is.
    pub only: Option<HashSet<String>>,
    /// Ends the extraction early. What is not whole is removed.
    pub cancel: Cancel,
}

impl ExtractOptions {
    /// All of the stream into `directory`, as it is.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            parallel: 1,
            memory: 256 << 20,
            decompress: false,
            key: None,
            absolute_names: false,
            only: None,
            cancel: Cancel::new(),
        }
    }
}

/// What was extracted.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ExtractReport {
    /// Whole files.
    pub files: u64,
    /// Their lengths together, in bytes.
    pub bytes: u64,
    /// Chunks that were read.
    pub chunks: u64,
    /// Chunks of unknown types that said that they may be ignored.
    pub ignored_chunks: u64,
}
