//! Exit codes, and how an error is told.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed; the message says why and what to do |
//! | 2 | wrong arguments |
//! | 10 | the repository, or the backup in it, was not found |
//! | 11 | something else is in the way: the target is not empty, a lock is held |
//! | 12 | access denied: password, privilege |
//! | 13 | damage was found: an object, a page, a manifest |
//! | 14 | a chain is broken or can't be continued |
//! | 130 | interrupted |

use crate::backup::BackupError;
use crate::restore::RestoreError;
use crate::server::ServerError;
use crate::store::StoreError;
use std::process::ExitCode;

/// Why the program ends without success.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Tells the error: text on standard error, or a JSON document on standard output.
    pub(super) fn report(&self, json: bool) -> ExitCode {
        if json {
            super::print_json(&serde_json::json!({"error": self.message, "exit_code": self.code}));
        }
        eprintln!("lsnap: {}", self.message);
        ExitCode::from(self.code)
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }
}
