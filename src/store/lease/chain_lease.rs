//! The lease on a chain: only one process appends to it or deletes from it at a time.
//!
//! Two agents must never both append to a chain: every restore would silently omit the later of two
//! incrementals on one base. A lease with a time limit can't exclude that: its holder may be paused
//! past the limit right before the last request, and continue then. So the time limit only prevents
//! wasted work. A fork is excluded by an order that all writers agree on. It is built on one
//! operation that every store supports: *create an object if there is none*
//! ([`object_store::PutMode::Create`]).
//!
//! # The protocol
//! A chain's **ledger** is the sequence of `<full>.incr/.lsnap/lease.<epoch>`, epochs from 0
//! without gaps. A record describes the holder and its work: append a backup, named in the record,
//! to the chain's newest member; or delete the newest member. Records are never changed, and are
//! removed only after the whole chain. The key of a backup's **manifest** is a write-once register:
//! it gets either the manifest or a *void* ([`crate::store::objects::manifest_key`]), after which
//! this backup can never be finished.
//!
//! 1. *Claim.* The new backup claims its own name (`lsnap_upload.json`), as every backup does.
//! 2. *Look.* Find the newest record, `n`. If there is none, continue with 5 and epoch 0.
//! 3. *Wait.* Refuse, unless the holder of record `n` has recorded its end (`lease.<n>.end.<how>`),
//!    or its last heartbeat (`lease.<n>.beat.<k>`, put every third of its TTL) is older than its
//!    TTL by the store's own clock (the time of an object put now), or it was a process of this
//!    host that no longer exists. Before a holder is ignored because of its TTL, wait for half of
//!    the TTL (at most 10 s) and look again: if the store was unavailable, it was unavailable for
//!    the holder too.
//! 4. *Decide.* For an append, try to put a void at the manifest key of the backup in the record.
//!    If the void was put or existed, the backup can never be finished, and the chain ends at the
//!    base in the record. If a manifest existed, the chain ends at that backup. (If the holder
//!    recorded that it never sent a manifest and never will, a void isn't needed.) A deletion
//!    counts as done; its one irrevocable request, the removal of the member's manifest, is sent
//!    again. If the chain doesn't end at our base, refuse.
//! 5. *Enter.* Create record `n + 1` with our backup and base. If it exists, look again (2).
//! 6. *Upload.* Put heartbeats. Stop when record `n + 2` appears.
//! 7. *Finish.* If there is no later record, put the manifest, create-only. If a void refuses it,
//!    another process took over, and the backup has failed. If our own bytes refuse it, a response
//!    was lost, and the backup is finished.
//! 8. *End.* Record the end and its outcome. After a manifest put of unknown outcome, first write
//!    the void: if the manifest turns out to exist, the backup is finished and stays, because
//!    another backup may already be based on it.
//!
//! A deletion executes 2 to 5 and then removes objects, the manifest first. The deletion of a full
//! backup closes the chain for appends permanently, so that it can be interrupted and repeated.
//!
//! # Why the chain can't fork
//! - I1. Record `n + 1` exists only if the work of every record up to `n` is decided for ever (4
//!   comes before 5; a register is written once; a deletion is never reversed).
//! - I2. So at any time at most one backup of a chain is undecided: the one in the newest record.
//! - I3. Its base is the newest member: 4 found it by reading the registers by key (not by a
//!   listing), and by I1 and I2 it can't have changed since.
//! - I4. So when its manifest appears, no other finished member has its base; if it doesn't appear
//!   then, it will not appear later.
//!
//! A writer that is paused past its limit finds a void (7). A writer that dies anywhere leaves a
//! record whose backup gets a void from the next writer. A writer that is slow in 2 to 5 creates
//! nothing, because its epoch is taken, and its decision had been made before. A wrong clock, or a
//! wrong decision in 3, can make a backup fail, but can't fork the chain.
//! `src/store/tests/lease_races.rs` runs these functions against each other, `tests/leases.rs` runs
//! whole processes.
//!
//! # Assumptions
//! - S3: `PUT` with `If-None-Match: *`, and reads that return completed writes. 5 is done twice,
//!   and the second must be refused: this detects a server that ignores the condition
//!   ([`LeaseFault::Overwrites`]).
//! - GCS: `x-goog-if-generation-match: 0`. Azure: `If-None-Match: *` of Put Blob. Both are strongly
//!   consistent.
//! - `file://`: `link(2)` of a staged file, which fails if the name exists, on one machine and on
//!   NFS. A file system without hard links fails the put: no lease, no incremental.
//! - Readers: a void counts as no manifest. The removal of an unfinished member must leave its void
//!   (a few hundred bytes) until the chain is deleted.
//!
//! The lease doesn't protect against programs that don't use it, such as `aws s3 rm` or xtrabackup.

