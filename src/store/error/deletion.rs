//! Why backups are not deleted.

use crate::manifest::BackupName;
use crate::store::lease::holder::LeaseHolder;

/// Why backups are not deleted.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DeletionFault {
    /// Somebody reads it.
    #[error(
        "{name} was not deleted: it is being read by {holder} ({work}); wait until that ends (a reader that died is \
         forgotten within a minute), then run the command again"
    )]
    BeingRead {
        /// The backup.
        name: BackupName,
        /// The process that reads it.
        holder: Box<LeaseHolder>,
        /// What that does: `restore`, `verify`, `consolidate`, `cloud get`.
        work: String,
    },
    /// Something that is not a backup's own lies under its name.
    #[error(
        "{name} was not deleted: {} lies in its directory and is not part of it; move or remove that first",
        key.escape_debug()
    )]
    Unexplained {
        /// The backup.
        name: BackupName,
        /// The key.
        key: String,
    },
    /// Other backups need it.
    #[error(
        "{name} was not deleted: {needed_by} stands on it, or may; delete that first, or both with --cascade"
    )]
    Needed {
        /// The backup.
        name: BackupName,
        /// The newest that needs it.
        needed_by: BackupName,
    },
    /// A backup is being made, or deleted, in the chain.
    #[error("the chain of {chain} is in use: nothing was deleted; run the command again later")]
    InUse {
        /// The chain's full backup.
        chain: BackupName,
    },
    /// An unfinished backup that was written to a short while ago.
    #[error(
        "{name} was not deleted: it is unfinished and its newest object is {seconds} s old, so it may be being made \
         now; if it is not, delete it with --unfinished-older-than 0s"
    )]
    InProgress {
        /// The backup.
        name: BackupName,
        /// The age of its newest object.
        seconds: i64,
    },
    /// A chain is not what it was when its deletion was decided.
    #[error(
        "the chain of {chain} changed meanwhile ({what}): it was left alone; run the command again"
    )]
    Changed {
        /// The chain's full backup.
        chain: BackupName,
        /// What is different.
        what: String,
    },
    /// A retention policy that must not be followed.
    #[error("nothing was deleted: {reason}")]
    Policy {
        /// What is wrong with it, and what to do.
        reason: String,
    },
}
