//! `lsnap cloud` with streams of `mbstream`: a stream that mbstream created is uploaded,
//! downloaded, and extracted by `mbstream`; the objects are byte for byte those that xbcloud would
//! store.
//!
//! `tools/test` installs it (Debian's package `mariadb-backup`).

#![allow(clippy::unwrap_used)]

mod common;

use common::program::{PROGRAM, command, failed, fed, good, result, signal as send};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use rustix::process::Signal;

fn lsnap(args: &[&str], input: &[u8]) -> Output {
    fed(command().args(args), input)
}

/// Names and contents: empty, tiny, longer than mbstream's 10 MiB buffer, with unusual names.
fn files() -> BTreeMap<String, Vec<u8>> {
    let bytes = |len: usize| (0..len).map(|i| (i * 31 + i / 251) as u8).collect();
    BTreeMap::from([
        ("empty".to_owned(), Vec::new()),
        ("ibdata1".to_owned(), bytes((21 << 20) + 3)),
        ("db/t#p#p0.ibd".to_owned(), bytes(70_000)),
        ("db/größe 100%.ibd".to_owned(), bytes(5)),
        ("xtrabackup_tablespaces".to_owned(), b"[]".to_vec()),
    ])
}

/// Returns the stream that mbstream creates from `files`.
fn stream_of(dir: &Path, files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    for (path, data) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }
    let out = Command::new("mbstream")
        .arg("-c")
        .args(files.keys())
        .current_dir(dir)
        .output()
        .expect("mbstream is missing: run tools/test, or apt-get install mariadb-backup");
    assert!(out.status.success());
    out.stdout
}

/// Returns a directory, a stream of [`files`], and a path for a repository in the directory.
fn fixture() -> (tempfile::TempDir, Vec<u8>, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let stream = stream_of(&dir.path().join("in"), &files());
    let repo = dir.path().join("repo");
    (dir, stream, repo)
}

fn mbstream_extracts(stream: &[u8], dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let file = dir.with_extension("stream");
    fs::write(&file, stream).unwrap();
    let status = Command::new("mbstream")
        .args(["-x", "-C"])
        .arg(dir)
        .stdin(fs::File::open(&file).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
}

/// Returns every file except the marker of the repository.
fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = common::program::tree(dir);
    found.remove(lsnap::store::MARKER);
    found
}

#[test]
fn a_stream_of_mbstream_round_trips_through_a_repository() {
    let (dir, stream, repo) = fixture();
    let url = url::Url::from_file_path(&repo).unwrap().to_string();
    let report = good(lsnap(
        &[
            "cloud",
            "put",
            "--to",
            &url,
            "--parallel",
            "3",
            "prod-full",
            "--json",
        ],
        &stream,
    ));
    let report: serde_json::Value = result(&report);
    assert_eq!(report["files"], 5);
    assert_eq!(report["bytes"], stream.len());
    let got = good(lsnap(&["cloud", "get", "--from", &url, "prod-full"], b""));
    assert_eq!(got.len(), stream.len());
    let out = dir.path().join("out");
    mbstream_extracts(&got, &out);
    assert!(tree(&out) == files(), "mbstream extracted other files");

    let some = good(lsnap(
        &[
            "cloud",
            "get",
            "--from",
            &url,
            "prod-full",
            "db/größe 100%.ibd",
            "empty",
        ],
        b"",
    ));
    let out = dir.path().join("some");
    mbstream_extracts(&some, &out);
    let names: Vec<String> = tree(&out).into_keys().collect();
    assert_eq!(names, ["db/größe 100%.ibd", "empty"]);

    good(lsnap(
        &["cloud", "delete", "--from", &url, "prod-full"],
        b"",
    ));
    assert_eq!(tree(&repo), BTreeMap::new());
}

