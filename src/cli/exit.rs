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

use super::{interrupt, output};
use crate::archive::ArchiveError;
use crate::backup::BackupError;
use crate::codec::CodecError;
use crate::consolidate::ConsolidateError;
use crate::datadir::DatadirError;
use crate::reader::ReadError;
use crate::restore::RestoreError;
use crate::server::ServerError;
use crate::store::LeaseFault;
use crate::store::RequestFault;
use crate::store::StoreError;
use crate::store::Unusable;
use crate::verify::VerifyError;
use crate::xbstream::XbstreamError;
use std::process::ExitCode;

/// Why the program ends without success.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    message: String,
    /// Standard output holds data: nothing is added to it.
    quiet: bool,
}

impl Failure {
    /// Tells the error: text on standard error, or a JSON document on standard output.
    pub(super) fn report(&self, json: bool) -> ExitCode {
        // a wait for a store or a server that was ended looks like its failure
        let code = match self.code {
            1 if interrupt::is_set() => 130,
            code => code,
        };
        if json && !self.quiet {
            output::json(&serde_json::json!({"error": self.message, "exit_code": code}));
        }
        output::err(&format!("lsnap: {}\n", self.message));
        ExitCode::from(code)
    }
}

impl Failure {
    /// What was asked for can't be.
    pub(super) fn arguments(message: String) -> Self {
        Self::with_code(2, message)
    }

    pub(super) fn internal(message: String) -> Self {
        Self::with_code(1, message)
    }

    pub(super) fn with_code(code: u8, message: String) -> Self {
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

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::with_code(store_code(&error), error.to_string())
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        let code = match &error {
            ArchiveError::NotRegular { .. } => 2,
            ArchiveError::NotThere { .. } => 10,
            ArchiveError::Exists { .. } | ArchiveError::Occupied { .. } => 11,
            ArchiveError::Codec {
                source: CodecError::WrongKey { .. },
                ..
            } => 12,
            ArchiveError::Xbstream(XbstreamError::Io { .. }) => 1,
            ArchiveError::Xbstream(_)
            | ArchiveError::Codec { .. }
            | ArchiveError::Path { .. }
            | ArchiveError::File { .. }
            | ArchiveError::Ended { .. }
            | ArchiveError::Empty
            | ArchiveError::Incomplete { .. } => 13,
            _ => 1,
        };
        Self::with_code(code, error.to_string())
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        Self::with_code(server_code(&error), error.to_string())
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let code = match &error {
            BackupError::Store(e) => store_code(e),
            BackupError::Server(e) => server_code(e),
            BackupError::Datadir(DatadirError::CorruptPage { .. })
            | BackupError::PageFromTheFuture { .. } => 13,
            BackupError::BaseUnusable { .. } | BackupError::LostSinceBase { .. } => 14,
            BackupError::ObjectSize { .. } => 2,
            BackupError::Key { .. } => 12,
            BackupError::Interrupted | BackupError::InterruptedStream => 130,
            _ => 1,
        };
        Self::with_code(code, error.to_string())
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        let code = match &error {
            RestoreError::Store(e) => store_code(e),
            RestoreError::Read(error) => read_code(error),
            RestoreError::MissingTables { .. } => 13,
            RestoreError::Target { .. } => 11,
            RestoreError::Owner { .. }
            | RestoreError::KeyringConfig { .. }
            | RestoreError::MysqldArgument { .. } => 2,
            RestoreError::Interrupted => 130,
            _ => 1,
        };
        Self::with_code(code, error.to_string())
    }
}

fn read_code(error: &ReadError) -> u8 {
    match error {
        ReadError::Store(error) => store_code(error),
        ReadError::Damaged { .. } | ReadError::Path { .. } => 13,
        ReadError::Chain { .. } | ReadError::NoOverlap { .. } | ReadError::NotFull { .. } => 14,
        ReadError::NoBackup { .. } => 10,
        ReadError::Key { .. } => 12,
        ReadError::Interrupted => 130,
        _ => 1,
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::with_code(read_code(&error), error.to_string())
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Store(error) => error.into(),
            VerifyError::Read(error) => error.into(),
            VerifyError::Restore(error) => error.into(),
            VerifyError::Interrupted => Self::with_code(130, error.to_string()),
            other => Self::internal(other.to_string()),
        }
    }
}

impl From<ConsolidateError> for Failure {
    fn from(error: ConsolidateError) -> Self {
        match error {
            ConsolidateError::Store(error) => error.into(),
            ConsolidateError::Source(error) => error.into(),
            ConsolidateError::Refused { .. } => Self::arguments(error.to_string()),
            ConsolidateError::Interrupted => Self::with_code(130, error.to_string()),
            other => Self::internal(other.to_string()),
        }
    }
}

pub(super) fn store_code(error: &StoreError) -> u8 {
    match error {
        StoreError::BadUrl { .. }
        | StoreError::UnsupportedScheme { .. }
        | StoreError::BadOption { .. } => 2,
        StoreError::NoRepository { .. }
        | StoreError::NotFound { .. }
        | StoreError::Request {
            kind: RequestFault::NoBucket,
            ..
        } => 10,
        StoreError::NoCredentials { .. }
        | StoreError::Request {
            kind: RequestFault::Denied,
            ..
        }
        | StoreError::Request {
            kind: RequestFault::Expired,
            ..
        } => 12,
        StoreError::Exists { .. }
        | StoreError::ObjectExists { .. }
        | StoreError::Needed { .. }
        | StoreError::Unexplained { .. }
        | StoreError::BeingRead { .. }
        | StoreError::BeingDeleted { .. }
        | StoreError::InUse { .. }
        | StoreError::InProgress { .. }
        | StoreError::Changed { .. } => 11,
        StoreError::NotDeleted {
            cause: Some(cause), ..
        } => store_code(cause),
        StoreError::Policy { .. } => 2,
        StoreError::Lease(fault) => match **fault {
            LeaseFault::Closed { .. } => 14,
            LeaseFault::Unreadable { .. } => 13,
            LeaseFault::Overwrites { .. } => 1,
            _ => 11,
        },
        StoreError::Damaged { .. } | StoreError::Missing { .. } => 13,
        StoreError::NewerInDoubt { newer, .. } => {
            let orphans = newer
                .iter()
                .all(|passed| passed.why == Unusable::BaseMissing);
            if orphans { 14 } else { 13 }
        }
        StoreError::NotFinished { .. }
        | StoreError::Foreign { .. }
        | StoreError::Streamed { .. }
        | StoreError::BrokenChain { .. }
        | StoreError::Gap { .. }
        | StoreError::OtherServer { .. }
        | StoreError::NotNewest { .. }
        | StoreError::NoBase { .. } => 14,
        _ => 1,
    }
}

const fn server_code(error: &ServerError) -> u8 {
    match error {
        ServerError::AccessDenied { .. }
        | ServerError::MissingPrivileges { .. }
        | ServerError::MissingPrivilege { .. } => 12,
        ServerError::LockTimeout { .. } => 11,
        ServerError::Interrupted { .. } => 130,
        _ => 1,
    }
}

impl From<crate::manifest::ManifestError> for Failure {
    fn from(error: crate::manifest::ManifestError) -> Self {
        crate::store::StoreError::from(error).into()
    }
}
