//! Errors of a repository. Each message says what was found, what was expected and how to fix it.

pub(in crate::store) mod backup;
pub(in crate::store) mod base;
pub(in crate::store) mod chain;
pub(in crate::store) mod deletion;
mod kind;
pub(in crate::store) mod lease;
pub(in crate::store) mod listing;
pub(in crate::store) mod open;
pub(in crate::store) mod request;
pub(in crate::store) mod slot;
pub(in crate::store) mod upload;

pub use backup::BackupFault;
pub use base::BaseFault;
pub use chain::ChainFault;
pub use deletion::DeletionFault;
pub use lease::LeaseFault;
pub use listing::ListingFault;
pub use open::OpenFault;
pub use request::RequestFault;
pub use slot::SlotFault;
pub use upload::UploadFault;

use crate::cancel::Cancelled;
use crate::counted;
use crate::innodb::Lsn;
use crate::manifest::{BackupName, Finding, ManifestError};
use crate::store::backend::bounded_list::Endless;
use crate::store::backend::fault::{Fault, Kind};
use request::Message;
use std::sync::Arc;

/// An error of a repository. It is cheap to clone, because the first failure of an upload is
/// returned by every later call.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A name, a path or a manifest is not valid.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A repository can't be opened, or its layout isn't understood.
    #[error(transparent)]
    Open(#[from] OpenFault),
    /// A request failed; if it was retried, all attempts failed.
    #[error("{action} {key}: {}", Message(*kind, what))]
    Request {
        /// The action.
        action: &'static str,
        /// The object or prefix.
        key: String,
        /// The kind of the failure.
        kind: RequestFault,
        /// The request, and the response of the store or the error of the network.
        what: String,
    },
    /// The operating system reported an error on a local repository, outside of an object.
    #[error("{action} {path}: {source}")]
    Io {
        /// The action.
        action: &'static str,
        /// The file or directory.
        path: String,
        /// The error of the operating system.
        source: Arc<std::io::Error>,
    },
    /// The store refused a request, or the request failed.
    #[error("{action} {key}: {source}")]
    Backend {
        /// The action.
        action: &'static str,
        /// The object or prefix.
        key: String,
        /// The error of the store.
        source: Arc<object_store::Error>,
    },
    /// A thread or task of the store ended without a result.
    #[error("{what} ended without a result (a bug, or the process is shutting down)")]
    TaskDied {
        /// The thread or task.
        what: String,
    },
    /// A backup can't be selected or read.
    #[error(transparent)]
    Backup(#[from] BackupFault),
    /// The object was written by a newer lsnap.
    #[error("{key}: manifest format {found}, this lsnap reads {expected}: use a newer lsnap")]
    UnknownFormat {
        /// The object.
        key: String,
        /// Its format.
        found: u32,
        /// The format that this lsnap reads.
        expected: u32,
    },
    /// The object existed before. It was not overwritten.
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
    /// An object, or a document of lsnap, has other bytes than those that were stored.
    #[error(
        "object {object} is damaged: {what}; do not restore from it, get it from a copy of the \
         repository"
    )]
    Damaged {
        /// Its key.
        object: String,
        /// What was found and what was expected.
        what: Finding,
    },
    /// An object of a finished backup is missing.
    #[error(
        "object {object} is missing (expected {bytes}): the backup can't be restored from this \
         repository", bytes = counted::count(bytes, "byte")
    )]
    Missing {
        /// Its key.
        object: String,
        /// Its length in the manifest.
        bytes: u64,
    },
    /// The chain can't be restored or continued.
    #[error("the chain of {name} is broken: {why}")]
    BrokenChain {
        /// The requested backup.
        name: BackupName,
        /// The defect (boxed to keep every `Result` of the module small).
        why: Box<ChainFault>,
    },
    /// A member doesn't start where its base ends.
    #[error(
        "the chain of {name} is broken between {base} and {member}: from_lsn of {member} is {found}, \
         expected {expected}, the to_lsn of {base}"
    )]
    Gap {
        /// The requested backup.
        name: BackupName,
        /// The earlier member.
        base: BackupName,
        /// The later member.
        member: BackupName,
        /// The start of the later member.
        found: Lsn,
        /// The end of the earlier member.
        expected: Lsn,
    },
    /// The lease on the chain was not obtained, or was lost.
    #[error(transparent)]
    Lease(Box<LeaseFault>),
    /// The job of a slot must not finish.
    #[error(transparent)]
    Slot(Box<SlotFault>),
    /// A listing can't be used.
    #[error(transparent)]
    Listing(#[from] ListingFault),
    /// A backup can't be deleted.
    #[error(transparent)]
    Deletion(#[from] DeletionFault),
    /// The job was cancelled by its `Cancel`.
    #[error("interrupted: the deletion was stopped; run it again to delete the rest")]
    Interrupted,
    /// A deletion was not completed.
    #[error(
        "{} of {name} could not be removed, the first is {}: {reason}; the backup is no longer complete, run \
         the deletion again",
        counted::count(left.len(), "object"), left.first().map_or_else(String::new, |key| key.escape_debug().to_string())
    )]
    NotDeleted {
        /// The backup.
        name: BackupName,
        /// The keys of the remaining objects.
        left: Vec<String>,
        /// The reason why the first of them could not be removed.
        reason: String,
        /// The error of the store, if there is one.
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

impl From<SlotFault> for StoreError {
    fn from(fault: SlotFault) -> Self {
        Self::Slot(Box::new(fault))
    }
}

impl StoreError {
    /// Returns whether the error concerns the store and not a single backup, so that further
    /// requests would fail too.
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

    /// Returns whether stored bytes were lost or changed.
    #[cfg(test)]
    pub(crate) const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Missing { .. })
    }

    /// Wraps an error of a store. Failed requests over a network are classified.
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
            // the source isn't kept, because its text may contain a whole document
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
