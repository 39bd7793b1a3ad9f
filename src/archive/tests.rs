use super::list::verifying;
use super::*;
use crate::codec::xbcrypt::{Algorithm, Key};
use crate::codec::{Compression, compress, xbcrypt};
use crate::progress::Silent;
use crate::xbstream::{self, Writer};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

fn writer() -> Writer<Vec<u8>> {
    Writer::new(Vec::new())
}

fn input(stream: &[u8]) -> Vec<Input> {
    vec![Input::Bytes(Bytes::copy_from_slice(stream))]
}

fn run(stream: &[u8], dir: &Path) -> Result<ExtractReport, ArchiveError> {
    let mut options = ExtractOptions::new(dir);
    options.parallel = 3;
    extract(input(stream), options, &Silent)
}

/// Returns every file below `dir`.
fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                todo.push(path);
            } else if kind.is_file() {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                out.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    out
}

#[test]
fn chunks_of_a_file_can_come_in_any_order_and_with_holes() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = writer();
    w.payload("db/t", 5, b"world").unwrap();
    w.payload("empty/of it", 0, b"").unwrap();
    w.payload("db/t", 0, b"hello").unwrap();
    w.hole("db/t", 10, 1 << 20).unwrap();
    w.end("db/t").unwrap();
    w.end("empty/of it").unwrap();
    let report = run(&w.into_inner(), dir.path()).unwrap();
    assert_eq!((report.files, report.bytes), (2, 10 + (1 << 20)));
    let files = tree(dir.path());
    assert_eq!(&files["db/t"][..12], b"helloworld\0\0");
    assert_eq!(files["db/t"].len(), 10 + (1 << 20));
    assert_eq!(files["empty/of it"], b"");
    use std::os::unix::fs::MetadataExt;
    assert!(std::fs::metadata(dir.path().join("db/t")).unwrap().blocks() < 100);
}

/// A description, the stream, and a part of the error.
fn bad_streams() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let stream = |f: &dyn Fn(&mut Writer<Vec<u8>>)| {
        let mut w = writer();
        w.payload("ok", 0, b"ok").unwrap();
        w.end("ok").unwrap();
        f(&mut w);
        w.into_inner()
    };
    let mut cut = stream(&|w| w.payload("a", 0, b"0123456789").unwrap());
    cut.pop();
    let mut flipped = stream(&|w| w.payload("a", 0, b"0123456789").unwrap());
    *flipped.last_mut().unwrap() ^= 1;
    vec![
        (
            "cut within a chunk",
            cut,
            "stream offset 54: the stream ends inside the payload of a chunk of a",
        ),
        (
            "a flipped bit",
            flipped,
            "stream offset 54, a: the checksum of the chunk at file offset 0",
        ),
        (
            "no end",
            stream(&|w| w.payload("a/b", 0, b"x").unwrap()),
            "1 file did not (the first: a/b)",
        ),
        (
            "a gap",
            stream(&|w| {
                w.payload("a", 5, b"x").unwrap();
                w.end("a").unwrap();
            }),
            "a: bytes 0 to 5 are missing",
        ),
        (
            "an overlap",
            stream(&|w| {
                w.payload("a", 0, b"xyz").unwrap();
                w.payload("a", 2, b"xyz").unwrap();
                w.end("a").unwrap();
            }),
            "were already received",
        ),
        (
            "the same file twice",
            stream(&|w| {
                w.payload("ok", 0, b"ok").unwrap();
                w.end("ok").unwrap();
            }),
            "follow its end",
        ),
        (
            "upwards",
            stream(&|w| w.end("../a").unwrap()),
            "\"../a\" in the stream leads upwards",
        ),
        (
            "upwards in the middle",
            stream(&|w| w.end("db/../../a").unwrap()),
            "leads upwards",
        ),
        (
            "absolute",
            stream(&|w| w.end("/tmp/lsnap-never").unwrap()),
            "is absolute (ExtractOptions::absolute_names",
        ),
        (
            "a directory",
            stream(&|w| w.end("db/").unwrap()),
            "names no file",
        ),
        (
            "nothing",
            stream(&|w| w.end("./.").unwrap()),
            "names no file",
        ),
        (
            "through a file",
            stream(&|w| w.end("ok/a").unwrap()),
            "symbolic link or a file",
        ),
        (
            "through a link",
            stream(&|w| w.end("link/a").unwrap()),
            "\"link\", which is a symbolic link",
        ),
        (
            "onto a link",
            stream(&|w| w.end("dangling").unwrap()),
            "dangling exists already",
        ),
        (
            "not a stream",
            stream(&|w| *w = Writer::new(b"rubbish, rubbish".to_vec())),
            "expected",
        ),
    ]
}

