//! `--decompress`, `--decrypt`, `--prepare`, `--copy-back` and `--move-back` under the names of xtrabackup's programs, as
//! their callers run them, up to a server that is proved right.

use crate::journey::Journey;
use crate::lsnap;
use crate::named_xtrabackup::{completed, log, member};
use crate::proof;
use crate::sandbox::{RESTORED, Sandbox};
use crate::streams::restore;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Installs the links as an administrator does.
fn links(room: &Path) -> PathBuf {
    let dir = room.join("bin");
    std::fs::create_dir(&dir).unwrap();
    let install = || {
        let mut command = lsnap::command();
        command.args(["install-links", "--json"]).arg(&dir);
        lsnap::said(command.output().unwrap()).ok().json
    };
    for state in ["created", "unchanged"] {
        let links = install()["links"].clone();
        let links = links.as_array().unwrap();
        assert_eq!(links.len(), 4);
        assert!(links.iter().all(|link| link["state"] == state), "{links:?}");
    }
    dir
}

struct Programs {
    dir: PathBuf,
    mysqld: PathBuf,
}

impl Programs {
    fn run(&self, name: &str, words: &[&str]) -> Output {
        let mut command = Command::new(self.dir.join(name));
        // As in the images of the operators, which have no mysqld.
        command.env("LSNAP_REDO_APPLIER", "server");
        command.args(words).output().unwrap()
    }

    /// Runs xtrabackup, which must succeed; returns its log.
    #[track_caller]
    fn done(&self, words: &[&str]) -> String {
        completed(&self.run("xtrabackup", words))
    }