/// A missing name gives the same message for every way to request a file; the other files are
/// extracted.
#[test]
fn a_missing_file_is_named() {
    let (dir, stream, repo) = fixture();
    let repo = repo.to_str().unwrap();
    good(lsnap(&["cloud", "put", "--to", repo, "b"], &stream));
    let args = ["cloud", "get", "--from", repo, "b", "ibdata"];
    let said = failed(&lsnap(&args, b""), 10);
    assert!(said.contains("no file `ibdata`"), "{said}");

    let into = dir.path().join("out");
    fs::create_dir(&into).unwrap();
    let extract = ["xbstream", "-x", "-C", into.to_str().unwrap()];
    let said = failed(
        &lsnap(&[&extract[..], &["ibdata", "empty"]].concat(), &stream),
        10,
    );
    assert!(said.contains("the stream has no \"ibdata\""), "{said}");
    assert_eq!(tree(&into).into_keys().collect::<Vec<_>>(), ["empty"]);
    for how in ["-t", "--verify"] {
        let out = lsnap(&["xbstream", how, "ibdata", "empty"], &stream);
        let said = failed(&out, 10);
        assert!(said.contains("the stream has no \"ibdata\""), "{said}");
        let listed = String::from_utf8(out.stdout).unwrap();
        assert!(listed.contains(" empty\n"), "{listed}");
        good(lsnap(&["xbstream", how, "empty"], &stream));
    }
}

/// Every field of every object of a small stream, in hex (`docs/format/xbstream.md`,
/// `docs/format/manifest.md#keys-and-objects`).
#[test]
fn objects_are_pinned_byte_for_byte() {
    let small = BTreeMap::from([
        ("a/b".to_owned(), b"hello".to_vec()),
        ("xtrabackup_tablespaces".to_owned(), Vec::new()),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let stream = stream_of(&dir.path().join("in"), &small);
    let repo = dir.path().join("repo");
    let args = [
        "cloud",
        "put",
        "--md5",
        "--to",
        repo.to_str().unwrap(),
        "b1",
    ];
    good(lsnap(&args, &stream));
    let hex = |text: &str| -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    };
    let payload = hex(
        // magic XBSTCK01, flags, type P, path length, path a/b
        "58425354434b3031 00 50 03000000 612f62 \
         0500000000000000 0000000000000000 86a61036 68656c6c6f",
        // payload length, offset, CRC-32, payload hello
    );
    let end = hex("58425354434b3031 00 45 03000000 612f62");
    let mark = [
        hex("58425354434b3031 00 45 16000000"),
        b"xtrabackup_tablespaces".to_vec(),
    ]
    .concat();
    let expected = BTreeMap::from([
        ("b1/a/b.00000000000000000000".to_owned(), payload),
        ("b1/a/b.00000000000000000001".to_owned(), end),
        (
            "b1/xtrabackup_tablespaces.00000000000000000000".to_owned(),
            mark,
        ),
    ]);
    let mut found = tree(&repo);
    let sums = found.remove("b1.md5").unwrap();
    assert_eq!(found, expected);
    // the lines have the format of md5sum: in the directory of the backup, it finds every object
    // unchanged
    let sums_file = dir.path().join("sums");
    fs::write(&sums_file, &sums).unwrap();
    let checked = Command::new("md5sum")
        .args(["--strict", "--check"])
        .arg(&sums_file)
        .current_dir(repo.join("b1"))
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
    assert_eq!(
        String::from_utf8(checked.stdout).unwrap(),
        "a/b.00000000000000000000: OK\na/b.00000000000000000001: OK\n\
         xtrabackup_tablespaces.00000000000000000000: OK\n"
    );
}

#[test]
fn failures_have_their_codes_and_leave_nothing() {
    let (_dir, stream, repo) = fixture();
    let url = repo.to_str().unwrap();
    let cut = lsnap(&["cloud", "put", "--to", url, "b"], &stream[..15_000_000]);
    let text = failed(&cut, 13);
    assert!(
        text.contains("cut off") && text.contains("nothing of this put is left"),
        "{text}"
    );
    assert_eq!(tree(&repo), BTreeMap::new());
    let text = failed(
        &lsnap(
            &["cloud", "put", "--to", url, "b", "--memory", "1M"],
            &stream,
        ),
        13,
    );
    assert!(text.contains("of 10485760 bytes"), "{text}");
    failed(&lsnap(&["cloud", "get", "--from", url, "b"], b""), 10);
    failed(&lsnap(&["cloud", "delete", "--from", url, "b"], b""), 10);
    good(lsnap(&["cloud", "put", "--to", url, "b"], &stream));
    failed(&lsnap(&["cloud", "put", "--to", url, "b"], &stream), 11);
    fs::remove_file(repo.join("b/ibdata1.00000000000000000001")).unwrap();
    let get = lsnap(&["cloud", "get", "--from", url, "b", "--json"], b"");
    let text = failed(&get, 13);
    assert!(
        text.contains("b/ibdata1.00000000000000000001 is missing"),
        "{text}"
    );
    assert!(get.stdout.is_empty(), "no JSON in a stream");
    fs::create_dir_all(repo.join("b.incr/c")).unwrap();
    fs::write(repo.join("b.incr/c/x.00000000000000000000"), b"").unwrap();
    failed(&lsnap(&["cloud", "delete", "--from", url, "b"], b""), 11);
    failed(&lsnap(&["cloud", "delete", "--from", url, "../b"], b""), 2);
}

/// Runs lsnap with closed readers of its standard output and error.
fn with_closed_outputs(args: &[&str], input: &Path) -> std::process::ExitStatus {
    let (out, err) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
    drop((out.0, err.0));
    command()
        .args(args)
        .args(["--progress=plain", "-vv"])
        .stdin(fs::File::open(input).unwrap())
        .stdout(out.1)
        .stderr(err.1)
        .status()
        .unwrap()
}

/// With `| head`, or with a `tee` that was killed: a command still does its work, and its exit code
/// is right.
#[test]
fn closed_outputs_do_not_stop_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let (repo, stream) = (dir.path().join("repo"), dir.path().join("stream"));
    let url = repo.to_str().unwrap();
    fs::write(&stream, stream_of(&dir.path().join("in"), &files())).unwrap();
    for json in [None, Some("--json")] {
        let run = |args: &[&str]| {
            let args: Vec<&str> = args.iter().copied().chain(json).collect();
            with_closed_outputs(&args, &stream).code()
        };
        assert_eq!(run(&["cloud", "put", "--to", url, "b"]), Some(0));
        assert_eq!(run(&["cloud", "put", "--to", url, "b"]), Some(11));
        assert_eq!(run(&["list", "--from", url]), Some(0));
        assert_eq!(run(&["xbstream", "-t"]), Some(0));
        assert_eq!(run(&["show", "--from", url, "none"]), Some(10));
        assert_eq!(run(&["cloud", "delete", "--from", url, "b"]), Some(0));
    }
    assert_eq!(tree(&repo), BTreeMap::new());
}

