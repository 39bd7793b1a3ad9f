//! Waits for the server: each ends by itself or by a signal, and leaves nothing behind on the
//! server.

use crate::lsnap;
use crate::sandbox::{SOURCE, Sandbox, run, scratch, value, wait_for};
use ::lsnap::server::{ConnectOptions, Server, ServerError};
use mysql::Conn;
use mysql::prelude::Queryable as _;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// More than enough time for events that must happen at once, on a busy machine.
const SOON: Duration = Duration::from_secs(12);

fn signal(running: &lsnap::Running, signal: Signal) {
    kill_process(Pid::from_raw(running.pid() as i32).unwrap(), signal).unwrap();
}

/// Checks that it ends as interrupted, soon.
#[track_caller]
fn interrupted(mut running: lsnap::Running, began: Instant) {
    wait_for("the end after a signal", SOON, || !running.is_running());
    let said = running.wait();
    said.refused(130, &["interrupted"]);
    assert!(began.elapsed() < SOON, "{:?}: {said:?}", began.elapsed());
}

/// Counts lsnap's sessions on the server.
const SESSIONS: &str = "SELECT COUNT(*) FROM performance_schema.session_connect_attrs a \
    JOIN performance_schema.processlist p ON p.ID = a.PROCESSLIST_ID \
    WHERE a.ATTR_NAME = 'program_name' AND a.ATTR_VALUE = 'lsnap'";

/// After its connections are closed, the server takes a moment to end the sessions; a statement
/// that was not cancelled would continue for long.
fn nothing_left(conn: &mut Conn) {
    wait_for(
        "the end of lsnap's sessions",
        Duration::from_secs(3),
        || value(conn, SESSIONS) == "0",
    );
}

fn running_statement(conn: &mut Conn, like: &str) -> bool {
    let count = format!(
        "SELECT COUNT(*) FROM performance_schema.processlist WHERE INFO LIKE '{like}%' AND ID <> CONNECTION_ID()"
    );
    value(conn, &count) != "0"
}

/// Runs a command that connects as root, in the way that `to` specifies.
fn backup_by(to: &[&str], room: &Path, timeout: u64) -> lsnap::Said {
    let mut running = spawn_by(to, room, timeout);
    wait_for("an end", SOON, || !running.is_running());
    running.wait()
}

fn spawn_by(to: &[&str], room: &Path, timeout: u64) -> lsnap::Running {
    let options = room.join("my.cnf");
    std::fs::write(&options, format!("[lsnap]\nconnect-timeout={timeout}\n")).unwrap();
    let mut command = lsnap::command();
    command
        .args([
            "backup",
            "--json",
            "--user",
            "root",
            "--to",
            &lsnap::url(room),
        ])
        .arg("--defaults-file")
        .arg(options)
        .args(to);
    lsnap::spawn(command)
}

#[test]
fn a_server_that_never_answers_times_out() {
    let room = scratch();
    let socket = tempfile::tempdir().unwrap();
    let path = socket.path().join("mute");
    let _by_socket = UnixListener::bind(&path).unwrap();
    let by_tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = by_tcp.local_addr().unwrap().port().to_string();
    let ways = [
        vec!["--socket", path.to_str().unwrap()],
        vec!["--host", "127.0.0.1", "--port", &port],
    ];
    for way in &ways {
        backup_by(way, room.path(), 1).refused(1, &["no answer in time"]);
        let running = spawn_by(way, room.path(), 600);
        // It waits for the greeting; the signal handlers are installed before.
        std::thread::sleep(Duration::from_millis(700));
        let began = Instant::now();
        signal(&running, Signal::TERM);
        interrupted(running, began);
    }
}

/// A connection to a server that stops in both directions after a client has sent certain words.
struct Stalling {
    socket: std::path::PathBuf,
    _dir: tempfile::TempDir,
    is_silent: Arc<AtomicBool>,
}

