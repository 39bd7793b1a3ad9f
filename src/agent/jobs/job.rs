//! A job: what is asked for, and what is known of it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use std::time::Duration;

/// The id of a job, the same in logs, the API and the repository: `20261201T040500Z-1f0a9c`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[serde(transparent)]
pub(crate) struct JobId(pub String);

/// The command of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JobKind {
    /// `lsnap backup`
    Backup,
    /// `lsnap consolidate`
    Consolidate,
    /// `lsnap verify`
    Verify,
    /// `lsnap prune`
    Prune,
    /// `lsnap delete`
    Delete,
    /// `lsnap copy`
    Copy,
    /// `lsnap check`
    Check,
    /// `lsnap pin`
    Pin,
    /// `lsnap unpin`
    Unpin,
}

impl JobKind {
    /// Returns the word of the command.
    pub(crate) const fn command(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Consolidate => "consolidate",
            Self::Verify => "verify",
            Self::Prune => "prune",
            Self::Delete => "delete",
            Self::Copy => "copy",
            Self::Check => "check",
            Self::Pin => "pin",
            Self::Unpin => "unpin",
        }
    }

    /// Returns whether it changes chains: two such jobs of one repository don't run at the same time.
    pub(crate) const fn changes_chains(self) -> bool {
        match self {
            Self::Backup
            | Self::Consolidate
            | Self::Prune
            | Self::Delete
            | Self::Copy
            | Self::Pin
            | Self::Unpin => true,
            Self::Verify | Self::Check => false,
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct JobSpec {
    /// The command.
    pub kind: JobKind,
    /// The repository that it changes or reads, as `--repo` names it; `None`: the configured one.
    pub repository: Option<String>,
    /// The arguments after the command and `--repo`. No secret is among them.
    pub arguments: Vec<String>,
    /// Who asked.
    pub origin: Origin,
    /// It is cancelled if it takes longer.
    pub deadline: Option<Duration>,
}

/// Who asked for a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(tag = "by", rename_all = "snake_case")]
pub(crate) enum Origin {
    /// A schedule, in a slot.
    Schedule {
        /// The name of the schedule.
        schedule: String,
        /// The nominal time.
        slot: DateTime<Utc>,
        /// The try within the slot, from 1.
        attempt: u32,
    },
    /// A request for a schedule's job, outside its slots.
    RunNow {
        /// The name of the schedule.
        schedule: String,
    },
    /// A request.
    Request,
}

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It waits for another one of its repository, or for a free place.
    Queued,
    /// Its process runs.
    Running,
    /// It was asked to end.
    Cancelling,
    /// It ended with exit code 0.
    Succeeded,
    /// It ended with another exit code or by a signal.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl State {
    /// Returns whether it ended.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// What is known of a job.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct Job {
    /// Its id.
    pub id: JobId,
    /// The command.
    pub kind: JobKind,
    /// The repository, as `--repo` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The arguments after the command.
    pub arguments: Vec<String>,
    /// Who asked.
    pub origin: Origin,
    /// Its state.
    pub state: State,
    /// When it was asked for.
    pub queued_at: DateTime<Utc>,
    /// When its process began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The exit code of the process (`docs/reference/exit-codes.md`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// The `result` of the document that the command printed (`docs/reference/json.md`): for a backup, the name is in
    /// `backup.name`. `null` and results of more than 1 MiB are left out. Only the answers for one job have it, not lists
    /// and events.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub report: Option<serde_json::Value>,
    /// Why it failed, or was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Progress {
    /// The phase, by `Phase::name`.
    pub phase: String,
    /// Bytes done in the phase.
    pub bytes: u64,
    /// Bytes of the phase, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Error {
    /// The kind, as in the documents of `--json`.
    pub kind: String,
    /// What happened.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Something happened to a job.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct Event {
    /// When.
    pub at: DateTime<Utc>,
    /// The job, as it is now, without its report.
    pub job: Job,
}

/// A job was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The agent ends.
    #[error("the agent is shutting down and begins no job")]
    ShuttingDown,
    /// Too many jobs wait.
    #[error("{waiting} jobs wait; try again later")]
    Full {
        /// How many wait.
        waiting: usize,
    },
}
