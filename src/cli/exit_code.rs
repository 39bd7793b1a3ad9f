//! The exit codes of the program. `docs/reference/exit-codes.md` says what to do about each.

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
    /// The target exists or is locked.
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
