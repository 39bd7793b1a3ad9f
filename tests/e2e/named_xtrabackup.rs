//! lsnap under the name `xtrabackup`, as its callers run it: what they read is taken from its output.

use crate::common::program::PROGRAM;
use crate::ddl;
use crate::journey::Journey;
use crate::lsnap::{Member, Position};
use crate::sandbox::Sandbox;
use crate::streams::restore;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A directory with links to lsnap, as an installation has them.
pub fn links(room: &Path) -> PathBuf {
    let dir = room.join("links");
    std::fs::create_dir(&dir).unwrap();
    for name in ["xtrabackup", "xbstream", "xbcrypt", "xbcloud"] {
        symlink(PROGRAM, dir.join(name)).unwrap();
    }
    dir
}

pub fn backup(links: &Path, source: &Sandbox, target: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(links.join("xtrabackup"));
    command
        .arg("--no-defaults")
        .args(["--backup", "--user=root", "--password=", "-S"]);
    command
        .arg(source.socket())
        .arg(format!("--target_dir={}", target.display()));
    command.args(more);
    command
}

pub fn log(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Returns the log of a run that must succeed. As the scripts test it: the last line has `completed OK!`, and no other.
pub fn completed(output: &Output) -> String {
    let log = log(output);
    assert!(output.status.success(), "{log}");
    assert!(
        log.lines().last().unwrap().ends_with("completed OK!"),
        "{log}"
    );
    assert_eq!(log.matches("completed OK!").count(), 1, "{log}");
    for line in log.lines() {
        let fields: Vec<&str> = line.splitn(6, ' ').collect();
        assert_eq!(fields[1..=1], ["0"], "{line}");
        assert_eq!(fields[3..5], ["[MY-011825]", "[Xtrabackup]"], "{line}");
    }
    log
}

pub fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before:?} in {text}"))
        .1;
    rest.split_once(after).unwrap().0
}

/// Reads the position as Vitess, TwinDB and Holland do.
pub fn member(log: &str) -> Member {
    let line = log
        .lines()
        .find(|line| line.contains("MySQL binlog position"))
        .unwrap();
    Member {
        name: String::new(),
        position: Position {
            file: between(line, "filename '", "'").to_owned(),
            offset: between(line, "position '", "'").parse().unwrap(),
            gtid: between(line, "GTID of the last change '", "'").to_owned(),
        },
        json: serde_json::Value::Null,
    }
}

#[test]
fn backups_by_the_command_lines_of_xtrabackups_callers() {
    let mut journey = Journey::begin("e2e-named", 16, &[], false);
    let room = journey.path().to_owned();
    let links = links(&room);
    let [full, first] = ["full", "first"].map(|name| room.join(name));

    journey.member_by(|source, _| {
        let more = [
            "--compress",
            "--compress-threads=2",
            "--parallel=2",
            "--slave-info",
            "--databases-exclude=lost+found",
        ];
        let log = completed(&backup(&links, source, &full, &more).output().unwrap());
        let created = format!("Backup created in directory '{}'", full.display());
        assert!(log.contains(&created), "{log}");
        member(&log)
    });
    ddl::round(&journey.source, 1);
    journey.member_by(|source, _| {
        let base = format!("--incremental-basedir={}", full.display());
        let log = completed(
            &backup(&links, source, &first, &[&base, "--parallel=2"])
                .output()
                .unwrap(),
        );
        let line = log
            .lines()
            .find(|line| line.contains("check point (for incremental)"))
            .unwrap();
        let checkpoints = std::fs::read_to_string(first.join("xtrabackup_checkpoints")).unwrap();
        // KubeBlocks: awk -F"'" '{print $2}'; TwinDB: field 11, counted from 0.
        let lsn = line.split('\'').nth(1).unwrap();
        assert_eq!(line.split(' ').nth(11).unwrap().trim_matches('\''), lsn);
        assert_eq!(between(&checkpoints, "to_lsn = ", "\n"), lsn);
        member(&log)
    });
    journey.rest();

    secrets_are_not_shown(&links, &journey.source, &room);
    encrypted_stream(&links, &journey.source, &room);
    refusals(&links, &journey.source, &full);

    let unpack = Command::new(links.join("xtrabackup"))
        .args([
            "--decompress=TRUE",
            "--remove-original",
            "--parallel=2",
            "--data_dirs=unknown",
        ])
        .arg(format!("--target-dir={}", full.display()))
        .output()
        .unwrap();
    completed(&unpack);
    assert!(!full.join("mysql.ibd.zst").exists() && full.join("mysql.ibd").exists());
    let mysqld = journey.source.program("mysqld");
    journey.prove_by(1, &[], |_, datadir| {
        restore(&mysqld, &[&full, &first], datadir, &[]).ok();
    });
}

