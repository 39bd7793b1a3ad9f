//! The path of a file as it is stored.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The path under which a file of a backup is stored, with the suffixes of its compression and
/// encryption (`db/t.ibd.zst.xbcrypt`).
///
/// It has a type of its own because it must not be compared with the plain name of a file: in a
/// wrapped backup, `binlog.index` is stored as `binlog.index.zst`. The plain name is
/// [`FileEntry::plain_path`](crate::manifest::FileEntry::plain_path). Serialised as a string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoredPath(String);

impl StoredPath {
    /// Creates it from a path that already has the suffixes.
    pub fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// Returns the path with its suffixes, for the key of an object or the name of a file in a
    /// stream.
    #[must_use]
    pub fn as_stored(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoredPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
