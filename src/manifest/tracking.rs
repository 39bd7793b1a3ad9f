//! The server's page tracking, as a manifest records it (`docs/design.md#page-tracking`).

use serde::{Deserialize, Serialize};

use crate::innodb::Lsn;

/// How the changed pages of a backup were found, and what the next incremental needs to find its
/// own by page tracking.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct PageTracking {
    /// True if the pages to read were taken from the server's list of changed pages. False for a
    /// full backup and for an incremental that scanned the files.
    pub used: bool,
    /// Why an incremental scanned the files, or why page tracking is not available for the next
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Every write of a page after the start of the backup is tracked from this LSN on; `None`: not
    /// tracked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Lsn>,
    /// Start time of the server whose tracking it is, in seconds since 1970 by the server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_started: Option<u64>,
}
