//! Settings of the server that was backed up.

use serde::{Deserialize, Serialize};

/// Settings of the server that was backed up: its address and those that a restored server, or a
/// replica of it, depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServerSettings {
    /// `@@report_host`, the name under which other servers reach it, if it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_host: Option<String>,
    /// `@@report_port`, or `@@port`; 0 if it doesn't listen on a port.
    pub port: u16,
    /// `@@server_id`.
    pub server_id: u32,
    /// `@@gtid_mode`: `ON`, `OFF`, `ON_PERMISSIVE`, `OFF_PERMISSIVE`.
    pub gtid_mode: String,
    /// `@@log_replica_updates`: whether a replica writes the transactions of its source to its own
    /// binary log.
    pub log_replica_updates: bool,
    /// The directory of the binary log, if it is not in the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_log_directory: Option<String>,
    /// The directory of `#innodb_redo`, if that is not in the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redo_directory: Option<String>,
}
