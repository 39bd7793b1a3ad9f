//! A backup of a replica that applies under load, with a backlog: the position in
//! `xtrabackup_slave_info` belongs to the data, so a replica made from it resumes and equals its
//! source. A missing transaction shows in the rows; an extra one is applied twice and stops the
//! applier.

use crate::lsnap::{self, Member, Running};
use crate::sandbox::{SOURCE, Sandbox, run, scratch, value, wait_for};
use mysql::Conn;
use mysql::prelude::Queryable;
use rustix::process::{Pid, Signal, kill_process};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub const NO_GTIDS: &[&str] = &[
    "--gtid-mode=OFF",
    "--innodb-buffer-pool-size=64M",
    "--innodb-redo-log-capacity=64M",
    "--innodb-flush-log-at-trx-commit=2",
    "--sync-binlog=0",
    "--event-scheduler=OFF",
];
const REPLICA: &[&str] = &["--server-id=2", "--skip-replica-start"];
const NEW_REPLICA: &[&str] = &["--server-id=3", "--skip-replica-start"];
const TRANSACTIONS: u64 = 1500;
pub const CONTENT: &str = "SELECT CONCAT_WS(' ', (SELECT CONCAT(COUNT(*), ' ', SUM(CRC32(CONCAT(id, v)))) FROM d.t), \
                       (SELECT CONCAT(COUNT(*), ' ', SUM(n)) FROM d.c))";

/// Threads of small transactions on a source.
struct Writers {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    fn start(source: &Sandbox) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let threads = (0..3)
            .map(|thread| {
                let (mut conn, stop) = (source.connect(), Arc::clone(&stop));
                let done = Arc::<AtomicU64>::clone(&done);
                std::thread::spawn(move || {
                    for turn in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let row = 1 + thread * 20 + turn % 20;
                        for sql in [
                            "BEGIN".to_owned(),
                            format!("INSERT INTO d.t (v) VALUES ('{thread} {turn}')"),
                            format!("UPDATE d.c SET n = n + 1 WHERE id = {row}"),
                            "COMMIT".to_owned(),
                        ] {
                            run(&mut conn, &sql);
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        Self {
            stop,
            done,
            threads,
        }
    }

    fn wait_for(&self, more: u64) {
        let before = self.done.load(Ordering::Relaxed);
        wait_for("the writers", Duration::from_secs(60), || {
            self.done.load(Ordering::Relaxed) >= before + more
        });
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "a writer failed");
        }
    }
}

pub struct Pair {
    pub source: Sandbox,
    pub replica: Sandbox,
    mode: &'static [&'static str],
    pub room: tempfile::TempDir,
}

impl Pair {
    pub fn start(name: &str, mode: &'static [&'static str], replica: &[&str]) -> Self {
        let source = Sandbox::start(&format!("{name}-src"), &[mode, &["--server-id=1"]]);
        let replica = Sandbox::start(&format!("{name}-rep"), &[mode, REPLICA, replica]);
        let mut conn = source.connect();
        for sql in [
            "CREATE USER repl@'%' IDENTIFIED BY 'repl'",
            "GRANT REPLICATION SLAVE ON *.* TO repl@'%'",
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(40))",
            "CREATE TABLE d.c (id INT PRIMARY KEY, n INT NOT NULL)",
            "INSERT INTO d.c WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 100) \
             SELECT i, 0 FROM r",
        ] {
            run(&mut conn, sql);
        }
        let pair = Self {
            source,
            replica,
            mode,
            room: scratch(),
        };
        let mut conn = pair.replica.connect();
        run(&mut conn, &pair.change(""));
        run(&mut conn, "START REPLICA");
        // DDL would wait for the end of a backup.
        pair.reaches_the_end(&mut conn);
        pair
    }

    /// Returns the statement that connects a replica to the source, with additional clauses.
    fn change(&self, more: &str) -> String {
        let port = self.source.port();
        let position = if self.mode == SOURCE && more.is_empty() {
            ", SOURCE_AUTO_POSITION=1"
        } else {
            more
        };
        format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, SOURCE_USER='repl', \
             SOURCE_PASSWORD='repl', GET_SOURCE_PUBLIC_KEY=1, SOURCE_CONNECT_RETRY=1{position}"
        )
    }

    fn workers(&self, count: u32) {
        let mut conn = self.replica.connect();
        run(&mut conn, "STOP REPLICA SQL_THREAD");
        run(
            &mut conn,
            &format!("SET GLOBAL replica_parallel_workers = {count}"),
        );
        run(&mut conn, "START REPLICA SQL_THREAD");
    }

    pub fn repository(&self) -> PathBuf {
        self.room.path().join("repository")
    }

    /// Makes a backup of the replica while it works off a backlog, and the source continues.
    fn backup(&self, more: &[&str]) -> Member {
        let writers = Writers::start(&self.source);
        self.replica.run("STOP REPLICA SQL_THREAD");
        writers.wait_for(TRANSACTIONS);
        self.replica.run("START REPLICA SQL_THREAD");
        let member = lsnap::backup(&self.replica, &self.repository(), more);
        assert!(applies(&self.replica), "the applier makes no progress");
        drop(writers);
        member
    }

    /// Restores the member, and makes it a replica.
    fn restored(&self, member: &Member) -> Restored {
        let datadir = self.room.path().join("restored");
        let _ = std::fs::remove_dir_all(&datadir);
        lsnap::restore(&self.replica, &self.repository(), &member.name, &datadir);
        let statements = std::fs::read_to_string(datadir.join("xtrabackup_slave_info"));
        let name = format!("{}-new", self.replica.name);
        let server = Sandbox::start_on(&name, &datadir, &[self.mode, NEW_REPLICA]);
        Restored {
            server,
            statements: statements.ok(),
        }
    }

    /// The new replica continues to the source's end, and equals it.
    #[track_caller]
    fn resumes(&self, restored: &Restored, statements: &str) {
        let mut conn = restored.server.connect();
        run(&mut conn, "RESET REPLICA ALL");
        run(&mut conn, &self.change(", SOURCE_LOG_POS=4"));
        for statement in statements.split_terminator(";\n") {
            run(&mut conn, statement);
        }
        run(&mut conn, "START REPLICA");
        self.reaches_the_end(&mut conn);
        let expected = self.source.value(CONTENT);
        assert_eq!(value(&mut conn, CONTENT), expected, "{statements}");
    }

    pub fn reaches_the_end(&self, conn: &mut Conn) {
        let (file, position) = {
            let mut source = self.source.connect();
            let row: mysql::Row = source
                .query_first(self.source.show_binary_log_status())
                .unwrap()
                .unwrap();
            (crate::sandbox::text(&row, 0), crate::sandbox::text(&row, 1))
        };
        let reached = value(
            conn,
            &format!("SELECT SOURCE_POS_WAIT('{file}', {position}, 60)"),
        );
        let error = value(
            conn,
            "SELECT GROUP_CONCAT(LAST_ERROR_MESSAGE) FROM performance_schema.replication_applier_status_by_worker",
        );
        let late = ["", "-1"].contains(&reached.as_str());
        assert!(!late, "{reached:?} at {file}:{position}: {error}");
    }
}