impl Stalling {
    fn at(server: &Sandbox, words: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let real = server.socket();
        let is_silent = Arc::new(AtomicBool::new(false));
        let silent = Arc::clone(&is_silent);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(server) = UnixStream::connect(&real) else {
                    return;
                };
                let stalled = Arc::new(AtomicBool::new(false));
                let (a, b) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (s, t) = (Arc::clone(&stalled), Arc::clone(&silent));
                std::thread::spawn(move || pass(a, b, words, &s, &t));
                let silent = Arc::clone(&silent);
                std::thread::spawn(move || pass(server, client, "", &stalled, &silent));
            }
        });
        Self {
            socket,
            _dir: dir,
            is_silent,
        }
    }

    fn options(&self) -> ConnectOptions {
        ConnectOptions::for_socket(&self.socket, "root")
    }
}

/// Forwards bytes until the words have been forwarded.
fn pass(
    mut from: UnixStream,
    mut to: UnixStream,
    words: &str,
    stalled: &AtomicBool,
    silent: &AtomicBool,
) {
    let mut buffer = [0; 16_384];
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 {
            let _ = to.shutdown(std::net::Shutdown::Both);
            return;
        }
        if stalled.load(Ordering::Acquire) {
            continue;
        }
        let text = String::from_utf8_lossy(&buffer[..n]);
        if !words.is_empty() && text.contains(words) {
            stalled.store(true, Ordering::Release);
            silent.store(true, Ordering::Release);
        }
        if to.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
}

#[test]
fn every_wait_ends() {
    let room = scratch();
    let server = Sandbox::start("e2e-waits", &[SOURCE]);
    let mut conn = server.connect();
    run(&mut conn, "CREATE DATABASE shop");
    run(&mut conn, "CREATE TABLE shop.i (a INT)");

    a_server_that_stops_answering(&server, &mut conn, room.path());
    a_signal_in_the_wait_for_the_instance_lock(&server, &mut conn, room.path());
    a_session_that_was_killed(&server, &mut conn, room.path());
    run(&mut conn, "CREATE TABLE shop.m (a INT) ENGINE=MyISAM");
    run(&mut conn, "INSERT INTO shop.m VALUES (1)");
    a_long_statement_is_waited_for(&server, &mut conn, room.path());
    lsnap::full(&server, room.path());
}

fn a_server_that_stops_answering(server: &Sandbox, conn: &mut Conn, room: &Path) {
    // A signal in the middle of a backup.
    let stalling = Stalling::at(server, "LOCK INSTANCE");
    let way = ["--socket", stalling.socket.to_str().unwrap()];
    let running = spawn_by(&way, room, 10);
    wait_for("the silence", SOON, || {
        stalling.is_silent.load(Ordering::Acquire)
    });
    let began = Instant::now();
    signal(&running, Signal::TERM);
    interrupted(running, began);
    nothing_left(conn);

    // With a short timeout: the statement doesn't continue after the client has given up.
    let patience = Duration::from_secs(1);
    let slow = Stalling::at(server, "Innodb_redo_log_enabled");
    let mut other = Server::connect_with_limit(&slow.options(), patience).unwrap();
    let late = other.redo_enabled().unwrap_err();
    assert!(matches!(late, ServerError::NoAnswer { .. }), "{late}");
    assert!(late.is_gone() && other.ping().unwrap_err().is_gone());
    nothing_left(conn);
}

fn a_signal_in_the_wait_for_the_instance_lock(server: &Sandbox, conn: &mut Conn, room: &Path) {
    let mut reader = server.connect();
    reader.query_drop("BEGIN").unwrap();
    reader.query_drop("SELECT * FROM shop.i").unwrap();
    let mut ddl = server.connect();
    let altering =
        std::thread::spawn(move || ddl.query_drop("ALTER TABLE shop.i ADD COLUMN b INT"));
    wait_for("the ALTER", SOON, || running_statement(conn, "ALTER"));
    for how in [Signal::TERM, Signal::INT] {
        let running = lsnap::spawn_backup(server, room, &["--lock-timeout=600"]);
        wait_for("lsnap's wait", SOON, || {
            running_statement(conn, "LOCK INSTANCE")
        });
        let began = Instant::now();
        signal(&running, how);
        interrupted(running, began);
        nothing_left(conn);
    }
    reader.query_drop("COMMIT").unwrap();
    altering.join().unwrap().unwrap();
}