use crate::locked::Locked;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::manifest::BackupName;
use crate::store::backend::runtime::Runtime;
use crate::store::error::StoreError;
use crate::store::lease::holder::LeaseHolder;
use crate::store::lease::ledger::Ledger;
use crate::store::lease::record::{ByTime, End, Record, Work};
use crate::store::objects::repository::Repository;

/// The default TTL: how long a lease is valid after its last heartbeat.
pub const DEFAULT_TTL: Duration = Duration::from_secs(60);
/// A shorter TTL would need too many heartbeats.
const SHORTEST_TTL: Duration = Duration::from_secs(1);

/// This process's record in a ledger, with heartbeats until it ends or is dropped.
#[derive(Debug)]
pub(in crate::store) struct Lease {
    ledger: Ledger,
    epoch: u64,
    runtime: Runtime,
    ttl: Duration,
    /// Whether a manifest was sent.
    sent: AtomicBool,
    shared: Arc<Shared>,
    /// Dropped with the lease, which ends the heartbeats.
    stop: Mutex<Option<watch::Sender<()>>>,
}

#[derive(Debug)]
struct Shared {
    lost: Mutex<Option<StoreError>>,
    beats: AtomicU64,
    /// When the store last confirmed that the lease was held.
    confirmed: Mutex<Confirmed>,
}

/// A time by both clocks: one stands still while the machine is suspended, the other can be set.
#[derive(Debug, Clone, Copy)]
struct Confirmed {
    running: Instant,
    clock: SystemTime,
}

impl Confirmed {
    fn now() -> Self {
        Self {
            running: Instant::now(),
            clock: SystemTime::now(),
        }
    }

    /// Returns whether this was less than `limit` ago by both clocks.
    fn is_within(&self, limit: Duration) -> bool {
        self.running.elapsed() < limit && self.clock.elapsed().is_ok_and(|passed| passed < limit)
    }
}

impl Repository {
    pub(in crate::store) fn lease(
        &self,
        member: &BackupName,
        work: Work,
        ttl: Duration,
    ) -> Result<Lease, StoreError> {
        let store = Arc::clone(self.store()?);
        let ledger = Ledger::new(store, member, self.longest_component());
        let ttl = ttl.max(SHORTEST_TTL);
        let record = Record::new(work, ttl.as_secs(), LeaseHolder::this());
        let shared = Arc::new(Shared {
            lost: Mutex::default(),
            beats: AtomicU64::default(),
            confirmed: Mutex::new(Confirmed::now()),
        });
        let epoch = self.runtime().wait("taking a lease", {
            let ledger = ledger.clone();
            async move { ledger.take(record, &ByTime).await }
        })??;
        let (stop, stopped) = watch::channel(());
        let renewing = renew(ledger.clone(), epoch, ttl / 3, Arc::clone(&shared), stopped);
        self.runtime().spawn(renewing);
        Ok(Lease {
            ledger,
            epoch,
            runtime: self.runtime().clone(),
            ttl,
            sent: AtomicBool::new(false),
            shared,
            stop: Mutex::new(Some(stop)),
        })
    }

