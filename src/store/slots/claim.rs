//! The claim of a slot, as the job of a backup gets it.

use chrono::{DateTime, Utc};

/// The claim of a slot, which an agent gives to the backup that it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotClaim {
    /// The name of the schedule.
    pub schedule: String,
    /// The nominal time.
    pub slot: DateTime<Utc>,
    /// The UUID of the claim.
    pub token: String,
}
