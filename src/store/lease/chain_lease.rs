//! One writer a chain.
//!
//! Two agents must never both append to a chain: the later of two incrementals on one base is missed
//! by every restore, silently. A lease with a time limit can't exclude that: its holder may be paused
//! past the limit right before the last request and go on then. So here time protects effort only. What
//! excludes the fork is an order that all agree on, made of one thing that every store has: *create an
//! object if there is none* ([`object_store::PutMode::Create`]).
//!
//! # The protocol
//! A chain's **ledger** is the sequence of `<full>.incr/.lsnap/lease.<epoch>`, epochs from 0 without
//! gaps. A record says who is about to do what: append a backup, named in it, to the chain's newest
//! member; or delete the newest member. Records are never changed, and removed only after the whole
//! chain. The key of a backup's **manifest** is a register that is written once: with the manifest, or
//! with a *void* ([`crate::store::objects::manifest_key`]), after which this backup can never be finished.
//!
//! 1. *Claim.* The new backup claims its own name (`lsnap_upload.json`), as every backup does.
//! 2. *Look.* Find the newest record, `n`; none: go to 5 with epoch 0.
//! 3. *Be polite.* Unless its holder said that it ended (`lease.<n>.end.<how>`), or its last sign of
//!    life (`lease.<n>.beat.<k>`, put every third of its TTL) is older than its TTL by the store's own
//!    clock (the time of an object put now), or it was a process of this host that is gone: refuse. Before
//!    a holder is passed over for its TTL, wait for half of it (at most 10 s) and look again: a store that was
//!    away was away for the holder too.
//! 4. *Decide.* An append: try to put a void at the named backup's manifest. Put, or a void was there:
//!    it can never be finished, the chain ends at the base in the record. A manifest was there: the
//!    chain ends at that backup. (When the holder said that it never sent a manifest and never will, no
//!    void is needed.) A deletion: it counts as done, and its one irrevocable request, removing the
//!    manifest of the member, is sent again. If the chain does not end at our base: refuse.
//! 5. *Enter.* Create record `n + 1`, naming our backup and base. It exists: look again (2).
//! 6. Upload. Give signs of life; stop when record `n + 2` appears.
//! 7. *Finish.* No later record? Put the manifest, create-only. Refused by a void: somebody took over,
//!    the backup failed. Refused by our own bytes: an answer was lost, the backup is finished.
//! 8. *End.* Say so, whichever way it went. After a manifest of unknown outcome first write the void
//!    oneself: when the manifest turns out to be there, the backup is finished and stays, as somebody
//!    may stand on it already.
//!
//! A deletion does 2 to 5 and then removes: the manifest first. Deleting a full backup closes the
//! chain for appends for good, so that it can be interrupted and repeated.
//!
//! # Why the chain can't fork
//! - I1. Record `n + 1` exists only when the work of every record up to `n` is decided for ever (4
//!   comes before 5; a register is written once; a deletion is never taken back).
//! - I2. So at any time at most one backup of a chain is undecided: the one in the newest record.
//! - I3. Its base is the newest member: 4 found it by reading the registers by key (not by a listing),
//!   and by I1 and I2 nothing can have changed it since.
//! - I4. So when its manifest appears, no other finished member stands on its base, and when it does
//!   not, it will not appear later.
//!
//! A writer that pauses past its limit finds a void (7). One that dies anywhere leaves a record whose
//! backup the next one voids. One that is slow in 2 to 5 creates nothing, as its epoch is taken, and
//! what it decided had been decided before. A wrong clock, or a wrong guess in 3, costs somebody a
//! backup and never a chain. `tests/lease_races.rs`
//! of the layer runs these very functions against each other, `tests/leases.rs` whole processes.
//!
//! # What it rests on
//! - S3: `PUT` with `If-None-Match: *`, and reads that see finished writes. 5 is done twice, and the
//!   second must be refused: a server that ignores the condition is found out
//!   ([`LeaseFault::Overwrites`]).
//! - GCS: `x-goog-if-generation-match: 0`. Azure: `If-None-Match: *` of Put Blob. Both strongly
//!   consistent.
//! - `file://`: `link(2)` of a staged file, which fails when the name is there, on one machine and on
//!   NFS. A file system without hard links fails the put: no lease, no incremental.
//! - Readers: a void counts as no manifest. Cleaning up an unfinished member must leave its void (a few
//!   hundred bytes) until the chain goes.
//!
//! It does not hold off what is no party to it: a person with `aws s3 rm`, or xtrabackup.

