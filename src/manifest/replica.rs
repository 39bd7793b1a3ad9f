//! What the manifest of a replica's backup says of its sources.

use serde::{Deserialize, Serialize};

/// Where a replica was in the binary logs of its sources at the moment of the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaPosition {
    /// The executed GTID set at the backup's last LSN; empty without GTIDs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gtid_executed: String,
    /// Whether that set is exactly what the backup holds. If not, transactions that were being committed at that
    /// moment may be in the backup and not in the set: the recovered server's own `gtid_executed` is exact.
    pub gtid_executed_is_exact: bool,
    /// Its channels, but for those of group replication.
    pub channels: Vec<SourcePosition>,
}

/// Where one replication channel was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePosition {
    /// Its name; empty for the default channel.
    pub channel: String,
    /// Host of the source.
    pub host: String,
    /// Port of the source.
    pub port: u16,
    /// Whether it asks its source by GTIDs. Then it has no file and position.
    pub auto_position: bool,
    /// The source's binary log file from which a replica made from this backup goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The byte offset in that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Why file and position are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}
