//! The thread that begins, reads and ends the processes of all jobs.
//!
//! It is one thread for the life of the agent, because the signal that ends a process with its parent
//! (`PR_SET_PDEATHSIG`) is sent when the *thread* ends that began the process. It waits for pipes, ends of processes and
//! requests at once, so an agent without jobs wakes up for requests only.

use super::super::settings::Program;
use super::job::{Error, Event, Job, JobId, State};
use super::process::Process;
use super::table::{End, Table, Why};
use crate::locked::Locked;
use chrono::Utc;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

/// The shortest time between two events of progress of one job.
const BETWEEN_EVENTS: Duration = Duration::from_millis(200);

/// What the thread and the other threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) table: Mutex<Table>,
    /// Notified when a job ends, and for each answer of [`Self::answered`].
    pub(super) changed: Condvar,
    pub(super) events: broadcast::Sender<Event>,
    /// Requests to show that the thread lives, and its answers.
    pub(super) asked: AtomicU64,
    pub(super) answered: AtomicU64,
    /// The thread ends: all processes are killed.
    pub(super) is_ending: AtomicBool,
    /// Called after the end of each job.
    pub(super) on_end: OnceLock<OnEnd>,
    wake: OwnedFd,
}

/// Is called with a job that ended. It must not block.
pub(super) struct OnEnd(pub(super) Box<dyn Fn(&Job) + Send + Sync>);

impl std::fmt::Debug for OnEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnEnd")
    }
}

impl Shared {
    pub(super) fn new(table: Table) -> io::Result<Self> {
        // An event is at most some KiB, so those that a slow reader misses don't fill the memory.
        let (events, _) = broadcast::channel(128);
        Ok(Self {
            table: Mutex::new(table),
            changed: Condvar::new(),
            events,
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            is_ending: AtomicBool::new(false),
            on_end: OnceLock::new(),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Wakes the thread.
    pub(super) fn wake(&self) {
        // It can't fail: the counter has room for 2^64 calls.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Sends an event to the subscribers, if there are any.
    pub(super) fn send(&self, job: Job) {
        let _no_subscriber = self.events.send(Event {
            at: Utc::now(),
            job,
        });
    }
}

/// The state of the thread.
pub(super) struct Supervisor<'a> {
    shared: &'a Shared,
    program: Program,
    processes: BTreeMap<JobId, Supervised>,
    buffer: Vec<u8>,
}

struct Supervised {
    process: Process,
    last_event: Instant,
}

impl<'a> Supervisor<'a> {
    pub(super) const fn new(shared: &'a Shared, program: Program) -> Self {
        Self {
            shared,
            program,
            processes: BTreeMap::new(),
            buffer: Vec::new(),
        }
    }

    /// Works until the agent ends.
    pub(super) fn run(mut self) {
        while !self.shared.is_ending.load(Ordering::Acquire) {
            self.answer();
            self.cancel_processes();
            self.look();
            self.begin_jobs();
            self.wait();
        }
        for supervised in self.processes.values_mut() {
            supervised.process.kill();
            supervised.process.reap();
        }
        self.answer();
    }

    fn answer(&self) {
        let asked = self.shared.asked.load(Ordering::Acquire);
        if self.shared.answered.swap(asked, Ordering::AcqRel) != asked {
            let _table = self.shared.table.locked();
            self.shared.changed.notify_all();
        }
    }

    fn begin_jobs(&mut self) {
        loop {
            let mut table = self.shared.table.locked();
            let tidy = table.limits.tidy;
            let Some(begun) = table.begin_next(Utc::now()) else {
                return;
            };
            drop(table);
            let id = begun.job.id.clone();
            match Process::begin(&self.program, &begun, tidy) {
                Ok(process) => {
                    tracing::info!(job = %id.0, "{} began", begun.job.kind.command());
                    self.shared.send(begun.job);
                    let last_event = Instant::now();
                    let supervised = Supervised {
                        process,
                        last_event,
                    };
                    self.processes.insert(id, supervised);
                }
                Err(error) => self.over(&id, |_| not_begun(&error)),
            }
        }
    }

    fn cancel_processes(&mut self) {
        let table = self.shared.table.locked();
        for (id, supervised) in &mut self.processes {
            let entry = table.get(id);
            if entry.is_none_or(|entry| entry.job.state == State::Cancelling) {
                supervised.process.cancel();
            }
        }
    }

    fn look(&mut self) {
        let mut ended = Vec::new();
        for (id, supervised) in &mut self.processes {
            let look = supervised.process.look(&mut self.buffer);
            if look.is_late && look.status.is_none() {
                let cancelled = self
                    .shared
                    .table
                    .locked()
                    .cancel(id, Why::Deadline, Utc::now());
                cancelled.into_iter().for_each(|job| self.shared.send(job));
                supervised.process.cancel();
            }
            if let Some(progress) = look.progress {
                let job = self.shared.table.locked().advance(id, progress);
                if supervised.last_event.elapsed() >= BETWEEN_EVENTS {
                    supervised.last_event = Instant::now();
                    job.into_iter().for_each(|job| self.shared.send(job));
                }
            }
            ended.extend(look.status.map(|status| (id.clone(), status)));
        }
        for (id, status) in ended {
            if let Some(mut supervised) = self.processes.remove(&id) {
                self.over(&id, |why| supervised.process.end(status, why));
            }
        }
    }

    /// Records the end of a job.
    fn over(&self, id: &JobId, how: impl FnOnce(Option<Why>) -> End) {
        let mut table = self.shared.table.locked();
        let job = table.end(id, Utc::now(), how);
        let logs = table.forget();
        self.shared.changed.notify_all();
        drop(table);
        for log in logs {
            // A log that can't be removed now is removed by the next agent.
            let _ = std::fs::remove_file(log);
        }
        if let Some(job) = job {
            log_end(&job);
            if let Some(on_end) = self.shared.on_end.get() {
                (on_end.0)(&job);
            }
            self.shared.send(job);
        }
    }

    fn wait(&self) {
        let descriptors = self
            .processes
            .values()
            .flat_map(|it| it.process.descriptors());
        let mut waited: Vec<PollFd<'_>> = descriptors
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        waited.push(PollFd::new(&self.shared.wake, PollFlags::IN));
        let at_most = self
            .processes
            .values()
            .filter_map(|it| it.process.at_most())
            .min();
        let at_most = at_most.and_then(|time| Timespec::try_from(time).ok());
        if poll(&mut waited, at_most.as_ref()).is_err() {
            // Interrupted, or out of memory: it must not turn without end.
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = rustix::io::read(&self.shared.wake, &mut [0; 8]);
    }
}

fn not_begun(error: &io::Error) -> End {
    End {
        state: State::Failed,
        exit_code: None,
        report: None,
        report_bytes: 0,
        error: Some(Error {
            kind: "system".to_owned(),
            message: format!("the process of the job could not be started: {error}"),
            hint: None,
        }),
    }
}

fn log_end(job: &Job) {
    let (id, command) = (&job.id.0, job.kind.command());
    let began = job.started_at.unwrap_or(job.queued_at);
    let time = job.ended_at.unwrap_or(began) - began;
    let time = format!("{:.1} s", time.as_seconds_f64());
    match (&job.error, job.state) {
        (None, _) => tracing::info!(job = %id, "{command} succeeded after {time}"),
        (Some(error), State::Cancelled) => {
            tracing::warn!(job = %id, "{command} was cancelled after {time}: {}", error.message);
        }
        (Some(error), _) => {
            tracing::error!(job = %id, "{command} failed after {time}: {}", error.message);
        }
    }
}
