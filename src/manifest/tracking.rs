//! What a manifest says of the server's page tracking (`docs/design.md#page-tracking`).

use serde::{Deserialize, Serialize};

use crate::innodb::Lsn;

/// How the changed pages of a backup were found, and what the next incremental must know to find its
/// own by page tracking.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct PageTracking {
    /// The server's list of changed pages said what to read. False for a full backup and for an
    /// incremental that scanned.
    pub used: bool,
    /// Why an incremental scanned, or why the server tracks nothing for the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Every write of a page after the backup began is tracked from this LSN on; `None`: not tracked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Lsn>,
    /// When the server that tracks them was started, in seconds of its clock since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_started: Option<u64>,
}
