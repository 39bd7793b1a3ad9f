//! Exit codes, and how an error is told.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed, or done but for its output (a full disk; a closed pipe is no failure); the message says why |
//! | 2 | wrong arguments |
//! | 10 | the repository, its bucket, the backup in it, or a file of it that was asked for, was not found |
//! | 11 | something else is in the way: the target is not empty, a lock is held |
//! | 12 | access denied: password, privilege, key of an encrypted backup, credentials of a store |
//! | 13 | damage was found: an object, a page, a manifest |
//! | 14 | a chain is broken or can't be continued |
//! | 15 | nothing wrong was found, but not everything could be verified |
//! | 130 | interrupted |
//!
//! Codes come from the kinds of errors. The functions below name the errors whose code is another one. No match has a
//! wildcard: the compiler demands a decision for each new kind, and `kind()` demands one for each new error.

use super::{interrupt, output};
use crate::archive::ArchiveError;
use crate::backup::BackupError;
use crate::cloud::CloudError;
use crate::codec::CodecError;
use crate::consolidate::ConsolidateError;
use crate::datadir::DatadirError;
use crate::error_kind::ErrorKind;
use crate::manifest::ManifestError;
use crate::reader::ReadError;
use crate::restore::RestoreError;
use crate::server::ServerError;
use crate::store::OpenFault;
use crate::store::StoreError;
use crate::verify::{Outcome, VerifyError};
use crate::xbstream::XbstreamError;
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

/// Why the program ends without success.
#[derive(Debug)]
pub(super) struct Failure {
    code: ExitCode,
    message: String,
    /// Standard output holds data: nothing is added to it.
    quiet: bool,
}

impl Failure {
    /// Tells the error: text on standard error, or a JSON document on standard output.
    pub(super) fn report(&self, json: bool) -> process::ExitCode {
        // a wait for a store or a server that was ended looks like its failure
        let code = if self.code == ExitCode::Failed && interrupt::cancel().is_cancelled() {
            ExitCode::Interrupted
        } else {
            self.code
        };
        if json && !self.quiet {
            output::json(&serde_json::json!({"error": self.message, "exit_code": code}));
        }
        output::err(&format!("lsnap: {}\n", self.message));
        code.into()
    }
}

impl Failure {
    /// What was asked for can't be.
    pub(super) fn arguments(message: String) -> Self {
        Self::with_code(ExitCode::Arguments, message)
    }

    pub(super) fn internal(message: String) -> Self {
        Self::with_code(ExitCode::Failed, message)
    }

    pub(super) fn with_code(code: ExitCode, message: String) -> Self {
        Self {
            code,
            message,
            quiet: false,
        }
    }

    /// Tells it on standard error alone, because standard output holds data.
    pub(super) fn on_stderr(self) -> Self {
        Self {
            quiet: true,
            ..self
        }
    }
}

/// Errors with an exit code.
macro_rules! failures {
    ($($error:ty: $code:path,)*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::with_code($code(&error), error.to_string())
            }
        }
    )*};
}

failures! {
    ArchiveError: archive_code,
    BackupError: backup_code,
    CloudError: cloud_code,
    ConsolidateError: consolidate_code,
    ManifestError: manifest_code,
    ReadError: read_code,
    RestoreError: restore_code,
    ServerError: server_code,
    StoreError: store_code,
    VerifyError: verify_code,
}

fn archive_code(error: &ArchiveError) -> ExitCode {
    match error {
        ArchiveError::Xbstream(XbstreamError::Io { .. }) => ExitCode::Failed,
        ArchiveError::Codec {
            source: CodecError::WrongKey { .. },
            ..
        } => ExitCode::Denied,
        ArchiveError::Xbstream(_) | ArchiveError::Codec { .. } => ExitCode::Damaged,
        error => error.kind().into(),
    }
}

fn backup_code(error: &BackupError) -> ExitCode {
    match error {
        BackupError::Store(error) => store_code(error),
        BackupError::Server(error) => server_code(error),
        BackupError::Datadir(DatadirError::NotATablespace { .. })
        | BackupError::Delta(_)
        | BackupError::Innodb(_)
        | BackupError::Xbstream(_)
        | BackupError::Codec(_) => ExitCode::Failed,
        error => error.kind().into(),
    }
}

fn cloud_code(error: &CloudError) -> ExitCode {
    match error {
        CloudError::Store(error) => store_code(error),
        CloudError::TakenBack { cause } | CloudError::Left { cause, .. } => cloud_code(cause),
        CloudError::Stream { .. } => ExitCode::Damaged,
        CloudError::Incomplete { .. } => ExitCode::Failed,
        error => error.kind().into(),
    }
}

fn consolidate_code(error: &ConsolidateError) -> ExitCode {
    match error {
        ConsolidateError::Store(error) => store_code(error),
        ConsolidateError::Source(error) => read_code(error),
        ConsolidateError::Codec { .. } | ConsolidateError::Path { .. } => ExitCode::Failed,
        error => error.kind().into(),
    }
}

fn manifest_code(error: &ManifestError) -> ExitCode {
    error.kind().into()
}

fn read_code(error: &ReadError) -> ExitCode {
    match error {
        ReadError::Store(error) => store_code(error),
        ReadError::Innodb { .. } => ExitCode::Failed,
        error => error.kind().into(),
    }
}

fn restore_code(error: &RestoreError) -> ExitCode {
    match error {
        RestoreError::Read(error) => read_code(error),
        RestoreError::Gtid { .. } => ExitCode::Failed,
        error => error.kind().into(),
    }
}

fn server_code(error: &ServerError) -> ExitCode {
    match error {
        // what was given is not wrong: a terminal is missing
        ServerError::Prompt(_) => ExitCode::Failed,
        error => error.kind().into(),
    }
}

pub(super) fn store_code(error: &StoreError) -> ExitCode {
    match error {
        StoreError::Manifest(error) => manifest_code(error),
        StoreError::NotDeleted {
            cause: Some(cause), ..
        } => store_code(cause),
        StoreError::Open(OpenFault::BadMarker { .. }) => ExitCode::Failed,
        error => error.kind().into(),
    }
}

fn verify_code(error: &VerifyError) -> ExitCode {
    match error {
        VerifyError::Store(error) => store_code(error),
        VerifyError::Read(error) => read_code(error),
        VerifyError::Restore(error) => restore_code(error),
        error => error.kind().into(),
    }
}

#[cfg(test)]
#[path = "exit_tests.rs"]
mod tests;
