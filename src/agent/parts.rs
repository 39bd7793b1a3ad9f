//! Connects the parts of the agent: what each of them needs of the others.

use super::board::Board;
use super::clock::{Clock, SystemClock};
use super::http::Api;
use super::jobs::{Event, Job, JobId, JobSpec, Jobs, Refused};
use super::loaded::Current;
use super::schedule::{Access, Begun, Runner, ScheduleError, ScheduleStatus, Scheduler};
use super::settings::Settings;
use super::status::{ServerStatus, Status};
use crate::cancel::Cancel;
use crate::locked::Locked;
use crate::store::{Repository, StoreError};
use chrono::{DateTime, Utc};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

impl Runner for Jobs {
    fn start(&self, spec: JobSpec) -> Result<JobId, Refused> {
        Self::start(self, spec)
    }

    fn wait(&self, id: &JobId, cancel: &Cancel) -> Option<Job> {
        Self::wait(self, id, cancel)
    }

    fn cancel(&self, id: &JobId) {
        let _job = Self::cancel(self, id);
    }
}

/// What the scheduler needs of the configuration and the board.
#[derive(Debug)]
pub(crate) struct World {
    /// The configuration.
    pub current: Current,
    /// The server as it was found last.
    pub board: Board,
}

impl Access for World {
    fn repository(&self, name: Option<&str>) -> Result<Repository, StoreError> {
        let loaded = self.current.get();
        (loaded.repository)(name).map_err(|message| StoreError::Io {
            action: "open the repository",
            path: name.unwrap_or("of the configuration").to_owned(),
            source: Arc::new(std::io::Error::other(message)),
        })
    }

    fn server(&self) -> Option<ServerStatus> {
        self.board.server()
    }
}

/// The clock of the machine, which records when it was last used: a scheduler that hangs doesn't wait.
#[derive(Debug)]
pub(crate) struct SteppedClock {
    last: Mutex<Instant>,
}

impl Default for SteppedClock {
    fn default() -> Self {
        Self {
            last: Mutex::new(Instant::now()),
        }
    }
}

impl SteppedClock {
    /// Returns the time since the last wait began or ended.
    pub(crate) fn since_last_step(&self) -> Duration {
        self.last.locked().elapsed()
    }

    fn step(&self) {
        *self.last.locked() = Instant::now();
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now()
    }

    fn wait_until(&self, time: DateTime<Utc>, cancel: &Cancel) {
        self.step();
        SystemClock.wait_until(time, cancel);
        self.step();
    }
}

/// What the handlers of the API use.
pub(crate) struct Connected {
    /// The jobs.
    pub jobs: Jobs,
    /// The schedules.
    pub scheduler: Arc<Scheduler>,
    /// The repositories and the server.
    pub board: Board,
    /// The configuration.
    pub current: Current,
    /// The clock of the scheduler.
    pub clock: Arc<SteppedClock>,
}

impl Api for Connected {
    fn start(&self, spec: JobSpec) -> Result<JobId, Refused> {
        self.jobs.start(spec)
    }

    fn jobs(&self) -> Vec<Job> {
        self.jobs.list()
    }

    fn job(&self, id: &JobId) -> Option<Job> {
        self.jobs.get(id)
    }

    fn cancel(&self, id: &JobId) -> Option<Job> {
        self.jobs.cancel(id)
    }

    fn log(&self, id: &JobId) -> Option<PathBuf> {
        self.jobs.log(id)
    }

    fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.jobs.subscribe()
    }

    fn schedules(&self) -> Vec<ScheduleStatus> {
        self.scheduler.status()
    }

    fn run_now(&self, schedule: &str) -> Begun {
        self.scheduler.run_now(schedule)
    }

    fn pause(&self, schedule: &str, paused: bool) -> Result<(), ScheduleError> {
        self.scheduler.pause(schedule, paused)
    }

    fn status(&self) -> Arc<Status> {
        self.board.status(self.jobs.is_shutting_down())
    }

    fn settings(&self) -> Arc<Settings> {
        self.current.get().settings
    }

    fn since_last_step(&self) -> Duration {
        self.clock.since_last_step()
    }
}
