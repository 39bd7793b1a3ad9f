//! Partial backups under the name `xtrabackup`: made, continued, prepared, restored, and their tables imported by another
//! server.

use crate::common::program::PROGRAM;
use crate::sandbox::{RESTORED, SOURCE, Sandbox, run, scratch};
use crate::streams::restore;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

/// The tables of the backup, each with the name of its files.
const KEPT: [(&str, &str, &str); 6] = [
    ("shop", "a", "shop/a"),
    ("shop", "zip", "shop/zip"),
    ("shop", "parts", "shop/parts"),
    ("shop", "words", "shop/words"),
    ("my-db", "t x", "my@002ddb/t@0020x"),
    ("ödd", "日", "@1idd/@65e5"),
];
const FILTER: &str = "--databases=shop my-db ödd.日 shop.m";

fn tables(source: &Sandbox) {
    let mut conn = source.connect();
    for sql in [
        "CREATE DATABASE shop",
        "CREATE DATABASE `my-db`",
        "CREATE DATABASE `ödd`",
        "CREATE DATABASE other",
        "CREATE TABLE shop.a (i INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200))",
        "CREATE TABLE shop.zip (i INT PRIMARY KEY, v VARCHAR(200)) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8",
        "CREATE TABLE shop.parts (i INT PRIMARY KEY, v VARCHAR(200)) PARTITION BY HASH (i) PARTITIONS 3",
        "CREATE TABLE shop.words (i INT PRIMARY KEY, v VARCHAR(200), FULLTEXT (v))",
        "CREATE TABLE shop.m (i INT PRIMARY KEY) ENGINE=MyISAM",
        "INSERT INTO shop.m VALUES (1), (2)",
        "CREATE TABLE `my-db`.`t x` (i INT PRIMARY KEY, v VARCHAR(200))",
        "CREATE TABLE `ödd`.`日` (i INT PRIMARY KEY, v VARCHAR(200))",
        "CREATE TABLE `ödd`.no (i INT PRIMARY KEY)",
        "CREATE TABLE other.b (i INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200))",
        "CREATE TABLE other.m (i INT PRIMARY KEY) ENGINE=MyISAM",
        "CREATE TABLESPACE gen ADD DATAFILE 'gen.ibd'",
        "CREATE TABLE other.g (i INT PRIMARY KEY) TABLESPACE gen",
        "INSERT INTO other.g VALUES (3)",
    ] {
        run(&mut conn, sql);
    }
    for (schema, table, _) in &KEPT[1..] {
        for i in 0..20 {
            run(
                &mut conn,
                &format!("INSERT INTO `{schema}`.`{table}` VALUES ({i}, 'word{i} row')"),
            );
        }
    }
}

/// Transactions over tables that the backup has and lacks, until `stop` is set.
fn load(source: &Sandbox, stop: &AtomicBool) {
    let mut conn = source.connect();
    while !stop.load(Ordering::Relaxed) {
        run(&mut conn, "BEGIN");
        run(
            &mut conn,
            "INSERT INTO shop.a (v) VALUES (REPEAT('x', 150))",
        );
        run(
            &mut conn,
            "INSERT INTO other.b (v) VALUES (REPEAT('y', 150))",
        );
        run(&mut conn, "UPDATE shop.parts SET v = UUID() WHERE i < 7");
        run(&mut conn, "COMMIT");
    }
}

/// Ends the load, also after a failed assertion.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Programs {
    link: PathBuf,
    mysqld: PathBuf,
}

impl Programs {
    fn backup(&self, source: &Sandbox, target: &Path, more: &[&str]) -> Output {
        Command::new(&self.link)
            .args([
                "--no-defaults",
                "--backup",
                "--user=root",
                "--password=",
                "-S",
            ])
            .arg(source.socket())
            .arg(format!("--target-dir={}", target.display()))
            .args(more)
            .output()
            .unwrap()
    }

    fn prepare(&self, target: &Path, applier: &str, more: &[&str]) -> Output {
        Command::new(&self.link)
            .env("LSNAP_REDO_APPLIER", applier)
            .env("LSNAP_MYSQLD", &self.mysqld)
            .args(["--no-defaults", "--prepare", "--use-memory=96M"])
            .arg(format!("--target-dir={}", target.display()))
            .args(more)
            .output()
            .unwrap()
    }
}

fn completed(output: &Output) -> String {
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    assert!(
        log.lines().last().unwrap().ends_with("completed OK!"),
        "{log}"
    );
    log
}

fn refused(output: &Output, words: &str) {
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(
        log.contains(words) && !log.contains("completed OK!"),
        "{words:?}: {log}"
    );
}

fn copy(from: &Path, to: &Path) {
    assert!(
        Command::new("cp")
            .arg("-a")
            .arg(from)
            .arg(to)
            .status()
            .unwrap()
            .success()
    );
}