/// While the backup runs, the list of processes has neither the password nor the key; nor has anything that it leaves.
fn secrets_are_not_shown(links: &Path, source: &Sandbox, room: &Path) {
    let target = room.join("shown");
    let key = format!("--encrypt-key={KEY}");
    let more = ["--stream=xbstream", "--encrypt=AES256", &key];
    // The pipe is not read, so the backup can't end.
    let mut child = backup(links, source, &target, &more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 8];
    let mut stream = child.stdout.take().unwrap();
    stream.read_exact(&mut first).unwrap();
    let shown = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("--encrypt-key=xxxx"), "{shown}");
    assert!(!shown.contains(KEY), "{shown}");
    let environment = std::fs::read(format!("/proc/{}/environ", child.id())).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains(KEY));
    drop(stream);
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success(), "a broken pipe is a failure");
    let log = log(&output);
    assert!(
        !log.contains(KEY) && !log.contains("completed OK!"),
        "{log}"
    );
}

fn encrypted_stream(links: &Path, source: &Sandbox, room: &Path) {
    let stream = room.join("stream");
    let key = room.join("key");
    std::fs::write(&key, KEY).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let file = format!("--encrypt-key-file={}", key.display());
    let more = ["--stream", "--encrypt=AES256", &file];
    let output = backup(links, source, &room.join("unused"), &more)
        .stdout(std::fs::File::create(&stream).unwrap())
        .output()
        .unwrap();
    completed(&output);
    let out = room.join("extracted");
    std::fs::create_dir(&out).unwrap();
    let extracted = Command::new(links.join("xbstream"))
        .args(["-x", "-C"])
        .arg(&out)
        .stdin(std::fs::File::open(&stream).unwrap())
        .output()
        .unwrap();
    assert!(extracted.status.success(), "{}", log(&extracted));
    let info = out.join("xtrabackup_info.xbcrypt");
    // AutoXtraBackup's call of xbcrypt.
    let decrypt = |key: &str| {
        Command::new(links.join("xbcrypt"))
            .args(["-d", "-k", key, "-a", "AES256", "-i"])
            .arg(&info)
            .arg("-o")
            .arg(out.join("xtrabackup_info"))
            .output()
            .unwrap()
    };
    assert!(!decrypt("another key of 32 bytes, as said").status.success());
    assert!(
        !out.join("xtrabackup_info").exists(),
        "of a wrong key nothing is left"
    );
    assert!(decrypt(KEY).status.success());
    let text = std::fs::read_to_string(out.join("xtrabackup_info")).unwrap();
    assert!(
        text.contains("--encrypt=AES256") && !text.contains(KEY),
        "{text}"
    );
}

fn refusals(links: &Path, source: &Sandbox, full: &Path) {
    let refused = |more: &[&str], text: &str| {
        let output = backup(links, source, full, more).output().unwrap();
        let log = log(&output);
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(
            log.contains(text) && !log.contains("completed OK!"),
            "{text:?}: {log}"
        );
        assert!(output.stdout.is_empty());
    };
    refused(&[], "has a backup already");
    refused(&["--bakcup"], "unknown option '--bakcup'");
    refused(&["word"], "unknown argument: 'word'");
    refused(
        &["--prepare"],
        "--backup and --prepare are mutually exclusive",
    );
    refused(&["--compress=quicklz"], "quicklz");
    refused(&["--encrypt=AES256"], "needs a key");
    assert!(
        full.join("xtrabackup_checkpoints.zst").exists()
            || full.join("xtrabackup_checkpoints").exists()
    );
    let help = Command::new(links.join("xtrabackup"))
        .arg("--help")
        .output()
        .unwrap();
    assert_eq!(help.status.code(), Some(1), "Holland's dry run expects 1");
    assert!(
        String::from_utf8(help.stdout)
            .unwrap()
            .contains("--version-check")
    );
    let version = Command::new(links.join("xtrabackup"))
        .arg("--version")
        .output()
        .unwrap();
    assert!(version.status.success() && version.stdout.is_empty());
    assert!(
        log(&version).starts_with("xtrabackup version 8."),
        "{}",
        log(&version)
    );
}
