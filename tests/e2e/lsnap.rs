//! Runs the program that users run.

use crate::sandbox::Sandbox;
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// What a run said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub json: Value,
    pub stdout: String,
    pub stderr: String,
}

/// A finished backup, as `--json` reports it.
#[derive(Debug, Clone)]
pub struct Member {
    pub name: String,
    pub position: Position,
    pub json: Value,
}

/// A position in the source's binary log, and the GTIDs up to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub file: String,
    pub offset: u64,
    pub gtid: String,
}

/// The bare program, for argument lists of the test's own making.
pub fn command() -> Command {
    // Whoever started the tests (`nohup`, a shell's `&`) may ignore signals, and children inherit that.
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_lsnap")]);
    // Nothing of the machine's own MySQL configuration may leak into a test.
    command
        .env_remove("MYSQL_HOST")
        .env_remove("MYSQL_PWD")
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null());
    command
}

pub fn said(out: Output) -> Said {
    let stdout = String::from_utf8_lossy(&out.stdout).into_owned();
    Said {
        code: out.status.code().unwrap_or(-1),
        json: serde_json::from_str(&stdout).unwrap_or(Value::Null),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        stdout,
    }
}

pub fn lsnap<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Said {
    said(command().args(arguments).output().unwrap())
}

impl Said {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(
            self.code, 0,
            "lsnap failed:\n{}{}",
            self.stderr, self.stdout
        );
        self
    }

    /// It must have failed with `code`, and its message must hold each of `words`.
    #[track_caller]
    pub fn refused(&self, code: i32, words: &[&str]) {
        let all = format!("{}\n{}", self.stderr, self.stdout);
        assert_eq!(self.code, code, "expected exit code {code}:\n{all}");
        for word in words {
            assert!(all.contains(word), "the message lacks {word:?}:\n{all}");
        }
    }

    pub fn member(self) -> Member {
        let said = self.ok();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let binlog = &said.json["binlog"];
        let member = Member {
            name: text(&said.json["name"]),
            position: Position {
                file: text(&binlog["file"]),
                offset: binlog["position"].as_u64().unwrap_or_default(),
                gtid: text(&binlog["gtid_executed"]).replace(['\n', ' '], ""),
            },
            json: said.json,
        };
        assert!(!member.name.is_empty(), "no name in {}", said.stdout);
        assert!(
            !member.position.file.is_empty() && member.position.offset > 0,
            "no binary log position in {}",
            said.stdout
        );
        member
    }
}

pub fn url(repository: &Path) -> String {
    format!("file://{}", repository.display())
}

/// The arguments of a backup of `server` into `repository`, connecting as root.
pub fn backup_arguments(server: &Sandbox, repository: &Path, more: &[&str]) -> Vec<String> {
    let mut arguments: Vec<String> = ["backup", "--json", "--no-defaults", "--user", "root"]
        .map(str::to_owned)
        .into();
    arguments.extend(["--socket".to_owned(), server.socket()]);
    arguments.extend(["--to".to_owned(), url(repository)]);
    arguments.extend(more.iter().map(|&m| m.to_owned()));
    arguments
}

pub fn try_backup(server: &Sandbox, repository: &Path, more: &[&str]) -> Said {
    lsnap(backup_arguments(server, repository, more))
}

/// A backup that must end well.
pub fn backup(server: &Sandbox, repository: &Path, more: &[&str]) -> Member {
    try_backup(server, repository, more).member()
}

pub fn full(server: &Sandbox, repository: &Path) -> Member {
    backup(server, repository, &[])
}

/// A backup as one stream into the standard input of `program`; its report comes on standard error.
pub fn stream(server: &Sandbox, more: &[&str], mut program: Command) -> Member {
    let mut child = command()
        .args(["backup", "--stream", "--json", "--progress", "none"])
        .args(["--no-defaults", "--user", "root", "--socket"])
        .arg(server.socket())
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let reader = program
        .stdin(child.stdout.take().unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.wait_with_output().unwrap();
    let read = reader.wait_with_output().unwrap();
    assert!(
        read.status.success(),
        "{program:?}: {}",
        String::from_utf8_lossy(&read.stderr)
    );
    out.stdout = out.stderr.clone();
    said(out).member()
}

pub fn incremental(server: &Sandbox, repository: &Path) -> Member {
    backup(server, repository, &["--incremental"])
}

/// A backup that goes on while the test does something to it. Killed when dropped.
pub struct Running(Option<Child>);

pub fn spawn_backup(server: &Sandbox, repository: &Path, more: &[&str]) -> Running {
    let child = command()
        .args(backup_arguments(server, repository, more))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Running(Some(child))
}

impl Running {
    pub fn kill(&mut self) {
        self.0.as_mut().unwrap().kill().unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.0.as_mut().unwrap().try_wait(), Ok(None))
    }

    pub fn wait(mut self) -> Said {
        said(self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Restored files shall belong to whoever runs the tests, not to `mysql`.
pub fn owner() -> String {
    rustix::process::getuid().as_raw().to_string()
}

pub fn try_restore(repository: &Path, name: &str, datadir: &Path, more: &[&str]) -> Said {
    let mut command = command();
    command
        .args(["restore", "--json", "--from", &url(repository), name])
        .arg("--datadir")
        .arg(datadir)
        .args(["--user", &owner()])
        .args(more);
    said(command.output().unwrap())
}

/// Restores with the `mysqld` that `server` runs as the redo applier.
pub fn restore(server: &Sandbox, repository: &Path, name: &str, datadir: &Path) {
    restore_by(&server.program("mysqld"), repository, name, datadir);
}

pub fn restore_by(mysqld: &Path, repository: &Path, name: &str, datadir: &Path) {
    let arguments = [
        "--redo-applier",
        "mysqld",
        "--mysqld",
        mysqld.to_str().unwrap(),
    ];
    try_restore(repository, name, datadir, &arguments).ok();
}

/// The names that `lsnap list` calls finished.
pub fn list(repository: &Path) -> Value {
    lsnap(["list", "--json", "--from", &url(repository)])
        .ok()
        .json
}
