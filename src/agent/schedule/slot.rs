//! What is known of schedules and their slots.

use super::super::jobs::JobId;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What is known of a schedule.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct ScheduleStatus {
    /// Its name.
    pub name: String,
    /// The cron expression.
    pub cron: String,
    /// The time zone.
    pub time_zone: String,
    /// What it runs: `full`, `incremental`, `auto`, ...
    pub job: String,
    /// The repository, as `--repo` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Whether it was paused by a request.
    pub paused: bool,
    /// The nominal time of the next slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<DateTime<Utc>>,
    /// The last slots, newest first, whichever agent ran them.
    pub last: Vec<SlotStatus>,
}

/// What is known of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct SlotStatus {
    /// The nominal time.
    pub slot: DateTime<Utc>,
    /// The agent that took it; none took a missed one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The job, in the agent that ran it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub job: Option<String>,
    /// The backup that was made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backup: Option<String>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<DateTime<Utc>>,
}

/// How a slot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// An agent took it and works on it, or was killed while it did.
    Running,
    /// Its job succeeded.
    Succeeded,
    /// Its job failed, all tries included.
    Failed,
    /// No agent ran it: none was there, or the window was over.
    Missed,
    /// It was paused.
    Skipped,
}

/// A request about a schedule was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScheduleError {
    /// There is no such schedule.
    #[error("there is no schedule {name}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The job was refused.
    #[error(transparent)]
    Refused(#[from] super::super::jobs::Refused),
    /// The repository refused it, or could not be reached.
    #[error("the repository of the schedule {name}: {reason}")]
    Repository {
        /// The name.
        name: String,
        /// The error.
        reason: String,
    },
}

impl Outcome {
    /// Returns the word of the API.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Missed => "missed",
            Self::Skipped => "skipped",
        }
    }
}

/// The id of a job that was begun by a request.
pub(crate) type Begun = Result<JobId, ScheduleError>;
