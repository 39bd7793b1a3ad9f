//! The real peer of our stream format: what we write, `mbstream` extracts; what it writes, we read.
//!
//! `tools/test` installs it (Debian's package `mariadb-backup`).

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use lsnap::xbstream::{Chunk, Reader, Writer};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

/// Names and contents: empty, tiny, on both sides of mbstream's 10 MiB buffer, with odd names.
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
        "mbstream is missing: apt-get install mariadb-backup (tools/test does it)"
    );
    command.stderr(Stdio::inherit());
    command
}

fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn mbstream_extracts_what_we_write() {
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("stream");
    let mut writer = Writer::new(File::create(&stream).unwrap());
    // Chunks of different files interleave, as those of parallel copies do.
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
    assert!(tree(&out) == files(), "mbstream extracted something else");
}

#[test]
fn we_read_what_mbstream_writes() {
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
        "every file has its end"
    );
    let found: BTreeMap<_, _> = found
        .into_iter()
        .map(|(path, (data, _))| (path, data))
        .collect();
    assert!(found == files(), "we read something else");
}