/// Returns the option of an incremental on the LSN of a backup.
fn after(directory: &Path) -> String {
    let checkpoints = std::fs::read_to_string(directory.join("xtrabackup_checkpoints")).unwrap();
    let mut lines = checkpoints.lines();
    let lsn = lines
        .find_map(|line| line.strip_prefix("to_lsn = "))
        .unwrap();
    format!("--incremental-lsn={lsn}")
}

fn info(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("xtrabackup_info")).unwrap()
}

fn checksum(server: &Sandbox, schema: &str, table: &str) -> String {
    server.value(&format!("SELECT COUNT(*) FROM `{schema}`.`{table}`"))
        + " "
        + &server.value(&format!(
            "SELECT BIT_XOR(CRC32(CONCAT_WS(',', i, v))) FROM `{schema}`.`{table}`"
        ))
}

#[test]
fn partial_backups_are_restored_and_exported() {
    let source = Sandbox::start("e2e-partial", &[SOURCE]);
    let room = scratch();
    let link = room.path().join("xtrabackup");
    symlink(PROGRAM, &link).unwrap();
    let programs = Programs {
        link,
        mysqld: source.program("mysqld"),
    };
    tables(&source);
    let [full, one, two, whole] =
        ["full", "one", "two", "whole"].map(|name| room.path().join(name));
    let base = |directory: &Path| format!("--incremental-basedir={}", directory.display());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| load(&source, &stop));
        let _stopped = Stop(&stop);
        completed(&programs.backup(&source, &full, &[FILTER]));
        completed(&programs.backup(&source, &one, &[FILTER, &base(&full)]));
    });
    refusals(&programs, &source, &full, room.path());
    // By the LSN alone: the incremental has no manifest.
    completed(&programs.backup(&source, &two, &[FILTER, &after(&one)]));
    for directory in [&full, &one, &two] {
        assert!(
            info(directory).contains("partial = Y\n"),
            "{}",
            directory.display()
        );
    }
    assert!(full.join("shop/m.MYD").exists() && full.join("gen.ibd").exists());
    for left_out in ["other/b.ibd", "other/m.MYD", "@1idd/no.ibd"] {
        assert!(!full.join(left_out).exists(), "{left_out}");
    }
    // By lsnap's own restore.
    let restored = room.path().join("restored");
    let said = restore(&programs.mysqld, &[&full], &restored, &[]).ok();
    assert!(
        said.stderr.contains("partial") || said.stdout.contains("partial"),
        "{said:?}"
    );
    assert!(restored.join("shop/a.ibd").exists());

    completed(&programs.backup(&source, &whole, &["--tables-exclude=^nothing[.]"]));
    assert!(info(&whole).contains("partial = N\n"));
    let incremental = |directory: &Path| format!("--incremental-dir={}", directory.display());
    completed(&programs.prepare(&whole, "mysqld", &["--apply-log-only"]));
    // A partial incremental would take the tables that it lacks for dropped.
    let words = "the target is a whole backup";
    let three = room.path().join("three");
    completed(&programs.backup(&source, &three, &[FILTER, &after(&whole)]));
    refused(
        &programs.prepare(&whole, "mysqld", &[&incremental(&three)]),
        words,
    );
    assert!(whole.join("other/b.ibd").exists());
    created_since(&programs, &source, &whole, room.path());
    damages(&programs, &full, room.path());
    completed(&programs.prepare(&full, "mysqld", &["--apply-log-only"]));
    narrower(&programs, &source, &full, room.path());
    completed(&programs.prepare(&full, "mysqld", &["--apply-log-only", &incremental(&one)]));
    refused(
        &programs.prepare(&full, "server", &["--export", &incremental(&two)]),
        "the backup is partial",
    );
    let log = completed(&programs.prepare(&full, "mysqld", &["--export", &incremental(&two)]));
    assert!(log.contains("6 tables exported"), "{log}");
    for (_, _, path) in KEPT.iter().filter(|(_, table, _)| *table != "parts") {
        assert!(full.join(format!("{path}.cfg")).exists(), "{path}");
    }
    assert!(full.join("shop/parts#p#p0.cfg").exists());
    imported(&source, &full);
    started(&source, &full);
}

fn refusals(programs: &Programs, source: &Sandbox, full: &Path, room: &Path) {
    let base = format!("--incremental-basedir={}", full.display());
    let target = room.join("refused");
    for (more, words) in [
        (vec!["--databases=shop", &base], "another filter"),
        (vec![&base], "has no filter"),
        (vec!["--tables=^no[.]such"], "matches no table"),
        (vec!["--tables=a\\d"], "differently"),
    ] {
        refused(&programs.backup(source, &target, &more), words);
        std::fs::remove_dir_all(&target).unwrap();
    }
}