use crate::locked::Locked;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use crate::manifest::BackupName;
use crate::store::backend::runtime::Runtime;
use crate::store::error::StoreError;
use crate::store::lease::holder::LeaseHolder;
use crate::store::lease::ledger::Ledger;
use crate::store::lease::record::{ByTime, End, Record, Work};
use crate::store::objects::repository::Repository;

/// How long a holder that gives no sign of life is waited for.
pub const DEFAULT_TTL: Duration = Duration::from_secs(60);
/// Shorter ones would be mostly signs of life.
const SHORTEST_TTL: Duration = Duration::from_secs(1);

/// A record of ours in a ledger, with signs of life until it ends or is dropped.
#[derive(Debug)]
pub(in crate::store) struct Lease {
    ledger: Ledger,
    epoch: u64,
    runtime: Runtime,
    /// Whether a manifest was sent.
    sent: AtomicBool,
    shared: Arc<Shared>,
    /// Dropped with the lease: that ends the signs of life.
    stop: Mutex<Option<watch::Sender<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    lost: Mutex<Option<StoreError>>,
    beats: AtomicU64,
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
        let epoch = self.runtime().wait("taking a lease", {
            let ledger = ledger.clone();
            async move { ledger.take(record, &ByTime).await }
        })??;
        let shared = Arc::<Shared>::default();
        let (stop, stopped) = watch::channel(());
        let renewing = renew(ledger.clone(), epoch, ttl / 3, Arc::clone(&shared), stopped);
        self.runtime().spawn(renewing);
        Ok(Lease {
            ledger,
            epoch,
            runtime: self.runtime().clone(),
            sent: AtomicBool::new(false),
            shared,
            stop: Mutex::new(Some(stop)),
        })
    }

    /// Begins the deletion of the newest member of a chain, after which the chain ends at `then`; of a
    /// full backup, with `then` `None`, the deletion of the whole chain. From here on the member counts
    /// as deleted, whoever is interrupted: this call removes the manifest of an incremental; the rest is
    /// the caller's.
    ///
    /// # Errors
    /// [`StoreError::Lease`]: nothing was done. The store's own error: the deletion may have begun,
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

/// A deletion that was begun; dropped without [`Self::end`], others take it for unfinished and wait.
#[derive(Debug)]
pub struct Deletion {
    lease: Lease,
}

impl Deletion {
    /// Everything is removed.
    pub fn end(self) {
        self.lease.end(End::Done);
    }
}

impl Lease {
    /// Why the lease is known to be lost.
    pub fn lost(&self) -> Option<StoreError> {
        self.shared.lost().clone()
    }

    /// Asks the store whether somebody took over.
    pub fn check(&self) -> Result<(), StoreError> {
        let (ledger, epoch) = (self.ledger.clone(), self.epoch);
        let asked = async move { ledger.check(epoch).await };
        self.runtime.wait("checking a lease", asked)?
    }

    /// A manifest is about to be sent.
    pub fn sending(&self) {
        self.sent.store(true, Ordering::Release);
    }

    pub fn was_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    /// Says how it ended. When that can't be said the next one waits for the TTL, so a failure is no
    /// failure of the backup.
    pub fn end(&self, how: End) {
        drop(self.stop.locked().take());
        let (ledger, epoch) = (self.ledger.clone(), self.epoch);
        let beats = self.shared.beats.load(Ordering::Acquire);
        let ending = async move { ledger.end(epoch, how, beats).await };
        if let Err(error) = self.runtime.wait("ending a lease", ending).and_then(|r| r) {
            let chain = self.ledger.root();
            tracing::warn!(
                "the lease on the chain of {chain} was not given back and has to run out: {error}"
            );
        }
    }
}

impl Shared {
    fn lost(&self) -> std::sync::MutexGuard<'_, Option<StoreError>> {
        self.lost.locked()
    }
}

/// Gives signs of life until told to stop, or until there is a later record.
async fn renew(
    ledger: Ledger,
    epoch: u64,
    every: Duration,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<()>,
) {
    for n in 1.. {
        tokio::select! {
            // its sender is only ever dropped
            _ = stopped.changed() => return,
            () = tokio::time::sleep(every) => {}
        }
        match ledger.beat(epoch, n).await {
            Ok(()) => shared.beats.store(n, Ordering::Release),
            Err(error @ StoreError::Lease(_)) => {
                *shared.lost() = Some(error);
                return;
            }
            // the next one may succeed; if not, the manifest's own put decides
            Err(error) => tracing::warn!("a lease could not be renewed: {error}"),
        }
    }
}
