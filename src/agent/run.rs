//! The life of an agent: its parts are started, watched, and ended in order.

use super::board::Board;
use super::error::AgentError;
use super::http;
use super::jobs::{Jobs, Limits, State};
use super::loaded::{Current, Loaded};
use super::parts::{Connected, SteppedClock, World};
use super::schedule::{Done, Scheduler};
use super::service::{self, Message};
use super::settings::Settings;
use super::sidecar;
use crate::cancel::Cancel;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// The time in which the thread of the jobs must answer.
const ANSWER: Duration = Duration::from_secs(10);
/// The scheduler makes a step at least this often, also while a repository doesn't answer.
const STEP: Duration = Duration::from_secs(300);
/// The time for the parts to end after the jobs: the scheduler records how its slots ended.
const PARTS: Duration = Duration::from_secs(20);

/// Loads the configuration anew.
pub(crate) type Load<'a> = dyn Fn() -> Result<Loaded, String> + 'a;

/// The parts of a running agent.
struct Agent {
    connected: Arc<Connected>,
    messages: Receiver<Message>,
    sender: Sender<Message>,
    /// Ends the scheduler: no slot is begun.
    no_slots: Cancel,
    /// Ends the other parts.
    ended: Cancel,
    /// The number of parts that run.
    parts: usize,
    /// Held for the life of the agent.
    _lock: File,
}

/// Runs the agent until a signal ends it.
///
/// # Errors
/// It can't be started, or a part ended by itself.
pub(crate) fn run(loaded: Loaded, load: &Load<'_>) -> Result<(), AgentError> {
    let settings = Arc::clone(&loaded.settings);
    let mut agent = Agent::begin(loaded)?;
    let listening = match &settings.http {
        Some(http) => Some(http::Server::bind(http)?),
        None => None,
    };
    if let Some(sidecar) = &settings.sidecar {
        // Its thread would only find this out after the agent is ready.
        TcpListener::bind(&sidecar.listen).map_err(|source| AgentError::Sidecar {
            listen: sidecar.listen.clone(),
            source,
        })?;
    }
    let at = listening.as_ref().map(|server| server.at().to_owned());
    agent.start_parts(listening, &settings)?;
    let at = at.map_or_else(String::new, |at| format!(", listening on {at}"));
    tracing::info!("the agent {} is ready{at}", settings.name);
    service::ready(&agent.status_line());
    let failed = agent.watch(load);
    agent.end();
    failed.map_or(Ok(()), Err)
}

/// Runs what is due, waits for it, and returns how it ended.
///
/// # Errors
/// The agent can't be started.
pub(crate) fn run_once(loaded: Loaded) -> Result<Done, AgentError> {
    let grace = loaded.settings.shutdown_grace;
    let agent = Agent::begin(loaded)?;
    let (scheduler, no_slots) = (
        Arc::clone(&agent.connected.scheduler),
        agent.no_slots.clone(),
    );
    // The scheduler looks at the server before it decides.
    agent.connected.board.look_now();
    let sender = agent.sender.clone();
    let running = std::thread::Builder::new().name("schedules".to_owned());
    let running = running.spawn(move || {
        let outcomes = scheduler.run_due(&no_slots);
        let _gone = sender.send(Message::Ended("scheduler", Ok(())));
        outcomes
    })?;
    loop {
        match agent.messages.recv() {
            Ok(Message::End) => {
                agent.no_slots.cancel();
                let jobs = agent.connected.jobs.clone();
                std::thread::spawn(move || jobs.shut_down(grace));
            }
            Ok(Message::Reload) => {}
            Ok(Message::Ended(..)) | Err(_) => break,
        }
    }
    let outcomes = running.join();
    agent.connected.jobs.shut_down(Duration::ZERO);
    outcomes.map_err(|_| AgentError::Part {
        part: "scheduler",
        why: "its thread panicked".to_owned(),
    })
}

