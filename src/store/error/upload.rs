//! Why an upload failed, apart from failed requests.

use crate::manifest::BackupName;

/// Why an upload failed, apart from failed requests.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum UploadFault {
    /// The caller put something that can't be right.
    #[error("upload of {name}: {reason}")]
    Misuse {
        /// The backup.
        name: BackupName,
        /// What was wrong.
        reason: String,
    },
    /// The upload was given up.
    #[error("upload of {name} was aborted")]
    Aborted {
        /// The backup.
        name: BackupName,
    },
    /// Objects could not be removed.
    #[error(
        "abort of {name}: {remaining} object(s) could not be removed, the first is {first}: {reason}; delete them by hand, the backup has no manifest and counts as unfinished"
    )]
    AbortIncomplete {
        /// The backup.
        name: BackupName,
        /// How many are left.
        remaining: u64,
        /// One of them.
        first: String,
        /// Why the first failing removal failed.
        reason: String,
    },
    /// Something lies where a new backup should go.
    #[error(
        "{name} already exists (found {found}): nothing was written; choose another name or delete it"
    )]
    Exists {
        /// The backup.
        name: BackupName,
        /// The first object found.
        found: String,
    },
}
