//! The kinds of failures, by which a caller can decide without the text of an error.

use serde::Serialize;
use std::{fmt, io};

/// The kind of a failure, which every error of this crate returns by `kind()`.
///
/// The text of an error contains the values found and an instruction. The kind is for programs,
/// which decide to try again, to choose another backup, to take a full backup, or to notify an
/// operator.
///
/// ```
/// use lsnap::ErrorKind;
///
/// assert!(ErrorKind::Unreachable.is_retryable());
/// assert!(!ErrorKind::Damaged.is_retryable());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument, an option or a configuration file is wrong.
    Arguments,
    /// The repository, its bucket, the backup, or a file in it does not exist.
    NotFound,
    /// A file, an object or a backup exists where a new one was to be written. Nothing was overwritten.
    AlreadyExists,
    /// Another state forbids it: a target that can't be used, a backup that another one needs.
    Conflict,
    /// A lock, a lease or a reader of another job forbids it now.
    Busy,
    /// The credentials are missing, expired or refused, or a privilege is missing.
    AccessDenied,
    /// The key of an encrypted backup is missing or wrong, or the MAC of the backup doesn't match
    /// the key.
    Key,
    /// Stored bytes, a page or a document were lost or changed.
    Damaged,
    /// The backup is not finished, or its chain is broken or can't be continued.
    ChainBroken,
    /// The server or the store can't be reached, did not answer in time, or failed, even after the
    /// retries of the job.
    Unreachable,
    /// The server's files or logs changed while they were read, so that this attempt can't succeed.
    Changed,
    /// The server, its settings or its files are in a state in which no backup can be made.
    Precondition,
    /// A version, a format, a plugin, or the setup of a store or a connection is one that can't be used.
    Incompatible,
    /// A disk is full, or an object is larger than the memory limit of the caller.
    Full,
    /// The job was cancelled by its [`Cancel`](crate::Cancel).
    Interrupted,
    /// The operating system or a child process failed.
    System,
    /// A bug of this crate, or a process that is shutting down.
    Internal,
}

impl ErrorKind {
    /// Returns whether the same call can succeed later without a correction by a person.
    ///
    /// The job already retried its requests until
    /// [`StoreOptions::retry_deadline`](crate::StoreOptions::retry_deadline). Wait minutes rather
    /// than seconds before you run the whole job again.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Busy | Self::Unreachable | Self::Changed => true,
            Self::Arguments
            | Self::NotFound
            | Self::AlreadyExists
            | Self::Conflict
            | Self::AccessDenied
            | Self::Key
            | Self::Damaged
            | Self::ChainBroken
            | Self::Precondition
            | Self::Incompatible
            | Self::Full
            | Self::Interrupted
            | Self::System
            | Self::Internal => false,
        }
    }

    /// Returns the kind of an error of the operating system.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::System,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arguments => "wrong arguments",
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::Conflict => "conflict",
            Self::Busy => "in use",
            Self::AccessDenied => "access denied",
            Self::Key => "key missing or wrong",
            Self::Damaged => "damaged",
            Self::ChainBroken => "chain broken or backup not finished",
            Self::Unreachable => "unreachable",
            Self::Changed => "changed while it was read",
            Self::Precondition => "the server must be changed first",
            Self::Incompatible => "incompatible",
            Self::Full => "full",
            Self::Interrupted => "interrupted",
            Self::System => "the system failed",
            Self::Internal => "internal error",
        })
    }
}