/// Starts a put that has read a part of a stream and waits for more; returns it and its writer.
fn waiting_put(mut command: Command, repo: &Path, part: &[u8]) -> (Child, ChildStdin) {
    let mut child = command
        .args(["cloud", "put", "--to", repo.to_str().unwrap(), "b"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(part).unwrap();
    // it installs its signal handlers before it reads
    while rustix::io::ioctl_fionread(&stdin).unwrap() > 0 {
        std::thread::yield_now();
    }
    (child, stdin)
}

/// A writer may be silent for an hour: a signal still ends a put, and nothing is left behind.
#[test]
fn a_signal_ends_a_put_whose_writer_is_silent() {
    let (_dir, stream, repo) = fixture();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let (child, _stdin) = waiting_put(command(), &repo, &stream[..15_000_000]);
        send(&child, signal);
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
        let minute = std::time::Duration::from_secs(60);
        let text = failed(&receiver.recv_timeout(minute).unwrap(), 130);
        assert!(text.contains("nothing of this put is left"), "{text}");
        assert_eq!(tree(&repo), BTreeMap::new());
    }
}

/// A backup that was started with `nohup` must survive the end of the terminal.
#[test]
fn nohup_is_respected() {
    let (_dir, stream, repo) = fixture();
    let mut nohup = Command::new("nohup");
    nohup.arg(PROGRAM);
    let (child, mut stdin) = waiting_put(nohup, &repo, &stream[..15_000_000]);
    send(&child, Signal::HUP);
    stdin.write_all(&stream[15_000_000..]).unwrap();
    drop(stdin);
    good(child.wait_with_output().unwrap());
}

/// A backup of small files that share objects: the result of xbcloud, which uses names only and
/// concatenates, and the result of lsnap, for the whole backup and for one file.
#[test]
fn a_packed_backup_is_a_valid_stream_for_xbcloud() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let url = url::Url::from_file_path(&repo).unwrap().to_string();
    let files: BTreeMap<String, Vec<u8>> = (0..300u32)
        .map(|n| {
            (
                format!("db{}/t{n}.ibd", n % 3),
                n.to_le_bytes().repeat(5000),
            )
        })
        .collect();
    let name = "c-2026-01-01-00:00:00-full";
    packed_backup(&url, name, &files);
    let stored = tree(&repo);
    assert!(stored.len() < 8, "{:?}", stored.keys());

    // xbcloud get downloads every object of the backup, the objects of one path in order
    let objects = stored.iter().filter(|(key, _)| !key.contains("lsnap_"));
    let stream: Vec<u8> = objects.flat_map(|(_, bytes)| bytes.clone()).collect();
    let out = dir.path().join("theirs");
    mbstream_extracts(&stream, &out);
    assert!(tree(&out) == files, "mbstream extracted other files");

    let got = good(lsnap(&["cloud", "get", "--from", &url, name], b""));
    let out = dir.path().join("ours");
    mbstream_extracts(&got, &out);
    let mut ours = tree(&out);
    ours.retain(|path, _| !path.starts_with("lsnap_"));
    assert!(ours == files, "mbstream extracted other files");

    let some = [
        "cloud",
        "get",
        "--from",
        &url,
        name,
        "db1/t100.ibd",
        "db2/t2.ibd",
    ];
    let got = good(lsnap(&some, b""));
    let out = dir.path().join("some");
    mbstream_extracts(&got, &out);
    assert_eq!(tree(&out).into_keys().collect::<Vec<_>>(), some[5..]);
    assert!(tree(&out).iter().all(|(path, bytes)| *bytes == files[path]));

    let (pack, bytes) = stored
        .iter()
        .find(|(key, _)| key.contains(".ibd.0"))
        .unwrap();
    fs::write(repo.join(pack), &bytes[1..]).unwrap();
    failed(&lsnap(&["cloud", "get", "--from", &url, name], b""), 13);
    fs::remove_file(repo.join(pack)).unwrap();
    let said = failed(&lsnap(&["cloud", "get", "--from", &url, name], b""), 13);
    let object = pack.rsplit('/').next().unwrap();
    assert!(said.contains(&format!("{object} (file ")), "{said}");
}

