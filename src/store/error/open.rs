//! Errors of opening a repository.

/// The reason why a repository can't be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenFault {
    /// The URL's scheme is not supported. Only the scheme is shown, because the rest of a URL may
    /// contain credentials.
    #[error(
        "repository scheme `{scheme}://` is not available in this build, which supports s3://bucket/prefix, \
         gs://bucket/prefix, az://container/prefix, file:///path and plain paths"
    )]
    UnsupportedScheme {
        /// The scheme, without `://`.
        scheme: String,
    },
    /// The text is not a repository URL.
    #[error(
        "`{url}` is not a repository URL: {reason}; write s3://bucket/prefix, gs://bucket/prefix, \
         az://container/prefix, file:///absolute/path or a plain path"
    )]
    BadUrl {
        /// The text as given, without parts that may be secret.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An option or a setting in the environment is not valid.
    #[error("{option}: {reason}")]
    BadOption {
        /// The option.
        option: &'static str,
        /// What is wrong and how to fix it; never a value that may be secret.
        reason: String,
    },
    /// No credentials were found.
    #[error("{url}: {what}")]
    NoCredentials {
        /// The repository, or the action and its object.
        url: String,
        /// The sources that were tried, and how to fix it.
        what: String,
    },
    /// The repository doesn't exist.
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
        /// The newest format that this lsnap reads.
        expected: u32,
    },
    /// The repository's marker can't be read.
    #[error(
        "{url}: {key}, which describes the layout of the repository, can't be read ({what}): restore it from a copy of \
         the repository; if a newer lsnap than this one was never used here, remove it, the next backup creates it again"
    )]
    BadMarker {
        /// The repository.
        url: String,
        /// The marker.
        key: &'static str,
        /// What was found and what was expected.
        what: String,
    },
}
