//! Streams in regular files: all threads read them in place at the same time.

use super::list::verifying;
use super::{ExtractOptions, ExtractReport, Input, extract, list};
use crate::progress::Silent;
use crate::xbstream;
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

const LARGE: usize = (1 << 20) + 17;

fn bytes(seed: u8) -> Vec<u8> {
    (0..LARGE).map(|i| (i / 7) as u8 ^ seed).collect()
}

/// `a` in two payloads, `b` in one.
fn stream() -> Vec<u8> {
    let (a, b) = (bytes(1), bytes(2));
    let mut out = Vec::new();
    let parts: [(&str, u64, &[u8]); 3] = [
        ("a", 0, &a[..600_000]),
        ("db/b", 0, &b),
        ("a", 600_000, &a[600_000..]),
    ];
    for (path, offset, data) in parts {
        out.extend_from_slice(
            &xbstream::payload_head(path, offset, data.len() as u64, xbstream::crc(data)).unwrap(),
        );
        out.extend_from_slice(data);
    }
    for path in ["a", "db/b"] {
        out.extend_from_slice(&xbstream::end_chunk(path).unwrap());
    }
    out
}

fn input(stream: &[u8]) -> Input {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"before").unwrap();
    file.write_all(stream).unwrap();
    file.seek(SeekFrom::Start(6)).unwrap();
    Input::File(file)
}

fn run(stream: &[u8], into: &Path) -> Result<ExtractReport, super::ArchiveError> {
    let options = ExtractOptions {
        parallel: 3,
        memory: 1 << 20,
        ..ExtractOptions::new(into)
    };
    extract(vec![input(stream)], options, &Silent)
}

#[test]
fn a_file_is_extracted_unchanged() {
    let room = tempfile::tempdir().unwrap();
    let report = run(&stream(), room.path()).unwrap();
    assert_eq!((report.files, report.bytes), (2, 2 * LARGE as u64));
    assert_eq!(fs::read(room.path().join("a")).unwrap(), bytes(1));
    assert_eq!(fs::read(room.path().join("db/b")).unwrap(), bytes(2));
    assert!(
        list(vec![input(&stream())], verifying(), &Silent)
            .unwrap()
            .is_whole()
    );
}

#[test]
fn a_file_cut_off_at_any_byte_is_an_error_and_is_removed() {
    let whole = stream();
    for cut in [1, 13, 20, 40, 300_000, 700_000, 1_800_000, whole.len() - 1] {
        let room = tempfile::tempdir().unwrap();
        let error = run(&whole[..cut], room.path()).unwrap_err().to_string();
        assert!(!error.contains("stopped"), "{cut}: {error}");
        assert!(!room.path().join("db/b").exists(), "{cut}");
    }
}

#[test]
fn a_wrong_byte_is_found_and_the_file_removed() {
    let mut wrong = stream();
    wrong[500_000] ^= 1;
    let room = tempfile::tempdir().unwrap();
    let error = run(&wrong, room.path()).unwrap_err().to_string();
    assert!(error.contains("checksum"), "{error}");
    assert!(!room.path().join("a").exists());
}

#[test]
fn existing_files_are_not_overwritten() {
    let room = tempfile::tempdir().unwrap();
    fs::write(room.path().join("a"), "mine").unwrap();
    let error = run(&stream(), room.path()).unwrap_err().to_string();
    assert!(error.contains("exists already"), "{error}");
    assert_eq!(fs::read(room.path().join("a")).unwrap(), b"mine");
}
