//! User-visible behaviour of repositories: nested repositories, typing errors in a URL, deletions
//! of a backup that is being read, clocks that are ahead. The tests run the program without a
//! server.

#![allow(clippy::unwrap_used)]

mod common;

use common::program::command;
use common::small;
use lsnap::manifest::{BackupName, Manifest};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

use chrono::{DateTime, TimeZone, Utc};
use lsnap::store::*;

/// The result of the program: exit code, standard output, standard error.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn lsnap(dir: &Path, arguments: &[&str]) -> Ran {
    let done = command().args(arguments).current_dir(dir).output().unwrap();
    Ran {
        code: done.status.code().unwrap(),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

fn at(second: i64) -> DateTime<Utc> {
    Utc.timestamp_opt(1_795_000_000 + second, 0).unwrap()
}

fn open(dir: &Path) -> Repository {
    Repository::open(dir.to_str().unwrap()).unwrap()
}

/// Stores a small full backup with a time of `second` seconds after a fixed time, at LSN `lsn`.
fn full(repository: &Repository, second: i64, lsn: u64) -> BackupName {
    let name = BackupName::full("prod", at(second)).unwrap();
    let (upload, file) = small::begin(repository, &name).unwrap();
    let manifest = Manifest {
        started_at: at(second),
        finished_at: at(second + 1),
        ..small::manifest(&name, None, lsn, file)
    };
    upload.finish(&manifest).unwrap();
    name
}

fn count(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let below = |path: &Path| if path.is_dir() { count(path) } else { 1 };
    entries.map(|entry| below(&entry.path())).sum()
}

#[test]
fn a_nested_repository_is_neither_shown_nor_deleted() {
    let room = tempfile::tempdir().unwrap();
    let outer = full(&open(room.path()), 0, 100);
    let inner = room.path().join("prod");
    full(&open(&inner), 0, 100);
    let before = count(room.path());
    let from = ["--from", room.path().to_str().unwrap()];
    let list = lsnap(room.path(), &["list", from[0], from[1]]);
    assert_eq!(list.code, 0, "{}", list.err);
    assert!(list.out.contains(outer.as_str()), "{}", list.out);
    assert!(!list.out.contains("UNFINISHED"), "{}", list.out);
    for command in [&["delete"][..], &["cloud", "delete"]] {
        let mut line = command.to_vec();
        line.extend(from);
        line.push("prod");
        let ran = lsnap(room.path(), &line);
        assert!([10, 11].contains(&ran.code), "{command:?}: {}", ran.err);
        // the key that identifies the backup
        assert!(ran.err.contains("lsnap_"), "{}", ran.err);
    }
    assert_eq!(count(room.path()), before);
}

#[test]
fn typing_errors_in_a_url_do_not_create_a_directory() {
    let room = tempfile::tempdir().unwrap();
    for (url, likely) in [
        ("s3:/b/p", "s3://b/p"),
        ("s3:b", "s3://b"),
        ("s3//bucket", "s3://bucket"),
        ("gs:/b", "gs://b"),
        ("s3 ://bucket", "s3://bucket"),
    ] {
        let ran = lsnap(room.path(), &["list", "--from", url]);
        assert_eq!(ran.code, 2, "{url}: {}", ran.err);
        assert!(ran.err.contains(likely), "{url}: {}", ran.err);
    }
    assert_eq!(std::fs::read_dir(room.path()).unwrap().count(), 0);
    let name = full(&open(room.path()), 0, 100);
    for url in [
        format!("file:{}", room.path().display()),
        format!("file://{}", room.path().display()),
        ".".to_owned(),
    ] {
        let ran = lsnap(room.path(), &["list", "--from", &url]);
        assert!(ran.out.contains(name.as_str()), "{url}: {}", ran.err);
    }
}

#[test]
fn backups_that_are_being_read_are_kept_and_reported() {
    let room = tempfile::tempdir().unwrap();
    let repository = open(room.path());
    let names: Vec<_> = (0..4)
        .map(|n| full(&repository, n * 60, 100 * (n as u64 + 1)))
        .collect();
    let reading = repository.announce_reading("restore", &names[..1]).unwrap();
    let strange = room.path().join(names[1].as_str()).join("README");
    std::fs::write(&strange, "mine").unwrap();
    let from = room.path().to_str().unwrap();
    let delete = lsnap(room.path(), &["delete", "--from", from, names[0].as_str()]);
    assert_eq!(delete.code, 11, "{}", delete.err);
    let who = format!("pid {}", std::process::id());
    assert!(
        delete.err.contains(&who) && delete.err.contains("restore"),
        "{}",
        delete.err
    );
    let prune = lsnap(room.path(), &["prune", "--from", from, "--keep-full", "1"]);
    assert_eq!(prune.code, 11, "{}", prune.err);
    for (name, told) in [
        (&names[0], "skipped: "),
        (&names[1], "NOT DELETED: "),
        (&names[2], "deleted "),
        (&names[3], "kept "),
    ] {
        assert!(
            prune.out.contains(&format!("{told}{name}")),
            "{}",
            prune.out
        );
    }
    assert!(strange.exists() && !room.path().join(names[2].as_str()).exists());
    drop(reading);
    std::fs::remove_file(strange).unwrap();
    let prune = lsnap(
        room.path(),
        &["prune", "--from", from, "--keep-full", "1", "--json"],
    );
    assert_eq!(prune.code, 0, "{}", prune.err);
    let report = common::program::result(prune.out.as_bytes());
    assert_eq!(report["deleted"].as_array().unwrap().len(), 2);
    assert_eq!(report["failed"], serde_json::json!([]));
    // nothing is left except the last backup and the repository's marker
    let left = std::fs::read_dir(room.path()).unwrap();
    let mut left: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [MARKER, names[3].as_str()]);
}

