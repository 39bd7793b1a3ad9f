//! Compatibility of the stream format with `mbstream`: each program extracts the streams of the
//! other.
//!
//! `tools/test` installs it (Debian's package `mariadb-backup`).

#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::program::tree;
use lsnap::archive::{ExtractOptions, Input, extract};
use lsnap::progress::Silent;
use lsnap::xbstream::{
    Chunk, FLAG_REWRITE, Reader, Writer, end_chunk, remove_chunk, rename_chunk, seek_chunk,
};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::process::{Command, Stdio};

/// Names and contents: empty, tiny, around mbstream's 10 MiB buffer, with unusual names.
fn files() -> BTreeMap<String, Vec<u8>> {
    let bytes = |len: usize| {
        (0..len)
            .map(|i| (i * 31 + i / 251) as u8)
            .collect::<Vec<u8>>()
    };
    BTreeMap::from([
        ("empty".to_owned(), Vec::new()),
        ("one".to_owned(), bytes(1)),
        ("db/t#p#p0.ibd".to_owned(), bytes(70_000)),
        ("db/a@0020b.ibd.delta".to_owned(), bytes(10 << 20)),
        ("big".to_owned(), bytes((21 << 20) + 3)),
    ])
}

fn mbstream() -> Command {
    let mut command = Command::new("mbstream");
    let found = Command::new("mbstream").arg("--version").output();
    assert!(
        found.is_ok(),
        "mbstream is missing: run tools/test, or apt-get install mariadb-backup"
    );
    command.stderr(Stdio::inherit());
    command
}

