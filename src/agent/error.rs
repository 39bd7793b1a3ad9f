//! Why an agent can't run.

use super::http::HttpError;
use super::schedule::TimetableError;
use crate::error_kind::ErrorKind;
use std::io;

/// The agent can't run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    /// Its directory can't be used.
    #[error("{path}: {source}; set the state directory to one that this account can write to")]
    StateDir {
        /// The directory.
        path: String,
        /// The error of the system.
        source: io::Error,
    },
    /// Another agent uses its directory.
    #[error("{path} is used by another agent: stop that one, or set another state directory")]
    InUse {
        /// The directory.
        path: String,
    },
    /// The address of the sidecar's API can't be used.
    #[error(
        "the sidecar's API can't listen on {listen}: {source}; stop the other program, or set another address"
    )]
    Sidecar {
        /// The address.
        listen: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The server of the API.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A schedule.
    #[error(transparent)]
    Schedule(#[from] TimetableError),
    /// The system has no thread or descriptor left.
    #[error("the agent can't be started: {0}")]
    System(#[from] io::Error),
    /// A part ended.
    #[error("the {part} of the agent ended: {why}")]
    Part {
        /// The part.
        part: &'static str,
        /// Why.
        why: String,
    },
}

impl AgentError {
    /// Returns the kind of the error.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse { .. } => ErrorKind::Conflict,
            Self::Http(error) => error.kind(),
            Self::Schedule(_) => ErrorKind::Arguments,
            Self::Sidecar { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                ErrorKind::Conflict
            }
            Self::StateDir { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ErrorKind::AccessDenied
            }
            Self::StateDir { .. } | Self::Sidecar { .. } | Self::System(_) | Self::Part { .. } => {
                ErrorKind::System
            }
        }
    }
}