    /// Begins the deletion of the newest member of a chain, after which the chain ends at `then`.
    /// For a full backup `then` is `None`: the deletion of the whole chain. From here on the member
    /// counts as deleted, even if the deletion is interrupted. This call removes the manifest of an
    /// incremental; the caller removes the rest.
    ///
    /// # Errors
    /// [`StoreError::Lease`]: nothing was done. An error of the store: the deletion may have begun,
    /// repeat it.
    pub fn begin_deletion(
        &self,
        member: &BackupName,
        then: Option<&BackupName>,
        ttl: Duration,
    ) -> Result<Deletion, StoreError> {
        let work = Work::Delete {
            member: member.clone(),
            then: then.cloned(),
        };
        let lease = self.lease(member, work, ttl)?;
        if then.is_some() {
            let (ledger, member) = (lease.ledger.clone(), member.clone());
            let removing = async move { ledger.delete_manifest(&member).await };
            self.runtime().wait("removing a manifest", removing)??;
        }
        Ok(Deletion { lease })
    }
}

/// A deletion that was begun. If it is dropped without [`Self::end`], other processes wait until
/// its lease expires.
#[derive(Debug)]
pub struct Deletion {
    lease: Lease,
}

impl Deletion {
    /// An error if the lease of this deletion may have expired or was taken over.
    pub fn still_held(&self) -> Result<(), StoreError> {
        self.lease.still_held()
    }

    /// Makes the last confirmation older than the TTL, as a pause of this process does.
    #[cfg(test)]
    pub fn was_paused(&self) {
        self.lease.shared.confirmed.locked().clock -= self.lease.ttl;
    }

    /// Ends the deletion after everything was removed.
    pub fn end(self) {
        self.lease.end(End::Done);
    }
}

impl Lease {
    /// Returns the error if a heartbeat found that the lease was lost.
    pub fn lost(&self) -> Option<StoreError> {
        self.shared.lost().clone()
    }

    /// Checks in the store that no other process took the lease over.
    pub fn check(&self) -> Result<(), StoreError> {
        let (ledger, epoch) = (self.ledger.clone(), self.epoch);
        let asked = async move { ledger.check(epoch).await };
        self.runtime.wait("checking a lease", asked)?
    }

    /// Checks that no other process took the lease over: by the heartbeats, and in the store if the last one that
    /// succeeded is older than half of the TTL, as after a pause of this process.
    pub fn still_held(&self) -> Result<(), StoreError> {
        if let Some(error) = self.lost() {
            return Err(error);
        }
        if self.shared.confirmed.locked().is_within(self.ttl / 2) {
            return Ok(());
        }
        let asked = Confirmed::now();
        self.check()?;
        *self.shared.confirmed.locked() = asked;
        Ok(())
    }

    /// Records that a manifest is about to be sent.
    pub fn sending(&self) {
        self.sent.store(true, Ordering::Release);
    }

    pub fn was_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    /// Records the end of the lease. If this fails, the next process waits for the TTL; the backup
    /// itself doesn't fail.
    pub fn end(&self, how: End) {
        drop(self.stop.locked().take());
        let (ledger, epoch) = (self.ledger.clone(), self.epoch);
        let beats = self.shared.beats.load(Ordering::Acquire);
        let ending = async move { ledger.end(epoch, how, beats).await };
        if let Err(error) = self.runtime.wait("ending a lease", ending).and_then(|r| r) {
            let chain = self.ledger.root();
            tracing::warn!(
                "the lease on the chain of {chain} could not be released and stays until it expires: {error}"
            );
        }
    }
}

impl Shared {
    fn lost(&self) -> std::sync::MutexGuard<'_, Option<StoreError>> {
        self.lost.locked()
    }
}

/// Puts heartbeats until it is stopped, or until there is a later record.
async fn renew(
    ledger: Ledger,
    epoch: u64,
    every: Duration,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<()>,
) {
    for n in 1.. {
        tokio::select! {
            // the sender is only ever dropped
            _ = stopped.changed() => return,
            () = tokio::time::sleep(every) => {}
        }
        let sent = Confirmed::now();
        match ledger.beat(epoch, n).await {
            Ok(()) => {
                shared.beats.store(n, Ordering::Release);
                *shared.confirmed.locked() = sent;
            }
            Err(error @ StoreError::Lease(_)) => {
                *shared.lost() = Some(error);
                return;
            }
            // the next heartbeat may succeed; if not, the put of the manifest decides
            Err(error) => tracing::warn!("a lease could not be renewed: {error}"),
        }
    }
}
