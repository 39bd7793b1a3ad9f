//! Errors of chain leases.

use chrono::{DateTime, Utc};

use crate::manifest::BackupName;
use crate::store::lease::holder::LeaseHolder;

fn taker(to: Option<&LeaseHolder>) -> String {
    to.map_or_else(|| "another process".to_owned(), ToString::to_string)
}

/// The reason why a chain can't be changed now.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseFault {
    /// Another process changes the chain.
    #[error(
        "the chain of {chain} is being changed by {holder} (lease taken at {since}, valid until {expires} by the \
         store's clock): wait until it ends; if that process is dead, the lease expires by itself"
    )]
    Held {
        /// The chain's full backup.
        chain: BackupName,
        /// The process that holds the lease.
        holder: Box<LeaseHolder>,
        /// When the lease was taken, by the store's clock.
        since: DateTime<Utc>,
        /// When the lease expires unless it is renewed, by the store's clock.
        expires: DateTime<Utc>,
    },
    /// The lease expired because this process did not renew it.
    #[error(
        "the lease on the chain of {chain} expired (this process or the store did not respond for longer than the \
         lease) and was taken over by {}: this backup can't be finished any more; run it again", taker(to.as_deref())
    )]
    Lost {
        /// The chain's full backup.
        chain: BackupName,
        /// The new holder, if known.
        to: Option<Box<LeaseHolder>>,
    },
    /// The end of the chain changed between the choice of the base and the lease.
    #[error(
        "the chain now ends at {newest}, not at {expected}: it was changed in the meantime; run the command again"
    )]
    Moved {
        /// The expected newest member.
        expected: BackupName,
        /// The newest member.
        newest: BackupName,
    },
    /// The deletion of the chain was begun.
    #[error(
        "the deletion of the chain of {chain} was begun: nothing can be appended; take a \
         full backup, and run the deletion again to complete it"
    )]
    Closed {
        /// The chain's full backup.
        chain: BackupName,
    },
    /// Other processes took each epoch first.
    #[error(
        "other processes repeatedly took the lease on the chain of {chain} first: run the command again"
    )]
    Busy {
        /// The chain's full backup.
        chain: BackupName,
    },
    /// A record of the ledger can't be read.
    #[error(
        "{key} is damaged: {what}; it is unknown whether an incremental of this chain is still in progress: \
         take a full backup, which begins a new chain"
    )]
    Unreadable {
        /// The key of the record.
        key: String,
        /// What was found and what was expected.
        what: String,
    },
    /// The store doesn't support conditional puts.
    #[error(
        "the store overwrote {key}, it ignores `If-None-Match: *`: without conditional puts two \
         incrementals could be appended to the same base; use a store that supports them, or take full backups only"
    )]
    Overwrites {
        /// The key of the object.
        key: String,
    },
}
