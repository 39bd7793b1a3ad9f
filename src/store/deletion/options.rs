//! How backups are deleted.

use crate::cancel::Cancel;
use crate::store::lease::chain_lease::DEFAULT_TTL;
use std::time::Duration;

/// How backups are deleted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeleteOptions {
    /// Also delete what stands on it.
    pub cascade: bool,
    /// Only say what would go.
    pub dry_run: bool,
    /// Objects that are removed at the same time (at least 1).
    pub parallel: usize,
    /// How long a deletion that was killed keeps others from the chain. `None`: without an entry in
    /// the ledger and without voids, for a disk that is full; then the caller knows that nobody writes.
    pub lease: Option<Duration>,
    /// How old the newest object of an unfinished backup must be, for it not to be taken for one that
    /// is being made.
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
