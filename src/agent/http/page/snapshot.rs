//! What the page shows.

use super::super::probes::free_bytes;
use super::super::shared::Shared;
use crate::agent::jobs::Job;
use crate::agent::schedule::ScheduleStatus;
use crate::agent::settings::Settings;
use crate::agent::status::Status;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Duration;

/// The state of the agent at one moment.
pub(super) struct Snapshot {
    pub(super) now: DateTime<Utc>,
    pub(super) status: Arc<Status>,
    pub(super) settings: Arc<Settings>,
    pub(super) schedules: Vec<ScheduleStatus>,
    pub(super) jobs: Vec<Job>,
    /// Time since the last step of the scheduler.
    pub(super) idle: Duration,
    /// Free bytes of the agent's directory.
    pub(super) free: Option<u64>,
}

impl Snapshot {
    pub(super) fn of(shared: &Shared, now: DateTime<Utc>) -> Self {
        let api = &shared.api;
        let settings = api.settings();
        Self {
            now,
            status: api.status(),
            schedules: api.schedules(),
            jobs: api.jobs(),
            idle: api.since_last_step(),
            free: free_bytes(&settings.state_dir),
            settings,
        }
    }
}