impl Agent {
    fn begin(loaded: Loaded) -> Result<Self, AgentError> {
        let settings = Arc::clone(&loaded.settings);
        let lock = locked(&settings.state_dir)?;
        let (sender, messages) = mpsc::channel();
        service::watch(sender.clone())?;
        let current = Current::new(loaded);
        let limits = Limits {
            running: settings.max_jobs.get(),
            ..Limits::default()
        };
        let (program, places) = (settings.program.clone(), settings.places.clone());
        let jobs = Jobs::begin(program, &settings.state_dir, places, limits)?;
        let board = Board::new(current.clone());
        let of_jobs = board.clone();
        jobs.on_end(Box::new(move |job| {
            if job.kind.changes_chains() {
                of_jobs.refresh_soon();
            }
        }));
        let clock = Arc::new(SteppedClock::default());
        let world = World {
            current: current.clone(),
            board: board.clone(),
        };
        let scheduler = Scheduler::new(
            settings.name.clone(),
            settings.schedules.clone(),
            Arc::new(jobs.clone()),
            Arc::new(world),
            clock.clone(),
        )?;
        Ok(Self {
            connected: Arc::new(Connected {
                jobs,
                scheduler: Arc::new(scheduler),
                board,
                current,
                clock,
            }),
            messages,
            sender,
            no_slots: Cancel::new(),
            ended: Cancel::new(),
            parts: 0,
            _lock: lock,
        })
    }

