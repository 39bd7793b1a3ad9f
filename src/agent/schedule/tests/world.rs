//! A simulated world: agents on several hosts, their jobs, a repository, and the time.

use crate::agent::clock::Clock;
use crate::agent::jobs::{Error, Job, JobId, JobKind, JobSpec, Refused, State};
use crate::agent::schedule::planned::Mode;
use crate::agent::schedule::{Access, Runner, Scheduler};
use crate::agent::settings::{CatchUp, OnMissingBase, Prefer, ScheduleSettings, ScheduledJob};
use crate::agent::status::ServerStatus;
use crate::cancel::Cancel;
use crate::manifest::{BackupName, Manifest, ScheduledRun};
use crate::progress::Silent;
use crate::store::tests::sim_store::{SimStore, SimTime, commit_only, finish_committed};
use crate::store::tests::{manifest, put_file};
use crate::store::{
    DeleteOptions, ListedState, Policy, Repository, SlotClaim, StoreError, Upload, prune,
};
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A backup that was finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finish {
    pub name: BackupName,
    pub base: Option<BackupName>,
    pub run: Option<ScheduledRun>,
}

/// What all agents share.
#[derive(Debug)]
pub(super) struct Shared {
    pub time: SimTime,
    pub store: Arc<SimStore>,
    pub finished: Mutex<Vec<Finish>>,
    /// No server can be reached.
    pub servers_down: AtomicBool,
    lsn: AtomicU64,
    jobs: AtomicU64,
    /// How long a job takes, in seconds.
    pub seconds: AtomicU64,
    /// Every job fails.
    pub fails: AtomicBool,
    /// An incremental needs a base of its own host.
    pub own_bases: AtomicBool,
}

impl Shared {
    pub(super) fn new(start: DateTime<Utc>, seed: u64) -> Arc<Self> {
        let time = SimTime::at(start);
        Arc::new(Self {
            store: SimStore::new(time.clone(), seed),
            time,
            finished: Mutex::default(),
            servers_down: AtomicBool::new(false),
            lsn: AtomicU64::new(100),
            jobs: AtomicU64::new(0),
            seconds: AtomicU64::new(240),
            fails: AtomicBool::new(false),
            own_bases: AtomicBool::new(false),
        })
    }

    pub(super) fn repository(&self) -> Repository {
        Repository::over("sim:", self.store.clone()).unwrap()
    }

    /// Returns the records of slots in the order of their puts: schedule, rest of the key, JSON.
    pub(super) fn log(&self) -> Vec<(String, String, serde_json::Value)> {
        let log = self.store.log().into_iter();
        log.map(|(key, body)| {
            let rest = key.strip_prefix(".lsnap/slots/").unwrap();
            let (schedule, rest) = rest.split_once('/').unwrap();
            let json = serde_json::from_slice(&body).unwrap();
            (schedule.to_owned(), rest.to_owned(), json)
        })
        .collect()
    }
}

/// The clock of a host.
pub(super) struct HostClock {
    pub time: SimTime,
    pub skew: TimeDelta,
    /// The jobs that go on while the agent sleeps.
    pub jobs: Arc<Jobs>,
}

impl std::fmt::Debug for HostClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostClock").finish_non_exhaustive()
    }
}

impl Clock for HostClock {
    fn now(&self) -> DateTime<Utc> {
        self.time.now() + self.skew
    }

    fn wait_until(&self, time: DateTime<Utc>, _: &Cancel) {
        // a simulated sleep: the time moves for all
        let time = (time - self.skew).max(self.time.now() + TimeDelta::seconds(1));
        self.time.set(time);
        self.jobs.work();
    }
}

struct Running {
    job: Job,
    spec: JobSpec,
    ends: DateTime<Utc>,
    made: Option<(Upload, Manifest)>,
    /// It has entered its slot, and only its manifest is missing.
    committed: bool,
}

/// The jobs of one agent.
pub(super) struct Jobs {
    pub host: String,
    pub shared: Arc<Shared>,
    pub repository: Repository,
    jobs: Mutex<Vec<Running>>,
}

