//! The jobs of an agent: begun, listed, cancelled, with their logs.
//!
//! A job is a child process. It ends with the agent (`PR_SET_PDEATHSIG`): a job that goes on without one can't be
//! cancelled or seen. Jobs that change chains of one repository run one after the other; others at the same time, up to
//! the limit.
//!
//! | module | contents |
//! |---|---|
//! | [`job`] | what is asked for, and what is known of a job |
//! | [`table`] | all jobs, and which of them may begin |
//! | [`supervisor`] | the thread that begins, reads and ends processes |
//! | [`process`] | one process |
//! | [`output`] | its document and its lines |
//! | [`log_file`] | its log |

mod job;
mod log_file;
mod output;
mod process;
mod supervisor;
mod table;

pub(crate) use job::{
    Error, Event, Job, JobId, JobKind, JobSpec, Origin, Progress, Refused, State,
};
pub(crate) use table::Limits;

use super::settings::{Places, Program};
use crate::cancel::Cancel;
use crate::locked::{Locked, Waited as _};
use chrono::Utc;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use supervisor::{Shared, Supervisor};
use table::{Table, Why};

/// The environment variable with the id of a job, in its process.
pub(crate) const JOB_VARIABLE: &str = "LSNAP_JOB_ID";

/// A wait that ends by a cancellation only.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// The jobs of an agent. Clones share them. When the last one is dropped, the processes that still run are killed.
#[derive(Debug, Clone)]
pub(crate) struct Jobs(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    places: Mutex<Places>,
    logs: PathBuf,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Jobs {
    /// Starts the thread of the processes. Logs are written below `state_dir`.
    ///
    /// # Errors
    /// The directory can't be created, or the system has no thread or descriptor left.
    pub(crate) fn begin(
        program: Program,
        state_dir: &Path,
        places: Places,
        limits: Limits,
    ) -> io::Result<Self> {
        let logs = state_dir.join("jobs");
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&logs)?;
        remove_old_logs(&logs, limits.history)?;
        let shared = Arc::new(Shared::new(Table::new(limits))?);
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("jobs".to_owned());
        let thread = thread.spawn(move || Supervisor::new(&of_thread, program).run())?;
        Ok(Self(Arc::new(Handle {
            shared,
            places: Mutex::new(places),
            logs,
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// Takes a job, which begins as soon as it may.
    pub(crate) fn start(&self, spec: JobSpec) -> Result<JobId, Refused> {
        let changes = changes(&spec, &self.0.places.locked());
        let log = |id: &JobId| self.0.logs.join(format!("{}.log", id.0));
        let mut table = self.0.shared.table.locked();
        let id = table.push(spec, changes, Utc::now(), log)?;
        let job = table.get(&id).map(table::Entry::without_report);
        drop(table);
        job.into_iter().for_each(|job| self.0.shared.send(job));
        self.0.shared.wake();
        Ok(id)
    }

    /// Returns all jobs that are known, newest first, without their reports.
    pub(crate) fn list(&self) -> Vec<Job> {
        self.0.shared.table.locked().list()
    }

    /// Returns a job with its report.
    pub(crate) fn get(&self, id: &JobId) -> Option<Job> {
        let table = self.0.shared.table.locked();
        table.get(id).map(|entry| entry.job.clone())
    }

    /// Cancels a job; one that is over stays as it is. Returns `None` if there is no such job.
    pub(crate) fn cancel(&self, id: &JobId) -> Option<Job> {
        let mut table = self.0.shared.table.locked();
        let was_over = table.get(id)?.job.state.is_over();
        let job = table.cancel(id, Why::Asked, Utc::now())?;
        drop(table);
        if !was_over {
            self.0.shared.send(job.clone());
            self.0.shared.wake();
        }
        Some(job)
    }

    /// Returns the file with the log of a job. It exists once the process began.
    pub(crate) fn log(&self, id: &JobId) -> Option<PathBuf> {
        let table = self.0.shared.table.locked();
        table.get(id).map(|entry| entry.log.clone())
    }

    /// Returns a receiver of all events from now on.
    pub(crate) fn subscribe(&self) -> tokio::sync::broadcast::Receiver<Event> {
        self.0.shared.events.subscribe()
    }

    /// Waits until a job is over, or `cancel` is cancelled; returns it as it is then.
    pub(crate) fn wait(&self, id: &JobId, cancel: &Cancel) -> Option<Job> {
        let over = self.0.shared.table.locked().get(id)?.over.clone();
        let either = over.child();
        either.follow(cancel);
        while !either.wait(LONG) {}
        self.get(id)
    }

    /// Sets the function that is called after the end of each job, once. It must not block.
    pub(crate) fn on_end(&self, call: Box<dyn Fn(&Job) + Send + Sync>) {
        let _set_before = self.0.shared.on_end.set(supervisor::OnEnd(call));
    }

    /// Ends the grace of [`Self::shut_down`].
    pub(crate) fn hurry(&self) {
        self.0.shared.table.locked().is_hurried = true;
        self.0.shared.changed.notify_all();
    }

    /// Changes the limit and the repositories after a reload. Jobs that wait or run keep theirs.
    pub(crate) fn reload(&self, places: Places, running: usize) {
        *self.0.places.locked() = places;
        self.0.shared.table.locked().limits.running = running;
        self.0.shared.wake();
    }

    /// Returns whether no more jobs are taken.
    pub(crate) fn is_shutting_down(&self) -> bool {
        self.0.shared.table.locked().is_closed
    }

    /// Returns whether the thread of the processes works: it must answer within `time`.
    pub(crate) fn answers(&self, time: Duration) -> bool {
        let shared = &self.0.shared;
        let wanted = shared.asked.fetch_add(1, Ordering::AcqRel) + 1;
        shared.wake();
        self.wait_until(Instant::now() + time, |_| {
            shared.answered.load(Ordering::Acquire) >= wanted
        })
    }

    /// Takes no more jobs, cancels those that wait, gives those that run `grace` to end, then cancels them and waits
    /// until they tidied up or were killed.
    pub(crate) fn shut_down(&self, grace: Duration) {
        let shared = &self.0.shared;
        let mut table = shared.table.locked();
        table.is_closed = true;
        let cancelled = table.cancel_waiting(Why::ShuttingDown, Utc::now());
        let tidy = table.limits.tidy;
        drop(table);
        cancelled.into_iter().for_each(|job| shared.send(job));
        self.wait_until(Instant::now() + grace, |table| {
            table.is_idle() || table.is_hurried
        });
        if !shared.table.locked().is_idle() {
            let mut table = shared.table.locked();
            let running = table.running_ids();
            let cancelled = running
                .iter()
                .map(|id| table.cancel(id, Why::ShuttingDown, Utc::now()));
            let cancelled: Vec<Job> = cancelled.flatten().collect();
            drop(table);
            cancelled.into_iter().for_each(|job| shared.send(job));
            shared.wake();
            /// A killed process ends within this time, unless the kernel can't end it.
            const KILLED: Duration = Duration::from_secs(5);
            let _idle = self.wait_until(Instant::now() + tidy + KILLED, Table::is_idle);
        }
        self.0.end();
    }

    /// Waits until the table is as wanted, at most until `end`; returns whether it is.
    fn wait_until(&self, end: Instant, is_wanted: impl Fn(&Table) -> bool) -> bool {
        let mut table = self.0.shared.table.locked();
        loop {
            if is_wanted(&table) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            table = self.0.shared.changed.waited_for(table, left);
        }
    }
}

impl Handle {
    /// Ends the thread and the processes that still run.
    fn end(&self) {
        self.shared.is_ending.store(true, Ordering::Release);
        self.shared.wake();
        if let Some(thread) = self.thread.locked().take() {
            let _panicked = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns the repositories whose chains a job changes.
fn changes(spec: &JobSpec, places: &Places) -> Vec<String> {
    if !spec.kind.changes_chains() {
        return Vec::new();
    }
    let mut changes = vec![places.url(spec.repository.as_deref())];
    if spec.kind == JobKind::Copy {
        let arguments = &spec.arguments;
        let joined = arguments.iter().find_map(|it| it.strip_prefix("--into="));
        let apart = arguments.windows(2).find(|pair| pair[0] == "--into");
        let into = joined.or(apart.map(|pair| pair[1].as_str()));
        let into = into.or(places.into.as_deref());
        changes.extend(into.map(|into| places.url(Some(into))));
    }
    changes
}

/// Removes the logs of earlier agents, but for the newest. Their names are those of ids, so they sort by time.
fn remove_old_logs(dir: &Path, kept: usize) -> io::Result<()> {
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if is_log(&path) {
            logs.push(path);
        }
    }
    logs.sort_unstable();
    let too_many = logs.len().saturating_sub(kept);
    logs.iter()
        .take(too_many)
        .try_for_each(std::fs::remove_file)
}

/// Returns whether a file has the name of a log: `20261201T040500Z-1f0a9c.log`, or `.new` while it is shortened.
fn is_log(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let id = name
        .strip_suffix(".log")
        .or_else(|| name.strip_suffix(".new"));
    let Some((time, random)) = id.and_then(|id| id.split_once('-')) else {
        return false;
    };
    let is_digit = |at: usize, byte: u8| match at {
        8 => byte == b'T',
        15 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    time.len() == 16
        && time
            .bytes()
            .enumerate()
            .all(|(at, byte)| is_digit(at, byte))
        && random.len() == 6
        && random.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
#[path = "soak_tests.rs"]
mod soak;
#[cfg(test)]
mod tests;
