//! Objects that are missing, swapped, truncated or foreign; names of all kinds.

use super::super::get::get_chunks;
use super::*;
use crate::archive::ArchiveError;
use crate::store::BackupFault;
use crate::store::StoreError;

fn stored() -> (Repository, Arc<Faulty>, Arc<InMemory>) {
    let (repository, store, inner) = faulty();
    put_bytes(&repository, "b", &small(), |_| {}).unwrap();
    (repository, store, inner)
}

#[test]
fn files_come_in_order_and_the_marking_files_last() {
    let (repository, ..) = stored();
    for parallel in [1, 4, 16] {
        let (out, report) = get_bytes(&repository, "b", |o| o.parallel = parallel);
        let report = report.unwrap();
        assert_eq!(
            (report.files, report.objects, report.proof),
            (3, 7, Proof::Checksums)
        );
        assert_eq!(report.bytes, out.len() as u64);
        assert_eq!(by_path(&out), by_path(&small()));
        let paths: Vec<_> = xbstream::Reader::new(&out[..])
            .map(|c| c.unwrap().path().to_owned())
            .collect();
        assert_eq!(&paths[5..], ["xtrabackup_tablespaces"; 2]);
    }
}

#[test]
fn single_files_can_be_got() {
    let (repository, _, store) = stored();
    // damage in other files doesn't matter
    remove_raw(&*store, &key("b", "db/t.ibd", 1));
    let (out, report) = get_bytes(&repository, "b", |o| o.files = vec!["empty".to_owned()]);
    report.unwrap();
    assert_eq!(out, xbstream::end_chunk("empty").unwrap());
    let (out, report) = get_bytes(&repository, "b", |o| o.files = vec!["db/t".to_owned()]);
    let text = report.unwrap_err().to_string();
    assert!(
        text.contains("no file `db/t`") && text.contains("there is db/t.ibd"),
        "{text}"
    );
    assert!(out.is_empty());
}

#[test]
fn a_missing_object_is_named() {
    for index in 0..3 {
        let (repository, _, store) = stored();
        let gone = key("b", "db/t.ibd", index);
        remove_raw(&*store, &gone);
        let (out, report) = get_bytes(&repository, "b", |_| {});
        let error = report.unwrap_err();
        assert!(matches!(error, CloudError::MissingObject { .. }), "{error}");
        assert!(error.to_string().contains(&gone), "{error}");
        assert!(out.is_empty());
    }
    // if the last object is missing, the file has no end chunk
    let (repository, _, store) = stored();
    remove_raw(&*store, &key("b", "db/t.ibd", 3));
    let (out, report) = get_bytes(&repository, "b", |_| {});
    let text = report.unwrap_err().to_string();
    assert!(
        text.contains(&key("b", "db/t.ibd", 2)) && text.contains("no end chunk"),
        "{text}"
    );
    assert!(!out.windows(9).any(|w| w == b"Edb/t.ibd"));
}

#[test]
fn objects_with_wrong_contents_are_refused() {
    let of = |path: &str, index| (path.to_owned(), index);
    type Change = fn(Vec<u8>, Vec<u8>) -> Vec<u8>;
    let other: Change = |_, other| other;
    type Case = (
        &'static str,
        (String, u64),
        (String, u64),
        Change,
        &'static str,
    );
    let cases: &[Case] = &[
        (
            "cut",
            of("db/t.ibd", 1),
            of("empty", 0),
            |mut o, _| {
                o.pop();
                o
            },
            "cut off",
        ),
        (
            "emptied",
            of("db/t.ibd", 1),
            of("empty", 0),
            |_, _| Vec::new(),
            "it is empty",
        ),
        (
            "a bit",
            of("db/t.ibd", 1),
            of("empty", 0),
            |mut o, _| {
                let n = o.len();
                o[n - 1] ^= 8;
                o
            },
            "checksum",
        ),
        (
            "of another file",
            of("db/t.ibd", 1),
            of("xtrabackup_tablespaces", 0),
            other,
            "a chunk of xtrabackup_tablespaces",
        ),
        (
            "a copy of another index",
            of("db/t.ibd", 1),
            of("db/t.ibd", 0),
            other,
            "came before",
        ),
        (
            "the end too early",
            of("db/t.ibd", 1),
            of("db/t.ibd", 3),
            other,
            "higher indices follow",
        ),
        (
            "no end",
            of("db/t.ibd", 3),
            of("db/t.ibd", 2),
            other,
            "no end chunk",
        ),
        (
            "a tail",
            of("db/t.ibd", 1),
            of("db/t.ibd", 3),
            |mut o, e| {
                o.extend(&e);
                o.extend(e);
                o
            },
            "follows the end",
        ),
        (
            "no chunk",
            of("db/t.ibd", 1),
            of("empty", 0),
            |_, _| b"<Error>no such key".to_vec(),
            "XBSTCK01",
        ),
    ];
    for (what, at, source, change, expected) in cases {
        let (repository, _, store) = stored();
        let at = key("b", &at.0, at.1);
        let old = get_raw(&*store, &at).to_vec();
        let other = get_raw(&*store, &key("b", &source.0, source.1)).to_vec();
        put_raw(&*store, &at, &change(old, other));
        let (out, report) = get_bytes(&repository, "b", |_| {});
        let text = report.unwrap_err().to_string();
        assert!(
            text.contains(&at) && text.contains(expected),
            "{what}: {text}"
        );
        // a reader of the written stream finds a file without its end chunk
        let ended = xbstream::Reader::new(&out[..])
            .any(|c| matches!(c, Ok(xbstream::Chunk::End { path }) if path == "db/t.ibd"));
        assert!(!ended, "{what}");
    }
}