impl Jobs {
    pub(super) fn new(host: &str, shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            host: host.to_owned(),
            shared: Arc::clone(shared),
            repository: shared.repository(),
            jobs: Mutex::default(),
        })
    }

    /// Ends the jobs whose time has come.
    pub(super) fn work(&self) {
        let now = self.shared.time.now();
        let mut jobs = self.jobs.lock().unwrap();
        for job in jobs.iter_mut() {
            if !job.job.state.is_over() && job.ends <= now {
                let result = self.finish(job);
                end(&mut job.job, result, now);
            }
        }
    }

    /// Returns the kinds and arguments of the jobs so far.
    pub(super) fn history(&self) -> Vec<(JobKind, Vec<String>, State)> {
        let jobs = self.jobs.lock().unwrap();
        let of = |r: &Running| (r.spec.kind, r.spec.arguments.clone(), r.job.state);
        jobs.iter().map(of).collect()
    }

    pub(super) fn running(&self) -> usize {
        let jobs = self.jobs.lock().unwrap();
        jobs.iter().filter(|job| !job.job.state.is_over()).count()
    }

    /// Kills the jobs, at their start or right before their last request. Their objects stay.
    pub(super) fn kill(&self, late: bool) {
        for job in self.jobs.lock().unwrap().drain(..) {
            if let (Some((upload, _)), true) = (&job.made, late)
                && !job.job.state.is_over()
            {
                let _ = commit_only(upload);
            }
        }
    }

    /// Stops the jobs right before their last request.
    pub(super) fn stop_late(&self) {
        for job in self.jobs.lock().unwrap().iter_mut() {
            if let Some((upload, _)) = &job.made {
                job.committed |= commit_only(upload).is_ok();
            }
        }
    }

    fn begin(&self, spec: &JobSpec) -> Result<Option<(Upload, Manifest)>, Error> {
        if self.shared.servers_down.load(Ordering::SeqCst) && spec.kind == JobKind::Backup {
            return Err(error("unreachable", "the server is down"));
        }
        if spec.kind != JobKind::Backup {
            return Ok(None);
        }
        let now = self.shared.time.now();
        let value = |name: &str| {
            let at = spec.arguments.iter().position(|a| a == name)?;
            spec.arguments.get(at + 1).cloned()
        };
        let full = spec.arguments.iter().any(|a| a == "--full");
        let base = match full {
            true => None,
            false => Some(self.tip()?),
        };
        let name = match &base {
            None => BackupName::full(&self.host, now),
            Some(base) => BackupName::incremental(&base.name.base(), &self.host, now),
        };
        let name = name.map_err(|e| error("arguments", &e.to_string()))?;
        let slot = value("--slot");
        let slot = slot.as_deref().and_then(|slot| slot.split_once('/'));
        let run = value("--schedule").map(|schedule| ScheduledRun {
            schedule,
            slot: slot.map(|(slot, _)| time(slot)),
        });
        let upload = self.repository.begin(&name, 2).map_err(failed)?;
        let made = self.put(&upload, base.as_ref(), run, slot.map(|(_, token)| token));
        match made {
            Ok(manifest) => Ok(Some((upload, manifest))),
            Err(error) => {
                let _ = upload.abort();
                Err(failed(error))
            }
        }
    }

    fn put(
        &self,
        upload: &Upload,
        base: Option<&Manifest>,
        run: Option<ScheduledRun>,
        token: Option<&str>,
    ) -> Result<Manifest, StoreError> {
        if let (Some(token), Some(run)) = (token, &run) {
            upload.for_slot(SlotClaim {
                schedule: run.schedule.clone(),
                slot: run.slot.unwrap(),
                token: token.to_owned(),
            })?;
        }
        if let Some(base) = base {
            upload.follow(&base.name, Duration::from_secs(1))?;
        }
        let files = vec![put_file(upload, "a", 1)?];
        let lsn = self.shared.lsn.fetch_add(10, Ordering::SeqCst);
        let now = self.shared.time.now();
        Ok(Manifest {
            scheduled: run,
            started_at: now,
            finished_at: now,
            ..manifest(upload.name(), base, lsn, files)
        })
    }

    /// Returns the newest member of the newest chain.
    fn tip(&self) -> Result<Manifest, Error> {
        let listed = self.repository.list().map_err(failed)?;
        let finished = listed
            .iter()
            .filter(|l| matches!(l.state, ListedState::Finished(_)));
        let summaries: Vec<_> = finished.filter_map(|l| l.summary()).collect();
        let full = summaries
            .iter()
            .filter(|s| s.base.is_none())
            .filter(|s| {
                let own = self.shared.own_bases.load(Ordering::SeqCst);
                !own || s.name.cluster() == Some(self.host.as_str())
            })
            .max_by_key(|s| s.lsn.to_lsn)
            .ok_or_else(|| error("chain_broken", "there is no base"))?;
        let of = |s: &&&crate::manifest::Summary| s.name.base() == full.name;
        let tip = summaries.iter().filter(of).max_by_key(|s| s.lsn.to_lsn);
        self.repository.manifest(&tip.unwrap().name).map_err(failed)
    }

    fn finish(&self, job: &mut Running) -> Result<Option<String>, Error> {
        if self.shared.fails.load(Ordering::SeqCst) {
            return Err(error("system", "it fails"));
        }
        if job.spec.kind == JobKind::Prune {
            return self.prune(&job.spec).map(|()| None);
        }
        let Some((upload, manifest)) = job.made.take() else {
            return Ok(None);
        };
        let result = match job.committed {
            true => finish_committed(&upload, &manifest),
            false => upload.clone().finish(&manifest),
        };
        let finished = match result {
            Ok(()) => Ok(Some(manifest.name.to_string())),
            Err(found) => {
                let _ = upload.abort();
                Err(failed(found))
            }
        };
        // an abort finds that the manifest was stored, if its response was lost
        let down = self.shared.store.down.swap(false, Ordering::SeqCst);
        if self.repository.manifest(&manifest.name).is_ok() {
            self.shared.finished.lock().unwrap().push(Finish {
                name: manifest.name.clone(),
                base: manifest.base.map(|base| base.name),
                run: manifest.scheduled,
            });
        }
        self.shared.store.down.store(down, Ordering::SeqCst);
        finished
    }

    fn prune(&self, spec: &JobSpec) -> Result<(), Error> {
        let [schedule, name, keep_full, keep] = spec.arguments.as_slice() else {
            return Ok(());
        };
        assert_eq!(
            (schedule.as_str(), keep_full.as_str()),
            ("--schedule", "--keep-full")
        );
        let policy = Policy {
            schedule: Some(name.clone()),
            keep_full: keep.parse().ok(),
            ..Policy::default()
        };
        let now = self.shared.time.now();
        prune(
            &self.repository,
            &policy,
            &DeleteOptions::default(),
            now,
            &Silent,
        )
        .map(drop)
        .map_err(failed)
    }
}

