//! The kind of each failure of a repository. No match here has a wildcard: a new variant needs a decision.

use super::{LeaseFault, RequestFault, StoreError, Unusable};
use crate::cancel::Cancelled;
use crate::error_kind::ErrorKind;

impl StoreError {
    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Manifest(error) => error.kind(),
            Self::Request { kind, .. } => kind.kind(),
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Lease(fault) => fault.kind(),
            Self::Interrupted => ErrorKind::Interrupted,
            Self::NotDeleted { cause, .. } => cause
                .as_ref()
                .map_or(ErrorKind::System, |cause| cause.kind()),
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
            Self::UnsupportedScheme { .. }
            | Self::BadUrl { .. }
            | Self::BadOption { .. }
            | Self::Ambiguous { .. }
            | Self::Policy { .. } => ErrorKind::Arguments,
            Self::NoCredentials { .. } => ErrorKind::AccessDenied,
            Self::NoRepository { .. } | Self::NotFound { .. } => ErrorKind::NotFound,
            Self::ObjectExists { .. } | Self::Exists { .. } => ErrorKind::AlreadyExists,
            Self::BeingDeleted { .. } | Self::Unexplained { .. } | Self::Needed { .. } => {
                ErrorKind::Conflict
            }
            Self::BeingRead { .. }
            | Self::InUse { .. }
            | Self::InProgress { .. }
            | Self::Changed { .. } => ErrorKind::Busy,
            Self::BadMarker { .. } | Self::Damaged { .. } | Self::Missing { .. } => {
                ErrorKind::Damaged
            }
            Self::NotFinished { .. }
            | Self::Foreign { .. }
            | Self::Streamed { .. }
            | Self::OtherServer { .. }
            | Self::BrokenChain { .. }
            | Self::Gap { .. }
            | Self::NotNewest { .. }
            | Self::NoBase { .. } => ErrorKind::ChainBroken,
            Self::UnknownFormat { .. }
            | Self::NewerRepository { .. }
            | Self::BadKey { .. }
            | Self::EndlessListing { .. } => ErrorKind::Incompatible,
            Self::Backend { .. } | Self::AbortIncomplete { .. } => ErrorKind::System,
            Self::TaskDied { .. } | Self::Misuse { .. } | Self::Aborted { .. } => {
                ErrorKind::Internal
            }
        }
    }

    /// Returns whether the same call can succeed later ([`ErrorKind::is_retryable`]).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}

impl From<Cancelled> for StoreError {
    fn from(_: Cancelled) -> Self {
        Self::Interrupted
    }
}

impl RequestFault {
    /// Returns the kind of the failure.
    #[must_use]
    pub const fn kind(self) -> ErrorKind {
        match self {
            Self::Denied | Self::Expired => ErrorKind::AccessDenied,
            Self::NoBucket => ErrorKind::NotFound,
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