#[test]
fn two_swapped_objects_give_the_same_file() {
    // the offsets count, not the order (`docs/format/xbstream.md#order`)
    let (repository, _, store) = stored();
    let (a, b) = (key("b", "db/t.ibd", 0), key("b", "db/t.ibd", 2));
    let (first, third) = (get_raw(&*store, &a), get_raw(&*store, &b));
    put_raw(&*store, &a, &third);
    put_raw(&*store, &b, &first);
    let (out, report) = get_bytes(&repository, "b", |_| {});
    report.unwrap();
    let mut file = [0u8; 18];
    for chunk in &by_path(&out)["db/t.ibd"] {
        if let xbstream::Chunk::Payload { offset, data, .. } = chunk {
            file[*offset as usize..][..data.len()].copy_from_slice(data);
        }
    }
    assert_eq!(&file, b"first second third");
}

#[test]
fn a_missing_range_in_renumbered_objects_is_detected() {
    let (repository, _, store) = stored();
    // object 1 is lost, and the later ones were renumbered
    for index in 1..3 {
        let next = get_raw(&*store, &key("b", "db/t.ibd", index + 1));
        put_raw(&*store, &key("b", "db/t.ibd", index), &next);
    }
    remove_raw(&*store, &key("b", "db/t.ibd", 3));
    let (_, report) = get_bytes(&repository, "b", |_| {});
    let text = report.unwrap_err().to_string();
    assert!(text.contains("its bytes 6 to 13 are missing"), "{text}");
}

#[test]
fn a_store_failure_ends_the_transfer_even_with_little_memory() {
    let (repository, store, _) = faulty();
    let chunk = vec![3u8; 1000];
    let chunks: Vec<&[u8]> = vec![&chunk; 40];
    let bytes = stream(&[("a", &chunks), ("xtrabackup_tablespaces", &[])]);
    put_bytes(&repository, "b", &bytes, |_| {}).unwrap();
    store.set(|f| f.flip = Some("/a.00000000000000000000".to_owned()));
    for memory in [1100, 2500, 1 << 20] {
        // the first object fails while later ones wait for it and hold all memory
        let (_, report) = get_bytes(&repository, "b", |o| (o.parallel, o.memory) = (8, memory));
        assert!(report.unwrap_err().to_string().contains("/a.0000"));
    }
    let (_, report) = get_bytes(&repository, "b", |o| o.memory = 1000);
    assert!(matches!(
        report,
        Err(CloudError::TooLarge {
            bytes: 1035,
            limit: 1000,
            ..
        })
    ));
    store.set(|f| f.flip = None);
    let (out, report) = get_bytes(&repository, "b", |o| (o.parallel, o.memory) = (8, 1100));
    report.unwrap();
    assert_eq!(by_path(&out), by_path(&bytes));
}

#[test]
fn an_unfinished_backup_is_refused_without_the_option() {
    let (repository, _, store) = faulty();
    let bytes = stream(&[("a", &[b"1"])]);
    for (index, chunk) in ["a", "a"]
        .iter()
        .zip([&bytes[..36], &bytes[36..]])
        .enumerate()
    {
        put_raw(&*store, &key("b", chunk.0, index as u64), chunk.1);
    }
    let (out, report) = get_bytes(&repository, "b", |_| {});
    assert!(matches!(report, Err(CloudError::Unfinished { .. })));
    assert!(out.is_empty());
    let (out, report) = get_bytes(&repository, "b", |o| o.unfinished = true);
    report.unwrap();
    assert_eq!(out, bytes);
}

