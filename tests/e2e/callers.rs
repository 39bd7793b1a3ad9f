//! Programs that call xtrabackup, unchanged, with lsnap under its names: their own backup, under load, their own prepare
//! and restore, and the proof by position. `tools/peers` installs them; `tests/callers` has their versions and checksums.

mod autoxtrabackup;
mod bdbackup;
mod vitess;

use crate::ddl;
use crate::journey::Journey;
use crate::lsnap::{Member, Position};
use crate::named_xtrabackup::{KEY, between, links};
use crate::sandbox::{SOURCE, Sandbox, scratch};
use crate::schema::{self, Wanted};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A machine as the callers expect it: lsnap under the names of xtrabackup's programs, first in `PATH`, and a home
/// directory whose option file has the account and the socket.
pub struct Machine {
    room: PathBuf,
    links: PathBuf,
    path: String,
    mysqld: Option<PathBuf>,
}

impl Machine {
    fn new(journey: &Journey) -> Self {
        let room = journey.path().join("machine");
        std::fs::create_dir(&room).unwrap();
        let links = links(&room);
        let client = format!("[client]\nuser=root\nsocket={}\n", journey.source.socket());
        std::fs::write(room.join(".my.cnf"), client).unwrap();
        // Programs of Python write to the system log, and wait for the person who may have started them by mistake.
        let site = "import logging, logging.handlers, time\n\
                    logging.handlers.SysLogHandler = lambda address: logging.NullHandler()\n\
                    time.sleep = lambda seconds: None\n";
        std::fs::create_dir(room.join("site")).unwrap();
        std::fs::write(room.join("site/sitecustomize.py"), site).unwrap();
        let path = format!(
            "{}:{}",
            links.display(),
            std::env::var("PATH").unwrap_or_default()
        );
        Self {
            room,
            links,
            path,
            mysqld: None,
        }
    }

    /// The same machine, with a server program that applies the redo log.
    fn with_mysqld(mut self, journey: &Journey) -> Self {
        self.mysqld = Some(journey.source.program("mysqld"));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.room.join(name)
    }

    /// Returns a program of this machine.
    fn program(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.room)
            .env("PATH", &self.path)
            .env("HOME", &self.room)
            .env("PYTHONPATH", self.room.join("site"))
            .env_remove("MYSQL_HOST")
            .env_remove("MYSQL_PWD");
        if let Some(mysqld) = &self.mysqld {
            command.env("LSNAP_MYSQLD", mysqld);
        }
        command
    }

    /// Returns a program that `tools/peers` installs.
    fn peer(&self, name: &str) -> Command {
        self.program(&peers().join(name))
    }

    /// Returns what a backup in this directory recorded as its position.
    fn member(&self, directory: &Path) -> Member {
        let copy = self.path("position");
        std::fs::create_dir(&copy).unwrap();
        for entry in std::fs::read_dir(directory).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.starts_with("xtrabackup_binlog_info") {
                std::fs::copy(directory.join(&name), copy.join(&name)).unwrap();
            }
        }
        let target = format!("--target-dir={}", copy.display());
        let key = format!("--encrypt-key={KEY}");
        let arguments = [
            "--no-defaults",
            "--decrypt=AES256",
            "--decompress",
            &key,
            &target,
        ];
        succeeded(
            &self
                .program(&self.links.join("xtrabackup"))
                .args(arguments)
                .output()
                .unwrap(),
        );
        let text = std::fs::read_to_string(copy.join("xtrabackup_binlog_info")).unwrap();
        std::fs::remove_dir_all(copy).unwrap();
        let fields: Vec<&str> = text.trim_end().split('\t').collect();
        member(fields[0], fields[1], fields[2])
    }
}

fn member(file: &str, offset: &str, gtid: &str) -> Member {
    Member {
        name: String::new(),
        position: Position {
            file: file.to_owned(),
            offset: offset.parse().unwrap(),
            gtid: gtid.replace(['\n', ' '], ""),
        },
        json: serde_json::Value::Null,
    }
}

/// Reads the position in `xtrabackup_info`.
fn member_of_info(info: &str) -> Member {
    member(
        between(info, "filename '", "'"),
        between(info, "position '", "'"),
        between(info, "GTID of the last change '", "'"),
    )
}

fn tool(argument: &str) -> Output {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/peers"))
        .arg(argument)
        .output()
        .unwrap()
}

/// Returns the directory of the installed programs.
fn peers() -> PathBuf {
    PathBuf::from(succeeded(&tool("dir")).trim_end())
}

/// Returns the standard output of a run that must succeed.
#[track_caller]
fn succeeded(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{:?}\n{text}\n{log}",
        output.status
    );
    text
}

/// Returns the only entry of a directory whose name begins so.
#[track_caller]
fn only(directory: &Path, prefix: &str) -> PathBuf {
    let found: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with(prefix)
        })
        .collect();
    assert_eq!(found.len(), 1, "{}: {found:?}", directory.display());
    found[0].clone()
}

/// Starts a source under load, without files outside of its data directory: the callers restore on the same machine, and
/// nothing is overwritten.
fn source(name: &str) -> Journey {
    let source = Sandbox::start(name, &[SOURCE]);
    let wanted = Wanted {
        page_kib: 16,
        outside: None,
        encrypted: false,
        other_engines: true,
    };
    let targets = schema::create(&source, &wanted);
    ddl::prepare(&source);
    Journey::with(name, source, targets, scratch())
}

/// The programs of PyPI.
#[test]

fn programs_of_python() {
    succeeded(&tool("install"));
    let mut journey = source("e2e-callers");
    let machine = Machine::new(&journey);
    autoxtrabackup::backups(&mut journey, &machine);
    bdbackup::backups(&mut journey, &machine);
    journey.rest();
    let machine = autoxtrabackup::restores(&journey, machine);
    bdbackup::restores(&journey, &machine);
}

/// Vitess' engine. It takes minutes to build, so that CI doesn't: build it with `tools/peers vitess`, then run this test
/// with `--ignored`.
#[test]
#[ignore = "needs `tools/peers vitess`"]
fn the_engine_of_vitess() {
    let mut journey = source("e2e-vitess");
    let machine = Machine::new(&journey);
    vitess::backups(&mut journey, &machine);
    journey.rest();
    vitess::restores(&journey, &machine);
}
