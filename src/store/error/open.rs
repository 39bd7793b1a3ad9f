//! Why a repository can't be opened.

/// Why a repository can't be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenFault {
    /// The URL's scheme is of no store. Only the scheme is shown: the rest of a URL may hold
    /// credentials.
    #[error(
        "repository scheme `{scheme}://` is not available in this build: it has s3://bucket/prefix, \
         gs://bucket/prefix, az://container/prefix, file:///path and plain paths"
    )]
    UnsupportedScheme {
        /// The scheme, without `://`.
        scheme: String,
    },
    /// The text names no repository.
    #[error(
        "`{url}` is no repository URL: {reason}; write s3://bucket/prefix, gs://bucket/prefix, \
         az://container/prefix, file:///absolute/path or a plain path"
    )]
    BadUrl {
        /// The text as given, without what may be a secret.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An option, or a setting of the environment, that can't be.
    #[error("{option}: {reason}")]
    BadOption {
        /// Which one.
        option: &'static str,
        /// What is wrong and what to do; never its value where that may be a secret.
        reason: String,
    },
    /// Nothing says who asks.
    #[error("{url}: {what}")]
    NoCredentials {
        /// The repository, or what was tried on which object.
        url: String,
        /// Where credentials were looked for, and what to do.
        what: String,
    },
    /// Nothing is there to read from.
    #[error("repository {path}: no such directory; check the path (a first backup creates it)")]
    NoRepository {
        /// The directory.
        path: String,
    },
    /// The repository's layout is that of a newer lsnap.
    #[error(
        "{url}: the repository has format {found}, this lsnap reads formats up to {expected}: use a newer lsnap"
    )]
    NewerRepository {
        /// The repository.
        url: String,
        /// Its format.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// The repository's marker can't be read.
    #[error(
        "{url}: {key}, which says how the repository is laid out, can't be read ({what}): put it back from a copy of \
         the repository; if no newer lsnap than this one was ever used here, remove it, the next backup writes it anew"
    )]
    BadMarker {
        /// The repository.
        url: String,
        /// The marker.
        key: &'static str,
        /// What was found and expected.
        what: String,
    },
}