#[test]
fn mbstream_extracts_streams_of_lsnap() {
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("stream");
    let mut writer = Writer::new(File::create(&stream).unwrap());
    // Chunks of different files interleave, as in parallel copies.
    for part in 0..8 {
        for (path, data) in files() {
            let piece = data.len().div_ceil(8).max(1);
            let from = (part * piece).min(data.len());
            let to = (from + piece).min(data.len());
            if from < to {
                writer.payload(&path, from as u64, &data[from..to]).unwrap();
            }
        }
    }
    for path in files().keys() {
        writer.end(path).unwrap();
    }
    drop(writer);
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let status = mbstream()
        .args(["-x", "-C"])
        .arg(&out)
        .stdin(File::open(&stream).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    assert!(tree(&out) == files(), "mbstream extracted other files");
}

#[test]
fn lsnap_reads_streams_of_mbstream() {
    let dir = tempfile::tempdir().unwrap();
    for (path, data) in files() {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }
    let names: Vec<String> = files().into_keys().collect();
    let out = mbstream()
        .arg("-c")
        .args(&names)
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(out.status.success());
    let sliced: Vec<_> = lsnap::xbstream::chunks(Bytes::from(out.stdout.clone()))
        .map(Result::unwrap)
        .collect();
    let read: Vec<_> = Reader::new(&out.stdout[..]).map(Result::unwrap).collect();
    assert_eq!(sliced, read);
    let mut found: BTreeMap<String, (Vec<u8>, bool)> = BTreeMap::new();
    for chunk in read {
        let file = found.entry(chunk.path().to_owned()).or_default();
        match chunk {
            Chunk::Payload { offset, data, .. } => {
                assert_eq!(offset, file.0.len() as u64);
                file.0.extend_from_slice(&data);
            }
            Chunk::End { .. } => file.1 = true,
            other => panic!("mbstream wrote {other:?}"),
        }
    }
    assert!(
        found.values().all(|(_, ended)| *ended),
        "every file has its end chunk"
    );
    let found: BTreeMap<_, _> = found
        .into_iter()
        .map(|(path, (data, _))| (path, data))
        .collect();
    assert!(found == files(), "lsnap read other files");
}

fn p(path: &str, offset: u64, data: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.payload(path, offset, data).unwrap();
    writer.into_inner()
}

fn flagged(flags: u8, path: &str, offset: u64, data: &[u8]) -> Vec<u8> {
    let mut chunk = p(path, offset, data);
    chunk[8] = flags;
    chunk
}

fn rewriting(path: &str, offset: u64, data: &[u8]) -> Vec<u8> {
    flagged(FLAG_REWRITE, path, offset, data)
}

fn e(path: &str) -> Vec<u8> {
    end_chunk(path).unwrap().to_vec()
}

fn whole(path: &str, data: &[u8]) -> Vec<u8> {
    [p(path, 0, data), e(path)].concat()
}

fn rename(path: &str, to: &str) -> Vec<u8> {
    rename_chunk(path, to).unwrap().to_vec()
}

fn remove(path: &str) -> Vec<u8> {
    remove_chunk(path).unwrap().to_vec()
}

fn seek(path: &str, offset: u64) -> Vec<u8> {
    seek_chunk(path, offset).unwrap().to_vec()
}

/// Returns the files that `mbstream -x` extracts from a stream, and whether it printed no error: it
/// also exits with 0 if it could not create a file.
fn theirs(stream: &[u8]) -> (BTreeMap<String, Vec<u8>>, bool) {
    let out = tempfile::tempdir().unwrap();
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(stream).unwrap();
    input.seek(SeekFrom::Start(0)).unwrap();
    let done = mbstream()
        .args(["-x", "-C"])
        .arg(out.path())
        .stdin(input)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let silent = done.status.success() && done.stderr.is_empty();
    (tree(out.path()), silent)
}

fn ours(stream: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let out = tempfile::tempdir().unwrap();
    let input = Input::Bytes(Bytes::copy_from_slice(stream));
    let done = extract(vec![input], ExtractOptions::new(out.path()), &Silent);
    done.map(|_| tree(out.path())).map_err(|e| e.to_string())
}

/// MariaDB's own chunks: lsnap extracts the same files as mbstream.
#[test]
fn renames_removals_seeks_and_rewrites_match_mbstream() {
    let (a, n) = (whole("a", b"hello"), p("n", 0, b"abcdef"));
    let rows: &[(&str, &[Vec<u8>])] = &[
        ("rename", &[a.clone(), rename("a", "b")]),
        (
            "onto a file",
            &[a.clone(), whole("b", b"12"), rename("a", "b")],
        ),
        (
            "there and back",
            &[a.clone(), rename("a", "b"), rename("b", "a")],
        ),
        ("onto itself", &[a.clone(), rename("a", "a")]),
        (
            "a new one after it",
            &[a.clone(), rename("a", "b"), whole("a", b"2")],
        ),
        ("of nothing", &[a.clone(), rename("x", "b")]),
        ("remove", &[a.clone(), remove("a")]),
        (
            "a new one after that",
            &[a.clone(), remove("a"), whole("a", b"2")],
        ),
        ("nothing removed", &[a.clone(), remove("x")]),
        (
            "seek back",
            &[
                n.clone(),
                seek("n", 1),
                p("n", 1, b"XY"),
                p("n", 3, b"Z"),
                e("n"),
            ],
        ),
        (
            "and on",
            &[
                n.clone(),
                seek("n", 1),
                p("n", 1, b"X"),
                seek("n", 6),
                p("n", 6, b"Z"),
                e("n"),
            ],
        ),
        (
            "seek on",
            &[n.clone(), seek("n", 9), p("n", 9, b"X"), e("n")],
        ),
        ("seek on and nothing", &[n.clone(), seek("n", 9), e("n")]),
        (
            "seek on, then back",
            &[
                n.clone(),
                seek("n", 9),
                seek("n", 7),
                p("n", 7, b"X"),
                e("n"),
            ],
        ),
        ("seek back and nothing", &[n.clone(), seek("n", 2), e("n")]),
        ("seek first", &[seek("n", 4), p("n", 4, b"X"), e("n")]),
        ("rewrite", &[a.clone(), rewriting("a", 0, b"new"), e("a")]),
        (
            "rewrite in two",
            &[
                a.clone(),
                rewriting("a", 0, b"new"),
                rewriting("a", 3, b"er"),
                e("a"),
            ],
        ),
        (
            "rewrite, then plain",
            &[
                a.clone(),
                rewriting("a", 0, b"new"),
                p("a", 3, b"er"),
                e("a"),
            ],
        ),
        ("rewrite of nothing", &[rewriting("a", 0, b"new"), e("a")]),
        (
            "rewrite by nothing",
            &[a.clone(), rewriting("a", 0, b""), e("a")],
        ),
        (
            "rename and rewrite",
            &[a, rename("a", "b"), rewriting("b", 0, b"2"), e("b")],
        ),
    ];
    for (what, parts) in rows {
        let stream = parts.concat();
        let (files, silent) = theirs(&stream);
        assert!(silent, "{what}: mbstream prints an error");
        assert_eq!(ours(&stream).as_ref(), Ok(&files), "{what}");
    }
}

/// If mbstream prints an error, even with exit code 0, lsnap fails.
#[test]
fn errors_of_mbstream_are_errors_of_lsnap() {
    let (a, n) = (whole("a", b"hello"), p("n", 0, b"abcdef"));
    let rows: &[(&str, &[Vec<u8>])] = &[
        (
            "rename before the end",
            &[n.clone(), rename("n", "b"), e("n")],
        ),
        ("remove before the end", &[n.clone(), remove("n"), e("n")]),
        (
            "seek after the end",
            &[a.clone(), seek("a", 1), p("a", 1, b"X"), e("a")],
        ),
        (
            "not where the seek leads",
            &[n.clone(), seek("n", 8), p("n", 7, b"X"), e("n")],
        ),
        (
            "back without a seek",
            &[
                n.clone(),
                seek("n", 1),
                p("n", 1, b"X"),
                p("n", 1, b"Y"),
                e("n"),
            ],
        ),
        (
            "rewrite before the end",
            &[n, rewriting("n", 0, b"X"), e("n")],
        ),
        (
            "rewrite without a beginning",
            &[a.clone(), rewriting("a", 2, b"X"), e("a")],
        ),
        ("two flags", &[a.clone(), flagged(3, "a", 0, b"X"), e("a")]),
        (
            "two other flags",
            &[a.clone(), flagged(6, "a", 0, b"X"), e("a")],
        ),
        ("twice", &[a.clone(), a]),
    ];
    for (what, parts) in rows {
        let stream = parts.concat();
        assert!(!theirs(&stream).1, "{what}: mbstream prints no error");
        assert!(ours(&stream).is_err(), "{what}");
    }
}