#[test]
fn errors_have_the_path_and_incomplete_files_are_removed() {
    let outside = tempfile::tempdir().unwrap();
    for (what, stream, expected) in bad_streams() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("new"), dir.path().join("dangling"))
            .unwrap();
        let mut options = ExtractOptions::new(dir.path());
        options.parallel = 1;
        let error = extract(input(&stream), options, &Silent)
            .unwrap_err()
            .to_string();
        let expected = if what == "not a stream" {
            "XBSTCK01"
        } else {
            expected
        };
        assert!(error.contains(expected), "{what}: {error}");
        let left: Vec<_> = tree(dir.path()).into_keys().filter(|n| n != "ok").collect();
        assert!(left.is_empty(), "{what}: left {left:?}");
        assert_eq!(tree(outside.path()), BTreeMap::new(), "{what}");
        let listed = list(input(&stream), verifying(), &Silent);
        let fine = [
            "same file",
            "upwards",
            "absolute",
            "directory",
            "nothing",
            "through",
            "onto",
        ];
        if !fine.iter().any(|f| what.contains(f)) {
            assert!(
                listed.is_err() || !listed.unwrap().is_whole(),
                "{what}: listed as whole"
            );
        }
    }
}

#[test]
fn existing_files_are_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a"), "mine").unwrap();
    let mut w = writer();
    w.payload("a", 0, b"theirs").unwrap();
    w.end("a").unwrap();
    let error = run(&w.into_inner(), dir.path()).unwrap_err();
    assert!(matches!(error, ArchiveError::Exists { .. }), "{error}");
    assert_eq!(tree(dir.path())["a"], b"mine");
}

/// Percona's xbstream has no such option; mbstream accepts the names, and extracts everything.
#[test]
fn the_last_file_has_its_name_only_if_all_are_complete() {
    let mut w = writer();
    for name in ["marker", "a"] {
        w.payload(name, 0, name.as_bytes()).unwrap();
        w.end(name).unwrap();
    }
    w.payload("b", 0, b"b").unwrap();
    let cut_off = w.into_inner();
    let whole = [cut_off.clone(), xbstream::end_chunk("b").unwrap().to_vec()].concat();
    let run = |stream: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        let mut options = ExtractOptions::new(dir.path());
        options.last = Some("marker".to_owned());
        let result = extract(input(stream), options, &Silent);
        (
            result.is_ok(),
            tree(dir.path()).into_keys().collect::<Vec<_>>(),
        )
    };
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(run(&whole), (true, names(&["a", "b", "marker"])));
    assert_eq!(run(&cut_off), (false, names(&["a", "marker.part"])));
}

