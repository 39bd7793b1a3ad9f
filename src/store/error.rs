//! What can go wrong with a repository.

use crate::innodb::Lsn;

/// Why a repository could not do what it was asked for.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A URL that names no repository.
    #[error(
        "{url:?} is no repository: {why}; expected file:///path (this build knows no other store)"
    )]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The repository isn't there.
    #[error("repository {url} does not exist; a backup makes it (lsnap backup --to {url})")]
    NoRepository {
        /// Its URL.
        url: String,
    },
    /// No such backup.
    #[error("no backup {name:?} in {url}; `lsnap list --from {url}` shows what is there")]
    NotFound {
        /// As it was asked for.
        name: String,
        /// The repository.
        url: String,
    },
    /// A part of a name that several backups have.
    #[error("{name:?} may mean {found}; give the whole name")]
    Ambiguous {
        /// As it was asked for.
        name: String,
        /// The candidates.
        found: String,
    },
    /// A backup without its manifest.
    #[error(
        "backup {name} is not finished (it has no manifest): it can be neither restored nor continued"
    )]
    NotFinished {
        /// Its name.
        name: String,
    },
    /// A name that can't be a backup's.
    #[error("{name:?} can't be the name of a backup: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Something lies where the backup was to be put.
    #[error(
        "{url}: something already lies under {name}/; nothing is ever overwritten, try again with another --cluster or a second later"
    )]
    Exists {
        /// The repository.
        url: String,
        /// The backup's name.
        name: String,
    },
    /// An object that is not what was stored.
    #[error(
        "object {object} is damaged: {what}; restore another backup, and find out what happened to the store"
    )]
    Damaged {
        /// Its key.
        object: String,
        /// Found and expected.
        what: String,
    },
    /// An object that is gone.
    #[error(
        "object {object} is missing: the backup can't be restored; find out what happened to the store"
    )]
    Missing {
        /// Its key.
        object: String,
    },
    /// A chain that doesn't hold.
    #[error("the chain of {name} is broken: {why}")]
    BrokenChain {
        /// The member that was asked for.
        name: String,
        /// Which link, and why.
        why: String,
    },
    /// Two members that don't fit each other.
    #[error(
        "the chain of {name} is broken: {member} begins at LSN {from}, but {base} ends at LSN {to}"
    )]
    Gap {
        /// The member that was asked for.
        name: String,
        /// The later one.
        member: String,
        /// Its `from_lsn`.
        from: Lsn,
        /// The earlier one.
        base: String,
        /// Its `to_lsn`.
        to: Lsn,
    },
    /// Nothing to continue.
    #[error(
        "{url} holds no finished full backup of server {server_uuid}: take one first (lsnap backup --to {url})"
    )]
    NoBase {
        /// The repository.
        url: String,
        /// The server's uuid.
        server_uuid: String,
    },
    /// A base of another server.
    #[error(
        "{name} is a backup of server {found}, this server is {expected}: an incremental must continue its own server's backup; take a full one"
    )]
    OtherServer {
        /// The base.
        name: String,
        /// Its server.
        found: String,
        /// The server to be backed up.
        expected: String,
    },
    /// A base that has been continued already.
    #[error(
        "{name} has been continued by {newer} already: a second continuation would fork the chain; use --base {newer}, or none"
    )]
    NotNewest {
        /// The base that was asked for.
        name: String,
        /// Its continuation.
        newer: String,
    },
    /// The store refused or failed.
    #[error("cannot {action} {object}: {reason}")]
    Failed {
        /// What was tried.
        action: &'static str,
        /// On what.
        object: String,
        /// What the store said.
        reason: String,
    },
    /// Objects that could not be removed again.
    #[error(
        "the backup {name} failed, and {left} of its objects could not be removed ({reason}); it is not finished, and `lsnap list` shows it as such"
    )]
    LeftBehind {
        /// The backup.
        name: String,
        /// How many.
        left: usize,
        /// What the store said.
        reason: String,
    },
}

impl StoreError {
    /// Whether the error says that stored bytes were lost or changed.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Missing { .. })
    }
}