struct Restored {
    server: Sandbox,
    statements: Option<String>,
}

fn applies(replica: &Sandbox) -> bool {
    replica.value("SELECT SERVICE_STATE FROM performance_schema.replication_applier_status") == "ON"
}

/// Returns the only channel in the report.
fn channel(member: &Member) -> &serde_json::Value {
    let channels = member.json["replica"]["channels"].as_array().unwrap();
    assert_eq!(channels.len(), 1, "{channels:?}");
    &channels[0]
}

#[test]
fn with_gtids_a_replica_resumes_at_the_data() {
    let pair = Pair::start("e2e-repg", SOURCE, &["--replica-parallel-workers=4"]);
    let member = pair.backup(&[]);
    let exact = member.json["replica"]["gtid_executed_is_exact"].as_bool();
    assert_eq!(exact, Some(true));
    assert!(channel(&member)["auto_position"].as_bool().unwrap());
    let restored = pair.restored(&member);
    let statements = restored.statements.clone().unwrap();
    assert!(
        statements.starts_with("SET GLOBAL gtid_purged='"),
        "{statements}"
    );
    pair.resumes(&restored, &statements);
    drop(restored);

    // By file and position, although GTIDs are in use; one worker. Transactions that were applied
    // after the position are skipped.
    let mut conn = pair.replica.connect();
    run(&mut conn, "STOP REPLICA");
    run(
        &mut conn,
        "CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION=0",
    );
    run(&mut conn, "START REPLICA");
    pair.workers(1);
    let member = pair.backup(&[]);
    let restored = pair.restored(&member);
    let statements = restored.statements.clone().unwrap();
    assert!(
        statements.starts_with("CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='"),
        "{statements}"
    );
    pair.resumes(&restored, &statements);
    let shown = lsnap::lsnap(["show", "--from", &lsnap::url(&pair.repository())]).ok();
    let port = pair.source.port();
    assert!(
        shown.stdout.contains(&format!("127.0.0.1:{port}, binlog.")),
        "{}",
        shown.stdout
    );
    drop(restored);
    without_a_log_of_updates(pair);
}

