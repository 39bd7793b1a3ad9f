//! Errors of the base of an incremental backup.

use crate::manifest::BackupName;

/// The reason why a backup can't be the base of an incremental.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BaseFault {
    /// The backup is of another server.
    #[error(
        "{name} is a backup of server {found}, expected server {expected}: a chain has backups of one server only"
    )]
    OtherServer {
        /// The backup.
        name: BackupName,
        /// The `server_uuid` in its manifest.
        found: String,
        /// The expected one.
        expected: String,
    },
    /// The backup is of another cluster.
    #[error(
        "{name} is not a backup of cluster {expected}: a chain has backups of one cluster only; take a full backup first, \
         or set BackupOptions::cluster to the cluster of the chain"
    )]
    OtherCluster {
        /// The backup.
        name: BackupName,
        /// The expected cluster.
        expected: String,
    },
    /// The given base is not the end of its chain.
    #[error(
        "base {base} is not the newest member of its chain, {newest} is: an incremental on it would \
         fork the chain; use {newest}"
    )]
    NotNewest {
        /// The given base.
        base: BackupName,
        /// The end of the chain.
        newest: BackupName,
    },
    /// There is no suitable base.
    #[error(
        "no base for an incremental backup of server {server_uuid} in {url}: {hint}; take a full backup first"
    )]
    NoBase {
        /// The server.
        server_uuid: String,
        /// The repository.
        url: String,
        /// What exists instead.
        hint: String,
        /// A cluster that has full backups of a server with this UUID, if the wanted one has none.
        other_cluster: Option<String>,
    },
}