fn failed(found: StoreError) -> Error {
    let kind = serde_json::to_value(found.kind()).unwrap();
    error(kind.as_str().unwrap(), &found.to_string())
}

fn error(kind: &str, message: &str) -> Error {
    Error {
        kind: kind.to_owned(),
        message: message.to_owned(),
        hint: None,
    }
}

fn end(job: &mut Job, result: Result<Option<String>, Error>, now: DateTime<Utc>) {
    job.ended_at = Some(now);
    match result {
        Ok(name) => {
            job.state = State::Succeeded;
            job.report = name.map(|name| serde_json::json!({ "name": name }));
        }
        Err(error) => {
            job.state = State::Failed;
            job.error = Some(error);
        }
    }
}

impl Runner for Jobs {
    fn start(&self, spec: JobSpec) -> Result<JobId, Refused> {
        let now = self.shared.time.now();
        let id = JobId(format!(
            "job-{}",
            self.shared.jobs.fetch_add(1, Ordering::SeqCst)
        ));
        let mut job = Job {
            id: id.clone(),
            kind: spec.kind,
            repository: None,
            arguments: spec.arguments.clone(),
            origin: spec.origin.clone(),
            state: State::Running,
            queued_at: now,
            started_at: Some(now),
            ended_at: None,
            progress: None,
            exit_code: None,
            report: None,
            error: None,
        };
        let made = self.begin(&spec).unwrap_or_else(|error| {
            end(&mut job, Err(error), now);
            None
        });
        let seconds = self.shared.seconds.load(Ordering::SeqCst);
        let ends = now + TimeDelta::seconds(i64::try_from(seconds).unwrap());
        self.jobs.lock().unwrap().push(Running {
            job,
            spec,
            ends,
            made,
            committed: false,
        });
        Ok(id)
    }

