//! Options of deletions.

use crate::cancel::Cancel;
use crate::store::lease::chain_lease::DEFAULT_TTL;
use std::time::Duration;

/// How to delete backups.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeleteOptions {
    /// Also deletes the backups that depend on it.
    pub cascade: bool,
    /// Only reports what would be deleted.
    pub dry_run: bool,
    /// Number of objects that are removed concurrently (at least 1).
    pub parallel: usize,
    /// How long a deletion that was killed blocks other processes from the chain. `None`: delete
    /// without a ledger entry and without voids, for a disk that is full; the caller must then
    /// ensure that no process writes.
    pub lease: Option<Duration>,
    /// An unfinished backup counts as being made if its newest object is younger than this.
    pub unfinished_older_than: Duration,
    /// Ends the deletion early. Run it again to delete the rest.
    pub cancel: Cancel,
}

impl Default for DeleteOptions {
    fn default() -> Self {
        Self {
            cascade: false,
            dry_run: false,
            parallel: 16,
            lease: Some(DEFAULT_TTL),
            unfinished_older_than: Duration::from_secs(15 * 60),
            cancel: Cancel::new(),
        }
    }
}
