//! lsnap under the name `xtrabackup`: incrementals of which only the LSN of the base is known, the files that callers
//! read to find it, and the options that concern the server.

use crate::named_output;
use crate::named_xtrabackup::{backup, between, completed, links, log};
use crate::sandbox::{SOURCE, Sandbox, scratch, value, wait_for};
use ::lsnap::xbstream::Reader;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const CHECKPOINTS: &str = "xtrabackup_checkpoints";
pub const INFO: &str = "xtrabackup_info";

/// Returns the values of a file of `key = value` lines.
pub fn values(path: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let pairs = text.lines().filter_map(|line| line.split_once(" = "));
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

pub fn lsn(dir: &Path, key: &str) -> u64 {
    values(&dir.join(CHECKPOINTS))[key].parse().unwrap()
}

/// Extracts a stream by lsnap as xbstream.
fn extract(links: &Path, stream: &Path, dir: &Path) {
    fs::create_dir(dir).unwrap();
    let extracted = Command::new(links.join("xbstream"))
        .args(["-x", "-C"])
        .arg(dir)
        .stdin(fs::File::open(stream).unwrap())
        .output()
        .unwrap();
    assert!(extracted.status.success(), "{}", log(&extracted));
}

/// Waits until all changes so far are on disk and below the checkpoint; returns the checkpoint.
fn flushed(server: &Sandbox) -> u64 {
    let mut conn = server.connect();
    let mut status = |name: &str| -> u64 {
        let sql = format!(
            "SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME = '{name}'"
        );
        value(&mut conn, &sql).parse().unwrap()
    };
    let goal = status("Innodb_redo_log_current_lsn");
    wait_for("dirty pages to be flushed", Duration::from_secs(60), || {
        status("Innodb_redo_log_checkpoint_lsn") >= goal
    });
    status("Innodb_redo_log_checkpoint_lsn")
}

fn server() -> Sandbox {
    let flush = [
        "--innodb-max-dirty-pages-pct=0",
        "--innodb-max-dirty-pages-pct-lwm=0",
    ];
    let server = Sandbox::start("e2e-named-lsn", &[SOURCE, &flush]);
    server.run("CREATE DATABASE d");
    server.run("CREATE TABLE d.t (id INT PRIMARY KEY, c VARCHAR(100))");
    server.run(
        "INSERT INTO d.t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
         SELECT i, 'old' FROM n",
    );
    server
}

/// Makes a full backup as a stream, and changes rows while it runs; returns the directory that it is extracted to. When
/// the backup ends, the changed pages are on disk and below the checkpoint.
fn full_during_changes(links: &Path, server: &Sandbox, room: &Path) -> PathBuf {
    let extra = room.join("extra");
    let to = format!("--extra-lsndir={}", extra.display());
    let mut child = backup(links, server, &room.join("unused"), &["--stream", &to])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let mut stream = vec![0; 8];
    pipe.read_exact(&mut stream).unwrap();
    // The pipe is full, so the backup waits.
    assert!(!extra.join(CHECKPOINTS).exists(), "written last");
    server.run("UPDATE d.t SET c = 'changed during the backup'");
    let checkpoint = flushed(server);
    pipe.read_to_end(&mut stream).unwrap();
    let log = completed(&child.wait_with_output().unwrap());
    let full = room.join("full");
    fs::write(room.join("full.stream"), stream).unwrap();
    extract(links, &room.join("full.stream"), &full);
    assert!(lsn(&full, "to_lsn") < checkpoint);
    everywhere_the_same(&log, &full, &extra);
    full
}

/// `to_lsn` is one number in all places where callers read it, and the files of `--extra-lsndir` are those of the backup.
fn everywhere_the_same(log: &str, dir: &Path, extra: &Path) {
    for name in [CHECKPOINTS, INFO] {
        assert_eq!(
            fs::read(dir.join(name)).unwrap(),
            fs::read(extra.join(name)).unwrap(),
            "{name}"
        );
    }
    assert_eq!(fs::read_dir(extra).unwrap().count(), 2);
    let to_lsn = lsn(dir, "to_lsn").to_string();
    assert_eq!(values(&dir.join(INFO))["innodb_to_lsn"], to_lsn);
    let line = "The latest check point (for incremental): '";
    assert_eq!(between(log, line, "'"), to_lsn);
    let copied = format!("Transaction log of lsn ({to_lsn}) to (");
    assert_eq!(
        between(log, &copied, ")"),
        lsn(dir, "last_lsn").to_string(),
        "{log}"
    );
}

/// Returns whether a page of the table that was changed is in the delta.
fn has_text(dir: &Path, text: &str) -> bool {
    let delta = fs::read(dir.join("d/t.ibd.delta")).unwrap();
    delta
        .windows(text.len())
        .any(|found| found == text.as_bytes())
}

#[test]
fn an_lsn_is_enough_for_an_incremental() {
    let room = scratch();
    let room = room.path();
    let links = links(room);
    let server = server();
    let full = full_during_changes(&links, &server, room);
    let to_lsn = lsn(&full, "to_lsn");

    // TwinDB gives a directory without a backup too: the LSN wins.
    let by_lsn = format!("--incremental-lsn={to_lsn}");
    let first = room.join("first");
    let more = ["--incremental-basedir", ".", &by_lsn];
    let output = backup(&links, &server, &first, &more).output().unwrap();
    let log = completed(&output);
    assert!(log.contains("using the full scan for incremental backup"));
    assert!(has_text(&first, "changed during the backup"));
    assert_eq!(lsn(&first, "from_lsn"), to_lsn);
    assert_eq!(
        values(&first.join(INFO))["innodb_from_lsn"],
        to_lsn.to_string()
    );
    assert_eq!(values(&first.join(INFO))["incremental"], "Y");
    assert!(!first.join("lsnap_manifest.json").exists());

    // A directory with nothing else than the file of LSNs, as --extra-lsndir makes it.
    let base = format!("--incremental-basedir={}", room.join("extra").display());
    let second = room.join("second");
    let output = backup(&links, &server, &second, &[&base]).output().unwrap();
    completed(&output);
    assert_eq!(lsn(&second, "from_lsn"), to_lsn);
    assert!(has_text(&second, "changed during the backup"));

    refusals(&links, &server, room);
    metas_come_first(&room.join("full.stream"), &links, &server, room);
    named_output::read_by_callers(&links, &server, room);
    named_output::history(&links, &server, room);
    named_output::without_gtids(&links, &server, room);
}

/// In a stream each `.meta` comes before its `.delta`: readers apply a delta while it arrives.
fn metas_come_first(full: &Path, links: &Path, server: &Sandbox, room: &Path) {
    assert!(!order(full).iter().any(|name| name.ends_with(".meta")));
    let stream = room.join("incremental.stream");
    let base = format!("--incremental-lsn={}", lsn(&room.join("full"), "to_lsn"));
    let more = ["--stream", "--parallel=4", "--compress", &base];
    let output = backup(links, server, &room.join("unused"), &more)
        .stdout(fs::File::create(&stream).unwrap())
        .output()
        .unwrap();
    completed(&output);
    let order = order(&stream);
    let at = |name: &str| order.iter().position(|path| path == name);
    let deltas: Vec<&str> = order
        .iter()
        .filter_map(|name| name.strip_suffix(".delta.zst"))
        .collect();
    assert!(deltas.len() > 5, "{order:?}");
    for delta in deltas {
        let meta = at(&format!("{delta}.meta"));
        assert!(
            meta.is_some() && meta < at(&format!("{delta}.delta.zst")),
            "{delta}"
        );
    }
}

/// Returns the names in a stream in the order of their first chunks.
fn order(stream: &Path) -> Vec<String> {
    let mut reader = Reader::new(fs::File::open(stream).unwrap());
    let mut names: Vec<String> = Vec::new();
    while let Some(chunk) = reader.next_unchecked().unwrap() {
        if !names.iter().any(|name| name == chunk.path()) {
            names.push(chunk.path().to_owned());
        }
    }
    names
}

fn refusals(links: &Path, server: &Sandbox, room: &Path) {
    let target = room.join("refused");
    let extra = room.join("extra");
    let before = fs::read(extra.join(CHECKPOINTS)).unwrap();
    let to = format!("--extra-lsndir={}", extra.display());
    let empty = format!("--incremental-basedir={}", room.display());
    let other = room.join("other server");
    fs::create_dir(&other).unwrap();
    fs::write(other.join(CHECKPOINTS), &before).unwrap();
    fs::write(
        other.join("backup-my.cnf"),
        "[mysqld]\nserver_uuid=11111111-2222-3333-4444-555555555555\n",
    )
    .unwrap();
    let other = format!("--incremental-basedir={}", other.display());
    for (more, text) in [
        ([&other[..], &to], "it is a backup of server 11111111-"),
        (
            ["--incremental-lsn=9000000000000", &to],
            "server's checkpoint is only at",
        ),
        (["--incremental-lsn=", &to], "may be wrong format"),
        (["--incremental-lsn=12k", &to], "may be wrong format"),
        ([&empty, &to], "this is no backup"),
        (["--extra-lsndir=/proc/none", "--parallel=2"], "/proc/none"),
    ] {
        let output = backup(links, server, &target, &more).output().unwrap();
        let log = log(&output);
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(
            log.contains(text) && !log.contains("completed OK!"),
            "{text:?}: {log}"
        );
        assert!(!target.join(CHECKPOINTS).exists());
    }
    assert_eq!(fs::read(extra.join(CHECKPOINTS)).unwrap(), before);
}
