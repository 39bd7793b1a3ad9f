//! The lease of an upload on its chain, and its slot.

use crate::manifest::BackupName;
use crate::store::error::StoreError;
use crate::store::lease::record::Work;
use crate::store::slots::SlotClaim;
use crate::store::upload::state::Upload;
use std::time::Duration;

impl Upload {
    /// Enters the ledger of the chain to which this upload, an incremental on `base`, is to be
    /// appended. [`Self::finish`] and [`Self::abort`] end the lease. A process that dies blocks the
    /// chain for at most `ttl` (at least a second).
    ///
    /// # Errors
    /// [`StoreError::Lease`], or an error of the store: abort the upload.
    pub fn follow(&self, base: &BackupName, ttl: Duration) -> Result<(), StoreError> {
        let inner = &self.inner;
        let work = Work::Append {
            backup: inner.name.clone(),
            base: base.clone(),
        };
        let lease = inner.repository.lease(&inner.name, work, ttl)?;
        inner
            .lease
            .set(lease)
            .map_err(|_| inner.misuse("a second lease for one upload".to_owned()))
    }

    /// Makes this upload the backup of a slot: [`Self::finish`] fails if the claim was taken over, or if the slot already has
    /// a finished backup.
    ///
    /// # Errors
    /// [`UploadFault::Misuse`](crate::store::UploadFault::Misuse): it has a slot.
    pub fn for_slot(&self, claim: SlotClaim) -> Result<(), StoreError> {
        let inner = &self.inner;
        inner
            .slot
            .set(claim)
            .map_err(|_| inner.misuse("a second slot for one upload".to_owned()))
    }
}
