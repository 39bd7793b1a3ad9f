//! An agent without processes, servers and repositories.

use super::super::api::Api;
use crate::agent::jobs::{Event, Job, JobId, JobKind, JobSpec, Origin, Progress, Refused, State};
use crate::agent::schedule::{Begun, Outcome, ScheduleError, ScheduleStatus, SlotStatus};
use crate::agent::settings::{Program, Settings};
use crate::agent::status::{RepositoryStatus, ServerStatus, Status};
use crate::locked::Locked as _;
use crate::manifest::BackupName;
use crate::store::tests::{backup, full_name, memory};
use crate::store::{Listed, ListedState};
use chrono::{DateTime, TimeDelta, Utc};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::broadcast;

/// The values that a test changes.
pub(in super::super) struct Fake {
    pub(in super::super) status: Mutex<Status>,
    pub(in super::super) schedules: Mutex<Vec<ScheduleStatus>>,
    pub(in super::super) settings: Mutex<Settings>,
    pub(in super::super) jobs: Mutex<Vec<Job>>,
    pub(in super::super) started: Mutex<Vec<JobSpec>>,
    pub(in super::super) refusal: Mutex<Option<Refused>>,
    pub(in super::super) log: Mutex<Option<PathBuf>>,
    pub(in super::super) idle: Mutex<Duration>,
    pub(in super::super) events: broadcast::Sender<Event>,
}

/// Returns a time of the fixture: minutes before 2026-12-01 06:00 UTC.
pub(in super::super) fn before(minutes: i64) -> DateTime<Utc> {
    let now = DateTime::parse_from_rfc3339("2026-12-01T06:00:00Z").unwrap();
    now.to_utc() - TimeDelta::minutes(minutes)
}

/// Returns a job that succeeded.
pub(in super::super) fn job(id: &str, kind: JobKind, state: State) -> Job {
    Job {
        id: JobId(id.to_owned()),
        kind,
        repository: None,
        arguments: Vec::new(),
        origin: Origin::Request,
        state,
        queued_at: before(30),
        started_at: (state != State::Queued).then(|| before(30)),
        ended_at: state.is_over().then(|| before(10)),
        progress: None,
        exit_code: state.is_over().then_some(0),
        report: None,
        error: None,
    }
}

/// Returns a finished backup of a listing.
pub(in super::super) fn listed(
    name: &BackupName,
    finished_at: DateTime<Utc>,
    bytes: u64,
) -> Listed {
    let (repository, _) = memory();
    backup(&repository, &full_name(0), None, 10);
    let mut one = repository.list().unwrap().remove(0);
    one.name = name.clone();
    one.stored_bytes = bytes;
    one.newest = finished_at;
    if let ListedState::Finished(summary) = &mut one.state {
        summary.name = name.clone();
        summary.started_at = finished_at - TimeDelta::minutes(12);
        summary.finished_at = finished_at;
        summary.hostname = "db1".to_owned();
        if name.is_incremental() {
            summary.kind = crate::manifest::BackupKind::Incremental;
        }
    }
    one
}

/// Returns two chains: full backups 8 and 1 days old, with incrementals every 6 hours.
pub(in super::super) fn chains() -> Vec<Listed> {
    let mut all = Vec::new();
    for (start, count) in [(8 * 1440 + 240, 5), (1440 + 240, 4)] {
        let full = BackupName::full("shop", before(start)).unwrap();
        all.push(listed(&full, before(start - 12), 42 << 30));
        for n in 1..=count {
            let time = start - n * 360;
            let name = BackupName::incremental(&full, "shop", before(time)).unwrap();
            all.push(listed(&name, before(time - 2), (1 + n as u64) << 28));
        }
    }
    all
}

pub(in super::super) fn slot(minutes: i64, outcome: Outcome) -> SlotStatus {
    SlotStatus {
        slot: before(minutes),
        agent: Some("db1".to_owned()),
        outcome,
        job: Some("20261201T050000Z-1f0a9c".to_owned()),
        backup: None,
        error: (outcome == Outcome::Failed).then(|| "the server can't be reached".to_owned()),
        ended_at: (outcome != Outcome::Running).then(|| before(minutes - 5)),
    }
}

pub(in super::super) fn schedule(name: &str, job: &str, last: Vec<SlotStatus>) -> ScheduleStatus {
    ScheduleStatus {
        name: name.to_owned(),
        cron: "0 2 * * *".to_owned(),
        time_zone: "UTC".to_owned(),
        job: job.to_owned(),
        repository: None,
        paused: false,
        next: Some(before(-90)),
        last,
    }
}

