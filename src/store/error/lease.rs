//! Why a chain can't be changed now.

use chrono::{DateTime, Utc};

use crate::manifest::BackupName;
use crate::store::lease::holder::LeaseHolder;

fn taker(to: Option<&LeaseHolder>) -> String {
    to.map_or_else(|| "another process".to_owned(), ToString::to_string)
}

/// Why a chain can't be changed now.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseFault {
    /// Somebody works on the chain.
    #[error(
        "the chain of {chain} is being changed by {holder} (lease taken at {since}, valid until {expires} by the \
         store's clock): wait until it ends; if that process is dead, the lease runs out by itself"
    )]
    Held {
        /// The chain's full backup.
        chain: BackupName,
        /// Who.
        holder: Box<LeaseHolder>,
        /// When it took the lease, in the store's time.
        since: DateTime<Utc>,
        /// When it runs out unless it is renewed, in the store's time.
        expires: DateTime<Utc>,
    },
    /// The lease ran out while this process did not renew it.
    #[error(
        "the lease on the chain of {chain} ran out (this process, or the store, stood still for longer than the \
         lease) and was taken over by {}: this backup can't be finished any more; run it again", taker(to.as_deref())
    )]
    Lost {
        /// The chain's full backup.
        chain: BackupName,
        /// Who, where known.
        to: Option<Box<LeaseHolder>>,
    },
    /// The chain grew or shrank between the choice of the base and the lease.
    #[error(
        "the chain now ends at {newest}, not at {expected}: it was changed meanwhile; run the command again"
    )]
    Moved {
        /// What was to be the newest member.
        expected: BackupName,
        /// What is.
        newest: BackupName,
    },
    /// The deletion of the chain has begun.
    #[error(
        "the chain of {chain} is being deleted (`lsnap delete --cascade` was begun): nothing can be appended; take a \
         full backup, and run the deletion again to complete it"
    )]
    Closed {
        /// The chain's full backup.
        chain: BackupName,
    },
    /// Many others are quicker.
    #[error("the lease on the chain of {chain} changes hands all the time: run the command again")]
    Busy {
        /// The chain's full backup.
        chain: BackupName,
    },
    /// A record can't be read.
    #[error(
        "{key} is damaged: {what}; nobody can tell any more whether an incremental of this chain is still under way: \
         take a full backup, which begins a chain of its own"
    )]
    Unreadable {
        /// The record.
        key: String,
        /// What was found and expected.
        what: String,
    },
    /// The store has no conditional put.
    #[error(
        "the store overwrote {key} although told not to (`If-None-Match: *` is ignored): without conditional puts two \
         incrementals can't be kept apart; use a store that has them, or take full backups only"
    )]
    Overwrites {
        /// The object.
        key: String,
    },
}
