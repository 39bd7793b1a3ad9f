//! No table is silently missing from a backup: not a table that the server hasn't opened, not one
//! beyond a limit of the session, not one whose file, disk or key was missing when the server
//! started.

use crate::lsnap::{self, Said};
use crate::sandbox::{RESTORED, SOURCE, Sandbox, run, scratch};
use mysql::prelude::Queryable as _;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Creates all kinds of tables with a separate file, and tables without one.
fn tables(source: &Sandbox, outside: &Path) {
    let outside = outside.display();
    let mut conn = source.connect();
    for sql in [
        "CREATE DATABASE a".to_owned(),
        "CREATE DATABASE `odd name#1`".to_owned(),
        "CREATE TABLE a.t (i INT PRIMARY KEY)".to_owned(),
        "INSERT INTO a.t VALUES (7)".to_owned(),
        "CREATE TABLE a.small (i INT PRIMARY KEY)".to_owned(),
        format!("CREATE TABLE a.away (i INT PRIMARY KEY) DATA DIRECTORY = '{outside}'"),
        "INSERT INTO a.away VALUES (8)".to_owned(),
        "CREATE TABLE a.parted (i INT, j INT) PARTITION BY RANGE (i) SUBPARTITION BY HASH (j) SUBPARTITIONS 2 \
         (PARTITION `P 0#` VALUES LESS THAN (5), PARTITION p1 VALUES LESS THAN MAXVALUE)"
            .to_owned(),
        "INSERT INTO a.parted VALUES (1, 1), (9, 2)".to_owned(),
        // More than the limits below.
        "CREATE TABLE a.many (i INT) PARTITION BY HASH (i) PARTITIONS 40".to_owned(),
        "CREATE TABLE `odd name#1`.`Täble #x/y` (i INT)".to_owned(),
        "CREATE TABLESPACE gen ADD DATAFILE 'gen.ibd'".to_owned(),
        "CREATE TABLE a.ingen (i INT) TABLESPACE gen".to_owned(),
        "INSERT INTO a.ingen VALUES (9)".to_owned(),
        "CREATE TABLE a.discarded (i INT)".to_owned(),
        "ALTER TABLE a.discarded DISCARD TABLESPACE".to_owned(),
    ] {
        run(&mut conn, &sql);
    }
}

fn array<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .as_array()
        .unwrap_or_else(|| panic!("{name} is not a list: {value}"))
}

/// Returns the ids of the tablespaces in a backup.
fn spaces(backup: &Value) -> BTreeSet<u64> {
    let files = array(&backup["files"], "files").iter();
    files
        .filter_map(|file| {
            file["role"]["space_id"]
                .as_u64()
                .or(file["space_id"].as_u64())
        })
        .collect()
}

/// Returns the ids in the dictionary, read in another way than in lsnap.
fn dictionary(source: &Sandbox) -> BTreeSet<u64> {
    let all = source.value(
        "SELECT GROUP_CONCAT(SPACE) FROM INFORMATION_SCHEMA.INNODB_TABLESPACES_BRIEF \
         WHERE NAME <> 'a/discarded'",
    );
    let mut ids: BTreeSet<u64> = all.split(',').map(|id| id.parse().unwrap()).collect();
    ids.insert(0xFFFF_FFFE);
    ids
}

/// The backup contains every tablespace of the dictionary, and lists the discarded ones.
#[track_caller]
fn has_all(source: &Sandbox, backup: &Value) {
    let (expected, found) = (dictionary(source), spaces(backup));
    let lacks: Vec<_> = expected.difference(&found).collect();
    assert!(
        lacks.is_empty(),
        "the backup lacks the tablespaces {lacks:?}"
    );
    let absent = array(&backup["dictionary"]["absent"], "dictionary.absent");
    assert_eq!(absent.len(), 1, "{absent:?}");
    assert_eq!(
        (&absent[0]["name"], &absent[0]["why"]),
        (&"a/discarded".into(), &"discarded".into())
    );
    let count = backup["dictionary"]["tablespaces"].as_u64().unwrap();
    // The system tablespace isn't counted, the discarded tablespace is.
    assert_eq!(count, expected.len() as u64 - 1 + 1);
}

fn backup_as(source: &Sandbox, repository: &Path, user: &str) -> Said {
    let mut command = lsnap::command();
    command
        .args(["backup", "--json", "--no-defaults", "--user", user])
        .args([
            "--socket",
            &source.socket(),
            "--to",
            &lsnap::url(repository),
        ])
        .env("LSNAP_PASSWORD", "x");
    lsnap::said(command.output().unwrap())
}