    /// Runs xtrabackup, which must fail with these words.
    #[track_caller]
    fn refused(&self, words: &[&str], expected: &str) {
        let output = self.run("xtrabackup", words);
        let log = log(&output);
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(
            log.contains(expected) && !log.contains("completed OK!"),
            "{expected:?}: {log}"
        );
        assert!(!log.contains("Options::"), "{log}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Returns the names of all files below a directory.
fn files(root: &Path) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                out.insert(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    out
}

#[test]
fn from_an_encrypted_stream_to_a_server() {
    let mut journey = Journey::begin("e2e-back", 16, &[], false);
    let room = journey.path().to_owned();
    let programs = Programs {
        dir: links(&room),
        mysqld: journey.source.program("mysqld"),
    };
    let full = room.join("full of it");
    let key = format!("--encrypt-key={KEY}");
    journey.member_by(|source, _| {
        let socket = format!("--socket={}", source.socket());
        let target = format!("--target-dir={}", full.display());
        let words = [
            "--no-defaults",
            "--backup",
            "--user=root",
            "--password=",
            &socket,
            &target,
        ];
        let more = ["--compress", "--encrypt=AES256", &key, "--parallel=2"];
        member(&programs.done(&[&words[..], &more].concat()))
    });
    journey.rest();
    streams(&programs, &room, &full);
    unpacked(&programs, &journey, &full, &key);

    let target = format!("--target-dir={}", full.display());
    let data = room.join("data");
    let datadir = format!("--datadir={}", data.display());
    let back = ["--no-defaults", "--copy-back", &target, &datadir];
    programs.refused(&back, "The target is not fully prepared");
    programs.done(&["--prepare", &target]);
    refusals(&programs, &full, &data);

    // The general tablespace outside of the data directory is still the source's.
    programs.refused(&back, "exists already");
    assert!(!data.exists(), "a refused run left a directory");
    let tablespaces = full.join("xtrabackup_tablespaces");
    let list = std::fs::read_to_string(&tablespaces).unwrap();
    let elsewhere = room.join("elsewhere");
    let list = list.replace("outside of it", "elsewhere");
    std::fs::write(&tablespaces, list).unwrap();

    // The operator for Percona Server: the backup is in the data directory, with a log in it.
    std::fs::create_dir(&data).unwrap();
    let staging = data.join(".staging");
    std::fs::rename(&full, &staging).unwrap();
    std::fs::write(staging.join("innobackup.move.log"), "log").unwrap();
    let target = format!("--target-dir={}", staging.display());
    let words = ["--defaults-group=mysqld", &datadir, "--move-back", &target];
    programs.refused(&words, "is not empty");
    let words = [&words[..], &["--force-non-empty-directories"]].concat();
    let said = programs.done(&words);
    assert!(said.contains("innodb_directories"), "{said}");
    assert!(data.join("innobackup.move.log").exists() && data.join("xtrabackup_info").exists());
    assert!(!data.join("backup-my.cnf").exists() && !data.join(".lsnap-back.json").exists());
    assert!(!staging.join("ibdata1").exists() && staging.join("xtrabackup_checkpoints").exists());
    std::fs::remove_dir_all(&staging).unwrap();
    let directories = format!("--innodb-directories={}", elsewhere.display());
    let server = Sandbox::start_on("e2e-back-moved", &data, &[RESTORED, &[&directories]]);
    proof::prove(&journey.source, &server, &journey.members[0].position);
    server.kill();
}

/// The three tools that callers pipe through.
fn streams(programs: &Programs, room: &Path, full: &Path) {
    let (from, out) = (text(full), room.join("out"));
    std::fs::create_dir(&out).unwrap();
    let made = programs.run(
        "xbstream",
        &[
            "-cv",
            "-C",
            from,
            "xtrabackup_checkpoints",
            "xtrabackup_info.zst.xbcrypt",
        ],
    );
    assert!(made.status.success(), "{}", log(&made));
    let names = "xtrabackup_checkpoints\nxtrabackup_info.zst.xbcrypt\n";
    assert_eq!(log(&made), names);
    let stream = room.join("stream");
    std::fs::write(&stream, &made.stdout).unwrap();
    let extracted = Command::new(programs.dir.join("xbstream"))
        .args([
            "-xv",
            "--direc",
            text(&out),
            "--parallel=2",
            "--decompress",
            "--decrypt=AES256",
        ])
        .args(["--encrypt_key", KEY])
        .stdin(std::fs::File::open(&stream).unwrap())
        .output()
        .unwrap();
    assert!(extracted.status.success(), "{}", log(&extracted));
    assert_eq!(log(&extracted), names);
    assert!(extracted.stdout.is_empty());
    let info = std::fs::read_to_string(out.join("xtrabackup_info")).unwrap();
    assert!(info.starts_with("uuid = "), "{info}");
    for (words, expected) in [(&["-x", "-c"][..], "together"), (&[], "either -c or -x")] {
        let output = programs.run("xbstream", words);
        assert_eq!(output.status.code(), Some(1));
        let said = log(&output);
        assert!(
            said.starts_with("xbstream: ") && said.contains(expected),
            "{said}"
        );
    }
    for name in ["xbstream", "xbcrypt"] {
        let version = programs.run(name, &["-V"]);
        let version = String::from_utf8(version.stdout).unwrap();
        assert!(version.starts_with(&format!("{name}  Ver ")), "{version}");
    }
}

/// Decrypts and decompresses in one run. With the originals kept, the directory is restored without the key, and is the
/// base of an incremental.
fn unpacked(programs: &Programs, journey: &Journey, full: &Path, key: &str) {
    let target = format!("--target-dir={}", full.display());
    let before = files(full);
    programs.refused(
        &[
            "--decrypt=AES256",
            "--encrypt-key=wrong wrong wrong wrong wrong!!!",
            &target,
        ],
        "key",
    );
    assert_eq!(files(full), before, "of a wrong key nothing is left");
    programs.refused(&["--decompress", &target], "it is encrypted");
    let both = [
        "--decrypt=AES256",
        key,
        "--decompress=TRUE",
        "--parallel=2",
        &target,
    ];
    programs.done(&both);
    let after = files(full);
    assert!(after.is_superset(&before) && after.contains("mysql.ibd"));
    assert!(
        !after.contains("mysql.ibd.zst"),
        "only the original is kept"
    );
    let kept = journey.path().join("kept");
    restore(&programs.mysqld, &[&full.to_path_buf()], &kept, &[]).ok();
    assert!(kept.join("ibdata1").exists());
    std::fs::remove_dir_all(&kept).unwrap();
    let socket = format!("--socket={}", journey.source.socket());
    let incremental = format!(
        "--target-dir={}",
        journey.path().join("incremental").display()
    );
    let base = format!("--incremental-basedir={}", full.display());
    programs.done(&[
        "--no-defaults",
        "--backup",
        "--user=root",
        "--password=",
        &socket,
        &incremental,
        &base,
    ]);
    // Again: nothing changes; then the originals go.
    programs.done(&both);
    assert_eq!(files(full), after);
    programs.done(&[&both[..], &["--remove-original"]].concat());
    let left = files(full);
    assert!(
        !left
            .iter()
            .any(|name| name.ends_with(".xbcrypt") || name.ends_with(".zst")),
        "{left:?}"
    );
    programs.done(&["--decompress", &target]);
}

fn refusals(programs: &Programs, full: &Path, data: &Path) {
    let target = format!("--target-dir={}", full.display());
    let datadir = format!("--datadir={}", data.display());
    programs.refused(
        &["--no-defaults", "--copy-back", &target],
        "Please set parameter 'datadir'",
    );
    programs.refused(
        &[
            "--copy-back",
            "--generate-new-master-key",
            &target,
            &datadir,
        ],
        "ALTER INSTANCE ROTATE INNODB MASTER KEY",
    );
    let inside = format!("--datadir={}", full.join("data").display());
    programs.refused(&["--copy-back", &target, &inside], "--datadir");
    // A data directory of a running server, by an option file as callers of copy-back have it.
    let file = full.with_file_name("my.cnf");
    std::fs::write(&file, format!("[mysqld]\ndatadir = {}\n", full.display())).unwrap();
    let defaults = format!("--defaults-file={}", file.display());
    programs.refused(
        &[&defaults, "--copy-back", "--data_dirs=x", &target],
        "the backup itself",
    );
}
