//! The process of a job: begun, read from, ended.

use super::super::settings::Program;
use super::job::{Error, Job, Progress, State};
use super::log_file::LogFile;
use super::output::{Document, Line, Lines, Said};
use super::table::{Begun, End, Why};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Bytes of one read.
const READ: usize = 64 << 10;
/// Reads of one pipe before the other processes are served.
const READS: usize = 4;
/// Reads of one pipe after the end of the process. Its pipe holds less, but another process can write to it.
const LAST_READS: usize = 32;

/// A job's process.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pid: Pid,
    /// Readable at the end of the process; none if the kernel has no such descriptors.
    ended: Option<OwnedFd>,
    out: Option<ChildStdout>,
    err: Option<ChildStderr>,
    document: Document,
    lines: Lines,
    log: LogFile,
    deadline: Option<(Instant, Duration)>,
    tidy: Duration,
    /// When it is killed, after its cancellation.
    kill_at: Option<Instant>,
    was_killed: bool,
}

/// What a look at a process found.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The newest progress.
    pub(super) progress: Option<Progress>,
    /// Its deadline is over.
    pub(super) is_late: bool,
    /// How it ended.
    pub(super) status: Option<ExitStatus>,
}

/// Returns the id of a process whose pipes don't block.
fn prepared(
    child: &Child,
    out: Option<&ChildStdout>,
    err: Option<&ChildStderr>,
) -> io::Result<Pid> {
    for pipe in [out.map(AsFd::as_fd), err.map(AsFd::as_fd)]
        .into_iter()
        .flatten()
    {
        rustix::io::ioctl_fionbio(pipe, true)?;
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("the process has no id"))
}

