//! Whether somebody works on a chain now, asked without writing anything.
//!
//! An incremental under way, or a deletion, is in the chain's ledger ([`crate::store::lease::chain_lease`]) with a time
//! limit that its holder renews. This is for what is better left alone; what must not happen at the
//! same time is excluded by the lease itself. A full backup under way is in no ledger: that its
//! objects are young tells it, and so it is with a backup of xtrabackup's.

use std::sync::Arc;

use chrono::Utc;

use crate::manifest::BackupName;
use crate::store::error::StoreError;
use crate::store::lease::holder::LeaseHolder;
use crate::store::lease::ledger::Ledger;
use crate::store::lease::record::{ByTime, Entry, Patience, Work};
use crate::store::objects::repository::Repository;

impl Repository {
    /// Who works on the chain of `member`, if anybody does. The store's clock and this host's should
    /// agree within the time limit of a lease.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub fn worked_on_by(&self, member: &BackupName) -> Result<Option<LeaseHolder>, StoreError> {
        let entry = self.work_under_way(member)?;
        Ok(entry.map(|entry| entry.record.holder))
    }

    /// Whether the chain of `member`, or a member of it, is being deleted now.
    pub(in crate::store) fn is_being_deleted(
        &self,
        member: &BackupName,
    ) -> Result<bool, StoreError> {
        let entry = self.work_under_way(member)?;
        Ok(entry.is_some_and(|entry| matches!(entry.record.work, Work::Delete { .. })))
    }

    fn work_under_way(&self, member: &BackupName) -> Result<Option<Entry>, StoreError> {
        let store = Arc::clone(self.store()?);
        let ledger = Ledger::new(store, member, self.longest_component());
        let newest = self
            .runtime()
            .wait("reading a ledger", async move { ledger.newest(None).await })??;
        Ok(newest.filter(|entry| entry.end.is_none() && !ByTime.is_over(entry, Utc::now())))
    }
}
