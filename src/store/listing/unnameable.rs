//! Directories that can't be listed, because a key in them is one that `object_store` doesn't represent:
//! with an empty component (`a//b`), one of dots, or a control character. Object stores take such keys,
//! and one of them, put by some other program, must not hide every backup of a bucket.
//!
//! A page of a listing then fails as a whole, so what the directory holds is not known. Asked by key
//! is what a backup has: if it is one, it is listed as damaged, which keeps it from being a base and from
//! being pruned. Restoring it goes by its manifest and needs no listing.

use crate::manifest::document::{CLAIM, DELETING, MANIFEST};
use crate::manifest::{BackupName, CHECKPOINTS, object_name};
use crate::store::error::StoreError;
use crate::store::listing::tally::Tally;
use crate::store::objects::repository::Repository;

/// What tells that a directory is a backup; the last is that of xtrabackup's that is always there as it
/// is.
const SIGNS: [&str; 4] = [CLAIM, MANIFEST, DELETING, CHECKPOINTS];

impl Repository {
    /// What is known of a directory that could not be listed, because of `error`, a
    /// [`ListingFault::BadKey`](crate::store::ListingFault::BadKey).
    pub(in crate::store) fn tally_unnameable(
        &self,
        name: &BackupName,
        error: &StoreError,
    ) -> Result<Option<Tally>, StoreError> {
        for sign in SIGNS {
            let key = format!("{name}/{}", object_name(sign, 0));
            if self.bucket().length(&key)?.is_some() {
                return Ok(Some(Tally::unlistable(error.to_string())));
            }
        }
        tracing::warn!("{error}: not taken for a backup");
        Ok(None)
    }
}
