//! Watches the load of the server while its files are read, and sets the rate of the limiter to the
//! output of the controller.
//!
//! The server is queried over a separate connection: the connection of the backup holds locks and
//! waits for them. If `performance_schema` is off or can't be read, the block device of the data
//! directory is watched: the latency of its writes and flushes, which are mostly the server's. Its
//! reads are not watched, because they are mostly those of the backup. If the backup itself is
//! written to that device, nothing is watched.

use super::read_limiter::ReadLimiter;
use crate::pace::{Class, Controller, Counter, ReadRate, Summary, Window};
use crate::server::{ConnectOptions, Server, ServerError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

/// Interval between two samples.
const INTERVAL: Duration = Duration::from_millis(250);
/// The longest interval between two samples.
const MAX_INTERVAL: Duration = Duration::from_secs(2);
/// The time of a sample is at most this part of the interval.
const SAMPLE_SHARE: u32 = 50;
/// A window of this length without activity counts as quiet.
const MIN_QUIET: Duration = Duration::from_secs(1);
/// Time limit for an answer of the server. A slower server gives no usable sample, and the end of
/// the backup would have to wait for it.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Maximum number of lost connections; after that, nothing is watched any more.
const LOSSES: usize = 5;

/// The watched load, and the reasons why no better measure is used.
#[derive(Debug)]
pub(super) struct Watched {
    connect: ConnectOptions,
    datadir: PathBuf,
    /// Directories that the backup is written to.
    written: Vec<PathBuf>,
    source: Source,
    pub fallback: Vec<String>,
}

#[derive(Debug)]
enum Source {
    Server(Box<Server>),
    Device { stat: PathBuf, text: String },
    Nothing,
}

/// The counters, and the number of threads that run a statement.
type Sample = (Vec<Counter>, Option<u64>);

impl Watched {
    /// Chooses the best available measure, for a backup that is written to these directories.
    pub(super) fn begin(connect: ConnectOptions, datadir: PathBuf, written: Vec<PathBuf>) -> Self {
        let mut watched = Self {
            connect,
            datadir,
            written,
            source: Source::Nothing,
            fallback: Vec::new(),
        };
        watched.choose();
        watched
    }

    fn choose(&mut self) {
        let server = Server::connect_with_limit(&self.connect, ANSWER_LIMIT);
        let server = server.and_then(|mut server| {
            // Older counts prove nothing: these two samples are statements themselves.
            let before = server.activity()?;
            let after = server.activity()?;
            let seen = Window::between(Duration::ZERO, &before, &after, None);
            Ok((server, seen.counters))
        });
        let reason = match server {
            Ok((server, seen)) if is_timed(&seen) => {
                self.source = Source::Server(Box::new(server));
                return;
            }
            Ok(_) => "the server's performance_schema or its statement instruments are off".into(),
            Err(error) => why(&error),
        };
        self.fallback.push(reason);
        self.use_device();
    }

    /// Returns an error if the counters of the server no longer count: they should at least count
    /// the statements of this connection.
    fn check_counting(&self, before: &[Counter], now: Sample) -> Result<Sample, String> {
        if matches!(self.source, Source::Server(_)) && now.0 == before {
            return Err(
                "the server no longer counts statements (performance_schema was switched off)"
                    .into(),
            );
        }
        Ok(now)
    }

    /// Starts again after a failed sample: the connection may have been killed. `None` after too
    /// many losses.
    fn restart(&mut self, reason: String) -> Option<Vec<Counter>> {
        tracing::warn!("BackupOptions::throttle auto lost the watched load: {reason}");
        self.fallback.push(format!("lost: {reason}"));
        if self.fallback.len() > LOSSES {
            return None;
        }
        self.choose();
        Some(self.sample().ok()?.0)
    }

    fn use_device(&mut self) {
        match device(&self.datadir, &self.written) {
            Ok(stat) => {
                let text = format!("writes of the block device ({})", stat.display());
                self.source = Source::Device { stat, text };
            }
            Err(reason) => {
                self.source = Source::Nothing;
                self.fallback.push(reason);
            }
        }
    }

    /// Returns the name of the measure for messages.
    pub(super) fn name(&self) -> String {
        match &self.source {
            Source::Server(_) => "statements and InnoDB file waits (performance_schema)".into(),
            Source::Device { text, .. } => text.clone(),
            Source::Nothing => "nothing".into(),
        }
    }

    /// Returns whether there is anything to watch.
    pub(super) fn is_available(&self) -> bool {
        !matches!(self.source, Source::Nothing)
    }

    pub(super) fn reasons(&self) -> Option<String> {
        (!self.fallback.is_empty()).then(|| self.fallback.join("; "))
    }

    fn sample(&mut self) -> Result<Sample, String> {
        match &mut self.source {
            Source::Server(server) => {
                let seen = server.activity().map_err(|e| why(&e))?;
                let running = server.threads_running().map_err(|e| why(&e))?;
                Ok((seen, Some(running)))
            }
            Source::Device { stat, .. } => {
                let text = std::fs::read_to_string(&*stat);
                let text = text.map_err(|e| format!("{}: {e}", stat.display()))?;
                Ok((requests(&text), None))
            }
            Source::Nothing => Err("there is nothing to watch".into()),
        }
    }
}

/// Returns whether statements are timed: one that ran in zero time was not.
fn is_timed(seen: &[Counter]) -> bool {
    let timed = |c: &Counter| matches!(c.class, Class::Statement(_)) && c.nanos > 0;
    seen.iter().any(timed)
}

fn why(error: &ServerError) -> String {
    match error {
        ServerError::MissingPrivilege { .. } => {
            "the account lacks the privilege to read the latency of statements (GRANT SELECT ON \
             performance_schema.events_statements_summary_global_by_event_name and \
             performance_schema.file_summary_by_event_name to it)"
                .into()
        }
        other => other.to_string(),
    }
}

/// Returns the counters of the block device of `datadir`, unless a directory in `written` is on it:
/// the backup's own writes would look like a slower server.
fn device(datadir: &Path, written: &[PathBuf]) -> Result<PathBuf, String> {
    let meta = datadir
        .metadata()
        .map_err(|e| format!("{}: {e}", datadir.display()))?;
    let is_same = |dir: &&PathBuf| dir.metadata().is_ok_and(|m| m.dev() == meta.dev());
    if let Some(dir) = written.iter().find(is_same) {
        return Err(format!(
            "the backup itself writes to the device of {} (in {})",
            datadir.display(),
            dir.display()
        ));
    }
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    let stat = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
    match std::fs::read_to_string(&stat) {
        Ok(text) if !requests(&text).is_empty() => Ok(stat),
        Ok(text) => Err(format!("{}: {text:?} has no counters", stat.display())),
        Err(e) => Err(format!(
            "the file system of {} has no block device of its own ({}: {e})",
            datadir.display(),
            stat.display()
        )),
    }
}

/// Parses the writes and flushes of a block device, by the kernel's Documentation/block/stat.rst:
/// fields 5 and 8 are write requests and their wait time in milliseconds, 16 and 17 (Linux 5.5 and
/// later) the same of flushes.
fn requests(stat: &str) -> Vec<Counter> {
    let fields: Vec<u64> = stat
        .split_whitespace()
        .map_while(|f| f.parse().ok())
        .collect();
    let of = |name: &str, count: usize, millis: usize| {
        Some(Counter {
            class: Class::Wait(name.into()),
            count: *fields.get(count)?,
            nanos: fields.get(millis)?.saturating_mul(1_000_000),
        })
    };
    let all = [of("write", 4, 7), of("flush", 15, 16)];
    all.into_iter().flatten().collect()
}

/// Returns the time until the next sample, after one that took `took`. During a pause samples are
/// always frequent, because a pause is short.
fn until_next_sample(rate: ReadRate, took: Duration) -> Duration {
    match rate {
        ReadRate::Pause => INTERVAL,
        ReadRate::Read { .. } => (took * SAMPLE_SHARE).clamp(INTERVAL, MAX_INTERVAL),
    }
}

/// Creates the channel that ends [`watch`]: it returns when the sender is dropped.
pub(super) fn end_channel() -> (Sender<()>, Receiver<()>) {
    channel()
}

/// Samples the load, runs the controller and sets the rate of the limiter, until the other end of
/// `ended` is dropped.
pub(super) fn watch(
    mut watched: Watched,
    mut controller: Controller,
    limiter: &ReadLimiter,
    ended: &Receiver<()>,
) -> (Watched, Summary) {
    let began = Instant::now();
    let (mut seen, _) = watched.sample().unwrap_or_default();
    let (mut last, mut passed, mut wait) = (began.elapsed(), 0, INTERVAL);
    while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        let before = began.elapsed();
        let sample = watched
            .sample()
            .and_then(|sample| watched.check_counting(&seen, sample));
        let (after, running) = match sample {
            Ok(sample) => sample,
            Err(reason) => {
                // The end of the backup must not wait for another connection.
                if ended.try_recv() == Err(TryRecvError::Disconnected) {
                    break;
                }
                // Without a measure the rate is no longer renewed, and the limiter falls to the
                // lowest rate.
                let Some(again) = watched.restart(reason) else {
                    tracing::warn!(
                        "BackupOptions::throttle auto: reading continues at the lowest rate"
                    );
                    break;
                };
                (seen, last) = (again, began.elapsed());
                continue;
            }
        };
        let now = began.elapsed();
        let took = now - before;
        wait = until_next_sample(controller.rate(), took);
        let window = Window::between(now - last, &seen, &after, running);
        // During a pause any window is usable.
        let judging = controller.rate() != ReadRate::Pause;
        if judging && !window.is_telling() && window.length < MIN_QUIET {
            continue;
        }
        let read = limiter.passed();
        let rate = controller.step(now, window, read - passed);
        limiter.set_rate(rate);
        wait = until_next_sample(rate, took);
        (seen, last, passed) = (after, now, read);
    }
    (watched, controller.summary())
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
