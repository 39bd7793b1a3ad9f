//! Errors of names, paths and manifests.

use super::BackupName;
use crate::error_kind::ErrorKind;

/// The reason why a name, a path or a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The name is not a valid backup name.
    #[error("`{name}` can't name a backup: {reason}")]
    BadName {
        /// The name.
        name: String,
        /// The rule that it violates.
        reason: String,
    },
    /// The path within a backup can't be part of an object's key.
    #[error("`{path}` can't be stored: {reason}")]
    BadPath {
        /// The path within the backup.
        path: String,
        /// The rule that it violates.
        reason: String,
    },
    /// The manifest contradicts itself, or doesn't agree with the objects that were uploaded.
    #[error("manifest of {name} not written: {reason}")]
    Refused {
        /// The backup.
        name: BackupName,
        /// The contradiction.
        reason: String,
    },
}

impl ManifestError {
    /// Returns [`Self::BadPath`], with control characters of the path escaped.
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
