//! Processes that die in the middle of a backup. The backup is stopped (SIGSTOP) as soon as its
//! first objects exist, so that "the middle" doesn't depend on timing.

use crate::lsnap::{self, Running};
use crate::sandbox::{RESTORED, SOURCE, Sandbox, run, scratch, value, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::Duration;

/// Starts a backup and stops it with SIGSTOP while it copies pages.
fn stopped_in_the_middle(server: &Sandbox, repository: &Path) -> Running {
    let mut running = lsnap::spawn_backup(
        server,
        repository,
        &["--parallel", "2", "--memory", "64MiB"],
    );
    wait_for(
        "the first object of a tablespace",
        Duration::from_secs(30),
        || {
            assert!(running.is_running(), "the backup ended too early");
            has_tablespace(repository)
        },
    );
    running.signal(Signal::STOP);
    running
}

fn has_tablespace(directory: &Path) -> bool {
    std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| {
            let path = entry.path();
            path.is_dir() && has_tablespace(&path) || path.to_string_lossy().contains(".ibd.0000")
        })
}

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid() as i32).unwrap(), signal).unwrap();
    }
}

fn finished(repository: &Path) -> bool {
    lsnap::list(repository)
        .to_string()
        .to_lowercase()
        .contains("\"finished\"")
}

/// Creates enough data for a backup to take a while.
fn filled(name: &str, options: &[&str]) -> Sandbox {
    let server = Sandbox::start(name, &[SOURCE, options]);
    let mut conn = server.connect();
    run(&mut conn, "CREATE DATABASE d");
    run(&mut conn, "CREATE USER repl@'%' IDENTIFIED BY 'repl'");
    run(&mut conn, "GRANT REPLICATION SLAVE ON *.* TO repl@'%'");
    run(&mut conn, "SET SESSION sql_log_bin = 0");
    for n in 0..4 {
        run(
            &mut conn,
            &format!("CREATE TABLE d.t{n} (id INT PRIMARY KEY AUTO_INCREMENT, b LONGBLOB)"),
        );
        run(
            &mut conn,
            &format!(
                "INSERT INTO d.t{n} (b) WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 300) \
                 SELECT REPEAT(RANDOM_BYTES(1000), 100) FROM r"
            ),
        );
    }
    server
}

#[test]
fn lsnap_killed_in_the_middle_leaves_no_lock_and_nothing_finished() {
    let room = scratch();
    let repository = room.path().join("repository");
    std::fs::create_dir(&repository).unwrap();
    let server = filled("e2e-killed", &[]);
    let mut running = stopped_in_the_middle(&server, &repository);
    let mut conn = server.connect();
    run(&mut conn, "SET SESSION lock_wait_timeout = 1");
    let locked = mysql::prelude::Queryable::query_drop(&mut conn, "CREATE TABLE d.locked (id INT)");
    assert!(locked.is_err(), "a running backup did not block DDL");
    running.kill();
    running.wait();

    assert!(!finished(&repository), "a killed backup looks finished");
    run(&mut conn, "SET SESSION lock_wait_timeout = 30");
    run(&mut conn, "CREATE TABLE d.free (id INT PRIMARY KEY)");
    let none = lsnap::try_backup(&server, &repository, &["--incremental"]);
    assert!(
        none.code != 0,
        "an unfinished backup became a base: {none:?}"
    );
    let full = lsnap::full(&server, &repository);
    let inc = lsnap::incremental(&server, &repository);
    assert!(
        inc.name.starts_with(&full.name),
        "{} is not on {}",
        inc.name,
        full.name
    );
    let target = room.path().join("target");
    lsnap::restore(&server, &repository, &inc.name, &target);
    let restored = Sandbox::start_on("e2e-killed-restored", &target, &[RESTORED]);
    crate::proof::prove(&server, &restored, &inc.position);
}

#[test]
fn the_server_dies_or_outruns_the_backup() {
    let room = scratch();
    let repository = room.path().join("repository");
    std::fs::create_dir(&repository).unwrap();
    let options = ["--innodb-redo-log-capacity=8M"];
    let mut server = filled("e2e-dies", &options);

    let running = stopped_in_the_middle(&server, &repository);
    overwrite_redo(&server, 60 << 20);
    running.signal(Signal::CONT);
    running.wait().refused(1, &["innodb_redo_log_capacity"]);
    assert!(
        !finished(&repository),
        "a backup without its redo looks finished"
    );

    let running = stopped_in_the_middle(&server, &repository);
    server.kill();
    running.signal(Signal::CONT);
    let said = running.wait();
    assert!(
        said.code != 0,
        "the server died, and the output of the backup is: {said:?}"
    );
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
    assert!(
        !finished(&repository),
        "a backup of a dead server looks finished"
    );

    server.restart(&[SOURCE, &options]);
    lsnap::full(&server, &repository);
}

/// Writes redo until the log has wrapped around, so that the redo of the backup is overwritten.
fn overwrite_redo(server: &Sandbox, bytes: u64) {
    let mut conn = server.connect();
    run(&mut conn, "SET SESSION sql_log_bin = 0");
    let lsn = "SELECT VARIABLE_VALUE FROM performance_schema.global_status \
               WHERE VARIABLE_NAME = 'Innodb_redo_log_checkpoint_lsn'";
    let goal = value(&mut conn, lsn).parse::<u64>().unwrap() + bytes;
    wait_for("the redo log to go round", Duration::from_secs(120), || {
        run(
            &mut conn,
            "UPDATE d.t0 SET b = REPEAT(RANDOM_BYTES(1000), 100) WHERE id <= 100",
        );
        value(&mut conn, lsn).parse::<u64>().unwrap() > goal
    });
}
