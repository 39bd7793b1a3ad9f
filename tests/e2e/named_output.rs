//! The files and lines that callers of xtrabackup read, from real backups, by the callers' own patterns.

use crate::named_lsn::{INFO, values};
use crate::named_xtrabackup::{backup, completed, log};
use crate::sandbox::Sandbox;
use regex::Regex;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Who reads what: the caller, the file (empty: the log), and its pattern.
const PATTERNS: &[(&str, &str, &str)] = &[
    ("Vitess", "", r"MySQL binlog position"),
    ("Vitess", "", r"GTID of the last change '([^']+)'"),
    (
        "TwinDB, Holland",
        "",
        r"MySQL binlog position: filename '(.*?)', position '?([0-9]+)'?, GTID of the last change '(.*?)'",
    ),
    (
        "bk-dbm",
        "",
        r#"^[^"]*?MySQL binlog position: filename '(.*?)', position '?([0-9]+)'?(?:, (GTID) of the last change '(.*?)$)?"#,
    ),
    (
        "KubeBlocks, TwinDB",
        "",
        r"The latest check point \(for incremental\): '\d+'",
    ),
    ("pyxbackup", "", r"Backup created in directory '[^']+'"),
    (
        "Percona's suite",
        "",
        r"Transaction log of lsn \(\d+\) to \(\d+\) was copied\.",
    ),
    ("Percona's suite", "", r"recognized server arguments: "),
    ("Percona's suite", "", r"recognized client arguments: "),
    (
        "xtrabackup-assistant",
        "",
        r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d 0 \[(Note|Warning|ERROR)\] \[MY-011825\] \[Xtrabackup\] ",
    ),
    ("DigitalOcean, jzivari", "", r"completed OK!\n$"),
    ("WAL-G", "xtrabackup_checkpoints", r"(?m)^from_lsn = \d+$"),
    (
        "WAL-G, PS operator",
        "xtrabackup_checkpoints",
        r"(?m)^to_lsn = \d+$",
    ),
    ("WAL-G", "xtrabackup_checkpoints", r"(?m)^last_lsn = \d+$"),
    (
        "mysql-autoxtrabackup",
        "xtrabackup_checkpoints",
        r"^backup_type = full-backuped\n",
    ),
    (
        "RadonDB, WAL-G",
        "xtrabackup_binlog_info",
        r"^[^\t\n]+\t\d+\t[^\t\n]+\n$",
    ),
    ("bitpoke", "xtrabackup_binlog_info", r"^\S+\s\d+\s\S+\n$"),
    (
        "xtrabackup --prepare",
        INFO,
        r"(?m)^ibbackup_version = \d+\.\d+\.\d+-\d+$",
    ),
];

/// What shell scripts do with the log or a file, `$1`; they print something.
const SCRIPTS: &[(&str, &str, &str)] = &[
    (
        "DigitalOcean",
        "log",
        r#"tail -1 "$1" | grep "completed OK""#,
    ),
    (
        "autoxtrabackup8",
        "log",
        r#"grep -q "completed OK" "$1" && echo yes"#,
    ),
    (
        "DigitalOcean, once",
        "log",
        r#"test "$(grep -c "completed OK" "$1")" = 1 && echo yes"#,
    ),
    (
        "KubeBlocks",
        "log",
        r#"grep "The latest check point (for incremental)" "$1" | awk -F"'" '{print $2}' | grep -x '[0-9][0-9]*'"#,
    ),
    (
        "TwinDB, fields from 0",
        "log",
        r#"grep "The latest check point (for incremental)" "$1" | awk '{print $12}' | grep -x "'[0-9][0-9]*'""#,
    ),
    (
        "DigitalOcean's LSN",
        "full/xtrabackup_checkpoints",
        r#"awk '/to_lsn/ {print $3;}' "$1" | grep -x '[0-9][0-9]*'"#,
    ),
    (
        "RadonDB's fields",
        "full/xtrabackup_binlog_info",
        r#"awk -F'\t' 'NF == 3 {print $1, $2, $3}' "$1""#,
    ),
];

