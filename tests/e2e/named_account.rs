//! A backup by an account that has only the privileges which xtrabackup needs: those of the operators. It has no
//! privilege on tables, so the server's list of tables is empty for it. Tables of other engines are found by their files.
//!
//! The backup is prepared by a `mysqld` that is killed, and prepared again by the same step.

use crate::named_chain;
use crate::named_xtrabackup::{completed, links, log};
use crate::sandbox::{RESTORED, SOURCE, Sandbox, run, scratch, text};
use mysql::prelude::Queryable as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

fn fill(source: &Sandbox) {
    let mut conn = source.connect();
    for sql in [
        "CREATE USER xtrabackup@localhost IDENTIFIED BY 'x'",
        "GRANT BACKUP_ADMIN, PROCESS, RELOAD, REPLICATION CLIENT ON *.* TO xtrabackup@localhost",
        "GRANT SELECT ON performance_schema.log_status TO xtrabackup@localhost",
        "GRANT SELECT ON performance_schema.keyring_component_status TO xtrabackup@localhost",
        "GRANT SELECT ON performance_schema.replication_group_members TO xtrabackup@localhost",
        "CREATE DATABASE `odd name#1`",
        "CREATE TABLE `odd name#1`.`Täble #x/y` (i INT PRIMARY KEY) ENGINE=MyISAM",
        "CREATE TABLE `odd name#1`.after (i INT PRIMARY KEY)",
        "CREATE TABLE `odd name#1`.memory (i INT) ENGINE=MEMORY",
        "CREATE TABLE `odd name#1`.black (i INT) ENGINE=BLACKHOLE",
        // Pages whose copy takes a moment.
        "CREATE TABLE `odd name#1`.big (i INT PRIMARY KEY AUTO_INCREMENT, b LONGBLOB)",
        "INSERT INTO `odd name#1`.big (b) WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 100) \
         SELECT REPEAT(RANDOM_BYTES(1000), 100) FROM r",
    ] {
        run(&mut conn, sql);
    }
}

fn backup(links: &Path, source: &Sandbox, target: &Path) -> Command {
    let mut command = Command::new(links.join("xtrabackup"));
    command
        .args([
            "--no-defaults",
            "--backup",
            "--user=xtrabackup",
            "--password=x",
            "-S",
        ])
        .arg(source.socket())
        .arg(format!("--target-dir={}", target.display()));
    command
}

/// Writes each number into the MyISAM table, then into the InnoDB table, until told to end.
fn write(source: &Sandbox, stop: &AtomicBool) {
    let mut conn = source.connect();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        run(
            &mut conn,
            &format!("INSERT INTO `odd name#1`.`Täble #x/y` VALUES ({number})"),
        );
        run(
            &mut conn,
            &format!("INSERT INTO `odd name#1`.after VALUES ({number})"),
        );
    }
}

/// Files with which the engine of a table can't be determined, or that describe a table of an unknown engine.
fn refused(links: &Path, source: &Sandbox, room: &Path) {
    let schema = source.datadir().join("odd@0020name@00231");
    for (text, words) in [
        ("{", &["stray_1.sdi", "SHOW VIEW ON *.*"][..]),
        (
            r#"{"dd_object": {"name": "rocks", "schema_ref": "s", "engine": "ROCKSDB"}}"#,
            &["s.rocks (engine ROCKSDB)"],
        ),
    ] {
        let stray = schema.join("stray_1.sdi");
        std::fs::write(&stray, text).unwrap();
        std::fs::set_permissions(&stray, PermissionsExt::from_mode(0o644)).unwrap();
        let target = room.join("refused");
        let output = backup(links, source, &target).output().unwrap();
        assert!(!output.status.success(), "{}", log(&output));
        for word in words {
            assert!(log(&output).contains(word), "{word}: {}", log(&output));
        }
        let _ = std::fs::remove_dir_all(&target);
        std::fs::remove_file(stray).unwrap();
    }
}