#[test]
fn a_requested_file_that_is_missing_is_an_error_with_its_path() {
    let mut w = writer();
    for name in ["a", "b", "c.zst"] {
        w.payload(name, 0, name.as_bytes()).unwrap();
        w.end(name).unwrap();
    }
    // The stream has an order for "gone", but not the file.
    let stream = [
        w.into_inner(),
        xbstream::remove_chunk("gone").unwrap().to_vec(),
    ]
    .concat();
    let ask = |names: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let mut options = ExtractOptions::new(dir.path());
        options.only = Some(names.iter().map(|&name| name.to_owned()).collect());
        let result = extract(input(&stream), options, &Silent);
        (result, tree(dir.path()).into_keys().collect::<Vec<_>>())
    };
    let (report, files) = ask(&["a", "c.zst"]);
    assert_eq!(
        (report.unwrap().files, files),
        (2, vec!["a".into(), "c.zst".into()])
    );
    let (error, files) = ask(&["z", "a", "c", "gone"]);
    let error = error.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(r#"the stream has no "c", "gone", "z": give names as"#),
        "{error}"
    );
    assert_eq!(files, ["a"]);
    let many: Vec<_> = (10..30).map(|n| n.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let error = ask(&many).0.unwrap_err().to_string();
    assert!(error.contains(r#""18", "19" and 10 more: "#), "{error}");
}

fn key(byte: u8) -> Key {
    Key::new(Algorithm::Aes128, &[byte; 16]).unwrap()
}

/// A file of several frames in several xbcrypt chunks, cut into chunks of the stream anywhere.
fn wrapped(step: usize) -> (Vec<u8>, Vec<u8>) {
    let plain: Vec<u8> = (0..200_000u32)
        .map(|i| (i.wrapping_mul(i) >> 7) as u8)
        .collect();
    let mut frames = Vec::new();
    for piece in plain.chunks(70_000) {
        frames.extend(compress(Compression::Zstd { level: 1 }, piece).unwrap());
    }
    let cipher = xbcrypt::encrypt(&key(1), 10_000, &frames).unwrap();
    let mut w = writer();
    for (number, piece) in cipher.chunks(step).enumerate() {
        w.payload("db/t.ibd.zst.xbcrypt", (number * step) as u64, piece)
            .unwrap();
    }
    w.end("db/t.ibd.zst.xbcrypt").unwrap();
    (w.into_inner(), plain)
}

#[test]
fn files_are_unwrapped_with_any_chunk_boundaries() {
    for step in [777, 10_000, 1 << 20] {
        let (stream, plain) = wrapped(step);
        let dir = tempfile::tempdir().unwrap();
        let mut options = ExtractOptions::new(dir.path());
        options.decompress = true;
        options.key = Some(key(1));
        let report = extract(input(&stream), options.clone(), &Silent).unwrap();
        assert_eq!((report.files, report.bytes), (1, 200_000));
        assert_eq!(
            tree(dir.path()),
            BTreeMap::from([("db/t.ibd".to_owned(), plain)])
        );

        let dir = tempfile::tempdir().unwrap();
        options.directory = dir.path().to_owned();
        options.key = Some(key(2));
        let error = extract(input(&stream), options.clone(), &Silent).unwrap_err();
        assert!(error.to_string().contains("another key"), "{error}");
        assert_eq!(tree(dir.path()), BTreeMap::new());

        options.key = None;
        run(&stream, dir.path()).unwrap();
        assert!(tree(dir.path()).contains_key("db/t.ibd.zst.xbcrypt"));
    }
}

#[test]
fn a_wrapped_file_that_is_cut_off_is_removed() {
    let (stream, _) = wrapped(10_000);
    let stream = Bytes::from(stream);
    for keep in 1..xbstream::chunks(stream.clone()).count() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = ExtractOptions::new(dir.path());
        options.decompress = true;
        options.key = Some(key(1));
        let extraction = Extraction::open(options).unwrap();
        let mut chunks = xbstream::chunks(stream.clone());
        for _ in 0..keep {
            let chunk = chunks.next_unchecked().unwrap();
            extraction.chunk(chunk.unwrap()).unwrap();
        }
        let error = extraction.finish().unwrap_err();
        assert!(
            matches!(error, ArchiveError::Incomplete { .. }),
            "{keep}: {error}"
        );
        assert_eq!(tree(dir.path()), BTreeMap::new());
    }
}

/// Files with pages are refused, as `lsnap decompress` does; others may be empty.
#[test]
fn a_compressed_tablespace_without_a_frame_is_damaged() {
    let empty_frame = compress(Compression::Zstd { level: 1 }, b"").unwrap();
    let sealed = xbcrypt::encrypt(&key(1), 100, b"").unwrap();
    let rows: &[(&str, &[u8], bool)] = &[
        ("db/t.ibd.zst", b"", false),
        ("db/t.ibd.lz4", b"", false),
        ("undo_001.zst", b"", false),
        ("db/t.ibd.zst.xbcrypt", &sealed, false),
        ("db/t.sdi.zst", b"", true),
        ("db/t.ibd.zst", &empty_frame, true),
        ("db/t.ibd", b"", true),
    ];
    for (path, stored, fine) in rows {
        let dir = tempfile::tempdir().unwrap();
        let mut options = ExtractOptions::new(dir.path());
        options.decompress = true;
        options.key = Some(key(1));
        let mut w = writer();
        if !stored.is_empty() {
            w.payload(path, 0, stored).unwrap();
        }
        w.end(path).unwrap();
        let result = extract(input(&w.into_inner()), options, &Silent);
        match result {
            Ok(report) => assert!(*fine && report.files == 1, "{path}"),
            Err(error) => {
                let error = error.to_string();
                assert!(!fine, "{path}: {error}");
                assert!(
                    error.contains(path) && error.contains("not even an empty frame"),
                    "{error}"
                );
                assert_eq!(tree(dir.path()), BTreeMap::new(), "{path}");
            }
        }
    }
}

#[test]
fn quicklz_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = writer();
    w.payload("a.qp", 0, b"x").unwrap();
    w.end("a.qp").unwrap();
    let stream = w.into_inner();
    let mut options = ExtractOptions::new(dir.path());
    options.decompress = true;
    let error = extract(input(&stream), options, &Silent).unwrap_err();
    assert!(error.to_string().contains("qpress"), "{error}");
    run(&stream, dir.path()).unwrap();
}

