//! Checks whether a chain is in use, without a write.
//!
//! An incremental or a deletion in progress is in the chain's ledger
//! ([`crate::store::lease::chain_lease`]), with a time limit that its holder renews. The check here
//! only avoids conflicts; the lease itself excludes them. A full backup in progress is not in a
//! ledger; the age of its objects is the only sign of it. The same is true for a backup of
//! xtrabackup.

use std::sync::Arc;

use chrono::Utc;

use crate::manifest::BackupName;
use crate::store::error::StoreError;
use crate::store::lease::holder::LeaseHolder;
use crate::store::lease::ledger::Ledger;
use crate::store::lease::record::{ByTime, Entry, ExpiryRule, Work};
use crate::store::objects::repository::Repository;

impl Repository {
    /// Returns the process that changes the chain of `member`, if there is one. The store's clock
    /// and this host's should agree within the time limit of a lease.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub fn worked_on_by(&self, member: &BackupName) -> Result<Option<LeaseHolder>, StoreError> {
        let entry = self.current_work(member)?;
        Ok(entry.map(|entry| entry.record.holder))
    }

    /// Returns whether the chain of `member`, or a member of it, is being deleted now.
    pub(super) fn is_being_deleted(&self, member: &BackupName) -> Result<bool, StoreError> {
        let entry = self.current_work(member)?;
        Ok(entry.is_some_and(|entry| matches!(entry.record.work, Work::Delete { .. })))
    }

    fn current_work(&self, member: &BackupName) -> Result<Option<Entry>, StoreError> {
        let store = Arc::clone(self.store()?);
        let ledger = Ledger::new(store, member, self.longest_component());
        let newest = self
            .runtime()
            .wait("reading a ledger", async move { ledger.newest(None).await })??;
        Ok(newest.filter(|entry| entry.end.is_none() && !ByTime.is_over(entry, Utc::now())))
    }
}
