//! What a name, a path or a manifest can be refused for.

use super::BackupName;
use crate::error_kind::ErrorKind;

/// Why something can't stand in a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// A name that can't be that of a backup.
    #[error("`{name}` can't name a backup: {reason}")]
    BadName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A path within a backup that can't be an object's key.
    #[error("`{path}` can't be stored: {reason}")]
    BadPath {
        /// The path within the backup.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The manifest and the objects that were put do not agree, or it contradicts itself.
    #[error("manifest of {name} not written: {reason}")]
    Refused {
        /// The backup.
        name: BackupName,
        /// The contradiction.
        reason: String,
    },
}

impl ManifestError {
    /// A path within a backup that can't be stored, shown without control characters.
    pub(crate) fn bad_path(path: &str, reason: String) -> Self {
        Self::BadPath {
            path: path.escape_debug().to_string(),
            reason,
        }
    }
}

impl ManifestError {
    /// Returns the kind of the failure.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::BadName { .. } => ErrorKind::Arguments,
            Self::BadPath { .. } => ErrorKind::Incompatible,
            Self::Refused { .. } => ErrorKind::Internal,
        }
    }
}
