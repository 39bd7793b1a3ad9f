//! Directories that can't be listed, because `object_store` can't represent a key in them: one with
//! an empty component (`a//b`), a component of dots, or a control character. Object stores accept
//! such keys, and one of them, put by another program, must not make all backups of a bucket
//! unlistable.
//!
//! A page of a listing then fails as a whole, so the contents of the directory are unknown.
//! Instead, the keys that a backup has are looked up: if one exists, the backup is listed as
//! damaged, so that it is neither used as a base nor pruned. A restore uses its manifest and
//! doesn't need a listing.

use crate::manifest::document::{CLAIM, DELETING, MANIFEST};
use crate::manifest::{BackupName, CHECKPOINTS, object_name};
use crate::store::error::StoreError;
use crate::store::listing::object_counts::ObjectCounts;
use crate::store::objects::repository::Repository;

/// Objects by which a directory is recognised as a backup. The last is the file of xtrabackup that
/// is always stored uncompressed and unencrypted.
const SIGNS: [&str; 4] = [CLAIM, MANIFEST, DELETING, CHECKPOINTS];

impl Repository {
    /// Returns the counts of a directory that can't be listed because of `error`, a
    /// [`ListingFault::BadKey`](crate::store::ListingFault::BadKey).
    pub(super) fn counts_of_unnameable(
        &self,
        name: &BackupName,
        error: &StoreError,
    ) -> Result<Option<ObjectCounts>, StoreError> {
        for sign in SIGNS {
            let key = format!("{name}/{}", object_name(sign, 0));
            if self.bucket().length(&key)?.is_some() {
                return Ok(Some(ObjectCounts::unlistable(error.to_string())));
            }
        }
        tracing::warn!("{error}: the directory does not count as a backup");
        Ok(None)
    }
}
