//! Entering the chain that an upload is appended to.

use crate::manifest::BackupName;
use crate::store::error::StoreError;
use crate::store::lease::record::Work;
use crate::store::upload::state::Upload;
use std::time::Duration;

impl Upload {
    /// Enters the ledger of the chain that this upload, an incremental on `base`, is to be appended to.
    /// [`Self::finish`] and [`Self::abort`] end it. A process that dies blocks the chain for `ttl` (at
    /// least a second) and no longer.
    ///
    /// # Errors
    /// [`StoreError::Lease`], or the store's own error: abort the upload.
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
}
