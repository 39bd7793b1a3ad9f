//! The records of a slot.

use crate::manifest::BackupName;
use crate::store::lease::holder::LeaseHolder;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub(super) const FORMAT: u32 = 1;

/// The stored form of a record: JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(super) format: u32,
    /// Its position in the slot, from 0, without gaps.
    pub(super) number: u64,
    /// A UUID: that of the claim to which the record belongs.
    pub(crate) token: String,
    /// The name of the agent.
    pub(crate) agent: String,
    /// The process.
    pub(crate) holder: LeaseHolder,
    /// When it was written, by the writer's clock.
    pub(crate) at: DateTime<Utc>,
    /// The meaning.
    #[serde(flatten)]
    pub(crate) content: Content,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Content {
    /// An agent runs the slot.
    Claim {
        /// The try within the slot, from 1.
        attempt: u32,
        /// How many tries failed before.
        failures: u32,
        /// The holder counts as dead this many seconds after its last heartbeat.
        ttl_seconds: u64,
    },
    /// The manifest of this backup is about to be put.
    Commit {
        /// The backup.
        backup: BackupName,
        /// As in the claim.
        attempt: u32,
        /// As in the claim.
        failures: u32,
        /// As in the claim.
        ttl_seconds: u64,
    },
    /// The claim was given up.
    Released {
        /// The try that was given up.
        attempt: u32,
        /// How many tries failed before.
        failures: u32,
    },
    /// The slot ended.
    End(SlotEnd),
}

/// How a slot ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlotEnd {
    /// How.
    pub(crate) outcome: Ended,
    /// The agent that ran it; none ran a missed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ran_by: Option<String>,
    /// The job, in that agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<String>,
    /// The backup that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) backup: Option<String>,
    /// What went wrong, or why it did not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl SlotEnd {
    /// Returns the end of a slot whose backup turned out to be finished.
    pub(super) fn finished(self, backup: &BackupName, agent: &str) -> Self {
        Self {
            outcome: Ended::Succeeded,
            ran_by: self.ran_by.or_else(|| Some(agent.to_owned())),
            backup: Some(backup.to_string()),
            ..self
        }
    }
}

/// How a slot ended, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    /// Its job succeeded.
    Succeeded,
    /// Its job failed, all tries included.
    Failed,
    /// No agent ran it.
    Missed,
    /// The schedule was paused.
    Skipped,
}

/// The newest record of a slot, with its times.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The record.
    pub(crate) record: Record,
    /// The time of the last record or heartbeat, by the store's clock.
    pub(crate) seen: DateTime<Utc>,
}

impl Entry {
    /// Returns the position of the record.
    pub(crate) const fn number(&self) -> u64 {
        self.record.number
    }

    /// Returns the end, if the slot ended.
    pub(crate) const fn end(&self) -> Option<&SlotEnd> {
        match &self.record.content {
            Content::End(end) => Some(end),
            _ => None,
        }
    }

    /// Returns whether the claim was given up.
    pub(crate) const fn is_released(&self) -> bool {
        matches!(self.record.content, Content::Released { .. })
    }

    /// Returns attempt and failures of the last claim.
    pub(crate) const fn tries(&self) -> (u32, u32) {
        match self.record.content {
            Content::Claim {
                attempt, failures, ..
            }
            | Content::Commit {
                attempt, failures, ..
            }
            | Content::Released { attempt, failures } => (attempt, failures),
            Content::End(_) => (0, 0),
        }
    }

    /// Returns when the claim expires, by the store's clock; `None`: no process holds it.
    pub(crate) fn expires(&self) -> Option<DateTime<Utc>> {
        let (Content::Claim { ttl_seconds, .. } | Content::Commit { ttl_seconds, .. }) =
            self.record.content
        else {
            return None;
        };
        let seconds = i64::try_from(ttl_seconds).unwrap_or(i64::MAX);
        let ttl = TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX);
        let expires = self.seen.checked_add_signed(ttl);
        Some(expires.unwrap_or(DateTime::<Utc>::MAX_UTC))
    }

    /// Returns whether a process holds the slot. `now` is the store's time.
    pub(crate) fn is_held(&self, now: DateTime<Utc>) -> bool {
        self.expires()
            .is_some_and(|expires| now < expires && !self.record.holder.is_gone())
    }
}