#[test]
fn tables_that_the_server_has_not_opened_are_backed_up() {
    let room = scratch();
    let (repository, outside) = (room.path().join("repository"), room.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    let directories = format!("--innodb-directories={}", outside.display());
    let mut source = Sandbox::start("left-out-open", &[SOURCE, &[&directories]]);
    tables(&source, &outside);
    source.stop();
    let lazy = "--innodb-validate-tablespace-paths=OFF";
    source.restart(&[SOURCE, &[&directories, lazy]]);
    let full = lsnap::full(&source, &repository);
    has_all(&source, &lsnap::manifest(&repository, &full.name));
    let not_opened = full.json["dictionary"]["not_opened"].as_u64().unwrap();
    assert!(
        not_opened > 5,
        "{not_opened} were not open: this test proves nothing"
    );
    source.run("INSERT INTO a.small VALUES (1)");
    let incremental = lsnap::incremental(&source, &repository);
    has_all(&source, &lsnap::manifest(&repository, &incremental.name));

    // A limit that every session inherits, or that is set when it connects.
    source.run("SET GLOBAL sql_select_limit = 30");
    let third = lsnap::full(&source, &repository);
    has_all(&source, &lsnap::manifest(&repository, &third.name));
    source.run("SET GLOBAL sql_select_limit = DEFAULT");
    let mut conn = source.connect();
    run(&mut conn, "CREATE USER bk@localhost IDENTIFIED BY 'x'");
    run(
        &mut conn,
        "GRANT BACKUP_ADMIN, PROCESS, RELOAD, REPLICATION CLIENT ON *.* TO bk@localhost",
    );
    run(
        &mut conn,
        "GRANT SELECT ON performance_schema.log_status TO bk@localhost",
    );
    run(
        &mut conn,
        "SET GLOBAL init_connect = 'SET sql_select_limit = 30'",
    );
    let as_bk = backup_as(&source, &repository, "bk").member();
    has_all(&source, &lsnap::manifest(&repository, &as_bk.name));
    run(&mut conn, "SET GLOBAL init_connect = ''");

    unknown_files(&source, &repository);

    // Tablespaces that were backed up unopened are restored. Their DATA DIRECTORY must be free
    // for that.
    source.stop();
    fs::rename(&outside, room.path().join("outside of the source")).unwrap();
    let datadir = room.path().join("restored");
    lsnap::restore(&source, &repository, &incremental.name, &datadir);
    let restored = Sandbox::start_on(
        "left-out-open-restored",
        &datadir,
        &[RESTORED, &[&directories]],
    );
    for (sql, value) in [
        ("SELECT i FROM a.t", "7"),
        ("SELECT i FROM a.away", "8"),
        ("SELECT i FROM a.ingen", "9"),
        ("SELECT i FROM a.small", "1"),
        ("SELECT COUNT(*) FROM a.parted", "2"),
    ] {
        assert_eq!(restored.value(sql), value, "{sql}");
    }
}

/// A tablespace file of a dropped table, and a second file of an existing one.
fn unknown_files(source: &Sandbox, repository: &Path) {
    let datadir = source.datadir();
    let mut conn = source.connect();
    run(&mut conn, "CREATE TABLE a.gone (i INT)");
    run(&mut conn, "FLUSH TABLES a.gone FOR EXPORT");
    let kept = datadir.join("kept");
    fs::copy(datadir.join("a/gone.ibd"), &kept).unwrap();
    run(&mut conn, "UNLOCK TABLES");
    run(&mut conn, "DROP TABLE a.gone");
    let (stranger, copy) = (datadir.join("a/stranger.ibd"), datadir.join("a/copy.ibd"));
    fs::rename(kept, &stranger).unwrap();
    fs::copy(datadir.join("a/t.ibd"), &copy).unwrap();
    fs::write(datadir.join("a/empty.ibd"), b"").unwrap();
    let said = lsnap::try_backup(source, repository, &[]).ok();
    let warnings = said.json["warnings"].to_string();
    for output in [&warnings, &said.stderr] {
        for word in ["a/stranger.ibd", "a/copy.ibd", "a/t "] {
            assert!(output.contains(word), "{word} is not mentioned: {output}");
        }
    }
    assert!(!warnings.contains("a/empty.ibd"), "{warnings}");
    let left_out = said.json["left_out"].to_string();
    assert!(left_out.contains("a/empty.ibd"), "{left_out}");
    for file in [stranger, copy, datadir.join("a/empty.ibd")] {
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn tables_whose_files_are_missing_fail_the_backup() {
    let room = scratch();
    let (repository, outside) = (room.path().join("repository"), room.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    let directories = format!("--innodb-directories={}", outside.display());
    let options: &[&[&str]] = &[SOURCE, &[&directories]];
    let mut source = Sandbox::start("left-out-gone", options);
    tables(&source, &outside);
    let whole = lsnap::full(&source, &repository);
    has_all(&source, &lsnap::manifest(&repository, &whole.name));

    // A file that was moved, a disk that isn't mounted, a file that lost its contents.
    source.stop();
    let datadir = source.datadir();
    let away = [
        (datadir.join("a/t.ibd"), room.path().join("t.ibd")),
        (outside.clone(), room.path().join("unmounted")),
        (datadir.join("a/small.ibd"), room.path().join("small.ibd")),
    ];
    for (from, to) in &away {
        fs::rename(from, to).unwrap();
    }
    source.restart(options);
    // Not earlier: MySQL 9.7.4 may end if it finds an empty file at its start.
    fs::write(datadir.join("a/small.ibd"), b"").unwrap();
    let lost = [
        "a/t ",
        "a/t.ibd",
        "a/away ",
        "outside/a/away.ibd",
        "a/small ",
    ];
    let words = [&["3 tablespaces", "--allow-missing-tables"], &lost[..]].concat();
    lsnap::try_backup(&source, &repository, &[]).refused(1, &words);
    for more in [
        &["--incremental"][..],
        &["--incremental", "--allow-missing-tables"],
    ] {
        lsnap::try_backup(&source, &repository, more).refused(14, &words);
    }
    let allowed = lsnap::backup(&source, &repository, &["--allow-missing-tables"]);
    let absent = array(&allowed.json["dictionary"]["absent"], "dictionary.absent");
    let missing = absent.iter().filter(|a| a["why"] == "missing");
    assert_eq!(missing.count(), 3, "{absent:?}");
    assert!(allowed.json["warnings"].to_string().contains("a/away"));
    every_command_reports(&repository, &allowed.name);

    // An incremental of the existing tables is possible, and reports this too.
    let more = &["--incremental", "--allow-missing-tables"];
    let member = lsnap::backup(&source, &repository, more);
    lsnap::try_backup(&source, &repository, &["--incremental"]).refused(1, &lost);
    assert_eq!(
        member.json["dictionary"]["absent"],
        allowed.json["dictionary"]["absent"]
    );

    let pruned = prune(&repository);
    assert!(
        pruned.is_empty(),
        "the last backup with all tables was removed: {pruned:?}"
    );

    fs::remove_file(datadir.join("a/small.ibd")).unwrap();
    source.stop();
    for (from, to) in &away {
        fs::rename(to, from).unwrap();
    }
    source.restart(options);
    let again = lsnap::full(&source, &repository);
    has_all(&source, &lsnap::manifest(&repository, &again.name));
    let pruned = prune(&repository);
    assert_eq!(pruned.len(), 3, "{pruned:?}");
}

/// Every command that shows the backup reports that tables are missing.
fn every_command_reports(repository: &Path, name: &str) {
    let url = lsnap::url(repository);
    let words = ["INCOMPLETE", "a/away", "outside/a/away.ibd"];
    let list = lsnap::lsnap(["list", "--from", &url]).ok();
    list.refused(0, &words[..1]);
    let listed = lsnap::list(repository).to_string();
    assert!(listed.contains("\"missing_tables\":3"), "{listed}");
    lsnap::lsnap(["show", "--from", &url, name]).refused(0, &words);
    lsnap::lsnap(["verify", "--data", "--from", &url, name]).refused(0, &words);
    let json = lsnap::lsnap(["verify", "--json", "--from", &url, name])
        .ok()
        .json;
    let absent = &json["members"][0]["dictionary"]["absent"];
    assert_eq!(array(absent, "absent").len(), 4, "{json}");
}

fn prune(repository: &Path) -> Vec<Value> {
    let url = lsnap::url(repository);
    let said = lsnap::lsnap(["prune", "--json", "--keep-full", "1", "--from", &url]).ok();
    array(&said.json["deleted"], "deleted").to_vec()
}

#[test]
fn tables_without_their_keyring_are_backed_up() {
    let room = scratch();
    let repository = room.path().join("repository");
    let mut source = Sandbox::start("left-out-key", &[SOURCE, &["--keyring"]]);
    let mut conn = source.connect();
    for sql in [
        "CREATE DATABASE a",
        "CREATE TABLE a.secret (i INT) ENCRYPTION = 'Y'",
        "INSERT INTO a.secret VALUES (1)",
        "CREATE TABLE a.plain (i INT)",
        "CREATE TABLESPACE gen ADD DATAFILE 'gen.ibd' ENCRYPTION = 'Y'",
        "CREATE TABLE a.ingen (i INT) TABLESPACE gen ENCRYPTION = 'Y'",
    ] {
        run(&mut conn, sql);
    }
    drop(conn);
    let full = lsnap::full(&source, &repository);
    let whole = spaces(&lsnap::manifest(&repository, &full.name));
    source.stop();
    let (manifest, hidden): (PathBuf, PathBuf) = (
        source.datadir().join("mysqld.my"),
        room.path().join("mysqld.my"),
    );
    fs::rename(&manifest, &hidden).unwrap();
    source.restart(&[SOURCE]);
    let read = source.connect().query_drop("SELECT * FROM a.secret");
    assert!(
        read.is_err(),
        "the server has its key: this test proves nothing"
    );
    for more in [&[][..], &["--incremental"]] {
        let said = lsnap::backup(&source, &repository, more);
        assert_eq!(spaces(&lsnap::manifest(&repository, &said.name)), whole);
        assert!(said.json["dictionary"]["not_opened"].as_u64() >= Some(2));
    }
    lsnap::lsnap([
        "verify",
        "--all",
        "--data",
        "--from",
        &lsnap::url(&repository),
    ])
    .ok();
}
