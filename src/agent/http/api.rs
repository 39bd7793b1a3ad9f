//! The parts of the agent that the handlers use.

use crate::agent::jobs::{Event, Job, JobId, JobSpec, Refused};
use crate::agent::schedule::{Begun, ScheduleError, ScheduleStatus};
use crate::agent::settings::Settings;
use crate::agent::status::Status;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

/// The jobs, the schedules and the board of the agent. No method blocks.
pub(crate) trait Api: Send + Sync {
    /// Starts a job.
    fn start(&self, spec: JobSpec) -> Result<JobId, Refused>;

    /// Returns the jobs, the newest first.
    fn jobs(&self) -> Vec<Job>;

    /// Returns a job.
    fn job(&self, id: &JobId) -> Option<Job>;

    /// Cancels a job, and returns it.
    fn cancel(&self, id: &JobId) -> Option<Job>;

    /// Returns the file with the log of a job.
    fn log(&self, id: &JobId) -> Option<PathBuf>;

    /// Returns the events from now on.
    fn subscribe(&self) -> broadcast::Receiver<Event>;

    /// Returns the schedules, in the order of the configuration.
    fn schedules(&self) -> Vec<ScheduleStatus>;

    /// Starts the job of a schedule.
    fn run_now(&self, schedule: &str) -> Begun;

    /// Pauses or resumes a schedule.
    fn pause(&self, schedule: &str, paused: bool) -> Result<(), ScheduleError>;

    /// Returns the state of the agent, its server and its repositories.
    fn status(&self) -> Arc<Status>;

    /// Returns the settings, as loaded last.
    fn settings(&self) -> Arc<Settings>;

    /// Returns the time since the last step of the scheduler.
    fn since_last_step(&self) -> Duration;
}