/// The server adds GTIDs to its set after it has committed them. The recovered set counts, and a
/// restore accepts it.
fn without_a_log_of_updates(mut pair: Pair) {
    pair.replica.stop();
    let options = ["--replica-parallel-workers=4", "--log-replica-updates=OFF"];
    pair.replica.restart(&[SOURCE, REPLICA, &options]);
    let mut conn = pair.replica.connect();
    run(
        &mut conn,
        "CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION=1",
    );
    run(&mut conn, "START REPLICA");
    let member = pair.backup(&[]);
    let exact = member.json["replica"]["gtid_executed_is_exact"].as_bool();
    assert_eq!(exact, Some(false));
    let restored = pair.restored(&member);
    let statements = restored.statements.clone().unwrap();
    assert_eq!(
        statements,
        "CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION=1;\n"
    );
    pair.resumes(&restored, &statements);
}

#[test]
fn without_gtids_a_position_is_exact_or_not_given() {
    let pair = Pair::start("e2e-repp", NO_GTIDS, &["--replica-parallel-workers=4"]);
    // No value that is read from a running applier is exact. The recovered values are.
    let member = pair.backup(&[]);
    match channel(&member)["unknown"].as_str() {
        Some(why) => {
            assert!(why.contains("--safe-slave-backup"), "{why}");
            by_recovered_tables(&pair, &member);
        }
        // On a busy machine the applier may have been idle at that moment: that is exact too.
        None => by_position(&pair, &member),
    }

    pair.workers(1);
    let member = pair.backup(&["--safe-slave-backup"]);
    by_position(&pair, &member);

    // The lock for a table of another engine stops the applier, too.
    pair.replica.run("SET sql_log_bin = 0");
    pair.replica.run("CREATE TABLE d.m (id INT) ENGINE=MyISAM");
    pair.workers(4);
    let member = pair.backup(&[]);
    by_position(&pair, &member);

    // A stopped applier stays stopped.
    pair.replica.run("STOP REPLICA SQL_THREAD");
    let repository = pair.repository();
    let member = lsnap::backup(&pair.replica, &repository, &["--safe-slave-backup"]);
    assert!(!applies(&pair.replica));
    assert!(channel(&member)["position"].as_u64().is_some());
    interrupted(&pair);
}

/// A member without a position: the recovered server's tables contain one.
fn by_recovered_tables(pair: &Pair, member: &Member) {
    let restored = pair.restored(member);
    assert_eq!(restored.statements, None);
    let highest = restored.server.value(
        "SELECT CONCAT('CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE=''', Master_log_name, ''', SOURCE_LOG_POS=', \
         Master_log_pos) FROM (SELECT Master_log_name, Master_log_pos FROM mysql.slave_relay_log_info UNION ALL \
         SELECT Master_log_name, Master_log_pos FROM mysql.slave_worker_info) p \
         ORDER BY Master_log_name DESC, Master_log_pos DESC LIMIT 1",
    );
    pair.resumes(&restored, &highest);
}

#[track_caller]
fn by_position(pair: &Pair, member: &Member) {
    assert!(channel(member)["unknown"].is_null(), "{}", channel(member));
    let restored = pair.restored(member);
    let statements = restored.statements.clone().unwrap();
    assert!(statements.contains("SOURCE_LOG_POS"), "{statements}");
    pair.resumes(&restored, &statements);
}

/// A backup that waits for an applier that can't stop: after SIGTERM the applier is started again,
/// as soon as the server has stopped it.
fn interrupted(pair: &Pair) {
    let mut conn = pair.replica.connect();
    run(&mut conn, "START REPLICA SQL_THREAD");
    pair.reaches_the_end(&mut conn);
    run(&mut conn, "BEGIN");
    run(&mut conn, "SELECT * FROM d.c WHERE id = 99 FOR UPDATE");
    pair.source.run("UPDATE d.c SET n = n + 1 WHERE id = 99");
    // Not INNODB_TRX: its cache is not refreshed while it is read more often than every 0.1 s.
    let waits = "SELECT COUNT(*) FROM performance_schema.data_lock_waits";
    wait_for("the applier to wait", Duration::from_secs(90), || {
        pair.replica.value(waits) != "0"
    });
    let backup = lsnap::spawn_backup(&pair.replica, &pair.repository(), &["--safe-slave-backup"]);
    runs(pair, "STOP REPLICA");
    terminate(&backup);
    runs(pair, "START REPLICA");
    run(&mut conn, "ROLLBACK");
    let said = backup.wait();
    assert_eq!(said.code, 130, "{said:?}");
    assert!(applies(&pair.replica), "the applier was left stopped");
    pair.reaches_the_end(&mut conn);
}

fn runs(pair: &Pair, statement: &str) {
    let sql = format!(
        "SELECT COUNT(*) FROM performance_schema.processlist WHERE INFO LIKE '{statement}%'"
    );
    wait_for(statement, Duration::from_secs(20), || {
        pair.replica.value(&sql) == "1"
    });
}

fn terminate(backup: &Running) {
    let pid = Pid::from_raw(backup.pid() as i32).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
}
