//! What the scheduler needs of the agent, so that tests simulate it.

use super::super::jobs::{Job, JobId, JobSpec, Refused};
use super::super::status::ServerStatus;
use crate::cancel::Cancel;
use crate::store::{Repository, StoreError};

/// Runs jobs.
pub(crate) trait Runner: Send + Sync {
    /// Begins a job.
    ///
    /// # Errors
    /// The job was not taken.
    fn start(&self, spec: JobSpec) -> Result<JobId, Refused>;

    /// Waits until a job is over, or until `cancel` is cancelled; returns it as it is then. `None`: there is no such job.
    fn wait(&self, id: &JobId, cancel: &Cancel) -> Option<Job>;

    /// Ends a job early.
    fn cancel(&self, id: &JobId);
}

/// Opens repositories and knows the server.
pub(crate) trait Access: Send + Sync {
    /// Opens the repository of a schedule (`None`: the configured one), with its credentials read anew. The scheduler keeps
    /// it until a request fails. Its requests should give up within seconds, because other schedules wait meanwhile: the
    /// scheduler tries again itself.
    ///
    /// # Errors
    /// The repository is not known, or can't be opened.
    fn repository(&self, name: Option<&str>) -> Result<Repository, StoreError>;

    /// Returns the server, as it was found last; `None` if the agent has none.
    fn server(&self) -> Option<ServerStatus>;
}
