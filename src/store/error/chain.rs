//! Errors of a chain.

use crate::manifest::BackupName;

/// The defect of a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainFault {
    /// A member's base is not in the repository.
    #[error("{member} needs base {base}, which is not in {url}")]
    MissingBase {
        /// The member.
        member: BackupName,
        /// Its base.
        base: BackupName,
        /// The repository.
        url: String,
    },
    /// A member's base has no manifest.
    #[error("{member} needs base {base}, which is not finished (it has no manifest)")]
    Unfinished {
        /// The member.
        member: BackupName,
        /// Its base.
        base: BackupName,
    },
    /// A member's base is another backup than the one that it was made on.
    #[error(
        "{what} of {base} is {found}, expected {expected}: {member} was not made on this backup"
    )]
    WrongBase {
        /// The member.
        member: BackupName,
        /// Its base.
        base: BackupName,
        /// The field.
        what: &'static str,
        /// The value in the base.
        found: String,
        /// The value recorded in the member.
        expected: String,
    },
    /// Two members have the same base.
    #[error(
        "it is forked, {first} and {second} both have the base {base}; delete one of them, or take a new \
         full backup"
    )]
    Forked {
        /// The common base.
        base: BackupName,
        /// One of the members.
        first: BackupName,
        /// The other.
        second: BackupName,
    },
    /// A member can't be read, so the end of the chain is unknown.
    #[error("{member} is damaged ({what}); repair or delete it, or take a new full backup")]
    Damaged {
        /// The member.
        member: BackupName,
        /// Why it can't be read.
        what: String,
    },
}