fn a_session_that_was_killed(server: &Sandbox, conn: &mut Conn, room: &Path) {
    // It would take minutes.
    let mut running = lsnap::spawn_backup(server, room, &["--throttle=512K"]);
    let mut holder = String::new();
    wait_for(
        "the copy, during which the session is checked",
        SOON,
        || {
            holder = last_said(conn, "SELECT @@server_uuid, CONNECTION_ID()", "BACKUP LOCK");
            !holder.is_empty() || !running.is_running()
        },
    );
    run(conn, &format!("KILL {holder}"));
    wait_for("the end", SOON, || !running.is_running());
    running
        .wait()
        .refused(1, &["LOCK INSTANCE FOR BACKUP", "was lost while"]);
    nothing_left(conn);
}

/// Returns the connection id of lsnap's session that holds a lock of this kind and whose last
/// statement begins with `statement`; or "".
fn last_said(conn: &mut Conn, statement: &str, lock: &str) -> String {
    said("events_statements_current", conn, statement, lock)
}

/// As [`last_said`], of the last ten statements.
fn lately_said(conn: &mut Conn, statement: &str, lock: &str) -> String {
    said("events_statements_history", conn, statement, lock)
}

fn said(statements: &str, conn: &mut Conn, statement: &str, lock: &str) -> String {
    let query = format!(
        "SELECT MAX(a.PROCESSLIST_ID) FROM performance_schema.session_connect_attrs a \
         JOIN performance_schema.threads t ON t.PROCESSLIST_ID = a.PROCESSLIST_ID \
         JOIN performance_schema.{statements} e ON e.THREAD_ID = t.THREAD_ID \
         JOIN performance_schema.metadata_locks m ON m.OWNER_THREAD_ID = t.THREAD_ID \
         WHERE a.ATTR_NAME = 'program_name' AND a.ATTR_VALUE = 'lsnap' AND m.OBJECT_TYPE = '{lock}' \
         AND e.SQL_TEXT LIKE '{statement}%'"
    );
    value(conn, &query)
}

/// One MyISAM table and one long SELECT on it. Other readers of the table aren't blocked, neither
/// while lsnap waits nor after it has given up.
fn a_long_statement_is_waited_for(server: &Sandbox, conn: &mut Conn, room: &Path) {
    let mut reader = server.connect();
    let id = reader.connection_id();
    let reading =
        std::thread::spawn(move || reader.query_drop("SELECT SLEEP(600) FROM shop.m").is_err());
    wait_for("the SELECT", SOON, || {
        running_statement(conn, "SELECT SLEEP")
    });
    let long =
        "SELECT MAX(TIME) FROM performance_schema.processlist WHERE INFO LIKE 'SELECT SLEEP%'";
    wait_for("a long SELECT", SOON, || {
        value(conn, long).parse().unwrap_or(0) >= 2
    });
    let read = |conn: &mut Conn| {
        let began = Instant::now();
        run(conn, "SET SESSION lock_wait_timeout = 5");
        assert_eq!(value(conn, "SELECT COUNT(*) FROM shop.m"), "1");
        assert!(began.elapsed() < Duration::from_secs(4));
    };

    let mut running = lsnap::spawn_backup(server, room, &["--lock-timeout=3"]);
    while running.is_running() {
        read(conn);
        std::thread::sleep(Duration::from_millis(100));
    }
    running.wait().refused(
        11,
        &[
            &format!("connection {id} of root@localhost"),
            "--lock-timeout",
        ],
    );
    read(conn);
    nothing_left(conn);

    // A signal during that wait.
    let running = lsnap::spawn_backup(server, room, &["--lock-timeout=600"]);
    wait_for("a look", Duration::from_secs(60), || {
        !lately_said(conn, "SELECT DISTINCT t.PROCESSLIST_ID", "BACKUP LOCK").is_empty()
    });
    let began = Instant::now();
    signal(&running, Signal::INT);
    interrupted(running, began);
    read(conn);
    nothing_left(conn);
    run(conn, &format!("KILL QUERY {id}"));
    reading.join().unwrap();
}
