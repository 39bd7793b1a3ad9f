//! What can go wrong in a repository, each message with what was found, what was expected and what
//! to do.

pub(in crate::store) mod backup;
pub(in crate::store) mod base;
pub(in crate::store) mod chain;
pub(in crate::store) mod deletion;
mod kind;
pub(in crate::store) mod lease;
pub(in crate::store) mod listing;
pub(in crate::store) mod open;
pub(in crate::store) mod request;
pub(in crate::store) mod upload;

pub use backup::BackupFault;
pub use base::BaseFault;
pub use chain::ChainFault;
pub use deletion::DeletionFault;
pub use lease::LeaseFault;
pub use listing::ListingFault;
pub use open::OpenFault;
pub use request::RequestFault;
pub use upload::UploadFault;

use crate::cancel::Cancelled;
use crate::counted;
use crate::innodb::Lsn;
use crate::manifest::{BackupName, Finding, ManifestError};
use crate::store::backend::bounded_list::Endless;
use crate::store::backend::fault::{Fault, Kind};
use request::Told;
use std::sync::Arc;

/// Errors of a repository. Cheap to clone: the first failure of an upload is handed to every later call.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A name, a path or a manifest that can't be.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A repository can't be opened, or its layout isn't understood.
    #[error(transparent)]
    Open(#[from] OpenFault),
    /// A request failed, also when tried again where that could help.
    #[error("{action} {key}: {}", Told(*kind, what))]
    Request {
        /// What was tried.
        action: &'static str,
        /// The object or prefix.
        key: String,
        /// What kind of failure.
        kind: RequestFault,
        /// The request, and what the store or the network answered.
        what: String,
    },
    /// The operating system refused something on a local repository, outside of an object.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: String,
        /// Why it failed.
        source: Arc<std::io::Error>,
    },
    /// The store refused or failed a request.
    #[error("{action} {key}: {source}")]
    Backend {
        /// What was tried.
        action: &'static str,
        /// The object or prefix.
        key: String,
        /// The store's own error.
        source: Arc<object_store::Error>,
    },
    /// A thread or task of the store ended without an answer.
    #[error("{what} ended without an answer (a bug, or the process is shutting down)")]
    TaskDied {
        /// Which one.
        what: String,
    },
    /// No backup fits, or one can't be read.
    #[error(transparent)]
    Backup(#[from] BackupFault),
    /// Written by a newer lsnap.
    #[error("{key}: manifest format {found}, this lsnap reads {expected}: use a newer lsnap")]
    UnknownFormat {
        /// The object.
        key: String,
        /// Its format.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// An object was there already; nothing is ever overwritten.
    #[error(
        "object {key} already exists and was not overwritten: another upload writes under this name, or an index was used twice"
    )]
    ObjectExists {
        /// The object.
        key: String,
    },
    /// An upload was refused, misused or aborted.
    #[error(transparent)]
    Upload(#[from] UploadFault),
    /// An incremental can't be based on a backup.
    #[error(transparent)]
    Base(#[from] BaseFault),
    /// An object, or a document of lsnap's, is not what was stored.
    #[error(
        "object {object} is damaged: {what}; do not restore from it, get it from a copy of the \
         repository"
    )]
    Damaged {
        /// Its key.
        object: String,
        /// What was found and expected.
        what: Finding,
    },
    /// An object of a finished backup is not there.
    #[error(
        "object {object} is missing (expected {bytes}): the backup can't be restored from this \
         repository", bytes = counted::count(bytes, "byte")
    )]
    Missing {
        /// Its key.
        object: String,
        /// Its length by the manifest.
        bytes: u64,
    },
    /// A chain that can't be restored or continued.
    #[error("the chain of {name} is broken: {why}")]
    BrokenChain {
        /// The backup that was asked for.
        name: BackupName,
        /// Where and why (boxed: every `Result` of the layer would grow with it).
        why: Box<ChainFault>,
    },
    /// A member does not start where its base ends.
    #[error(
        "the chain of {name} is broken between {base} and {member}: from_lsn of {member} is {found}, \
         expected {expected}, the to_lsn of {base}"
    )]
    Gap {
        /// The backup that was asked for.
        name: BackupName,
        /// The earlier member.
        base: BackupName,
        /// The later member.
        member: BackupName,
        /// Where the later one starts.
        found: Lsn,
        /// Where the earlier one ends.
        expected: Lsn,
    },
    /// Somebody else changes the chain.
    #[error(transparent)]
    Lease(Box<LeaseFault>),
    /// A listing can't be used.
    #[error(transparent)]
    Listing(#[from] ListingFault),
    /// A backup is not deleted.
    #[error(transparent)]
    Deletion(#[from] DeletionFault),
    /// The job was ended by its `Cancel`.
    #[error("interrupted: the deletion was stopped; run it again to delete the rest")]
    Interrupted,
    /// A deletion that did not get to its end.
    #[error(
        "{} object(s) of {name} could not be removed, the first is {}: {reason}; the backup is no longer whole, run \
         the deletion again",
        left.len(), left.first().map_or_else(String::new, |key| key.escape_debug().to_string())
    )]
    NotDeleted {
        /// The backup.
        name: BackupName,
        /// Keys of what is left.
        left: Vec<String>,
        /// Why the first of them could not be removed.
        reason: String,
        /// The error behind that, where the store gave one.
        cause: Option<Box<StoreError>>,
    },
}

