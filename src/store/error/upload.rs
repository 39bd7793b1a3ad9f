//! Errors of uploads other than failed requests.

use crate::counted::count;
use crate::manifest::BackupName;

/// The reason why an upload failed, other than a failed request.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum UploadFault {
    /// The caller's data or order of calls is not valid.
    #[error("upload of {name}: {reason}")]
    Misuse {
        /// The backup.
        name: BackupName,
        /// What was wrong.
        reason: String,
    },
    /// The upload was aborted.
    #[error("upload of {name} was aborted")]
    Aborted {
        /// The backup.
        name: BackupName,
    },
    /// An aborted upload left objects that could not be removed.
    #[error(
        "abort of {name}: {} could not be removed, the first is {first}: {reason}; delete the backup, it has no manifest and counts as unfinished",
        count(remaining, "object")
    )]
    AbortIncomplete {
        /// The backup.
        name: BackupName,
        /// The number of remaining objects.
        remaining: u64,
        /// One of them.
        first: String,
        /// The reason of the first failed removal.
        reason: String,
    },
    /// A copy was interrupted, and its objects were deleted.
    #[error(
        "{name} can't be copied here: an interrupted copy of it was deleted, and the store has a note that it is never \
         finished; delete its chain here and copy the chain again, or copy the next chain"
    )]
    Voided {
        /// The backup.
        name: BackupName,
    },
    /// The name of the new backup is in use.
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
