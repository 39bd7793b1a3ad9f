//! Why a listing can't be used.

/// Why a listing can't be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ListingFault {
    /// A key that can't be named.
    #[error(
        "{directory} holds an object whose key can't be handled ({what}): rename or remove it with the store's own \
         tools, or keep backups under a prefix of their own"
    )]
    BadKey {
        /// What was listed.
        directory: String,
        /// The key, and what is wrong with it.
        what: String,
    },
    /// A listing that would never end.
    #[error(
        "listing {directory}: given up, {what}: the store, or a proxy before it, does not list as it should; run the \
         command again, and if it fails again, compare with a listing of the store's own tools"
    )]
    EndlessListing {
        /// What was listed.
        directory: String,
        /// What was found.
        what: String,
    },
}
