//! Errors of listings.

/// The reason why a listing can't be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ListingFault {
    /// A key can't be represented.
    #[error(
        "{directory} has an object with an invalid key ({what}): rename or remove it with the store's own \
         tools, or keep backups under a prefix of their own"
    )]
    BadKey {
        /// The listed prefix.
        directory: String,
        /// The key, and what is wrong with it.
        what: String,
    },
    /// The listing would never end.
    #[error(
        "listing {directory}: stopped, {what}: the listing of the store, or of a proxy in front of it, is not valid; run the \
         command again, and if it fails again, compare with a listing of the store's own tools"
    )]
    EndlessListing {
        /// The listed prefix.
        directory: String,
        /// What was found.
        what: String,
    },
}