/// Stores `files` as a full backup in packs.
fn packed_backup(url: &str, name: &str, files: &BTreeMap<String, Vec<u8>>) {
    use lsnap::manifest::{BackupName, FileEntry, FileRole, PACKED_FORMAT, StoredPath};
    use lsnap::store::Repository;
    let name = BackupName::parse(name).unwrap();
    let upload = Repository::open(url).unwrap().begin(&name, 2).unwrap();
    for (path, data) in files {
        let mut writer = lsnap::xbstream::Writer::new(Vec::new());
        writer.payload(path, 0, data).unwrap();
        writer.end(path).unwrap();
        upload
            .put_packed(path, vec![writer.into_inner().into()])
            .unwrap();
    }
    let entry = |(path, data): (&String, &Vec<u8>)| FileEntry {
        path: StoredPath::new(path),
        role: FileRole::Plain,
        bytes: data.len() as u64,
        wrapping: None,
        objects: upload.finish_file(path).unwrap(),
    };
    let files: Vec<FileEntry> = files.iter().map(entry).collect();
    let manifest = serde_json::json!({
        "format": PACKED_FORMAT, "lsnap_version": "0.1.0", "id": "x", "name": name, "kind": "full",
        "base": null, "started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:01Z",
        "server": {
            "uuid": "u", "version": "9.7.4", "flavor": "MySQL", "hostname": "h", "page_size": 16384,
            "redo_format": 6, "redo_creator": "MySQL 9.7.4", "redo_log_uuid": 1,
            "data_file_path": "ibdata1:12M:autoextend",
        },
        "lsn": {
            "from_lsn": 0, "scan_floor": 0, "start_checkpoint": 9, "to_lsn": 10, "last_lsn": 11,
        },
        "binlog": null, "files": files, "left_out": [],
        "pages": { "verified": 0, "zero": 0, "unverifiable": 0, "skipped": 0, "rereads": 0 },
    });
    upload
        .finish(&serde_json::from_value(manifest).unwrap())
        .unwrap();
}
