//! The steps that a restore prints are run as they are printed, with the placeholders replaced: the
//! server starts with the printed command, becomes a replica with the printed statements, reaches the
//! end of its source, and has equal data.

use crate::lsnap::{self, Member};
use crate::replica::{CONTENT, NO_GTIDS, Pair};
use crate::sandbox::{SOURCE, run, value, wait_for};
use mysql::prelude::Queryable as _;
use mysql::{Conn, OptsBuilder};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A printed step: its text, and the lines to type.
struct Step {
    text: String,
    typed: Vec<String>,
}

/// Returns the steps of a report.
fn steps(report: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (_, next) = report.split_once("Next:\n").unwrap();
    for line in next.lines() {
        if let Some(typed) = line.strip_prefix("      ") {
            steps.last_mut().unwrap().typed.push(typed.to_owned());
        } else if line.starts_with("     ") {
            steps.last_mut().unwrap().text += line;
        } else {
            let (text, typed) = (line.to_owned(), Vec::new());
            steps.push(Step { text, typed });
        }
    }
    steps
}

fn step<'a>(steps: &'a [Step], words: &str) -> &'a Step {
    let found = steps.iter().find(|step| step.text.contains(words));
    found.unwrap_or_else(|| {
        panic!(
            "no step {words}: {:?}",
            steps.iter().map(|s| &s.text).collect::<Vec<_>>()
        )
    })
}

/// The printed commands name no port, so only one of these servers can run at a time.
static PORT: Mutex<()> = Mutex::new(());

/// Waits until no other test runs a server on the default port.
pub fn default_port() -> MutexGuard<'static, ()> {
    PORT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server that was started by a printed command.
struct Started {
    child: Child,
    datadir: PathBuf,
    _port: MutexGuard<'static, ()>,
}

impl Started {
    fn by(command: &str, datadir: &Path) -> Self {
        let port = default_port();
        let child = Command::new("sh")
            .args(["-c", &format!("exec {command}")])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self {
            child,
            datadir: datadir.to_owned(),
            _port: port,
        };
        wait_for("the started server", Duration::from_secs(60), || {
            started.try_connect().is_some()
        });
        started
    }

