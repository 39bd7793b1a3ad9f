//! The schedule of a backup.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The schedule that a backup was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ScheduledRun {
    /// The name of the schedule.
    pub schedule: String,
    /// The nominal time of the slot (UTC); `None`: the job was started by a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<DateTime<Utc>>,
}
