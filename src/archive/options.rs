//! Options and report of an extraction.

use crate::cancel::Cancel;
use crate::codec::xbcrypt::Key;
use std::collections::HashSet;
use std::path::PathBuf;

/// How to extract a stream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExtractOptions {
    /// The target directory, which must exist.
    pub directory: PathBuf,
    /// Number of threads that check and write.
    pub parallel: usize,
    /// Maximum number of bytes of chunks in memory. A larger chunk is processed alone.
    pub memory: usize,
    /// Decompress `.zst` and `.lz4` files.
    pub decompress: bool,
    /// Decrypt `.xbcrypt` files with this key.
    pub key: Option<Key>,
    /// Allow absolute paths, `..` and symbolic links that lead out of the directory.
    pub absolute_names: bool,
    /// Extract only these paths of the stream, all of which it must have; `None` for all files.
    pub only: Option<HashSet<String>>,
    /// Cancels the job. Incomplete files are removed.
    pub cancel: Cancel,
}

impl ExtractOptions {
    /// Creates options that extract all files into `directory`, without unwrapping them.
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

/// The result of an extraction.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ExtractReport {
    /// Number of files.
    pub files: u64,
    /// Sum of their lengths in bytes.
    pub bytes: u64,
    /// Number of chunks read.
    pub chunks: u64,
    /// Number of chunks of unknown types that are marked as ignorable.
    pub ignored_chunks: u64,
}