    fn try_connect(&self) -> Option<Conn> {
        let options = OptsBuilder::new()
            .user(Some("root"))
            .socket(self.datadir.join("mysqld.sock").to_str())
            .prefer_socket(false)
            .tcp_keepalive_time_ms(None);
        Conn::new(options).ok()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Restores, and returns the report.
fn restored(pair: &Pair, member: &Member, datadir: &Path, more: &[&str]) -> lsnap::Said {
    let mysqld = pair.replica.program("mysqld");
    let mut command = lsnap::command();
    command.args([
        "restore",
        "--repo",
        &lsnap::url(&pair.repository()),
        &member.name,
    ]);
    command.arg("--datadir").arg(datadir);
    command.args([
        "--owner",
        &lsnap::owner(),
        "--redo-applier=mysqld",
        "--mysqld",
    ]);
    lsnap::said(command.arg(mysqld).args(more).output().unwrap()).ok()
}

/// Runs the statements; one with a placeholder is refused and changes nothing.
fn join(conn: &mut Conn, step: &Step) {
    for statement in &step.typed {
        if statement.contains("=<") {
            assert!(conn.query_drop(statement).is_err(), "{statement}");
        }
        let replaced = statement
            .replace("<server_id>", "7")
            .replace("<user>", "'repl'")
            .replace("<password>", "'repl'");
        run(conn, &replaced);
    }
}

/// The applier of the new replica reaches the end of a server, and the data are equal to its.
fn equals(conn: &mut Conn, of: &crate::sandbox::Sandbox) {
    let expected = of.value(CONTENT);
    wait_for("the new replica", Duration::from_secs(60), || {
        let receiver = "SELECT COALESCE(GROUP_CONCAT(LAST_ERROR_MESSAGE), '') FROM \
                        performance_schema.replication_connection_status";
        assert_eq!(value(conn, receiver), "");
        let state = "SELECT COALESCE(GROUP_CONCAT(LAST_ERROR_MESSAGE), '') FROM \
                     performance_schema.replication_applier_status_by_worker";
        assert_eq!(value(conn, state).replace(',', ""), "");
        value(conn, CONTENT) == expected
    });
}

fn uuid(conn: &mut Conn) -> String {
    value(conn, "SELECT @@server_uuid")
}

/// Adds rows to the source, and waits for them on the replica.
fn more_rows(pair: &Pair, text: &str) {
    for turn in 0..20 {
        pair.source
            .run(&format!("INSERT INTO d.t (v) VALUES ('{text} {turn}')"));
        pair.source.run("UPDATE d.c SET n = n + 1 WHERE id = 5");
    }
    pair.reaches_the_end(&mut pair.replica.connect());
}

const OF_SERVER: &str = "replica of the server that was backed up, 127.0.0.1:";
const OF_SOURCE: &str = "replica of the source of the server that was backed up, 127.0.0.1:";
const REPORTED: &[&str] = &["--report-host=127.0.0.1"];

#[test]
fn the_printed_steps_make_a_replica_by_gtid() {
    let pair = Pair::start("e2e-nextg", SOURCE, REPORTED);
    more_rows(&pair, "before");
    let member = lsnap::backup(&pair.replica, &pair.repository(), &[]);
    more_rows(&pair, "after");
    let datadir = pair.room.path().join("restored");
    let report = restored(&pair, &member, &datadir, &[]);
    let steps = steps(&report.stdout);
    let cnf = step(&steps, "Set in my.cnf").typed.join("\n");
    for line in [
        "gtid_mode = ON",
        "enforce_gtid_consistency = ON",
        "skip_replica_start = ON",
    ] {
        assert!(cnf.contains(line), "{cnf}");
    }
    assert!(
        step(&steps, "Position of the data")
            .text
            .contains(&member.position.gtid)
    );
    let server = Started::by(&step(&steps, "Start the server").typed[0], &datadir);
    let mut conn = server.try_connect().unwrap();
    assert_ne!(uuid(&mut conn), pair.replica.value("SELECT @@server_uuid"));
    join(&mut conn, step(&steps, OF_SOURCE));
    equals(&mut conn, &pair.source);
    more_rows(&pair, "later");
    equals(&mut conn, &pair.source);
    join(&mut conn, step(&steps, OF_SERVER));
    more_rows(&pair, "last");
    equals(&mut conn, &pair.replica);
}

#[test]
fn the_printed_steps_make_a_replica_by_position() {
    let pair = Pair::start("e2e-nextp", NO_GTIDS, REPORTED);
    more_rows(&pair, "before");
    let member = lsnap::backup(&pair.replica, &pair.repository(), &["--safe-slave-backup"]);
    more_rows(&pair, "after");
    for (words, number) in [(OF_SOURCE, 1), (OF_SERVER, 0)] {
        let datadir = pair.room.path().join(format!("restored{number}"));
        let report = restored(&pair, &member, &datadir, &[]);
        let steps = steps(&report.stdout);
        let server = Started::by(&step(&steps, "Start the server").typed[0], &datadir);
        let mut conn = server.try_connect().unwrap();
        let way = step(&steps, words);
        assert!(
            way.text.contains("by position")
                && way.typed.iter().any(|s| s.contains("SOURCE_LOG_POS="))
        );
        join(&mut conn, way);
        let of = if number == 1 {
            &pair.source
        } else {
            &pair.replica
        };
        equals(&mut conn, of);
    }
    // The same in JSON.
    let datadir = pair.room.path().join("restored2");
    let report = restored(&pair, &member, &datadir, &["--json"]);
    let next = &report.json["next"];
    assert_eq!(next["join"][0]["source"], "backed_up_server", "{next}");
    assert_eq!(next["join"][1]["method"], "position", "{next}");
    let port = pair.source.port();
    assert_eq!(next["join"][1]["addresses"][0], format!("127.0.0.1:{port}"));
    assert_eq!(next["position"]["file"], member.position.file.as_str());
}