    /// Starts a part on a thread of its own.
    fn start(
        &mut self,
        part: &'static str,
        run: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> io::Result<()> {
        /// Sends the end of the part, also if it panics.
        struct Ended(Sender<Message>, &'static str, Option<Result<(), String>>);
        impl Drop for Ended {
            fn drop(&mut self) {
                let panicked = || Err("its thread panicked".to_owned());
                let result = self.2.take().unwrap_or_else(panicked);
                let _gone = self.0.send(Message::Ended(self.1, result));
            }
        }
        let sender = self.sender.clone();
        let thread = std::thread::Builder::new().name(part.to_owned());
        thread.spawn(move || {
            let mut ended = Ended(sender, part, None);
            ended.2 = Some(run());
        })?;
        self.parts += 1;
        Ok(())
    }

    fn start_parts(
        &mut self,
        listening: Option<http::Server>,
        settings: &Settings,
    ) -> io::Result<()> {
        let (scheduler, cancel) = (Arc::clone(&self.connected.scheduler), self.no_slots.clone());
        self.start("scheduler", move || {
            scheduler.run(&cancel);
            Ok(())
        })?;
        let (board, cancel) = (self.connected.board.clone(), self.ended.clone());
        self.start("board", move || {
            board.run(&cancel);
            Ok(())
        })?;
        if let Some(server) = listening {
            let (api, cancel) = (Arc::clone(&self.connected), self.ended.clone());
            self.start("API", move || {
                server.run(api, &cancel).map_err(|error| error.to_string())
            })?;
        }
        if let Some(sidecar) = settings.sidecar.clone() {
            let (program, cancel) = (settings.program.clone(), self.ended.clone());
            self.start("sidecar", move || {
                sidecar::serve(sidecar, program, &cancel).map_err(|error| error.to_string())
            })?;
        }
        Ok(())
    }

    /// Waits for signals, and feeds the watchdog, until the agent is to end. Returns why, unless by a signal.
    fn watch(&mut self, load: &Load<'_>) -> Option<AgentError> {
        let mut line = String::new();
        let watchdog = service::watchdog();
        // Half of the time of the watchdog, as `sd_watchdog_enabled(3)` recommends.
        let tick = watchdog.map_or(Duration::from_secs(60), |time| time / 2);
        loop {
            match self.messages.recv_timeout(tick) {
                Ok(Message::Reload) => self.reload(load),
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return None,
                Ok(Message::Ended(part, result)) => {
                    self.parts -= 1;
                    let why = result.err().unwrap_or_else(|| "too early".to_owned());
                    return Some(AgentError::Part { part, why });
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if watchdog.is_some() && self.is_alive() {
                service::alive();
            }
            let now = self.status_line();
            if now != line {
                service::status(&now);
                line = now;
            }
        }
    }

    /// Returns whether the parts that could hang move: the thread of the jobs, and the scheduler.
    fn is_alive(&self) -> bool {
        let stands = self.connected.clock.since_last_step();
        if stands > STEP {
            let seconds = stands.as_secs();
            tracing::error!("the scheduler made no step for {seconds} s; the watchdog is not fed");
            return false;
        }
        if !self.connected.jobs.answers(ANSWER) {
            tracing::error!("the thread of the jobs doesn't answer; the watchdog is not fed");
            return false;
        }
        true
    }

    /// Loads the configuration. A wrong one is refused, and the one before stays. Jobs that run keep theirs.
    fn reload(&self, load: &Load<'_>) {
        service::reloading();
        match load() {
            Ok(loaded) => self.apply(loaded),
            Err(error) => {
                tracing::error!("the configuration was not loaded, the one before stays: {error}");
            }
        }
        service::ready(&self.status_line());
    }

    fn apply(&self, mut loaded: Loaded) {
        let before = self.connected.current.get().settings;
        let mut settings = Settings::clone(&loaded.settings);
        let kept = fixed(&before, &mut settings);
        if !kept.is_empty() {
            let kept = kept.join(", ");
            tracing::warn!("restart the agent to change {kept}");
        }
        loaded.settings = Arc::new(settings);
        let (jobs, settings) = (&self.connected.jobs, Arc::clone(&loaded.settings));
        jobs.reload(settings.places.clone(), settings.max_jobs.get());
        self.connected.current.set(loaded);
        self.connected.scheduler.reload(settings.schedules.clone());
        self.connected.board.refresh_soon();
        tracing::info!("the configuration was loaded");
    }

    /// Returns one line on what runs and what comes next.
    fn status_line(&self) -> String {
        let jobs = self.connected.jobs.list();
        let running = jobs
            .iter()
            .filter(|job| matches!(job.state, State::Running | State::Cancelling));
        let running: Vec<&str> = running.map(|job| job.kind.command()).collect();
        let schedules = self.connected.scheduler.status();
        let next = schedules
            .iter()
            .filter_map(|it| Some((it.next?, &it.name)))
            .min();
        let next = match next {
            Some((time, name)) => format!("next: {name} at {}", time.format("%Y-%m-%dT%H:%M:%SZ")),
            None => "no schedule".to_owned(),
        };
        match running.as_slice() {
            [] => next,
            running => format!("running: {}; {next}", running.join(", ")),
        }
    }

    /// Ends the agent: no new jobs; those that run may finish within the grace, and are then cancelled.
    fn end(&mut self) {
        let grace = self.connected.current.get().settings.shutdown_grace;
        let most = grace + Limits::default().tidy + PARTS + ANSWER;
        service::stopping(most);
        tracing::info!("the agent ends");
        self.no_slots.cancel();
        let (jobs, sender) = (self.connected.jobs.clone(), self.sender.clone());
        std::thread::spawn(move || {
            jobs.shut_down(grace);
            let _gone = sender.send(Message::Ended("jobs", Ok(())));
        });
        self.parts += 1;
        let mut until = Instant::now() + most;
        while self.parts > 0 {
            let left = until.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left) {
                // The second signal: no more grace.
                Ok(Message::End) => self.connected.jobs.hurry(),
                Ok(Message::Reload) => {}
                Ok(Message::Ended(part, _)) => {
                    self.parts -= 1;
                    if part == "jobs" {
                        // Until now, the API answered, and the scheduler recorded.
                        self.ended.cancel();
                        until = until.min(Instant::now() + PARTS);
                    }
                }
                Err(_) => {
                    tracing::warn!("not every part of the agent ended in time");
                    return;
                }
            }
        }
    }
}

/// Keeps the settings that can't change while the agent runs, and returns the names of those that would have.
fn fixed(before: &Settings, after: &mut Settings) -> Vec<&'static str> {
    let mut kept = Vec::new();
    if before.name != after.name {
        kept.push("the name");
        after.name.clone_from(&before.name);
    }
    if before.state_dir != after.state_dir {
        kept.push("the state directory");
        after.state_dir.clone_from(&before.state_dir);
    }
    if before.http != after.http {
        kept.push("the API");
        after.http.clone_from(&before.http);
    }
    if before.sidecar != after.sidecar {
        kept.push("the sidecar");
        after.sidecar.clone_from(&before.sidecar);
    }
    kept
}

/// Creates the directory of the agent if it is missing, and locks it.
fn locked(dir: &Path) -> Result<File, AgentError> {
    let failed = |source: io::Error| AgentError::StateDir {
        path: dir.display().to_string(),
        source,
    };
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(failed)?;
    let file = File::create(dir.join("agent.lock")).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(AgentError::InUse {
            path: dir.display().to_string(),
        }),
        Err(error) => Err(failed(error.into())),
    }
}