/// A reader that returns a few bytes at a time.
struct Drops(Vec<u8>, usize, usize);

impl std::io::Read for Drops {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = buffer.len().min(self.2).min(self.0.len() - self.1);
        buffer[..len].copy_from_slice(&self.0[self.1..self.1 + len]);
        self.1 += len;
        Ok(len)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_files_are_extracted_from_any_stream(
        files in proptest::collection::btree_map("[a-c]{1,2}/[a-z #]{1,6}", proptest::collection::vec(any::<u8>(), 0..300), 1..6),
        order in any::<u64>(), step in 1usize..90, drops in 1usize..50, memory in 1usize..400,
    ) {
        type Planned = (u64, String, Option<(u64, Vec<u8>)>);
        let mut chunks: Vec<Planned> = Vec::new();
        let mut seed = order | 1;
        let mut random = || { seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17; seed };
        for (name, data) in &files {
            for (n, piece) in data.chunks(step).enumerate() {
                chunks.push((random(), name.clone(), Some(((n * step) as u64, piece.to_vec()))));
            }
            // Sometimes the end precedes the last chunk.
            chunks.push((random(), name.clone(), None));
        }
        // If the end comes first, it completes an empty file.
        chunks.sort();
        for name in files.keys() {
            let of = |c: &Planned| &c.1 == name;
            let first = chunks.iter().position(of).unwrap();
            if chunks[first].2.as_ref().is_none_or(|(offset, _)| *offset == 0)
                && let Some(end) = chunks.iter().position(|c| of(c) && c.2.is_none())
            {
                let end = chunks.remove(end);
                chunks.push(end);
            }
        }
        let mut w = writer();
        let mut ends = Vec::new();
        for (_, name, piece) in &chunks {
            match piece {
                Some((offset, data)) => w.payload(name, *offset, data).unwrap(),
                None => ends.push(name),
            }
        }
        for name in ends {
            w.end(name).unwrap();
        }
        let stream = w.into_inner();
        let dir = tempfile::tempdir().unwrap();
        let mut options = ExtractOptions::new(dir.path());
        options.parallel = 2;
        options.memory = memory;
        let source = Input::Stream(Box::new(Drops(stream.clone(), 0, drops)));
        extract(vec![source], options, &Silent).unwrap();
        prop_assert_eq!(&tree(dir.path()), &files);

        let listed = list(input(&stream), verifying(), &Silent).unwrap();
        prop_assert!(listed.is_whole());
        let sizes: BTreeMap<_, _> = listed.files.iter().map(|f| (f.path.clone(), f.bytes)).collect();
        prop_assert_eq!(sizes, files.iter().map(|(n, d)| (n.clone(), d.len() as u64)).collect::<BTreeMap<_, _>>());

        let names: Vec<_> = files.keys().map(Into::into).collect();
        let mut out = Vec::new();
        let options = CreateOptions { parallel: 2, ..CreateOptions::new(dir.path()) };
        create(&names, vec![&mut out], &options, &Silent).unwrap();
        let back = tempfile::tempdir().unwrap();
        run(&out, back.path()).unwrap();
        prop_assert_eq!(&tree(back.path()), &files);
    }
}