#[test]
fn a_clock_that_is_ahead_is_reported_and_ignored() {
    let room = tempfile::tempdir().unwrap();
    let repository = open(room.path());
    let early = full(&repository, 365 * 86_400, 100);
    let newest = full(&repository, 60, 200);
    let from = room.path().to_str().unwrap();
    let show = lsnap(room.path(), &["show", "--from", from, "latest", "--json"]);
    assert_eq!(show.code, 0, "{}", show.err);
    let shown = common::program::result(show.out.as_bytes());
    assert_eq!(shown["backup"]["name"], newest.as_str());
    let list = lsnap(room.path(), &["list", "--from", from]);
    for ran in [&show, &list] {
        assert!(ran.err.contains(early.as_str()), "{}", ran.err);
        assert!(ran.err.contains("clock"), "{}", ran.err);
    }
    let prune = lsnap(
        room.path(),
        &["prune", "-v", "--from", from, "--keep-full", "1"],
    );
    assert!(
        prune.out.contains(&format!("kept {newest}")),
        "{}",
        prune.out
    );
    assert!(room.path().join(newest.as_str()).exists());
}

/// A store whose listing never ends: each page has the same key and the same token.
fn endless_store() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                loop {
                    let mut head = Vec::new();
                    while !head.last().is_some_and(String::is_empty) {
                        let mut line = String::new();
                        if reader.read_line(&mut line).unwrap_or(0) == 0 {
                            return;
                        }
                        head.push(line.trim_end().to_owned());
                    }
                    let (status, body) = if head[0].contains("list-type=2") {
                        let object = format!(
                            "<Contents><Key>p/a-full/x.{:020}</Key><Size>5</Size><ETag>\"x\"</ETag>\
                             <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>",
                            0
                        );
                        let page = format!(
                            "<ListBucketResult><Name>bucket</Name><IsTruncated>true</IsTruncated>{object}\
                             <CommonPrefixes><Prefix>p/a-full/</Prefix></CommonPrefixes>\
                             <NextContinuationToken>t</NextContinuationToken></ListBucketResult>"
                        );
                        ("200 OK", page)
                    } else {
                        (
                            "404 Not Found",
                            "<Error><Code>NoSuchKey</Code></Error>".to_owned(),
                        )
                    };
                    let answer = format!(
                        "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("http://{address}")
}

#[test]
fn an_endless_listing_is_aborted() {
    let endpoint = endless_store();
    for command in [
        &["list"][..],
        &["prune", "--keep-full", "1"],
        &["verify", "--all"],
    ] {
        let done = common::program::command()
            .args(command)
            .args(["--from", "s3://bucket/p", "--endpoint", &endpoint])
            .args(["--allow-http", "--path-style", "--region", "us-east-1"])
            .env("AWS_ACCESS_KEY_ID", "id")
            .env("AWS_SECRET_ACCESS_KEY", "key")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(1), "{command:?}: {told}");
        assert!(
            told.contains("listing") && told.contains("stopped, ") && told.contains("twice"),
            "{told}"
        );
    }
}