/// An incremental by LSN with a narrower filter would take the tables that it lacks for dropped.
fn narrower(programs: &Programs, source: &Sandbox, full: &Path, room: &Path) {
    let incremental = room.join("narrower");
    let more = ["--databases=shop my-db shop.m", &after(full)];
    completed(&programs.backup(source, &incremental, &more));
    let last = info(&incremental).lines().last().unwrap().to_owned();
    assert!(last.starts_with("lsnap_filter = {"), "{last}");
    let of = format!("--incremental-dir={}", incremental.display());
    refused(
        &programs.prepare(full, "mysqld", &["--apply-log-only", &of]),
        "another filter",
    );
    assert!(full.join("@1idd/@65e5.ibd").exists());
}

/// A database that the filter leaves out was created after the base.
fn created_since(programs: &Programs, source: &Sandbox, whole: &Path, room: &Path) {
    run(&mut source.connect(), "CREATE DATABASE nothing");
    run(
        &mut source.connect(),
        "CREATE TABLE nothing.t (i INT PRIMARY KEY)",
    );
    let incremental = room.join("since");
    let more = ["--tables-exclude=^nothing[.]", &after(whole)];
    completed(&programs.backup(source, &incremental, &more));
    assert!(info(&incremental).contains("partial = Y\n"));
    let of = format!("--incremental-dir={}", incremental.display());
    completed(&programs.prepare(whole, "mysqld", &["--apply-log-only", &of]));
    assert!(whole.join("other/b.ibd").exists() && !whole.join("nothing/t.ibd").exists());
    run(&mut source.connect(), "DROP DATABASE nothing");
}

/// A file that is missing although the backup has it is found before redo is applied.
fn damages(programs: &Programs, full: &Path, room: &Path) {
    let damaged = room.join("damaged");
    copy(full, &damaged);
    refused(
        &programs.prepare(&damaged, "server", &[]),
        "the backup is partial",
    );
    std::fs::remove_file(damaged.join("shop/a.ibd")).unwrap();
    refused(&programs.prepare(&damaged, "mysqld", &[]), "shop/a.ibd");
    // Without the list of what it lacks.
    let unknown = room.join("unknown");
    copy(full, &unknown);
    std::fs::remove_file(unknown.join("lsnap_manifest.json")).unwrap();
    refused(
        &programs.prepare(&unknown, "mysqld", &[]),
        "it is not known which tables were left out",
    );
    for directory in [damaged, unknown] {
        std::fs::remove_dir_all(directory).unwrap();
    }
}

/// Imports the tables into the source, in another schema.
fn imported(source: &Sandbox, exported: &Path) {
    run(&mut source.connect(), "CREATE DATABASE imported");
    for (schema, table, path) in KEPT {
        let mut conn = source.connect();
        run(
            &mut conn,
            &format!("CREATE TABLE imported.`{table}` LIKE `{schema}`.`{table}`"),
        );
        run(
            &mut conn,
            &format!("ALTER TABLE imported.`{table}` DISCARD TABLESPACE"),
        );
        let (directory, stem) = path.split_once('/').unwrap();
        for entry in std::fs::read_dir(exported.join(directory)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let (of, extension) = name.rsplit_once('.').unwrap();
            let is_its = of == stem || of.starts_with(&format!("{stem}#p#"));
            if is_its && ["ibd", "cfg"].contains(&extension) {
                let to = source.datadir().join("imported").join(&name);
                std::fs::copy(exported.join(directory).join(&name), to).unwrap();
            }
        }
        run(
            &mut conn,
            &format!("ALTER TABLE imported.`{table}` IMPORT TABLESPACE"),
        );
        assert_eq!(
            checksum(source, "imported", table),
            checksum(source, schema, table),
            "{table}"
        );
    }
}

/// Starts a server on the prepared directory.
fn started(source: &Sandbox, prepared: &Path) {
    let server = Sandbox::start_on("e2e-partial-restored", prepared, &[RESTORED]);
    for (schema, table, _) in KEPT {
        assert_eq!(
            checksum(&server, schema, table),
            checksum(source, schema, table),
            "{table}"
        );
    }
    assert_eq!(server.value("SELECT COUNT(*) FROM shop.m"), "2");
    assert_eq!(server.value("SELECT i FROM other.g"), "3");
    let words = "SELECT COUNT(*) FROM shop.words WHERE MATCH (v) AGAINST ('word7')";
    assert_eq!(server.value(words), "1");
    let position = std::fs::read_to_string(prepared.join("xtrabackup_binlog_info")).unwrap();
    let gtids = position.trim_end().splitn(3, '\t').nth(2).unwrap();
    let has = format!("SELECT GTID_SUBSET('{gtids}', @@GLOBAL.gtid_executed)");
    assert_eq!(server.value(&has), "1", "{gtids}");
    // The tables that are not there can be dropped.
    let mut conn = server.connect();
    assert!(mysql::prelude::Queryable::query_drop(&mut conn, "SELECT 1 FROM other.b").is_err());
    for sql in [
        "DROP TABLE other.b",
        "DROP TABLE `ödd`.no",
        "DROP DATABASE other",
    ] {
        run(&mut conn, sql);
    }
}