/// The lines of `xtrabackup_info`, which `xtrabackup --prepare` reads by position.
const INFO_LINES: [&str; 20] = [
    "uuid",
    "name",
    "tool_name",
    "tool_command",
    "tool_version",
    "ibbackup_version",
    "server_version",
    "server_flavor",
    "start_time",
    "end_time",
    "lock_time",
    "binlog_pos",
    "innodb_from_lsn",
    "innodb_to_lsn",
    "partial",
    "incremental",
    "format",
    "compressed",
    "encrypted",
    "lock_ddl_type",
];

/// A backup with the options of the operators and of the scripts.
pub fn read_by_callers(links: &Path, server: &Sandbox, room: &Path) {
    let room = room.join("callers");
    fs::create_dir(&room).unwrap();
    let full = room.join("full");
    server.run("SET GLOBAL innodb_buffer_pool_dump_pct = 50");
    let datadir = format!("--datadir={}", server.datadir().display());
    // That of the last shutdown.
    let _ = fs::remove_file(server.datadir().join("ib_buffer_pool"));
    let more = [
        "--slave-info",
        "--safe-slave-backup",
        "--galera-info",
        "--dump-innodb-buffer-pool",
        "--dump-innodb-buffer-pool-pct=100",
        "--check-privileges",
        "--kill-long-queries-timeout=10",
        "--ftwrl-wait-timeout=5",
        "--lock-ddl=REDUCED",
        "--throttle=100",
        &datadir,
    ];
    let output = backup(links, server, &full, &more).output().unwrap();
    let log = completed(&output);
    assert!(output.stdout.is_empty());
    fs::write(room.join("log"), &log).unwrap();
    for (caller, file, pattern) in PATTERNS {
        let text = match *file {
            "" => log.clone(),
            file => fs::read_to_string(full.join(file)).unwrap(),
        };
        let pattern = Regex::new(pattern).unwrap();
        assert!(pattern.is_match(&text), "{caller}: {pattern}: {text}");
    }
    for (caller, file, script) in SCRIPTS {
        let run = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(room.join(file))
            .output()
            .unwrap();
        assert!(
            run.status.success() && !run.stdout.is_empty(),
            "{caller}: {script}: {log}"
        );
    }
    let info = fs::read_to_string(full.join(INFO)).unwrap();
    let keys: Vec<&str> = info
        .lines()
        .map(|l| l.split_once(" = ").unwrap().0)
        .collect();
    assert_eq!(keys, INFO_LINES);
    let info = values(&full.join(INFO));
    for (key, value) in [
        ("format", "file"),
        ("name", ""),
        ("compressed", "N"),
        ("encrypted", "N"),
        ("lock_ddl_type", "ON"),
        ("ibbackup_version", version(links).as_str()),
    ] {
        assert_eq!(info[key], value, "{key}");
    }
    // Not a replica, and no member of a cluster.
    assert_eq!(fs::read(full.join("xtrabackup_slave_info")).unwrap(), b"");
    assert!(!full.join("xtrabackup_galera_info").exists());
    assert!(log.contains("does not support Galera"), "{log}");
    assert!(
        full.join("ib_buffer_pool").exists(),
        "dumped for the backup"
    );
    assert_eq!(server.value("SELECT @@innodb_buffer_pool_dump_pct"), "50");

    let other = [&format!("--datadir={}", room.display())[..]];
    let refused = backup(links, server, &room.join("other"), &other)
        .output()
        .unwrap();
    assert!(!refused.status.success());
    assert!(
        crate::named_xtrabackup::log(&refused).contains("but the data directory of the server is")
    );
    assert!(!room.join("other").exists());
}

/// Returns the version as the operators find it.
fn version(links: &Path) -> String {
    let output = Command::new(links.join("xtrabackup"))
        .arg("--version")
        .output()
        .unwrap();
    log(&output).split(' ').nth(2).unwrap().to_owned()
}