/// Returns the command of a job.
fn command(program: &Program, job: &Job) -> Command {
    let mut command = crate::child::same_program(&program.path);
    command.args(&program.general).arg(job.kind.command());
    if let Some(repository) = &job.repository {
        command.arg(format!("--repo={repository}"));
    }
    // Before the arguments of the job: there may be `--` in them.
    command
        .args(["--json", "--progress=json"])
        .args(&job.arguments)
        .env(super::JOB_VARIABLE, &job.id.0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in a terminal is for the agent only, which then cancels its jobs.
        .process_group(0);
    crate::child::tie(&mut command);
    command
}

impl Process {
    /// Begins a process. `PR_SET_PDEATHSIG` of the process is tied to the calling thread.
    pub(super) fn begin(program: &Program, begun: &Begun, tidy: Duration) -> io::Result<Self> {
        let mut child = command(program, &begun.job).spawn()?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let pid = match prepared(&child, out.as_ref(), err.as_ref()) {
            Ok(pid) => pid,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        Ok(Self {
            child,
            pid,
            ended: rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok(),
            out,
            err,
            document: Document::default(),
            lines: Lines::default(),
            log: LogFile::create(&begun.log),
            deadline: begun.deadline.map(|time| (Instant::now() + time, time)),
            tidy,
            kill_at: None,
            was_killed: false,
        })
    }

    /// Returns the descriptors to wait for.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let pipes = [
            self.out.as_ref().map(AsFd::as_fd),
            self.err.as_ref().map(AsFd::as_fd),
            self.ended.as_ref().map(AsFd::as_fd),
        ];
        pipes.into_iter().flatten()
    }

    /// Returns the longest time until it must be looked at, whatever its descriptors say.
    pub(super) fn at_most(&self) -> Option<Duration> {
        /// Without a descriptor for its end.
        const TICK: Duration = Duration::from_millis(100);
        let now = Instant::now();
        let tick = self.ended.is_none().then_some(TICK);
        let deadline = self.deadline.filter(|_| self.kill_at.is_none());
        let deadline = deadline.map(|(at, _)| at.saturating_duration_since(now));
        let kill = self.kill_at.filter(|_| !self.was_killed);
        let kill = kill.map(|at| at.saturating_duration_since(now));
        [tick, deadline, kill].into_iter().flatten().min()
    }

    /// Reads what is there, kills it if it is time, and returns what happened.
    pub(super) fn look(&mut self, buffer: &mut Vec<u8>) -> Look {
        let mut look = Look::default();
        self.read(buffer, READS, &mut look);
        let now = Instant::now();
        look.is_late = self.kill_at.is_none() && self.deadline.is_some_and(|(at, _)| now >= at);
        if !self.was_killed && self.kill_at.is_some_and(|at| now >= at) {
            self.kill();
        }
        // A failure means that it was awaited elsewhere; no other code does.
        if let Ok(Some(status)) = self.child.try_wait() {
            // What it wrote before its end is in the pipes; a process that it began can hold them open for long.
            self.read(buffer, LAST_READS, &mut look);
            self.lines
                .end(&mut |line| keep(line, &mut self.log, &mut look.progress));
            look.status = Some(status);
        }
        look
    }

    fn read(&mut self, buffer: &mut Vec<u8>, reads: usize, look: &mut Look) {
        let Self {
            out,
            err,
            document,
            lines,
            log,
            ..
        } = self;
        read(out, buffer, reads, &mut |bytes| document.push(bytes));
        let mut text = Vec::new();
        read(err, buffer, reads, &mut |bytes| {
            lines.push(bytes, &mut |line| match line {
                Line::Progress(progress) => look.progress = Some(progress),
                Line::Text(line) => text.extend_from_slice(&line),
            });
            log.append(&std::mem::take(&mut text));
        });
    }

    /// Asks it to end. After its time to tidy up, it is killed.
    pub(super) fn cancel(&mut self) {
        if self.kill_at.is_some() {
            return;
        }
        self.kill_at = Some(Instant::now() + self.tidy);
        // Its end was not awaited yet, so the id is its own. A stopped one gets the signal only when it goes on.
        let _ = rustix::process::kill_process(self.pid, Signal::TERM);
        let _ = rustix::process::kill_process(self.pid, Signal::CONT);
    }

    /// Kills it and the programs that it started.
    pub(super) fn kill(&mut self) {
        self.was_killed = true;
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        let _ = self.child.kill();
    }

    /// Waits for the end of a killed process.
    pub(super) fn reap(&mut self) {
        let _ = self.child.wait();
    }

    /// Returns how the job ended.
    pub(super) fn end(&mut self, status: ExitStatus, why: Option<Why>) -> End {
        let (report, error, report_bytes) = match self.document.read() {
            Said::Document { result, error } => (result, error, self.document.size()),
            Said::TooLong => {
                self.log
                    .append(b"lsnap: the report is longer than 1 MiB and was not kept\n");
                (None, None, 0)
            }
            Said::Nothing(found) => (None, Some(no_document(&found, status)), 0),
        };
        let succeeded = status.success() && error.is_none();
        let state = match why {
            _ if succeeded => State::Succeeded,
            Some(Why::Asked | Why::ShuttingDown) => State::Cancelled,
            Some(Why::Deadline) | None => State::Failed,
        };
        let error = match why {
            _ if succeeded => None,
            Some(why) => Some(self.cancelled(why)),
            None => error.or_else(|| Some(no_document("no error", status))),
        };
        End {
            state,
            exit_code: status.code().and_then(|code| u8::try_from(code).ok()),
            report,
            report_bytes,
            error,
        }
    }

    fn cancelled(&self, why: Why) -> Error {
        let (kind, because) = match why {
            Why::Asked => ("interrupted", "it was cancelled by a request".to_owned()),
            Why::ShuttingDown => ("interrupted", "the agent ended".to_owned()),
            Why::Deadline => {
                let time = self.deadline.map_or(0, |(_, time)| time.as_secs());
                (
                    "deadline",
                    format!("it took longer than its deadline of {time} s"),
                )
            }
        };
        let (killed, hint) = if self.was_killed {
            let tidy = self.tidy.as_secs();
            let hint = "The next `lsnap prune` removes the objects of an unfinished backup.";
            (
                format!("; it didn't end within {tidy} s after that and was killed"),
                Some(hint),
            )
        } else {
            (String::new(), None)
        };
        Error {
            kind: kind.to_owned(),
            message: because + &killed,
            hint: hint.map(str::to_owned),
        }
    }
}

/// Returns the error of a process that didn't print its document.
fn no_document(found: &str, status: ExitStatus) -> Error {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    };
    Error {
        kind: "internal".to_owned(),
        message: format!(
            "the process of the job ended with {how} and printed {found}; expected a JSON document"
        ),
        hint: Some("Read the log of the job.".to_owned()),
    }
}

fn keep(line: Line, log: &mut LogFile, progress: &mut Option<Progress>) {
    match line {
        Line::Progress(found) => *progress = Some(found),
        Line::Text(line) => log.append(&line),
    }
}

/// Reads what a pipe has, at most `reads` times; closes it at its end.
fn read<P: Read>(
    pipe: &mut Option<P>,
    buffer: &mut Vec<u8>,
    reads: usize,
    each: &mut dyn FnMut(&[u8]),
) {
    buffer.resize(READ, 0);
    for _ in 0..reads {
        let Some(open) = pipe else { return };
        match open.read(buffer) {
            Ok(0) => *pipe = None,
            Ok(count) => each(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => *pipe = None,
        }
    }
}
