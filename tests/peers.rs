//! Compares lsnap with MariaDB's own tools on a real MariaDB server: the streams of
//! `mariadb-backup`, full and incremental, are extracted as by `mbstream`, and its deltas merge to
//! the result of `mariadb-backup --prepare`. (MariaDB's redo log has another format: lsnap does not
//! restore these backups, it only shares their formats.)
//!
//! Also compares lsnap's own delta of an idle MySQL with that of a script (`peers/idle.rs`).
#![allow(clippy::unwrap_used)]

mod common;
#[path = "peers/idle.rs"]
mod idle;

use common::program::{PROGRAM as LSNAP, command as lsnap};
use common::sandbox;
use lsnap::delta::{DeltaReader, Meta};
use lsnap::restore::merge_onto;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A server that is removed when it is dropped.
struct Mariadb {
    room: tempfile::TempDir,
    server: Child,
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn good(command: &mut Command) -> Output {
    let out = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {said}");
    out
}

impl Mariadb {
    fn start() -> Self {
        let room = tempfile::tempdir().unwrap();
        let data = room.path().join("data");
        let user = String::from_utf8(good(Command::new("id").arg("-un")).stdout).unwrap();
        let user = format!("--user={}", user.trim());
        good(
            Command::new("mariadb-install-db")
                .args(["--no-defaults", "--auth-root-authentication-method=normal"])
                .args(["--skip-test-db", &user])
                .arg(format!("--datadir={}", data.display())),
        );
        let server = Command::new("mariadbd")
            .args(["--no-defaults", "--skip-networking", &user])
            .args([
                "--innodb-log-file-size=16M",
                "--innodb-buffer-pool-size=64M",
            ])
            .args([
                "--innodb-stats-auto-recalc=OFF",
                "--innodb-max-dirty-pages-pct=0",
            ])
            .arg("--innodb-max-dirty-pages-pct-lwm=0")
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", room.path().join("s").display()))
            .arg(format!("--log-error={}", room.path().join("log").display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { room, server };
        let begun = Instant::now();
        while !server.client("SELECT 1").output().unwrap().status.success() {
            let log = fs::read_to_string(server.room.path().join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(60), "{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn client(&self, sql: &str) -> Command {
        let mut client = Command::new("mariadb");
        client
            .args(["--no-defaults", "-uroot", "-N", "-e", sql])
            .arg(format!("--socket={}", self.room.path().join("s").display()));
        client
    }

    fn sql(&self, sql: &str) -> String {
        String::from_utf8(good(&mut self.client(sql)).stdout).unwrap()
    }

    /// Returns when no page is dirty: then the redo of a backup contains no changes of pages.
    fn rest(&self) {
        let begun = Instant::now();
        loop {
            self.sql("FLUSH ENGINE LOGS");
            let dirty = self.sql("SHOW STATUS LIKE 'innodb_buffer_pool_pages_dirty'");
            if dirty.trim().ends_with("\t0") {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "still dirty: {dirty}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Makes a stream of `mariadb-backup` in a file.
    fn backup(&self, name: &str, more: &[String]) -> PathBuf {
        let path = self.room.path().join(format!("{name}.xbs"));
        let mut backup = Command::new("mariadb-backup");
        backup
            .args([
                "--no-defaults",
                "--backup",
                "--stream=xbstream",
                "--user=root",
                "--parallel=2",
            ])
            .arg(format!("--socket={}", self.room.path().join("s").display()))
            .arg(format!(
                "--target-dir={}",
                self.room.path().join("tmp").display()
            ))
            .args(more)
            .stdout(File::create(&path).unwrap());
        good(&mut backup);
        path
    }

    fn dir(&self, name: &str) -> PathBuf {
        let dir = self.room.path().join(name);
        fs::create_dir(&dir).unwrap();
        dir
    }
}

/// Returns every file below a directory.
fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, dir: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, into);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                into.insert(name.to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    let mut into = BTreeMap::new();
    walk(dir, dir, &mut into);
    into
}

fn mbstream(stream: &Path, dir: &Path) {
    let mut command = Command::new("mbstream");
    good(
        command
            .arg("-x")
            .arg("-C")
            .arg(dir)
            .stdin(File::open(stream).unwrap()),
    );
}

fn xbstream(stream: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(LSNAP);
    command
        .arg("xbstream")
        .args(args)
        .stdin(File::open(stream).unwrap());
    command.output().unwrap()
}

#[test]
fn streams_and_deltas_of_mariadb_backup() {
    let server = Mariadb::start();
    server.sql(
        "CREATE DATABASE `d-1`; USE `d-1`;
         CREATE TABLE a (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(500)) ENGINE=InnoDB;
         INSERT INTO a (v) SELECT REPEAT(MD5(seq), 12) FROM seq_1_to_40000;
         CREATE TABLE b (id INT PRIMARY KEY, v VARCHAR(500)) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4;
         INSERT INTO b SELECT seq, REPEAT(MD5(seq), 8) FROM seq_1_to_5000;
         CREATE TABLE m (id INT) ENGINE=MyISAM; INSERT INTO m VALUES (1);
         CREATE TABLE `ü #` (id INT PRIMARY KEY) ENGINE=InnoDB",
    );
    server.rest();
    let stream = server.backup("full", &[]);
    let full = server.dir("full");
    mbstream(&stream, &full);
    same_as_mbstream(&server, "full", &stream, &full);
    server.sql(
        "USE `d-1`; UPDATE a SET v = REPEAT('x', 300) WHERE id BETWEEN 5000 AND 9000;
         INSERT INTO b SELECT seq, REPEAT(SHA1(seq), 3) FROM seq_6000_to_6500;
         DELETE FROM a WHERE id > 39000;
         CREATE TABLE c (id INT PRIMARY KEY, v TEXT) ENGINE=InnoDB;
         INSERT INTO c SELECT seq, REPEAT('c', 2000) FROM seq_1_to_500",
    );
    server.rest();
    let basedir = format!("--incremental-basedir={}", full.display());
    let stream = server.backup("incremental", &[basedir]);
    let incremental = server.dir("incremental");
    mbstream(&stream, &incremental);
    assert!(incremental.join("d@002d1/a.ibd.delta").exists());
    same_as_mbstream(&server, "incremental", &stream, &incremental);
    made_again(&server, &incremental);
    cut_short(&server, &stream);
    merged(&server, &full, &incremental);
}

/// Extracts, lists and checks one stream, from a file and from a pipe.
fn same_as_mbstream(server: &Mariadb, name: &str, stream: &Path, expected: &Path) {
    let expected = tree(expected);
    let file = server.dir(&format!("{name}-file"));
    good(
        Command::new(LSNAP)
            .args(["xbstream", "-x", "--parallel=2", "-C"])
            .arg(&file)
            .stdin(File::open(stream).unwrap()),
    );
    assert!(
        tree(&file) == expected,
        "{name}: extraction of a file differs"
    );
    let pipe = server.dir(&format!("{name}-pipe"));
    let command = format!(
        "cat {} | {LSNAP} xbstream -x -C {}",
        stream.display(),
        pipe.display()
    );
    good(Command::new("sh").args(["-c", &command]));
    assert!(
        tree(&pipe) == expected,
        "{name}: extraction of a pipe differs"
    );
    let listed = xbstream(stream, &["-t", "--json"]);
    let listed = common::program::result(&listed.stdout);
    let listed: BTreeMap<String, u64> = listed["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| {
            assert_eq!(file["complete"], true, "{file}");
            let path = file["path"].as_str().unwrap().trim_start_matches("./");
            (path.to_owned(), file["bytes"].as_u64().unwrap())
        })
        .collect();
    let sizes = expected
        .iter()
        .map(|(path, data)| (path.clone(), data.len() as u64));
    assert_eq!(listed, sizes.collect());
    assert!(xbstream(stream, &["--verify"]).status.success());
}

/// Checks that mbstream extracts a stream that lsnap created from the directory.
fn made_again(server: &Mariadb, dir: &Path) {
    fs::write(dir.join("empty file, näme"), b"").unwrap();
    let expected = tree(dir);
    let names: Vec<&String> = expected.keys().collect();
    for parallel in ["1", "4"] {
        let path = server.room.path().join("made.xbs");
        good(
            Command::new(LSNAP)
                .args(["xbstream", "-c", "-p", parallel, "-C"])
                .arg(dir)
                .args(&names)
                .stdout(File::create(&path).unwrap()),
        );
        let out = server.dir(&format!("made-{parallel}"));
        mbstream(&path, &out);
        assert!(tree(&out) == expected, "--parallel={parallel}");
    }
    fs::remove_file(dir.join("empty file, näme")).unwrap();
}

/// A stream that was cut off. If it ends between two chunks, `mbstream` exits with success and
/// leaves a partial file; if it ends inside a chunk, it fails and leaves a partial file. lsnap
/// fails in both cases, names an incomplete file and doesn't leave it behind.
fn cut_short(server: &Mariadb, stream: &Path) {
    let bytes = fs::read(stream).unwrap();
    let mut starts = Vec::new();
    let mut at = 0;
    for chunk in lsnap::xbstream::chunks(bytes.clone().into()) {
        let chunk = chunk.unwrap();
        let path = chunk.path().to_owned();
        starts.push((at, path.clone()));
        at += match &chunk {
            lsnap::xbstream::Chunk::Payload { data, .. } => {
                lsnap::xbstream::payload_head(&path, 0, 0, 0).unwrap().len() + data.len()
            }
            _ => lsnap::xbstream::end_chunk(&path).unwrap().len(),
        };
    }
    assert_eq!(at, bytes.len());
    let (end, path) = starts.last().unwrap();
    let (payload, same) = &starts[starts.len() - 2];
    assert_eq!(path, same, "the last file has one payload");
    let inside = payload + (end - payload) / 2;
    for (cut, name, peer_fails) in [(*end, "end", false), (inside, "inside", true)] {
        let part = server.room.path().join(format!("cut-{name}.xbs"));
        fs::write(&part, &bytes[..cut]).unwrap();
        let theirs = server.dir(&format!("cut-{name}-mbstream"));
        let mut peer = Command::new("mbstream");
        peer.arg("-x").arg("-C").arg(&theirs);
        let peer = peer.stdin(File::open(&part).unwrap()).output().unwrap();
        assert_eq!(!peer.status.success(), peer_fails, "mbstream, cut {name}");
        let ours = server.dir(&format!("cut-{name}-lsnap"));
        let out = xbstream(&part, &["-x", "-C", ours.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(13), "cut {name}: {said}");
        assert!(said.contains(path.as_str()), "cut {name}: {said}");
        let whole = tree(&ours);
        assert!(!whole.contains_key(path.trim_start_matches("./")), "{path}");
        let theirs = tree(&theirs);
        assert!(
            whole
                .iter()
                .all(|(name, data)| theirs.get(name) == Some(data))
        );
        assert!(!xbstream(&part, &["--verify"]).status.success());
    }
}

/// Compares page by page: full and delta, merged here, with the result of `--prepare`. The server
/// was idle, so the redo log changes no page.
fn merged(server: &Mariadb, full: &Path, incremental: &Path) {
    let copy = |from: &Path, name: &str| {
        let to = server.room.path().join(name);
        good(Command::new("cp").arg("-r").args([from, &to]));
        to
    };
    let prepared = copy(full, "prepared");
    let scratch = copy(incremental, "scratch");
    let prepare = |more: &[String]| {
        let mut command = Command::new("mariadb-backup");
        command.args(["--no-defaults", "--prepare"]);
        good(
            command
                .arg(format!("--target-dir={}", prepared.display()))
                .args(more),
        );
    };
    prepare(&[]);
    for (name, before) in tree(full) {
        if name.ends_with(".ibd") {
            let after = fs::read(prepared.join(&name)).unwrap();
            assert!(
                before == after,
                "{name}: --prepare of the full one found redo to apply"
            );
        }
    }
    prepare(&[format!("--incremental-dir={}", scratch.display())]);
    let out = server.dir("merged");
    let mut deltas = 0;
    let mut pages = 0;
    for (delta, bytes) in tree(incremental) {
        let Some(name) = delta.strip_suffix(".delta") else {
            continue;
        };
        let meta = fs::read_to_string(incremental.join(format!("{name}.meta"))).unwrap();
        let meta = Meta::parse(&meta).unwrap();
        let size = meta.page_size.bytes();
        let changed = changed(&bytes, &meta);
        let expected = fs::read(prepared.join(name)).unwrap();
        // --prepare makes a file as long as its header says; the added bytes are zeros.
        let base = full.join(name);
        let base = base.exists().then_some(base.as_path());
        let longest = changed.iter().max().map_or(0, |page| (page + 1) * size);
        let longest =
            longest.max(base.map_or(0, |base| fs::metadata(base).unwrap().len() as usize));
        assert!(
            longest <= expected.len(),
            "{name} is longer than it must be"
        );
        let ours = out.join(deltas.to_string());
        merge_onto(
            base,
            &incremental.join(&delta),
            &meta,
            expected.len() as u64,
            &ours,
        )
        .unwrap();
        let ours = fs::read(ours).unwrap();
        assert_eq!(ours.len(), expected.len(), "{name}");
        for (number, (ours, theirs)) in ours.chunks(size).zip(expected.chunks(size)).enumerate() {
            assert!(ours == theirs, "page {number} of {name} differs");
        }
        pages += changed.len();
        deltas += 1;
    }
    assert!(
        deltas > 5 && pages > 200,
        "{pages} pages in {deltas} deltas are too few for a proof"
    );
}

/// Returns the pages that a delta lists.
fn changed(delta: &[u8], meta: &Meta) -> Vec<usize> {
    let mut reader = DeltaReader::new(delta, meta.page_size);
    let mut page = Vec::new();
    let mut pages = Vec::new();
    while let Some(number) = reader.next_page(&mut page).unwrap() {
        pages.push(number.0 as usize);
    }
    pages
}