impl Fake {
    /// Returns an agent of which all is well.
    pub(in super::super) fn new() -> Arc<Self> {
        let status = Status {
            name: "db1".to_owned(),
            started_at: before(3000),
            at: before(0),
            shutting_down: false,
            server: Some(ServerStatus {
                at: before(1),
                reached: Ok("8.4.5".to_owned()),
                replica: Some(Some(2)),
            }),
            repositories: vec![
                RepositoryStatus {
                    name: "main".to_owned(),
                    url: "s3://backups/shop".to_owned(),
                    listed_at: Some(before(2)),
                    listed: Arc::new(chains()),
                    error: None,
                },
                RepositoryStatus {
                    name: "offsite".to_owned(),
                    url: "gs://offsite/shop".to_owned(),
                    listed_at: Some(before(2)),
                    listed: Arc::default(),
                    error: None,
                },
            ],
        };
        let settings = Settings {
            program: Program {
                path: "/usr/bin/lsnap".into(),
                general: Vec::new(),
            },
            name: "db1".to_owned(),
            state_dir: std::env::temp_dir(),
            repositories: vec!["main".to_owned(), "offsite".to_owned()],
            places: crate::agent::settings::Places::default(),
            schedules: Vec::new(),
            max_jobs: NonZeroUsize::MIN,
            shutdown_grace: Duration::from_secs(60),
            refresh: Duration::from_secs(300),
            http: None,
            sidecar: None,
        };
        Arc::new(Self {
            status: Mutex::new(status),
            schedules: Mutex::new(vec![
                schedule("nightly", "full", vec![slot(240, Outcome::Succeeded)]),
                schedule("hourly", "incremental", vec![slot(60, Outcome::Succeeded)]),
            ]),
            settings: Mutex::new(settings),
            jobs: Mutex::default(),
            started: Mutex::default(),
            refusal: Mutex::default(),
            log: Mutex::default(),
            idle: Mutex::default(),
            events: broadcast::channel(4).0,
        })
    }

    /// Returns the command of the last job that was started.
    pub(in super::super) fn command(&self) -> String {
        let started = self.started.locked();
        let spec = started.last().unwrap();
        let mut words = vec![spec.kind.command().to_owned()];
        words.extend(spec.repository.iter().map(|name| format!("@{name}")));
        words.extend(spec.arguments.clone());
        words.join(" ")
    }

    pub(in super::super) fn running() -> Job {
        Job {
            progress: Some(Progress {
                phase: "copy".to_owned(),
                bytes: 31 << 30,
                total: Some(42 << 30),
            }),
            ..job("20261201T053000Z-77aa01", JobKind::Backup, State::Running)
        }
    }
}

impl Api for Fake {
    fn start(&self, spec: JobSpec) -> Result<JobId, Refused> {
        if let Some(refused) = self.refusal.locked().clone() {
            return Err(refused);
        }
        let mut jobs = self.jobs.locked();
        let id = format!("20261201T060000Z-{:06x}", self.started.locked().len());
        jobs.truncate(50);
        jobs.insert(
            0,
            Job {
                repository: spec.repository.clone(),
                arguments: spec.arguments.clone(),
                ..job(&id, spec.kind, State::Queued)
            },
        );
        self.started.locked().push(spec);
        Ok(JobId(id))
    }

    fn jobs(&self) -> Vec<Job> {
        self.jobs.locked().clone()
    }

    fn job(&self, id: &JobId) -> Option<Job> {
        self.jobs().into_iter().find(|job| job.id == *id)
    }

    fn cancel(&self, id: &JobId) -> Option<Job> {
        let mut jobs = self.jobs.locked();
        let job = jobs.iter_mut().find(|job| job.id == *id)?;
        job.state = State::Cancelling;
        Some(job.clone())
    }

    fn log(&self, id: &JobId) -> Option<PathBuf> {
        self.job(id).and_then(|_| self.log.locked().clone())
    }

    fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn schedules(&self) -> Vec<ScheduleStatus> {
        self.schedules.locked().clone()
    }

    fn run_now(&self, schedule: &str) -> Begun {
        let known = self.schedules().iter().any(|s| s.name == schedule);
        if !known {
            return Err(ScheduleError::Unknown {
                name: schedule.to_owned(),
            });
        }
        Ok(self.start(JobSpec {
            kind: JobKind::Backup,
            repository: None,
            arguments: vec!["--full".to_owned()],
            origin: Origin::RunNow {
                schedule: schedule.to_owned(),
            },
            deadline: None,
        })?)
    }

    fn pause(&self, schedule: &str, paused: bool) -> Result<(), ScheduleError> {
        let mut schedules = self.schedules.locked();
        let found = schedules.iter_mut().find(|s| s.name == schedule);
        let found = found.ok_or_else(|| ScheduleError::Unknown {
            name: schedule.to_owned(),
        })?;
        found.paused = paused;
        Ok(())
    }

    fn status(&self) -> Arc<Status> {
        let status = self.status.locked().clone();
        assert_ne!(status.name, "panic");
        Arc::new(status)
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::new(self.settings.locked().clone())
    }

    fn since_last_step(&self) -> Duration {
        *self.idle.locked()
    }
}
