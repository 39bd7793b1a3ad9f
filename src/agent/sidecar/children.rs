//! The programs of a request: started, tied to this process, their messages in the log of the backup.
//!
//! They are started by the thread that waits for them, and end with it ([`crate::child::tie`]).

use super::calls::Call;
use crate::cancel::Cancel;
use crate::child;
use crate::locked::Locked;
use crate::shown;
use rustix::fs::{MemfdFlags, Mode, OFlags, fchmod, memfd_create};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The time that a program gets to clean up after SIGTERM.
const GRACE: Duration = Duration::from_secs(60);
/// The longest line of a log, in bytes; the rest is another line.
const MAX_LINE: u64 = 64 << 10;
/// The longest output that is read, in bytes.
const MAX_OUTPUT: u64 = 4 << 20;
/// Variables that programs inherit besides those of [`child::command`]: how a store is reached, and the identity of the
/// pod. None of them is a secret.
const INHERITED: &[&str] = &[
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
    "AZURE_CLIENT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_TENANT_ID",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

/// The log of a backup: a file, and the log of the agent.
#[derive(Debug)]
pub(super) struct Log {
    name: String,
    file: Mutex<File>,
}

impl Log {
    /// Returns the path of the log of a backup. The name was checked ([`super::name::is_name`]).
    pub(super) fn path(directory: &Path, name: &str) -> PathBuf {
        directory.join(format!("{name}.log"))
    }

    /// Opens the log of a backup.
    pub(super) fn open(directory: &Path, name: &str) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o640)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(Self::path(directory, name))?;
        Ok(Self {
            name: name.to_owned(),
            file: Mutex::new(file),
        })
    }

    /// Removes the lines of earlier attempts, as the operator's sidecar does.
    pub(super) fn empty(&self) {
        // A log that stays longer is no reason for a failure.
        let _ignored = self.file.locked().set_len(0);
    }

    /// Writes a line of this program.
    pub(super) fn note(&self, text: &str) {
        let time = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ");
        self.line(format!("{time} sidecar: {text}").as_bytes());
    }

    fn line(&self, line: &[u8]) {
        let line = line.trim_ascii_end();
        let text = String::from_utf8_lossy(line);
        tracing::info!(backup = %self.name, "{}", shown::lines(&text));
        let whole = [line, b"\n"].concat();
        if let Err(error) = self.file.locked().write_all(&whole) {
            tracing::warn!(backup = %self.name, "the log file can't be written: {error}");
        }
    }
}

/// Why a program didn't succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    #[error("{program} can't be started: {source}")]
    Start {
        program: &'static str,
        source: io::Error,
    },
    /// `last` is the last line of its messages.
    #[error("{program} failed ({status}): {last}")]
    Failed {
        program: &'static str,
        status: ExitStatus,
        last: String,
    },
    #[error("the agent is shutting down")]
    Cancelled,
}

/// Starts programs.
pub(super) struct Children<'a> {
    pub(super) program: &'a Path,
    pub(super) log: &'a Log,
    pub(super) cancel: Cancel,
}

/// The results of two programs that a pipe connects.
pub(super) struct Piped {
    /// The program that writes.
    pub(super) writer: Result<(), ChildError>,
    /// The program that reads.
    pub(super) reader: Result<(), ChildError>,
}

impl Children<'_> {
    /// Runs a program and returns its standard output.
    ///
    /// # Errors
    /// It failed, or was cancelled.
    pub(super) async fn run(&self, call: &Call) -> Result<Vec<u8>, ChildError> {
        let started = |source| ChildError::Start {
            program: call.program,
            source,
        };
        let options = options(call).map_err(started)?;
        let mut child = self.spawn(call, options.into(), Stdio::piped())?;
        let output = child.stdout.take();
        let stop = self.cancel.child();
        let (output, ended) = tokio::join!(read(output), self.watch(call, child, &stop));
        ended?;
        output.map_err(started)
    }

    /// Connects two programs by a pipe, and waits for both. If one fails, the other is ended.
    ///
    /// # Errors
    /// A program can't be started.
    pub(super) async fn pipe(&self, from: &Call, to: &Call) -> Result<Piped, ChildError> {
        let started = |source| ChildError::Start {
            program: from.program,
            source,
        };
        let (read_end, write_end) = io::pipe().map_err(started)?;
        let (from_options, to_options) = (
            options(from).map_err(started)?,
            options(to).map_err(started)?,
        );
        let writer = self.spawn(from, from_options.into(), write_end.into())?;
        let reader = self.spawn(to, read_end.into(), to_options.into())?;
        let both = self.cancel.child();
        let (writer, reader) = tokio::join!(
            self.watch(from, writer, &both),
            self.watch(to, reader, &both)
        );
        Ok(Piped { writer, reader })
    }

    fn spawn(&self, call: &Call, input: Stdio, output: Stdio) -> Result<Child, ChildError> {
        let mut command = child::command(self.program);
        child::tie(&mut command);
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        for (name, value) in &call.env {
            command.env(name, value.text());
        }
        command
            .args(call.arguments())
            .stdin(input)
            .stdout(output)
            .stderr(Stdio::piped());
        let mut command = Command::from(command);
        let child = command.kill_on_drop(true).spawn();
        child.map_err(|source| ChildError::Start {
            program: call.program,
            source,
        })
    }

    /// Copies the messages of a program into the log until it ends. `stop` ends it early, and its failure cancels `stop`.
    async fn watch(&self, call: &Call, mut child: Child, stop: &Cancel) -> Result<(), ChildError> {
        let messages = child.stderr.take();
        let (last, status) = tokio::join!(self.copy(messages), ended(&mut child, stop));
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(_) if self.cancel.is_cancelled() => Err(ChildError::Cancelled),
            Ok(status) => {
                stop.cancel();
                Err(ChildError::Failed {
                    program: call.program,
                    status,
                    last,
                })
            }
            Err(source) => {
                stop.cancel();
                Err(ChildError::Start {
                    program: call.program,
                    source,
                })
            }
        }
    }

    /// Returns the last line.
    async fn copy(&self, messages: Option<impl AsyncRead + Unpin>) -> String {
        let mut last = String::new();
        let Some(messages) = messages else {
            return last;
        };
        let mut messages = BufReader::new(messages);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = (&mut messages).take(MAX_LINE);
            match limited.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return last,
                Ok(_) => {
                    self.log.line(&line);
                    String::from_utf8_lossy(&line).trim().clone_into(&mut last);
                }
            }
        }
    }
}

/// Waits for the end of a program. After `stop`, it gets SIGTERM, and SIGKILL later.
async fn ended(child: &mut Child, stop: &Cancel) -> io::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => return status,
        () = stop.cancelled() => {}
    }
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id.and_then(Pid::from_raw) {
        // It may have ended just now.
        let _ended = kill_process(id, Signal::TERM);
    }
    match tokio::time::timeout(GRACE, child.wait()).await {
        Ok(status) => status,
        Err(_late) => {
            child.kill().await?;
            child.wait().await
        }
    }
}

async fn read(output: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(output) = output {
        output.take(MAX_OUTPUT).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Returns the option file of a program: a file in memory, which only this user can open.
fn options(call: &Call) -> io::Result<File> {
    in_memory(&call.options)
}

/// Returns a file in memory with this text.
pub(super) fn in_memory(text: &str) -> io::Result<File> {
    let file = memfd_create("lsnap-options", MemfdFlags::CLOEXEC)?;
    // A file that everybody may write to is no option file.
    fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    let mut file = File::from(file);
    file.write_all(text.as_bytes())?;
    Ok(file)
}
