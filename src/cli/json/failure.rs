//! The error in a document.

use crate::cli::exit_code::ExitCode;
use crate::error_kind::ErrorKind;
use serde::Serialize;

/// The error that ended a command.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct ErrorDocument {
    /// Its kind, for decisions of programs.
    pub(in crate::cli) kind: FailureKind,
    /// Its text, as on standard error.
    pub(in crate::cli) message: String,
    /// An instruction that helps, if it is not part of the message.
    pub(in crate::cli) hint: Option<String>,
    /// The exit code of the command.
    #[cfg_attr(test, schemars(with = "u8"))]
    pub(in crate::cli) exit_code: ExitCode,
}

impl ErrorDocument {
    /// Returns the text for people: the message and the hint.
    pub(in crate::cli) fn text(&self) -> String {
        let hint = self.hint.as_ref();
        let hint = hint.map_or_else(String::new, |hint| {
            // Several lines begin on a line of their own.
            let begin = if hint.contains('\n') { "\n" } else { "; " };
            format!("{begin}{hint}")
        });
        format!("{}{hint}", self.message)
    }
}

/// The kind of an error: that of the library's error, or a result that is reported as a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum FailureKind {
    /// No damage was found, but not everything could be verified.
    NotVerified,
    /// A check found a problem.
    Unhealthy,
    /// The kind of an error of the library.
    #[serde(untagged)]
    Library(ErrorKind),
}

impl From<ErrorKind> for FailureKind {
    fn from(kind: ErrorKind) -> Self {
        Self::Library(kind)
    }
}

impl From<ExitCode> for FailureKind {
    fn from(code: ExitCode) -> Self {
        Self::Library(match code {
            ExitCode::NotVerified => return Self::NotVerified,
            ExitCode::Unknown => return Self::Unhealthy,
            ExitCode::Success | ExitCode::Failed => ErrorKind::System,
            ExitCode::Arguments => ErrorKind::Arguments,
            ExitCode::NotFound => ErrorKind::NotFound,
            ExitCode::Conflict => ErrorKind::Conflict,
            ExitCode::Denied => ErrorKind::AccessDenied,
            ExitCode::Damaged => ErrorKind::Damaged,
            ExitCode::ChainBroken => ErrorKind::ChainBroken,
            ExitCode::Interrupted => ErrorKind::Interrupted,
        })
    }
}
