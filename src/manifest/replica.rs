//! The position of a replica in the binary logs of its sources.

use serde::{Deserialize, Serialize};

/// The position of a replica in the binary logs of its sources at the time of the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReplicaPosition {
    /// The executed GTID set at the backup's last LSN; empty without GTIDs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gtid_executed: String,
    /// True if that set is exactly the transactions in the backup. If not, transactions that were
    /// being committed at that time may be in the backup but not in the set; the recovered server's
    /// own `gtid_executed` is exact.
    pub gtid_executed_is_exact: bool,
    /// Its channels, without those of group replication.
    pub channels: Vec<SourcePosition>,
}

/// The position of one replication channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SourcePosition {
    /// Its name; empty for the default channel.
    pub channel: String,
    /// Host of the source.
    pub host: String,
    /// Port of the source.
    pub port: u16,
    /// True if the channel uses GTID auto-positioning. If so, it has no file and position.
    pub auto_position: bool,
    /// The source's binary log file from which a replica made from this backup continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The byte offset in that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Why file and position are unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}
