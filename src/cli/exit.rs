//! The failure of a command, and the exit code of each error.
//!
//! The code is that of the error's kind, except for the errors in the functions below. No match over kinds has
//! a wildcard, so the compiler demands a decision for each new kind, as `kind()` does for each new error.

use super::exit_code::ExitCode;
use super::json::{ErrorDocument, FailureKind};
use super::output;
use crate::archive::ArchiveError;
use crate::backup::BackupError;
use crate::cloud::CloudError;
use crate::codec::CodecError;
use crate::consolidate::ConsolidateError;
use crate::copy::CopyError;
use crate::datadir::DatadirError;
use crate::error_kind::ErrorKind;
use crate::manifest::ManifestError;
use crate::reader::ReadError;
use crate::restore::RestoreError;
use crate::server::ServerError;
use crate::store::OpenFault;
use crate::store::StoreError;
use crate::verify::VerifyError;
use crate::xbstream::XbstreamError;
use std::process;

/// The failure that ends the program.
#[derive(Debug)]
pub(super) struct Failure {
    code: ExitCode,
    kind: FailureKind,
    message: String,
    /// An instruction that is not part of the message.
    hint: Option<String>,
    /// The result contains the message, so it isn't printed as text.
    printed: bool,
}

impl Failure {
    /// Prints the error: text on standard error and, with `--json`, in the document.
    /// `interrupted`: a signal cancelled the command.
    pub(super) fn report(self, interrupted: bool) -> process::ExitCode {
        let printed = self.printed;
        let error = self.document(interrupted);
        if !printed {
            output::err(&format!("lsnap: {}\n", error.text()));
        }
        output::end(Some(&error));
        error.exit_code.into()
    }
}

impl Failure {
    /// Returns the error as it is reported.
    pub(super) fn document(&self, interrupted: bool) -> ErrorDocument {
        // A cancelled wait for a store or a server returns its failure.
        let (code, kind) = if self.code == ExitCode::Failed && interrupted {
            (ExitCode::Interrupted, ErrorKind::Interrupted.into())
        } else {
            (self.code, self.kind)
        };
        ErrorDocument {
            kind,
            message: self.message.clone(),
            hint: self.hint.clone(),
            exit_code: code,
        }
    }

    /// Creates a failure because of wrong arguments.
    pub(super) fn arguments(message: String) -> Self {
        Self::with_code(ExitCode::Arguments, message)
    }

    pub(super) fn internal(message: String) -> Self {
        Self::with_code(ExitCode::Failed, message)
    }

    pub(super) fn with_code(code: ExitCode, message: String) -> Self {
        Self {
            code,
            kind: code.into(),
            message,
            hint: None,
            printed: false,
        }
    }

    /// Replaces the kind, which is that of the exit code.
    pub(super) fn of_kind(self, kind: impl Into<FailureKind>) -> Self {
        Self {
            kind: kind.into(),
            ..self
        }
    }

    /// Adds an instruction.
    pub(super) fn with_hint(self, hint: &str) -> Self {
        Self {
            hint: Some(hint.to_owned()),
            ..self
        }
    }

    /// Marks a failure of a step after `done`, which succeeded.
    pub(super) fn after(self, done: &str) -> Self {
        Self {
            message: format!("{done}, but then: {}", self.message),
            ..self
        }
    }

    /// Creates a failure whose message was printed with the result.
    pub(super) fn printed(code: ExitCode, kind: FailureKind, message: String) -> Self {
        Self {
            kind,
            printed: true,
            ..Self::with_code(code, message)
        }
    }

    /// Returns the message.
    pub(super) fn into_message(self) -> String {
        self.message
    }

    /// Returns the exit code, the kind and the message.
    pub(super) fn into_parts(self) -> (ExitCode, FailureKind, String) {
        (self.code, self.kind, self.message)
    }
}

/// Converts errors to failures with their exit codes.
macro_rules! failures {
    ($($error:ty: $code:path,)*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self {
                    kind: error.kind().into(),
                    ..Self::with_code($code(&error), error.to_string())
                }
            }
        }
    )*};
}

failures! {
    ArchiveError: archive_code,
    BackupError: backup_code,
    CloudError: cloud_code,
    ConsolidateError: consolidate_code,
    CopyError: copy_code,
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
        CloudError::Archive(error) => archive_code(error),
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

pub(super) fn copy_code(error: &CopyError) -> ExitCode {
    match error {
        CopyError::Store { error, .. } => store_code(error),
        CopyError::Source(error) => read_code(error),
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
        // The arguments are not wrong: a terminal is missing.
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
