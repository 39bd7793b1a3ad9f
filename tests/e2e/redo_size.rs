//! The redo log is resized, and written in ways that can't be backed up, while a backup follows it;
//! and the log tables, which no lock covers.

use crate::sandbox::{RESTORED, SOURCE, Sandbox, run, scratch};
use crate::{lsnap, proof};
use mysql::prelude::Queryable as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const INSERT: &str = "INSERT INTO d.t (b) WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 40) \
                      SELECT REPEAT('x', 3000) FROM r";

/// Repeats actions while `work` runs; returns how often.
fn during<T>(work: impl FnOnce() -> T, again: &[&(dyn Fn(u64) + Sync)]) -> (T, u64) {
    let (stop, least) = (AtomicBool::new(false), AtomicU64::new(u64::MAX));
    let done = std::thread::scope(|scope| {
        for again in again {
            scope.spawn(|| {
                let mut turn = 0;
                while !stop.load(Ordering::Relaxed) {
                    again(turn);
                    turn += 1;
                }
                least.fetch_min(turn, Ordering::Relaxed);
            });
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        done
    });
    let done = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    (done, least.load(Ordering::Relaxed))
}

#[test]
fn a_redo_log_that_is_resized_is_followed() {
    let room = scratch();
    let repository = room.path().join("repository");
    let server = Sandbox::start("e2e-resize", &[SOURCE]);
    server.run("CREATE DATABASE d");
    server.run("CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, b VARCHAR(4000))");
    let mut writer = server.connect();
    (0..20).for_each(|_| run(&mut writer, INSERT));

    // A log that becomes smaller is reused as fast as it is written. The writer fills about one
    // file of the smallest log before the capacity is changed again, so a slow backup has the time
    // between two changes to read it.
    let resized = AtomicU64::new(0);
    let write = |turn: u64| {
        let (seen, since) = (resized.load(Ordering::Relaxed), Instant::now());
        server.run(INSERT);
        while turn % 4 == 3
            && resized.load(Ordering::Relaxed) == seen
            && since.elapsed() < Duration::from_secs(2)
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let resize = |turn: u64| {
        resized.store(turn, Ordering::Relaxed);
        let megabytes = [128, 16, 64, 24][turn as usize % 4];
        server.run(&format!(
            "SET GLOBAL innodb_redo_log_capacity = {}",
            megabytes << 20
        ));
        std::thread::sleep(Duration::from_millis(400));
    };
    let log = |turn: u64| {
        // Each statement is a row of the log table.
        let mut conn = server.connect();
        run(&mut conn, &format!("SELECT {turn}, 'a line\nand another'"));
        (0..50).for_each(|_| run(&mut conn, "DO 1"));
    };
    server.run("SET GLOBAL log_output = 'TABLE'");
    server.run("SET GLOBAL general_log = ON");
    // One log table uses CSV, the other MyISAM.
    server.run("ALTER TABLE mysql.slow_log ENGINE=MyISAM");
    server.run("SET GLOBAL long_query_time = 0");
    server.run("SET GLOBAL slow_query_log = ON");
    let throttled = ["--throttle", "12MiB"];
    let backup = || lsnap::backup(&server, &repository, &throttled);
    let (member, turns) = during(backup, &[&write, &resize, &log]);
    server.run("SET GLOBAL general_log = OFF");
    server.run("SET GLOBAL slow_query_log = OFF");
    assert!(turns > 8, "only {turns} turns");

    // `CHECK TABLE` of every table, including the log tables.
    let from = lsnap::url(&repository);
    let mysqld = server.program("mysqld");
    let arguments = ["verify", "--json", "--from", &from, "--restore", "--mysqld"];
    let mut verify = lsnap::command();
    verify
        .args(arguments)
        .arg(&mysqld)
        .arg("--scratch")
        .arg(room.path());
    verify.args(["--user", &lsnap::owner(), &member.name]);
    lsnap::said(verify.output().unwrap()).ok();

    let datadir = room.path().join("restored");
    lsnap::restore(&server, &repository, &member.name, &datadir);
    let restored = Sandbox::start_on("e2e-resize-new", &datadir, &[RESTORED]);
    let findings = proof::standing(&restored, &member.position);
    assert!(findings.is_empty(), "{findings:#?}");
    for (table, text) in [("general_log", "argument"), ("slow_log", "sql_text")] {
        let checked = restored.value(&format!(
            "SELECT COUNT(*) FROM mysql.{table} WHERE {text} LIKE '%a line%'"
        ));
        assert!(checked.parse::<u64>().unwrap() > 0, "{table} is empty");
    }
    is_whole(&restored, "mysql.slow_log");
    unchecked(&server, &repository);
}

/// Checks that the only message of `CHECK TABLE` is OK.
fn is_whole(server: &Sandbox, table: &str) {
    let mut conn = server.connect();
    let rows: Vec<(String, String, String, String)> =
        conn.query(format!("CHECK TABLE {table} EXTENDED")).unwrap();
    let said: Vec<_> = rows
        .iter()
        .map(|row| (row.2.as_str(), row.3.as_str()))
        .collect();
    assert_eq!(said, [("status", "OK")]);
}

/// Redo without checksums is reported at once, not after a minute.
fn unchecked(server: &Sandbox, repository: &std::path::Path) {
    let began = Instant::now();
    server.run("SET GLOBAL innodb_log_checksums = OFF");
    let said = lsnap::try_backup(server, repository, &[]);
    said.refused(
        1,
        &["innodb_log_checksums", "SET GLOBAL innodb_log_checksums=ON"],
    );
    // The redo that was written without checksums stays in the log until a checkpoint has passed
    // it.
    server.run(INSERT);
    server.run("SET GLOBAL innodb_log_checksums = ON");
    let said = lsnap::try_backup(server, repository, &[]);
    if said.code != 0 {
        said.refused(
            1,
            &["was written with innodb_log_checksums=OFF", "checkpoint"],
        );
    }
    assert!(began.elapsed() < Duration::from_secs(30));
}