/// `--history`, and incrementals on what it records.
pub fn history(links: &Path, server: &Sandbox, room: &Path) {
    let rows = "SELECT COUNT(*) FROM PERCONA_SCHEMA.xtrabackup_history";
    let run = |name: &str, more: &[&str]| {
        backup(links, server, &room.join(name), more)
            .output()
            .unwrap()
    };
    completed(&run("h1", &["--history=nightly", "--compress"]));
    completed(&run("h2", &["--history"]));
    let columns = "SELECT COUNT(*) FROM information_schema.columns \
                   WHERE table_schema = 'PERCONA_SCHEMA' AND table_name = 'xtrabackup_history'";
    assert_eq!(server.value(columns), "19");
    assert_eq!(server.value(rows), "2");
    let row = server.value(
        "SELECT CONCAT_WS('|', uuid, tool_name, ibbackup_version, innodb_from_lsn, incremental, format, compressed, \
         encrypted, partial, compact, start_time <= end_time, end_time > NOW() - INTERVAL 1 HOUR, \
         binlog_pos LIKE 'filename%GTID of the last change%', tool_command LIKE '%--history=nightly%') \
         FROM PERCONA_SCHEMA.xtrabackup_history WHERE name = 'nightly'",
    );
    let uuid = row.split('|').next().unwrap().to_owned();
    assert_eq!(
        row,
        format!("{uuid}|lsnap|{}|0|N|file|Y|N|N|N|1|1|1|1", version(links))
    );
    assert_eq!(
        server.value(
            "SELECT name IS NULL FROM PERCONA_SCHEMA.xtrabackup_history ORDER BY name LIMIT 1"
        ),
        "1"
    );
    let to_lsn = crate::named_lsn::lsn(&room.join("h1"), "to_lsn");
    let recorded =
        "SELECT innodb_to_lsn FROM PERCONA_SCHEMA.xtrabackup_history WHERE name = 'nightly'";
    assert_eq!(server.value(recorded), to_lsn.to_string());

    let said = completed(&run(
        "h3",
        &["--incremental-history-name=nightly", "--history=nightly"],
    ));
    assert!(
        said.contains(&format!("Found and using lsn: {to_lsn} for name nightly")),
        "{said}"
    );
    assert_eq!(crate::named_lsn::lsn(&room.join("h3"), "from_lsn"), to_lsn);
    completed(&run("h4", &[&format!("--incremental-history-uuid={uuid}")]));
    assert_eq!(crate::named_lsn::lsn(&room.join("h4"), "from_lsn"), to_lsn);

    let before = server.value(rows);
    let refused = |more: &[&str], text: &str| {
        let output = run("h5", more);
        let log = log(&output);
        assert!(
            !output.status.success() && log.contains(text),
            "{text:?}: {log}"
        );
    };
    refused(
        &["--incremental-history-name=weekly"],
        "no backup with the name 'weekly'",
    );
    // A failed backup is not recorded.
    refused(
        &["--history=nightly", "--incremental-lsn=9000000000000"],
        "server's checkpoint is only at",
    );
    server.run("CREATE USER b@localhost IDENTIFIED BY 'b'");
    server.run("GRANT BACKUP_ADMIN, PROCESS, RELOAD, LOCK TABLES, REPLICATION CLIENT ON *.* TO b@localhost");
    server.run("GRANT SELECT ON performance_schema.* TO b@localhost");
    refused(
        &["--user=b", "--password=b", "--history"],
        "GRANT CREATE, INSERT, SELECT ON PERCONA_SCHEMA.*",
    );
    assert!(!room.join("h5").join("xtrabackup_checkpoints").exists());
    assert_eq!(server.value(rows), before);

    // A read-only server gets no row; the backup is made.
    server.run("SET GLOBAL super_read_only = ON");
    let said = completed(&run("h6", &["--history=nightly"]));
    server.run("SET GLOBAL super_read_only = OFF");
    server.run("SET GLOBAL read_only = OFF");
    assert!(said.contains("the server is read-only"), "{said}");
    assert_eq!(server.value(rows), before);
}

/// With `gtid_mode` other than `ON`, positions have no GTIDs, as xtrabackup writes them.
pub fn without_gtids(links: &Path, server: &Sandbox, room: &Path) {
    server.run("SET GLOBAL gtid_mode = ON_PERMISSIVE");
    let dir = room.join("no gtids");
    let output = backup(links, server, &dir, &[]).output().unwrap();
    server.run("SET GLOBAL gtid_mode = ON");
    let log = completed(&output);
    assert!(log.contains("MySQL binlog position: filename '"), "{log}");
    assert!(!log.contains("GTID of the last change"), "{log}");
    let text = fs::read_to_string(dir.join("xtrabackup_binlog_info")).unwrap();
    assert_eq!(text.split('\t').count(), 2, "{text}");
    assert!(!values(&dir.join(INFO))["binlog_pos"].contains("GTID"));
}