impl From<Cancelled> for StoreError {
    fn from(_: Cancelled) -> Self {
        Self::Interrupted
    }
}

impl From<LeaseFault> for StoreError {
    fn from(fault: LeaseFault) -> Self {
        Self::Lease(Box::new(fault))
    }
}

impl StoreError {
    /// Whether it says something of the store and not of one backup: whatever is tried next fails alike.
    #[must_use]
    pub fn is_of_the_store(&self) -> bool {
        match self {
            Self::Request { kind, .. } => matches!(
                kind,
                RequestFault::NoBucket
                    | RequestFault::Expired
                    | RequestFault::Tls
                    | RequestFault::Unreachable
                    | RequestFault::TimedOut
                    | RequestFault::Busy
            ),
            Self::Open(OpenFault::NoCredentials { .. })
            | Self::Open(OpenFault::NoRepository { .. })
            | Self::TaskDied { .. } => true,
            Self::NotDeleted {
                cause: Some(cause), ..
            } => cause.is_of_the_store(),
            _ => false,
        }
    }

    /// Whether it says that stored bytes were lost or changed.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Missing { .. })
    }

    /// Wraps a store's error; one of a request over a network by its kind.
    pub(crate) fn backend(
        action: &'static str,
        key: impl Into<String>,
        source: object_store::Error,
    ) -> Self {
        let key = key.into();
        if let object_store::Error::InvalidPath { source } = &source {
            let what = source.to_string();
            return Self::Listing(ListingFault::BadKey {
                directory: key,
                what,
            });
        }
        if let Some(endless) = Endless::of(&source) {
            return Self::Listing(ListingFault::EndlessListing {
                directory: key,
                what: endless.to_string(),
            });
        }
        let Some(fault) = Fault::read(&source) else {
            return Self::Backend {
                action,
                key,
                source: Arc::new(source),
            };
        };
        let what = fault.what.clone();
        if let Some(kind) = RequestFault::of(fault.kind) {
            return Self::Request {
                action,
                key,
                kind,
                what,
            };
        }
        if fault.kind == Kind::NoCredentials {
            return Self::Open(OpenFault::NoCredentials {
                url: format!("{action} {key}"),
                what,
            });
        }
        Self::Backend {
            action,
            key,
            // not the source as it came: its text may hold a whole document
            source: Arc::new(fault.into_error()),
        }
    }

    /// Wraps an error of the operating system.
    pub(crate) fn io(action: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.display().to_string(),
            source: Arc::new(source),
        }
    }
}
