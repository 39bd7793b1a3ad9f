//! What watches the server while its files are read, and tells the gate what the controller says.
//!
//! The server is asked over a connection of its own: the one of the backup holds locks and waits for them.
//! Where `performance_schema` is off or may not be read, the block device of the data directory is looked
//! at: how long its writes and flushes take, which are mostly the server's. Its reads are not: they are
//! ours.

use super::gate::Gate;
use crate::pace::{Class, Controller, Counter, Orders, Summary, Window};
use crate::server::{ConnectOptions, Server, ServerError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How often is looked.
const EVERY: Duration = Duration::from_millis(250);
/// The longest between two looks; the time that a look takes is at most a part of it.
const AT_MOST: Duration = Duration::from_secs(2);
const PART: u32 = 50;
/// What tells nothing in this time is quiet.
const ENOUGH: Duration = Duration::from_secs(1);

/// Connections that may be lost, before nothing is watched any more.
const LOSSES: usize = 5;

/// What is watched, and why nothing better.
#[derive(Debug)]
pub(super) struct Watched {
    connect: ConnectOptions,
    datadir: PathBuf,
    source: Source,
    pub fallback: Vec<String>,
}

#[derive(Debug)]
enum Source {
    Server(Box<Server>),
    Device { stat: PathBuf, text: String },
    Nothing,
}

/// The counters, and how many threads run a statement.
type Look = (Vec<Counter>, Option<u64>);

impl Watched {
    /// The best that there is.
    pub(super) fn begin(connect: &ConnectOptions, datadir: &Path) -> Self {
        let server = Server::connect(connect).and_then(|mut server| {
            // What was counted long ago says nothing: these two looks are statements themselves.
            let before = server.activity()?;
            let after = server.activity()?;
            let seen = Window::between(Duration::ZERO, &before, &after, None);
            Ok((server, seen.counters))
        });
        let reason = match server {
            Ok((server, seen)) if is_timed(&seen) => {
                return Self {
                    connect: connect.clone(),
                    datadir: datadir.to_owned(),
                    source: Source::Server(Box::new(server)),
                    fallback: Vec::new(),
                };
            }
            Ok(_) => "the server's performance_schema or its statement instruments are off".into(),
            Err(error) => why(&error),
        };
        let mut watched = Self {
            connect: connect.clone(),
            datadir: datadir.to_owned(),
            source: Source::Nothing,
            fallback: vec![reason],
        };
        watched.turn_to_device();
        watched
    }

    /// Counters of statements that didn't even count our own are no longer kept.
    fn has_moved(&self, before: &[Counter], now: Look) -> Result<Look, String> {
        if matches!(self.source, Source::Server(_)) && now.0 == before {
            return Err(
                "the server no longer counts statements (performance_schema was switched off)"
                    .into(),
            );
        }
        Ok(now)
    }

    /// After a look that failed: the connection may have been killed. `None` when it is of no use.
    fn begin_again(&mut self, reason: String) -> Option<Vec<Counter>> {
        tracing::warn!("--throttle auto lost what it watched: {reason}");
        self.fallback.push(format!("lost: {reason}"));
        if self.fallback.len() > LOSSES {
            return None;
        }
        let again = Self::begin(&self.connect, &self.datadir);
        self.fallback.extend(again.fallback);
        self.source = again.source;
        Some(self.look().ok()?.0)
    }

    fn turn_to_device(&mut self) {
        match device(&self.datadir) {
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

    /// For people.
    pub(super) fn name(&self) -> String {
        match &self.source {
            Source::Server(_) => "statements and InnoDB file waits (performance_schema)".into(),
            Source::Device { text, .. } => text.clone(),
            Source::Nothing => "nothing".into(),
        }
    }

    /// Whether there is anything to watch.
    pub(super) fn can_see(&self) -> bool {
        !matches!(self.source, Source::Nothing)
    }

    pub(super) fn reasons(&self) -> Option<String> {
        (!self.fallback.is_empty()).then(|| self.fallback.join("; "))
    }

    fn look(&mut self) -> Result<Look, String> {
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

/// A statement that ran without taking any time was not timed.
fn is_timed(seen: &[Counter]) -> bool {
    let timed = |c: &Counter| matches!(c.class, Class::Statement(_)) && c.nanos > 0;
    seen.iter().any(timed)
}

fn why(error: &ServerError) -> String {
    match error {
        ServerError::MissingPrivilege { .. } => {
            "the account may not read how long statements take (GRANT SELECT ON \
             performance_schema.events_statements_summary_global_by_event_name and \
             performance_schema.file_summary_by_event_name to it)"
                .into()
        }
        other => other.to_string(),
    }
}

/// The counters of the block device that holds `path`.
fn device(path: &Path) -> Result<PathBuf, String> {
    let meta = path
        .metadata()
        .map_err(|e| format!("{}: {e}", path.display()))?;
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    let stat = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
    match std::fs::read_to_string(&stat) {
        Ok(text) if !requests(&text).is_empty() => Ok(stat),
        Ok(text) => Err(format!("{}: {text:?} has no counters", stat.display())),
        Err(e) => Err(format!(
            "the file system of {} has no block device of its own ({}: {e})",
            path.display(),
            stat.display()
        )),
    }
}

/// The writes and flushes of a block device, after the kernel's Documentation/block/stat.rst: fields 5 and 8
/// are write requests and the milliseconds that they waited, 16 and 17 (Linux 5.5 and later) the same of
/// flushes.
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

/// Dropping the first end makes [`watch`] return.
pub(super) fn end_channel() -> (Sender<()>, Receiver<()>) {
    channel()
}

/// Looks, asks the controller, tells the gate; until the other end of `ended` is dropped.
pub(super) fn watch(
    mut watched: Watched,
    mut controller: Controller,
    gate: &Gate,
    ended: &Receiver<()>,
) -> (Watched, Summary) {
    let began = Instant::now();
    let (mut seen, _) = watched.look().unwrap_or_default();
    let (mut last, mut passed, mut wait) = (began.elapsed(), 0, EVERY);
    while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        let before = began.elapsed();
        let look = watched
            .look()
            .and_then(|look| watched.has_moved(&seen, look));
        let (after, running) = match look {
            Ok(look) => look,
            Err(reason) => {
                // Without any: orders that nobody renews are not followed, and the gate goes on at the
                // lowest rate.
                let Some(again) = watched.begin_again(reason) else {
                    tracing::warn!("--throttle auto: the lowest rate from here on");
                    break;
                };
                (seen, last) = (again, began.elapsed());
                continue;
            }
        };
        let now = began.elapsed();
        wait = ((now - before) * PART).clamp(EVERY, AT_MOST);
        let window = Window::between(now - last, &seen, &after, running);
        // To learn from, any window is good.
        let judging = controller.orders() != Orders::Pause;
        if judging && !window.is_telling() && window.length < ENOUGH {
            continue;
        }
        let read = gate.passed();
        gate.obey(controller.step(now, window, read - passed));
        (seen, last, passed) = (after, now, read);
    }
    (watched, controller.summary())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_counters_are_understood() {
        let line = " 42 1 80 7 1000 5 8000 2500 3 900 2600 0 0 0 0 60 120\n";
        let found = requests(line);
        let wait = |name: &str, count, millis: u64| Counter {
            class: Class::Wait(name.into()),
            count,
            nanos: millis * 1_000_000,
        };
        assert_eq!(found, [wait("write", 1000, 2500), wait("flush", 60, 120)]);
        // before Linux 5.5
        let old: Vec<_> = line.split_whitespace().take(11).collect();
        assert_eq!(requests(&old.join(" ")), [wait("write", 1000, 2500)]);
        assert_eq!(requests("nonsense"), []);
    }

    #[test]
    fn a_server_that_times_nothing_is_not_watched() {
        let counter = |class, nanos| Counter {
            class,
            count: 5,
            nanos,
        };
        assert!(!is_timed(&[]));
        assert!(!is_timed(&[counter(Class::Statement("select".into()), 0)]));
        assert!(!is_timed(&[counter(Class::Wait("log".into()), 7)]));
        assert!(is_timed(&[counter(Class::Statement("select".into()), 7)]));
    }

    #[test]
    fn a_watcher_that_sees_nothing_any_more_ends_in_the_floor() {
        let watched = Watched {
            connect: ConnectOptions::for_socket("/nonexistent/socket", "nobody"),
            datadir: "/nonexistent".into(),
            source: Source::Device {
                stat: "/nonexistent/stat".into(),
                text: "a disk that is gone".into(),
            },
            fallback: Vec::new(),
        };
        let settings = crate::pace::Settings {
            floor: crate::pace::Settings::FLOOR,
            tolerance: 0.1,
            readers: 1,
        };
        let gate = Gate::ordered(settings.floor);
        let (_open, ended) = end_channel();
        let (watched, _) = watch(
            watched,
            Controller::new(settings, Duration::ZERO),
            &gate,
            &ended,
        );
        assert!(watched.reasons().unwrap().contains("/nonexistent/stat"));
        // nobody renews the orders from here on, and the gate opens by itself
        drop(gate.enter(1, &|| false).unwrap());
    }
}
