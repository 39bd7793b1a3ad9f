//! Options and report of an extraction.

use crate::cancel::Cancel;
use crate::codec::xbcrypt::Key;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The suffix of the file [`ExtractOptions::last`] while the extraction is not complete.
pub const PART: &str = ".part";

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
    /// Called with the path of each file, when its first chunk was read.
    pub on_file: Option<OnFile>,
    /// The file of the stream by which readers take the directory for complete. It has the suffix
    /// [`PART`] until all other files are on the disk.
    pub last: Option<String>,
    /// Cancels the job. Incomplete files are removed.
    pub cancel: Cancel,
}

/// A function that is called with the paths of files, from several threads.
#[derive(Clone)]
pub struct OnFile(Arc<dyn Fn(&str) + Send + Sync>);

impl OnFile {
    /// Creates one.
    pub fn new(call: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    pub(super) fn call(&self, path: &str) {
        (self.0)(path);
    }
}

impl fmt::Debug for OnFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnFile").finish_non_exhaustive()
    }
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
            on_file: None,
            last: None,
            cancel: Cancel::new(),
        }
    }
}

impl ExtractOptions {
    /// Returns the name under which a file is written that is not unwrapped.
    pub(super) fn written<'a>(&self, path: &'a str) -> Cow<'a, str> {
        if self.last.as_deref() == Some(path) {
            Cow::Owned(format!("{path}{PART}"))
        } else {
            Cow::Borrowed(path)
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
