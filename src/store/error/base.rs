//! Why an incremental can't be based on a backup.

use crate::manifest::BackupName;

/// Why an incremental can't be based on a backup.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BaseFault {
    /// A backup of another server.
    #[error(
        "{name} is a backup of server {found}, expected server {expected}: a chain holds backups of one server only"
    )]
    OtherServer {
        /// The backup.
        name: BackupName,
        /// The `server_uuid` in its manifest.
        found: String,
        /// The one that is needed.
        expected: String,
    },
    /// The pinned base is not the end of its chain.
    #[error(
        "base {base} is not the newest member of its chain, {newest} is: an incremental on it would \
         fork the chain; use {newest}"
    )]
    NotNewest {
        /// The base asked for.
        base: BackupName,
        /// The chain's end.
        newest: BackupName,
    },
    /// Nothing to stand on.
    #[error(
        "no base for an incremental backup of server {server_uuid} in {url}: {hint}; take a full backup first"
    )]
    NoBase {
        /// The server.
        server_uuid: String,
        /// The repository.
        url: String,
        /// What is there instead.
        hint: String,
    },
}
