//! `lsnap xbstream` in scripts: exit codes and messages of errors.
#![allow(clippy::unwrap_used)]

mod common;

use common::program::{PROGRAM, command, failed};
use lsnap::xbstream::{self, Writer};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn lsnap(args: &[&str], stdin: impl Into<Stdio>, stdout: impl Into<Stdio>) -> Output {
    let child = command()
        .args(args)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.wait_with_output().unwrap()
}

fn with_input(args: &[&str], input: &[u8]) -> Output {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    lsnap(args, file, Stdio::piped())
}

/// Returns a stream of files with one byte each.
fn stream(paths: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    for path in paths {
        writer.payload(path, 0, b"x").unwrap();
        writer.end(path).unwrap();
    }
    bytes
}

/// `xtrabackup | xbstream -x` when the first fails at once: the input is empty, and nothing is
/// extracted.
#[test]
fn an_empty_stream_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().to_str().unwrap();
    for args in [
        &["xbstream", "-x", "-C", into][..],
        &["xbstream", "-t"],
        &["xbstream", "--verify"],
    ] {
        for out in [
            with_input(args, b""),
            lsnap(args, Stdio::null(), Stdio::piped()),
        ] {
            let text = failed(&out, 13);
            assert!(text.contains("the stream is empty"), "{args:?}: {text}");
        }
    }
}

#[test]
fn only_regular_files_go_into_a_stream() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    fs::create_dir(dir.path().join("db")).unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
    let root = dir.path().to_str().unwrap();
    for (name, kind) in [("fifo", "a FIFO"), ("db", "a directory")] {
        let begun = Instant::now();
        let args = ["xbstream", "-c", "-C", root, "file", name];
        let text = failed(&lsnap(&args, Stdio::null(), Stdio::piped()), 2);
        let expected = format!("{name} is {kind}, expected a regular file");
        assert!(text.contains(&expected), "{text}");
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
    let args = ["xbstream", "-c", "-C", root, "link"];
    let out = lsnap(&args, Stdio::null(), Stdio::piped());
    assert_eq!(
        (out.status.code(), out.stdout),
        (Some(0), stream(&["link"]))
    );
}

/// `-x` accepts the streams that `--verify` accepts, and refuses those that it refuses.
#[test]
fn verify_and_extract_agree_on_paths() {
    let long = "x".repeat(256);
    for paths in [
        &["a", "db/b"][..],
        &["/etc/a"],
        &["a", "../b"],
        &["db/"],
        &["."],
        &[&long],
        &["a", "a/b"],
        &["a/b", "a"],
        &["a", "./a"],
    ] {
        let dir = tempfile::tempdir().unwrap();
        let bytes = stream(paths);
        let verified = with_input(&["xbstream", "--verify"], &bytes);
        let extracted = with_input(
            &["xbstream", "-x", "-C", dir.path().to_str().unwrap()],
            &bytes,
        );
        let good = paths.contains(&"db/b");
        for out in [&verified, &extracted] {
            let text = String::from_utf8_lossy(&out.stderr);
            assert_eq!(out.status.success(), good, "{paths:?}: {text}");
        }
        if !good {
            let text = failed(&verified, 13);
            assert!(
                text.contains("1 file of the stream would not be extracted"),
                "{text}"
            );
        }
    }
}

#[test]
fn a_payload_longer_than_any_file_is_a_truncated_stream() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().to_str().unwrap();
    for length in [1u64 << 40, 1 << 62, i64::MAX as u64] {
        let mut bytes = stream(&["a"]);
        bytes.extend_from_slice(&xbstream::payload_head("b", 0, length, 0).unwrap());
        bytes.extend_from_slice(&[0; 100]);
        let text = failed(&with_input(&["xbstream", "-x", "-C", into], &bytes), 13);
        assert!(text.contains("it was cut off"), "{length}: {text}");
        fs::remove_file(Path::new(into).join("a")).unwrap_or_default();
    }
}

/// The runtime opens /dev/null for a descriptor that is closed: a stream must not end successfully
/// there.
#[test]
fn a_closed_output_fails_a_stream() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    let run = |to: &str| {
        Command::new("sh")
            .args([
                "-c",
                &format!("\"$0\" xbstream -c -C \"$1\" file {to}"),
                PROGRAM,
            ])
            .arg(dir.path())
            .output()
            .unwrap()
    };
    let text = failed(&run(">&-"), 2);
    assert!(text.contains("standard output is closed"), "{text}");
    failed(&run(">/dev/null"), 0);
}

/// A listing that could not be written completely is a failure; a reader that closed the pipe has
/// read enough.
#[test]
fn a_list_on_a_full_disk_is_a_failure() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().display());
    for args in [
        &["list", "--from", &url][..],
        &["list", "--json", "--from", &url],
    ] {
        let text = failed(&lsnap(args, Stdio::null(), full()), 1);
        assert!(text.contains("standard output is not complete"), "{text}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        failed(&lsnap(args, Stdio::null(), writer), 0);
    }
}

#[test]
fn zero_memory_is_refused() {
    for args in [
        &["xbstream", "-x", "--memory", "0"][..],
        &["verify", "--from", "/nowhere", "--memory", "0"],
        &[
            "restore",
            "--from",
            "/nowhere",
            "--datadir",
            "/nowhere",
            "--memory",
            "1K",
        ],
    ] {
        let text = failed(&lsnap(args, Stdio::null(), Stdio::piped()), 2);
        assert!(text.contains("expected at least 1MiB"), "{text}");
    }
}
