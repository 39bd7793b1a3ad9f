//! A server that was reset to an older state and continued on its own: the same uuid, the same redo
//! log uuid, an LSN above the base's, the same GTIDs assigned again. No incremental may continue a
//! backup of its former history.

use crate::lsnap;
use crate::sandbox::{Sandbox, run, scratch, value};
use std::path::{Path, PathBuf};
use std::process::Command;

const BASIC: &[&str] = &[
    "--server-id=1",
    "--innodb-buffer-pool-size=64M",
    "--innodb-redo-log-capacity=8M",
    "--innodb-flush-log-at-trx-commit=2",
    "--sync-binlog=0",
    "--event-scheduler=OFF",
];
const GTIDS: &[&str] = &["--gtid-mode=ON", "--enforce-gtid-consistency=ON"];
const FILL: &str = "INSERT INTO d.t (b) WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 200) \
                    SELECT REPEAT('x', 4000) FROM r";

fn lsn(server: &Sandbox) -> u64 {
    let sql = "SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME = \
               'Innodb_redo_log_current_lsn'";
    server.value(sql).parse().unwrap()
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.unwrap().success());
}

struct Fork {
    server: Sandbox,
    older: PathBuf,
    room: tempfile::TempDir,
}

impl Fork {
    /// Makes a full backup of a server with these options, resets the server to its earlier state,
    /// and runs it past the backup's LSN, with at least `redo` bytes of redo.
    fn put_back(&mut self, name: &str, options: &[&str], redo: u64) -> (PathBuf, String) {
        self.server.stop();
        copy(&self.older, &self.server.datadir());
        self.server.restart(&[BASIC, options]);
        let mut conn = self.server.connect();
        run(
            &mut conn,
            "UPDATE d.cold SET b = REPEAT('n', 4000) WHERE id > 20",
        );
        run(&mut conn, FILL);
        drop(conn);
        // All of it is in the files.
        self.server.stop();
        self.server.restart(&[BASIC, options]);
        let repository = self.room.path().join(name);
        let full = lsnap::try_backup(&self.server, &repository, &[]).ok().json;
        let last = full["backup"]["lsn"]["last_lsn"].as_u64().unwrap();
        self.server.stop();
        copy(&self.older, &self.server.datadir());
        self.server.restart(&[BASIC, options]);
        let mut conn = self.server.connect();
        while lsn(&self.server) < last + redo {
            run(&mut conn, FILL);
        }
        if value(&mut conn, "SELECT @@log_bin") == "1" {
            // Past the binary log file that the base names.
            (0..4).for_each(|_| run(&mut conn, "FLUSH BINARY LOGS"));
        }
        (
            repository,
            full["backup"]["name"].as_str().unwrap().to_owned(),
        )
    }

    fn is_refused(&mut self, name: &str, options: &[&str], redo: u64, words: &[&str]) {
        let (repository, full) = self.put_back(name, options, redo);
        let said = lsnap::try_backup(&self.server, &repository, &["--incremental"]);
        let mut all = vec![full.as_str(), "older state", "full backup"];
        all.extend(words);
        said.refused(14, &all);
    }
}

#[test]
fn a_base_of_another_history_is_refused() {
    let server = Sandbox::start("e2e-forked", &[BASIC, GTIDS]);
    let room = scratch();
    let mut conn = server.connect();
    for sql in [
        "CREATE DATABASE d",
        "CREATE TABLE d.cold (id INT PRIMARY KEY AUTO_INCREMENT, b VARCHAR(4000))",
        "CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, b VARCHAR(4000))",
    ] {
        run(&mut conn, sql);
    }
    run(&mut conn, &FILL.replace("d.t", "d.cold"));
    run(&mut conn, FILL);
    drop(conn);
    server.stop();
    let older = room.path().join("older");
    copy(&server.datadir(), &older);
    let mut fork = Fork {
        server,
        older,
        room,
    };
    fork.server.restart(&[BASIC, GTIDS]);
    let over = 40 << 20;
    fork.is_refused("pages", &["--skip-log-bin"], over, &["page", "d/cold.ibd"]);
    fork.is_refused("binlog", &[], over, &["binary log file binlog.0"]);
    fork.is_refused("redo", GTIDS, 4096, &["redo log between LSN"]);
}

