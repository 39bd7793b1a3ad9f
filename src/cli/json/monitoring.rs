//! The document of `check`.

use super::{BackupEntry, Entries};
use crate::store::ClusterHealth;
use serde::Serialize;

/// The state of the backups of all clusters.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct CheckDocument<'a> {
    /// The state of the worst cluster.
    pub(in crate::cli) state: CheckState,
    /// The clusters.
    pub(in crate::cli) clusters: Vec<ClusterDocument<'a>>,
    /// Problems without a cluster: there are no backups.
    pub(in crate::cli) problems: &'a [String],
}

/// A state, with the names of Nagios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum CheckState {
    /// No problem.
    Ok,
    /// A finding that needs attention.
    Warning,
    /// A restore is impossible, or gives an older state than wanted.
    Critical,
}

/// The state of the backups of one cluster.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct ClusterDocument<'a> {
    /// The first part of the names.
    pub(in crate::cli) cluster: &'a str,
    /// The newest finished backup.
    pub(in crate::cli) newest: Option<BackupEntry>,
    /// The newest finished full backup.
    pub(in crate::cli) newest_full: Option<BackupEntry>,
    /// Incrementals in the chain of the newest backup, up to it.
    pub(in crate::cli) incrementals: u64,
    /// Bytes of all objects of all backups.
    pub(in crate::cli) stored_bytes: u64,
    /// Number of backups in any state.
    pub(in crate::cli) backups: u64,
    /// Reasons why a restore of the current state is impossible, or gives an older state than wanted.
    pub(in crate::cli) critical: &'a [String],
    /// Findings that need attention.
    pub(in crate::cli) warnings: &'a [String],
}

impl<'a> ClusterDocument<'a> {
    pub(in crate::cli) fn of(cluster: &'a ClusterHealth, entries: &Entries) -> Self {
        Self {
            cluster: &cluster.cluster,
            newest: cluster.newest.as_ref().map(|name| entries.get(name)),
            newest_full: cluster.newest_full.as_ref().map(|name| entries.get(name)),
            incrementals: cluster.incrementals,
            stored_bytes: cluster.stored_bytes,
            backups: cluster.backups,
            critical: &cluster.critical,
            warnings: &cluster.warnings,
        }
    }
}