#[test]
fn the_account_of_xtrabackup_suffices() {
    let room = scratch();
    let links = links(room.path());
    let source = Sandbox::start("e2e-account", &[SOURCE]);
    fill(&source);
    refused(&links, &source, room.path());
    let target = room.path().join("backup");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| write(&source, &stop));
        let output = backup(&links, &source, &target).output().unwrap();
        stop.store(true, Ordering::Relaxed);
        let log = completed(&output);
        assert!(log.contains("tables are locked"), "{log}");
    });
    let position = std::fs::read_to_string(target.join("xtrabackup_binlog_info")).unwrap();
    named_chain::restored(
        room.path(),
        &|target| backup(&links, &source, target),
        &|| {
            source.run(
                "INSERT INTO `odd name#1`.after SELECT MAX(i) + 1000000 FROM `odd name#1`.after",
            )
        },
        &|server| server.value("SELECT COUNT(*) FROM `odd name#1`.after WHERE i > 1000000"),
        "2",
    );
    let mysqld = source.program("mysqld");
    source.stop();

    let prepare = |mysqld: &Path| {
        Command::new(links.join("xtrabackup"))
            .env("LSNAP_REDO_APPLIER", "mysqld")
            .env("LSNAP_MYSQLD", mysqld)
            .args(["--no-defaults", "--prepare"])
            .arg(format!("--target-dir={}", target.display()))
            .output()
            .unwrap()
    };
    for moment in ["recovers", "shuts down"] {
        let output = prepare(&killed(&mysqld, room.path(), moment));
        let log = log(&output);
        assert_eq!(output.status.code(), Some(1), "{moment}: {log}");
        let state = std::fs::read_to_string(target.join("xtrabackup_checkpoints")).unwrap();
        assert!(
            state.contains("backup_type = prepare-unfinished"),
            "{state}"
        );
    }
    let log = completed(&prepare(&mysqld));
    assert!(log.contains("the step was interrupted before"), "{log}");

    let restored = Sandbox::start_on("e2e-account-restored", &target, &[RESTORED]);
    compared(&restored, &position);
    restored.stop();
}

/// The MyISAM table has exactly the rows of the position.
fn compared(restored: &Sandbox, position: &str) {
    let gtids = position.split('\t').nth(2).unwrap().trim_end();
    assert_eq!(restored.value("SELECT @@gtid_executed"), gtids);
    let mut conn = restored.connect();
    let row: mysql::Row = conn
        .query_first(
            "SELECT (SELECT COUNT(*) FROM `odd name#1`.`Täble #x/y`), (SELECT MAX(i) + 1 FROM `odd name#1`.`Täble #x/y`), \
             (SELECT COUNT(*) FROM `odd name#1`.after), (SELECT COUNT(*) FROM `odd name#1`.big)",
        )
        .unwrap()
        .unwrap();
    let numbers: Vec<i64> = (0..4)
        .map(|column| text(&row, column).parse().unwrap())
        .collect();
    let [other, last, after, big] = numbers[..] else {
        panic!()
    };
    assert!(other > 0 && other == last && big == 100, "{numbers:?}");
    assert!(other == after || other == after + 1, "{numbers:?}");
    let checked: mysql::Row = conn
        .query_first("CHECK TABLE `odd name#1`.`Täble #x/y` EXTENDED")
        .unwrap()
        .unwrap();
    assert_eq!(text(&checked, 3), "OK");
}

/// A program in place of `mysqld`, which kills the server by SIGKILL when its log shows the moment.
fn killed(mysqld: &Path, room: &Path, moment: &str) -> PathBuf {
    let line = match moment {
        "recovers" => "Starting to apply\\|Applying a batch\\|Starting crash recovery",
        _ => "Received SHUTDOWN",
    };
    let path = room.join("mysqld-killed");
    let script = format!(
        r#"#!/bin/bash
case "$*" in *--version*) exec '{0}' "$@";; esac
for argument; do case "$argument" in --log-error=*) log=${{argument#--log-error=}};; esac; done
'{0}' "$@" &
server=$!
until grep -q '{line}' "$log"; do kill -0 $server || exit 3; sleep 0.01; done
kill -9 $server
wait $server
kill -9 $$
"#,
        mysqld.display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}