/// All pages that changed last in the base change again on the reset server; the fork is detected
/// by pages that only the base's history changed, and not recently.
#[test]
fn a_base_of_another_history_is_detected_by_cold_pages() {
    let mut server = Sandbox::start("e2e-forked-cold", &[BASIC, &["--skip-log-bin"]]);
    let room = scratch();
    let repository = room.path().join("repository");
    let mut conn = server.connect();
    run(&mut conn, "CREATE DATABASE d");
    run(
        &mut conn,
        "CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, b VARCHAR(4000))",
    );
    (0..3).for_each(|_| run(&mut conn, FILL));
    drop(conn);
    server.stop();
    let older = room.path().join("older");
    copy(&server.datadir(), &older);
    let options: &[&[&str]] = &[BASIC, &["--skip-log-bin"]];
    // 600 rows are in 200 pages; 20 of these change all the time.
    let hot = |server: &Sandbox| {
        let mut conn = server.connect();
        for letter in ["h", "i"] {
            let update = format!("UPDATE d.t SET b = REPEAT('{letter}', 4000) WHERE id <= 60");
            run(&mut conn, &update);
        }
    };
    server.restart(options);
    server.run("UPDATE d.t SET b = REPEAT('n', 4000) WHERE id > 60");
    (0..10).for_each(|_| hot(&server));
    server.stop();
    server.restart(options);
    let full = lsnap::try_backup(&server, &repository, &[]).ok().json;
    let last = full["backup"]["lsn"]["last_lsn"].as_u64().unwrap();
    server.stop();
    copy(&older, &server.datadir());
    server.restart(options);
    while lsn(&server) < last + (20 << 20) {
        hot(&server);
    }
    let said = lsnap::try_backup(&server, &repository, &["--incremental"]);
    said.refused(14, &["older state", "d/t.ibd", "full backup"]);
}

/// Events in the normal life of a server are not a fork.
#[test]
fn normal_events_of_a_server_are_not_refused() {
    let mut server = Sandbox::start("e2e-days", &[BASIC, GTIDS]);
    let room = scratch();
    let repository = room.path().join("repository");
    server.run("CREATE DATABASE d");
    server.run("CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, b VARCHAR(4000))");
    server.run(FILL);
    lsnap::full(&server, &repository);
    let next = |server: &Sandbox| {
        let made = lsnap::incremental(server, &repository);
        let manifest = lsnap::manifest(&repository, &made.name);
        assert!(manifest["history"]["pages"].as_array().unwrap().len() > 10);
        server.run(FILL);
    };
    next(&server);
    server.stop();
    server.restart(&[BASIC, GTIDS]);
    next(&server);
    server.kill();
    server.restart(&[BASIC, GTIDS]);
    next(&server);
    server.run("FLUSH BINARY LOGS");
    server.run("PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 HOUR");
    next(&server);
    for megabytes in [64, 16, 8] {
        let sql = format!("SET GLOBAL innodb_redo_log_capacity = {}", megabytes << 20);
        server.run(&sql);
        server.run(FILL);
    }
    next(&server);
    let mut conn = server.connect();
    run(&mut conn, "ALTER TABLE d.t ADD KEY (b(20))");
    run(&mut conn, "OPTIMIZE TABLE d.t");
    run(&mut conn, "CREATE TABLE d.u LIKE d.t");
    run(&mut conn, "FLUSH TABLES d.t FOR EXPORT");
    let (from, to) = (
        server.datadir().join("d/t.ibd"),
        server.datadir().join("d/u.ibd"),
    );
    let aside = room.path().join("t.ibd");
    std::fs::copy(&from, &aside).unwrap();
    run(&mut conn, "UNLOCK TABLES");
    next(&server);
    run(&mut conn, "ALTER TABLE d.u DISCARD TABLESPACE");
    std::fs::copy(&aside, &to).unwrap();
    run(&mut conn, "ALTER TABLE d.u IMPORT TABLESPACE");
    run(&mut conn, "TRUNCATE TABLE d.t");
    next(&server);
    run(&mut conn, "RESET BINARY LOGS AND GTIDS");
    lsnap::try_backup(&server, &repository, &["--incremental"])
        .refused(14, &["RESET BINARY LOGS AND GTIDS", "full backup"]);
}
