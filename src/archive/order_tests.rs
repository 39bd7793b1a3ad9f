//! MariaDB's chunks, made by hand; `tests/mbstream.rs` compares with the real program. It also succeeds if it did
//! nothing, which is an error here.

use super::list::verifying;
use super::{ArchiveError, ExtractOptions, Input, extract, list};
use crate::progress::Silent;
use crate::xbstream::{FLAG_REWRITE, Writer, end_chunk, remove_chunk, rename_chunk, seek_chunk};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::path::Path;

type Files = BTreeMap<String, Vec<u8>>;

fn p(path: &str, offset: u64, data: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.payload(path, offset, data).unwrap();
    writer.into_inner()
}

fn rewriting(path: &str, offset: u64, data: &[u8]) -> Vec<u8> {
    let mut chunk = p(path, offset, data);
    chunk[8] = FLAG_REWRITE;
    chunk
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

fn tree(dir: &Path, below: &str, into: &mut Files) {
    for entry in std::fs::read_dir(dir.join(below)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            tree(dir, &format!("{name}/"), into);
        } else {
            into.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
}

fn file(stream: &[u8]) -> std::fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(stream).unwrap();
    file.rewind().unwrap();
    file
}

/// Extracts with one and with four workers, from memory, a pipe and a file.
fn extracted(stream: &[u8], there: &[&str]) -> Result<(Files, u64), ArchiveError> {
    let mut last = None;
    for parallel in [1, 4] {
        for way in ["pipe", "bytes", "file"] {
            let room = tempfile::tempdir().unwrap();
            for name in there {
                std::fs::write(room.path().join(name), "mine").unwrap();
            }
            let input = match way {
                "pipe" => Input::Stream(Box::new(std::io::Cursor::new(stream.to_vec()))),
                "bytes" => Input::Bytes(Bytes::copy_from_slice(stream)),
                _ => Input::File(file(stream)),
            };
            let options = ExtractOptions {
                parallel,
                ..ExtractOptions::new(room.path())
            };
            let report = extract(vec![input], options, &Silent);
            let mut files = Files::new();
            tree(room.path(), "", &mut files);
            let report = match report {
                Ok(report) => report,
                Err(error) => {
                    assert!(there.iter().all(|name| files[*name] == b"mine"));
                    return Err(error);
                }
            };
            let found = (files, report.files);
            assert!(last.is_none() || last.as_ref() == Some(&found));
            last = Some(found);
        }
    }
    Ok(last.unwrap())
}

#[track_caller]
fn becomes(parts: &[Vec<u8>], expected: &[(&str, &str)]) {
    let stream = parts.concat();
    let (files, count) = extracted(&stream, &[]).unwrap();
    let expected: Files = expected
        .iter()
        .map(|(name, data)| ((*name).to_owned(), data.as_bytes().to_vec()))
        .collect();
    assert_eq!(files, expected);
    assert_eq!(count, expected.len() as u64);
    let listed = list(vec![Input::Bytes(stream.into())], verifying(), &Silent).unwrap();
    assert!(listed.is_whole(), "{listed:?}");
    let listed: BTreeMap<_, _> = listed
        .files
        .iter()
        .map(|f| (f.path.clone(), f.bytes))
        .collect();
    let lengths = expected
        .into_iter()
        .map(|(name, data)| (name, data.len() as u64));
    assert_eq!(listed, lengths.collect());
}

#[track_caller]
fn refused(parts: &[Vec<u8>], there: &[&str], expected: &str) {
    let error = extracted(&parts.concat(), there).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn renames_and_removals() {
    let (a, b) = (whole("a", b"hello"), whole("b", b"bbb"));
    becomes(&[a.clone(), rename("a", "b")], &[("b", "hello")]);
    becomes(&[a.clone(), b, rename("a", "b")], &[("b", "hello")]);
    becomes(&[a.clone(), rename("x", "y")], &[("a", "hello")]);
    becomes(&[a.clone(), remove("x")], &[("a", "hello")]);
    becomes(&[a.clone(), remove("a")], &[]);
    becomes(
        &[a.clone(), remove("a"), whole("a", b"new")],
        &[("a", "new")],
    );
    let inner = whole("d/a", b"1");
    becomes(&[inner, rename("d/a", "d/b")], &[("d/b", "1")]);
    // mbstream leaves "a" unchanged, without an error.
    becomes(&[a.clone(), rename("a", "d/a")], &[("d/a", "hello")]);
    let swap = [
        a,
        whole("b", b"2"),
        rename("a", "t"),
        rename("b", "a"),
        rename("t", "b"),
    ];
    becomes(&swap, &[("a", "2"), ("b", "hello")]);
}

#[test]
fn seeks_and_rewrites() {
    let (a, n) = (whole("a", b"hello"), p("n", 0, b"abcdef"));
    becomes(
        &[n.clone(), seek("n", 1), p("n", 1, b"Z"), e("n")],
        &[("n", "aZcdef")],
    );
    let twice = [
        n,
        seek("n", 1),
        p("n", 1, b"Z"),
        seek("n", 0),
        p("n", 0, b"YX"),
        e("n"),
    ];
    becomes(&twice, &[("n", "YXcdef")]);
    becomes(
        &[seek("n", 3), p("n", 3, b"Z"), e("n")],
        &[("n", "\0\0\0Z")],
    );
    let beyond = [p("n", 0, b"ab"), seek("n", 5), p("n", 5, b"Z"), e("n")];
    becomes(&beyond, &[("n", "ab\0\0\0Z")]);
    becomes(&[p("n", 0, b"ab"), seek("n", 5), e("n")], &[("n", "ab")]);
    let back = [
        p("n", 0, b"ab"),
        seek("n", 9),
        seek("n", 3),
        p("n", 3, b"Z"),
        p("n", 4, b"Y"),
        e("n"),
    ];
    becomes(&back, &[("n", "ab\0ZY")]);
    becomes(&[rewriting("n", 0, b"XY"), e("n")], &[("n", "XY")]);
    becomes(
        &[a.clone(), rewriting("a", 0, b"XY"), e("a")],
        &[("a", "XY")],
    );
    let more = [
        a.clone(),
        rewriting("a", 0, b"XY"),
        rewriting("a", 2, b"Z"),
        e("a"),
    ];
    becomes(&more, &[("a", "XYZ")]);
    let more = [a, rewriting("a", 0, b"XY"), p("a", 2, b"Z"), e("a")];
    becomes(&more, &[("a", "XYZ")]);
}

#[test]
fn inconsistent_orders_are_refused() {
    let a = whole("a", b"hello");
    let open = p("b", 0, b"open");
    refused(&[a.clone(), rename("a", "../zz")], &[], "leads upwards");
    refused(
        &[a.clone(), rewriting("a", 2, b"XY"), e("a")],
        &[],
        "bytes 0 to 2 are missing",
    );
    refused(
        &[a.clone(), seek("a", 1), p("a", 1, b"Z"), e("a")],
        &[],
        "a: chunks of it follow its end",
    );
    let hello = p("b", 0, b"hello");
    refused(
        &[hello.clone(), seek("b", 8), p("b", 6, b"Z"), e("b")],
        &[],
        "a chunk of bytes 6 to 7, but there was a seek, after which the next byte is 8",
    );
    refused(
        &[
            hello,
            seek("b", 1),
            p("b", 1, b"X"),
            p("b", 1, b"Z"),
            e("b"),
        ],
        &[],
        "a chunk of bytes 1 to 2, but there was a seek, after which the next byte is 2",
    );
    for flags in [3, 6, 0x82] {
        let mut chunk = rewriting("a", 0, b"XY");
        chunk[8] = flags;
        refused(
            &[a.clone(), chunk, e("a")],
            &[],
            "a: chunks of it follow its end",
        );
    }
    refused(
        &[open.clone(), rename("b", "c")],
        &[],
        "renamed or removed before its end",
    );
    refused(
        &[open.clone(), remove("b")],
        &[],
        "renamed or removed before its end",
    );
    refused(
        &[a.clone(), open.clone(), rename("a", "b")],
        &[],
        "has not ended",
    );
    refused(&[open, seek("b", 2), e("a")], &[], "did not");
    refused(
        &[p("n", 0, b"abc"), p("n", 1, b"Z"), e("n")],
        &[],
        "were already received",
    );
    // Existing files are not changed.
    refused(
        &[a.clone(), rename("a", "own")],
        &["own"],
        "own exists already",
    );
    refused(
        &[rewriting("own", 0, b"x"), e("own")],
        &["own"],
        "own exists already",
    );
    for order in [remove("own"), rename("own", "b")] {
        let (files, _) = extracted(&[a.clone(), order].concat(), &["own"]).unwrap();
        assert_eq!(files["own"], b"mine");
    }
}
