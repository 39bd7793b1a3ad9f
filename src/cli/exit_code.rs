//! The exit codes of the program.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed, or done but for its output (a full disk; a closed pipe is no failure); the message says why |
//! | 2 | wrong arguments |
//! | 3 | only of `lsnap check --nagios`: it could not be found out (there, 1 and 2 are WARNING and CRITICAL) |
//! | 10 | the repository, its bucket, the backup in it, or a file of it that was asked for, was not found |
//! | 11 | something else is in the way: the target is not empty, a lock is held |
//! | 12 | access denied: password, privilege, key of an encrypted backup, credentials of a store |
//! | 13 | damage was found: an object, a page, a manifest |
//! | 14 | a chain is broken or can't be continued |
//! | 15 | nothing wrong was found, but not everything could be verified |
//! | 130 | interrupted |

use crate::error_kind::ErrorKind;
use crate::verify::Outcome;
use serde::{Serialize, Serializer};
use std::process;

/// The exit codes of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ExitCode {
    /// Done.
    Success = 0,
    /// Failed in a way that has no code of its own.
    Failed = 1,
    /// Wrong arguments.
    Arguments = 2,
    /// Nagios' UNKNOWN.
    Unknown = 3,
    /// The repository, the backup or a file was not found.
    NotFound = 10,
    /// Something exists or is locked.
    Conflict = 11,
    /// A password, a privilege, a key or credentials were refused.
    Denied = 12,
    /// Damage was found.
    Damaged = 13,
    /// A chain is broken or can't be continued.
    ChainBroken = 14,
    /// Not everything could be verified.
    NotVerified = 15,
    /// A signal stopped the command.
    Interrupted = 130,
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

impl Serialize for ExitCode {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(*self as u8)
    }
}

impl From<ErrorKind> for ExitCode {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Arguments => Self::Arguments,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::AlreadyExists | ErrorKind::Conflict | ErrorKind::Busy => Self::Conflict,
            ErrorKind::AccessDenied | ErrorKind::Key => Self::Denied,
            ErrorKind::Damaged => Self::Damaged,
            ErrorKind::ChainBroken => Self::ChainBroken,
            ErrorKind::Interrupted => Self::Interrupted,
            ErrorKind::Unreachable
            | ErrorKind::Changed
            | ErrorKind::Precondition
            | ErrorKind::Incompatible
            | ErrorKind::Full
            | ErrorKind::System
            | ErrorKind::Internal => Self::Failed,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Sound => Self::Success,
            Outcome::Empty => Self::NotFound,
            Outcome::NotVerified => Self::NotVerified,
            Outcome::Key => Self::Denied,
            Outcome::ChainBroken => Self::ChainBroken,
            Outcome::Damaged => Self::Damaged,
        }
    }
}
