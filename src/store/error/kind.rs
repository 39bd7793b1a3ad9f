//! The kind of each repository error. The matches here have no wildcard: a new variant needs a
//! decision.

use crate::error_kind::ErrorKind;
use crate::store::error::StoreError;
use crate::store::error::backup::BackupFault;
use crate::store::error::base::BaseFault;
use crate::store::error::deletion::DeletionFault;
use crate::store::error::lease::LeaseFault;
use crate::store::error::listing::ListingFault;
use crate::store::error::open::OpenFault;
use crate::store::error::request::RequestFault;
use crate::store::error::slot::SlotFault;
use crate::store::error::upload::UploadFault;
use crate::store::listing::passed_over::Unusable;

impl StoreError {
    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Manifest(error) => error.kind(),
            Self::Open(fault) => fault.kind(),
            Self::Request { kind, .. } => kind.kind(),
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Backup(fault) => fault.kind(),
            Self::Base(fault) => fault.kind(),
            Self::Lease(fault) => fault.kind(),
            Self::Slot(fault) => fault.kind(),
            Self::Interrupted => ErrorKind::Interrupted,
            Self::Listing(fault) => fault.kind(),
            Self::Upload(fault) => fault.kind(),
            Self::Deletion(fault) => fault.kind(),
            Self::NotDeleted { cause, .. } => cause
                .as_ref()
                .map_or(ErrorKind::System, |cause| cause.kind()),
            Self::ObjectExists { .. } => ErrorKind::AlreadyExists,
            Self::Damaged { .. } | Self::Missing { .. } => ErrorKind::Damaged,
            Self::BrokenChain { .. } | Self::Gap { .. } => ErrorKind::ChainBroken,
            Self::UnknownFormat { .. } => ErrorKind::Incompatible,
            Self::Backend { .. } => ErrorKind::System,
            Self::TaskDied { .. } => ErrorKind::Internal,
        }
    }

    /// Returns whether the same call can succeed later ([`ErrorKind::is_retryable`]).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}

impl SlotFault {
    /// Returns the kind of the failure.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Taken { .. }
            | Self::Over { .. }
            | Self::Finished { .. }
            | Self::NotClaimed { .. } => ErrorKind::Conflict,
            Self::Unreadable { .. } => ErrorKind::Damaged,
            Self::Busy { .. } => ErrorKind::Busy,
            Self::Overwrites { .. } => ErrorKind::Incompatible,
            Self::Name { .. } => ErrorKind::Arguments,
        }
    }
}

impl OpenFault {
    /// Returns the kind of the failure.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::UnsupportedScheme { .. } | Self::BadUrl { .. } | Self::BadOption { .. } => {
                ErrorKind::Arguments
            }
            Self::NoCredentials { .. } => ErrorKind::AccessDenied,
            Self::NoRepository { .. } => ErrorKind::NotFound,
            Self::NewerRepository { .. } => ErrorKind::Incompatible,
            Self::BadMarker { .. } => ErrorKind::Damaged,
        }
    }
}

impl BackupFault {
    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Ambiguous { .. } | Self::SeveralClusters { .. } => ErrorKind::Arguments,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::NewerInDoubt { newer, .. } => {
                let orphans = newer
                    .iter()
                    .all(|passed| passed.why == Unusable::BaseMissing);
                if orphans {
                    ErrorKind::ChainBroken
                } else {
                    ErrorKind::Damaged
                }
            }
            Self::NotFinished { .. } | Self::Foreign { .. } | Self::Streamed { .. } => {
                ErrorKind::ChainBroken
            }
            Self::BeingDeleted { .. } => ErrorKind::Conflict,
        }
    }
}

impl BaseFault {
    /// Returns the kind of the failure.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::OtherServer { .. }
            | Self::OtherCluster { .. }
            | Self::NotNewest { .. }
            | Self::NoBase { .. } => ErrorKind::ChainBroken,
        }
    }
}

impl ListingFault {
    /// Returns the kind of the failure.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::BadKey { .. } | Self::EndlessListing { .. } => ErrorKind::Incompatible,
        }
    }
}

impl UploadFault {
    /// Returns the kind of the failure.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists { .. } => ErrorKind::AlreadyExists,
            Self::Voided { .. } => ErrorKind::Conflict,
            Self::AbortIncomplete { .. } => ErrorKind::System,
            Self::Misuse { .. } | Self::Aborted { .. } => ErrorKind::Internal,
        }
    }
}

impl DeletionFault {
    /// Returns the kind of the failure.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Policy { .. } => ErrorKind::Arguments,
            Self::Unexplained { .. } | Self::Needed { .. } | Self::Pinned { .. } => {
                ErrorKind::Conflict
            }
            Self::BeingRead { .. }
            | Self::InUse { .. }
            | Self::InProgress { .. }
            | Self::Changed { .. } => ErrorKind::Busy,
        }
    }
}

impl RequestFault {
    /// Returns the kind of the failure.
    #[must_use]
    pub const fn kind(self) -> ErrorKind {
        match self {
            Self::Denied | Self::Expired => ErrorKind::AccessDenied,
            Self::NoBucket => ErrorKind::NotFound,
            Self::Archived | Self::Retained => ErrorKind::Conflict,
            Self::Tls
            | Self::ClockSkew
            | Self::WrongScheme
            | Self::NotAStore
            | Self::TooLarge
            | Self::Unsupported => ErrorKind::Incompatible,
            Self::Unreachable | Self::TimedOut | Self::Busy => ErrorKind::Unreachable,
        }
    }
}

impl LeaseFault {
    /// Returns the kind of the failure.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Held { .. } | Self::Lost { .. } | Self::Moved { .. } | Self::Busy { .. } => {
                ErrorKind::Busy
            }
            Self::Closed { .. } => ErrorKind::ChainBroken,
            Self::Unreadable { .. } => ErrorKind::Damaged,
            Self::Overwrites { .. } => ErrorKind::Incompatible,
        }
    }
}
