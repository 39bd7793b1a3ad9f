//! Backups and restores of a sandbox server, with the program that users run.

pub use super::program::{Running, Said, command, lsnap, said, spawn};
use super::sandbox::Sandbox;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

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

impl Said {
    pub fn member(self) -> Member {
        let said = self.ok();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let backup = &said.json["backup"];
        let binlog = &backup["binlog"];
        let member = Member {
            name: text(&backup["name"]),
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

/// Returns the arguments of a backup of `server` into `repository`, connecting as root.
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

/// Makes a backup that must succeed.
pub fn backup(server: &Sandbox, repository: &Path, more: &[&str]) -> Member {
    try_backup(server, repository, more).member()
}

pub fn full(server: &Sandbox, repository: &Path) -> Member {
    backup(server, repository, &[])
}

/// Makes a backup as one stream into the standard input of `program`; the report comes on standard
/// error.
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

/// Starts a backup that runs concurrently with the test. Killed when dropped.
pub fn spawn_backup(server: &Sandbox, repository: &Path, more: &[&str]) -> Running {
    let mut command = command();
    command.args(backup_arguments(server, repository, more));
    spawn(command)
}

/// Returns the user who runs the tests, to whom restored files must belong, instead of `mysql`.
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

/// Returns the backups in the output of `lsnap list`.
pub fn list(repository: &Path) -> Value {
    let mut said = lsnap(["list", "--json", "--from", &url(repository)]).ok();
    said.json["backups"].take()
}

/// Returns the manifest of a finished backup.
pub fn manifest(repository: &Path, name: &str) -> Value {
    let repository = ::lsnap::Repository::open(&url(repository)).unwrap();
    let name = ::lsnap::manifest::BackupName::parse(name).unwrap();
    serde_json::to_value(repository.manifest(&name).unwrap()).unwrap()
}
