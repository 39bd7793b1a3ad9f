//! Errors of slots.

use crate::manifest::BackupName;
use chrono::{DateTime, Utc};

/// The reason why the job of a slot must not finish.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SlotFault {
    /// Another agent took the slot over.
    #[error(
        "the slot {slot} of the schedule {schedule} was taken over by the agent {agent}, because this one did not renew \
         its claim: this backup can't be finished any more"
    )]
    Taken {
        /// The schedule.
        schedule: String,
        /// The nominal time.
        slot: DateTime<Utc>,
        /// The agent that has it now.
        agent: String,
    },
    /// The slot is over.
    #[error(
        "the slot {slot} of the schedule {schedule} is over: its outcome was recorded, or it is older than the records"
    )]
    Over {
        /// The schedule.
        schedule: String,
        /// The nominal time.
        slot: DateTime<Utc>,
    },
    /// The slot has a finished backup.
    #[error("the slot {slot} of the schedule {schedule} already has the finished backup {backup}")]
    Finished {
        /// The schedule.
        schedule: String,
        /// The nominal time.
        slot: DateTime<Utc>,
        /// The backup.
        backup: BackupName,
    },
    /// No agent has claimed the slot.
    #[error(
        "the slot {slot} of the schedule {schedule} was not claimed: only an agent starts a backup for a slot; run the \
         backup without a slot"
    )]
    NotClaimed {
        /// The schedule.
        schedule: String,
        /// The nominal time.
        slot: DateTime<Utc>,
    },
    /// A record can't be read.
    #[error(
        "{key} is damaged: {what}; it is unknown how the slot ended: remove the object if no agent runs the slot"
    )]
    Unreadable {
        /// The key of the record.
        key: String,
        /// What was found and what was expected.
        what: String,
    },
    /// Other agents wrote each record first.
    #[error("other agents repeatedly changed the slot {slot} of the schedule {schedule} first")]
    Busy {
        /// The schedule.
        schedule: String,
        /// The nominal time.
        slot: DateTime<Utc>,
    },
    /// The store doesn't support conditional puts.
    #[error(
        "the store overwrote {key}, it ignores `If-None-Match: *`: without conditional puts two agents could run the same \
         slot; use a store that supports them, or run schedules on one host only, by a timer"
    )]
    Overwrites {
        /// The key of the object.
        key: String,
    },
    /// The name of a schedule is not valid.
    #[error(
        "{name:?} is not the name of a schedule: expected 1 to 63 letters, digits, `-`, `_` and `.`, not `.` first"
    )]
    Name {
        /// The name.
        name: String,
    },
}