#[test]
fn objects_of_other_backups_and_other_names_are_left_out() {
    let (repository, _, store) = stored();
    put_raw(&*store, &key("b-2", "db/t.ibd", 4), b"x");
    put_raw(&*store, &key("b.incr/c", "db/t.ibd", 0), b"x");
    put_raw(&*store, "b/README", b"x");
    let (out, report) = get_bytes(&repository, "b", |_| {});
    assert_eq!(report.unwrap().left_out, 1);
    assert_eq!(by_path(&out), by_path(&small()));
    let (_, report) = get_bytes(&repository, "a", |_| {});
    assert!(matches!(
        report,
        Err(CloudError::Store(StoreError::Backup(
            BackupFault::NotFound { .. }
        )))
    ));
}

#[test]
fn names_of_all_kinds_round_trip() {
    let paths = [
        "db/größe/数据.ibd",
        "d b/ t .ibd",
        "#undo",
        "db/100%.ibd",
        "db/%23.ibd",
        "a@0020b/t#P#p0.ibd",
        "db/[x]{y}|`^\"<>*?.ibd",
        "db/back\\slash",
        "db/~t+u&v=w;x.ibd",
        "x.00000000000000000000",
    ];
    const DATA: &[&[u8]] = &[b"data"];
    let mut files: Vec<(&str, &[&[u8]])> = paths.iter().map(|p| (*p, DATA)).collect();
    files.push(("xtrabackup_tablespaces.zst", &[]));
    let bytes = stream(&files);
    let dir = tempfile::tempdir().unwrap();
    let url = dir.path().join("r #%ü");
    let directory = Repository::open(url.to_str().unwrap()).unwrap();
    for repository in [faulty().0, directory] {
        put_bytes(&repository, "b #%ü", &bytes, |_| {}).unwrap();
        let (out, report) = get_bytes(&repository, "b #%ü", |_| {});
        report.unwrap();
        assert_eq!(by_path(&out), by_path(&bytes));
        let wanted = paths[0].to_owned();
        let (out, report) = get_bytes(&repository, "b #%ü", |o| o.files = vec![wanted]);
        report.unwrap();
        assert_eq!(by_path(&out)[paths[0]], by_path(&bytes)[paths[0]]);
    }
    assert!(url.join("b #%ü/db/%23.ibd.00000000000000000000").is_file());
}

/// A pipe whose reader is closed.
struct Closed;

impl std::io::Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_pipe_is_an_error() {
    let (repository, ..) = stored();
    let result = get(
        &repository,
        &name("b"),
        &mut Closed,
        &GetOptions::default(),
        &Silent,
    );
    assert!(matches!(result, Err(CloudError::Output { .. })));
}

#[test]
fn chunks_of_a_file_are_passed_on_one_at_a_time() {
    let (repository, ..) = faulty();
    let chunk = vec![3u8; 1000];
    let chunks: Vec<&[u8]> = vec![&chunk; 30];
    let bytes = stream(&[
        ("a", &chunks),
        ("b", &chunks),
        ("xtrabackup_tablespaces", &[]),
    ]);
    put_bytes(&repository, "b", &bytes, |_| {}).unwrap();
    let got = std::sync::Mutex::new(Writer::new(Vec::new()));
    let each = |chunk: xbstream::Unchecked| {
        let chunk = chunk.check()?;
        let mut got = got.lock().unwrap();
        match &chunk {
            xbstream::Chunk::Payload {
                path, offset, data, ..
            } => got.payload(path, *offset, data)?,
            other => got.end(other.path())?,
        }
        Ok(())
    };
    let options = GetOptions {
        parallel: 8,
        ..GetOptions::default()
    };
    let report = get_chunks(&repository, &name("b"), &each, &options, &Silent).unwrap();
    assert_eq!(report.objects, 63);
    let got = got.into_inner().unwrap().into_inner();
    assert_eq!(by_path(&got), by_path(&bytes));

    let full = |_| Err(ArchiveError::Stopped);
    let error = get_chunks(&repository, &name("b"), &full, &options, &Silent).unwrap_err();
    assert!(matches!(error, CloudError::Archive(ArchiveError::Stopped)));
}

#[test]
fn several_streams_have_each_file_in_one_of_them() {
    let (repository, _, _) = faulty();
    put_bytes(&repository, "b", &small(), |_| {}).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..3).map(|n| dir.path().join(n.to_string())).collect();
    let outs = paths.iter().map(|path| {
        let out: Box<dyn std::io::Write + Send> = Box::new(std::fs::File::create(path).unwrap());
        out
    });
    get_streams(
        &repository,
        &name("b"),
        outs.collect(),
        &GetOptions::default(),
        &Silent,
    )
    .unwrap();
    let mut all = std::collections::BTreeMap::new();
    for path in paths {
        for (file, chunks) in by_path(&std::fs::read(path).unwrap()) {
            assert!(
                all.insert(file.clone(), chunks).is_none(),
                "{file} is in two streams"
            );
        }
    }
    assert_eq!(all, by_path(&small()));
}
