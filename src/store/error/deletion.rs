//! Errors of deletions.

use crate::manifest::BackupName;
use crate::store::lease::holder::LeaseHolder;

/// The reason why backups are not deleted.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DeletionFault {
    /// The backup is being read.
    #[error(
        "{name} was not deleted: it is being read by {holder} ({work}); wait until that ends (the record of a reader that died expires \
         within a minute), then run the command again"
    )]
    BeingRead {
        /// The backup.
        name: BackupName,
        /// The process that reads it.
        holder: Box<LeaseHolder>,
        /// Its work: `restore`, `verify`, `consolidate`, `cloud get`.
        work: String,
    },
    /// The backup's directory has a key that is not part of the backup.
    #[error(
        "{name} was not deleted: {} is in its directory, but not part of it; move or remove that first",
        key.escape_debug()
    )]
    Unexplained {
        /// The backup.
        name: BackupName,
        /// The key.
        key: String,
    },
    /// Other backups depend on it.
    #[error(
        "{name} was not deleted: {needed_by} depends on it, or may; delete that first, or set DeleteOptions::cascade to true"
    )]
    Needed {
        /// The backup.
        name: BackupName,
        /// The newest backup that depends on it.
        needed_by: BackupName,
    },
    /// Its chain is pinned.
    #[error("{name} was not deleted: the chain of {chain} is pinned; unpin it first", chain = name.base())]
    Pinned {
        /// The backup.
        name: BackupName,
    },
    /// A backup is being made or deleted in the chain.
    #[error("the chain of {chain} is in use: nothing was deleted; run the command again later")]
    InUse {
        /// The chain's full backup.
        chain: BackupName,
    },
    /// The backup is unfinished, and its newest object is young.
    #[error(
        "{name} was not deleted: it is unfinished and its newest object is {seconds} s old, so it may still be \
         in progress; if it is not, set DeleteOptions::unfinished_older_than to 0 s"
    )]
    InProgress {
        /// The backup.
        name: BackupName,
        /// The age of its newest object in seconds.
        seconds: i64,
    },
    /// The chain changed since its deletion was decided.
    #[error(
        "the chain of {chain} changed in the meantime ({what}): it was not deleted; run the command again"
    )]
    Changed {
        /// The chain's full backup.
        chain: BackupName,
        /// The difference.
        what: String,
    },
    /// The retention policy is not valid.
    #[error("nothing was deleted: {reason}")]
    Policy {
        /// What is wrong with it, and how to fix it.
        reason: String,
    },
}