    fn wait(&self, id: &JobId, _: &Cancel) -> Option<Job> {
        let jobs = self.jobs.lock().unwrap();
        jobs.iter()
            .find(|job| job.job.id == *id)
            .map(|job| job.job.clone())
    }

    fn cancel(&self, id: &JobId) {
        for job in self.jobs.lock().unwrap().iter_mut() {
            if job.job.id == *id && !job.job.state.is_over() {
                job.job.state = State::Cancelled;
                if let Some((upload, _)) = job.made.take() {
                    let _ = upload.abort();
                }
            }
        }
    }
}

impl Access for Jobs {
    fn repository(&self, _: Option<&str>) -> Result<Repository, StoreError> {
        Ok(self.shared.repository())
    }

    fn server(&self) -> Option<ServerStatus> {
        let down = self.shared.servers_down.load(Ordering::SeqCst);
        Some(ServerStatus {
            at: self.shared.time.now(),
            reached: match down {
                true => Err("connection refused".to_owned()),
                false => Ok("9.7.4".to_owned()),
            },
            // the first host is the source, the others lag by their numbers
            replica: match self.host.strip_prefix("db") {
                Some("0") | None => None,
                Some(n) => Some(n.parse().ok()),
            },
        })
    }
}

/// An agent, alive or not.
pub(super) struct Agent {
    pub host: String,
    pub skew: TimeDelta,
    pub jobs: Arc<Jobs>,
    pub scheduler: Option<Scheduler>,
    pub next: DateTime<Utc>,
}

impl Agent {
    pub(super) fn new(host: &str, skew: TimeDelta, shared: &Arc<Shared>) -> Self {
        Self {
            host: host.to_owned(),
            skew,
            jobs: Jobs::new(host, shared),
            scheduler: None,
            next: DateTime::<Utc>::MIN_UTC,
        }
    }

    /// Starts the agent, with nothing in memory.
    pub(super) fn start(&mut self, schedules: &[ScheduleSettings]) {
        let shared = Arc::clone(&self.jobs.shared);
        self.jobs = Jobs::new(&self.host, &shared);
        let clock = HostClock {
            time: shared.time.clone(),
            skew: self.skew,
            jobs: self.jobs.clone(),
        };
        let scheduler = Scheduler::new(
            self.host.clone(),
            schedules.to_vec(),
            self.jobs.clone(),
            self.jobs.clone(),
            Arc::new(clock),
        );
        self.scheduler = Some(scheduler.unwrap());
        self.next = DateTime::<Utc>::MIN_UTC;
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: DateTime<Utc>) {
        if let Some(scheduler) = &self.scheduler
            && self.next <= now
        {
            self.next = scheduler.tick(Mode::Daemon) - self.skew;
        }
    }
}

pub(super) fn settings(name: &str, cron: &str, job: ScheduledJob) -> ScheduleSettings {
    ScheduleSettings {
        name: name.to_owned(),
        cron: cron.to_owned(),
        time_zone: Some("Europe/Berlin".to_owned()),
        job,
        repository: None,
        arguments: Vec::new(),
        keep: None,
        jitter: Duration::ZERO,
        catch_up: CatchUp::Once,
        on_missing_base: OnMissingBase::Error,
        deadline: None,
        window: None,
        retries: 0,
        prefer: Prefer::Any,
    }
}
