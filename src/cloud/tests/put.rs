//! Streams that are stored, and those that are refused.

use super::*;
use crate::archive::Input;
use crate::archive::fifo_tests::within;
use crate::store::StoreError;
use crate::store::UploadFault;
use std::fs::File;
use std::io::{PipeWriter, Write as _};
use std::os::fd::OwnedFd;

#[test]
fn each_object_is_one_chunk_verbatim() {
    let (repository, _, store) = faulty();
    let report = put_bytes(&repository, "b", &small(), |o| o.md5 = true).unwrap();
    assert_eq!((report.files, report.objects), (3, 7));
    let payload = |path: &str, offset: u64, data: &[u8]| {
        let head = xbstream::payload_head(path, offset, data.len() as u64, xbstream::crc(data));
        [&head.unwrap()[..], data].concat()
    };
    let end = |path: &str| xbstream::end_chunk(path).unwrap().to_vec();
    let expected = [
        ("db/t.ibd", 0, payload("db/t.ibd", 0, b"first ")),
        ("db/t.ibd", 1, payload("db/t.ibd", 6, b"second ")),
        ("db/t.ibd", 2, payload("db/t.ibd", 13, b"third")),
        ("db/t.ibd", 3, end("db/t.ibd")),
        ("empty", 0, end("empty")),
        (
            "xtrabackup_tablespaces",
            0,
            payload("xtrabackup_tablespaces", 0, b"[]"),
        ),
        ("xtrabackup_tablespaces", 1, end("xtrabackup_tablespaces")),
    ];
    let mut all: Vec<String> = expected.iter().map(|(p, i, _)| key("b", p, *i)).collect();
    all.push("b.md5".to_owned());
    all.sort();
    assert_eq!(keys(&*store), all);
    let mut sums = String::new();
    for (path, index, bytes) in &expected {
        assert_eq!(&get_raw(&*store, &key("b", path, *index))[..], bytes);
    }
    // one line an object in the order of the stream: the output of `md5sum` in the directory
    for chunk in xbstream::Reader::new(&small()[..]) {
        let chunk = chunk.unwrap();
        let index = sums.matches(&format!("  {}.", chunk.path())).count() as u64;
        let object = get_raw(&*store, &key("b", chunk.path(), index));
        use md5::Digest as _;
        let hex: String = md5::Md5::digest(&object)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        sums += &format!("{hex}  {}.{index:020}\n", chunk.path());
    }
    assert_eq!(get_raw(&*store, "b.md5"), sums);
}

#[test]
fn the_first_backup_creates_the_repository_marker() {
    let (repository, _, store) = faulty();
    assert!(repository.marker().unwrap().is_none());
    put_bytes(&repository, "b", &small(), |_| {}).unwrap();
    let first = repository.marker().unwrap().unwrap();
    put_bytes(&repository, "c", &small(), |_| {}).unwrap();
    assert_eq!(repository.marker().unwrap().unwrap(), first);
    // A refused put changes nothing.
    remove_raw(&*store, crate::store::MARKER);
    put_bytes(&repository, "b", &small(), |_| {}).unwrap_err();
    assert!(repository.marker().unwrap().is_none());
}

#[test]
fn existing_objects_under_the_name_refuse_a_put_and_similar_names_do_not() {
    let (repository, _, store) = faulty();
    put_raw(&*store, "prod-full-2/x.00000000000000000000", b"x");
    put_raw(&*store, "prod-full.incr/x.00000000000000000000", b"x");
    put_bytes(&repository, "prod-full", &small(), |_| {}).unwrap();
    for (taken, md5) in [("prod-full", false), ("prod-full-2", false), ("c", true)] {
        put_raw(&*store, "c.md5", b"");
        let before = keys(&*store);
        let error = put_bytes(&repository, taken, &small(), |o| o.md5 = md5).unwrap_err();
        assert!(
            matches!(
                error,
                CloudError::Store(StoreError::Upload(UploadFault::Exists { .. }))
            ),
            "{error}"
        );
        assert_eq!(keys(&*store), before);
    }
}

#[test]
fn a_failure_of_any_put_leaves_no_objects() {
    // the marker, 7 objects, the digests
    for nth in 1..9 {
        for parallel in [1, 3] {
            let (repository, store, inner) = faulty();
            repository.mark(false).unwrap();
            store.set(|f| f.nth_put = Some(nth));
            let error = put_bytes(&repository, "b", &small(), |o| {
                (o.md5, o.parallel) = (true, parallel);
            })
            .unwrap_err();
            let text = error.to_string();
            assert!(text.contains("injected: put refused"), "{nth}: {text}");
            assert!(
                matches!(error, CloudError::TakenBack { .. }),
                "{nth}: {text}"
            );
            assert_eq!(keys(&*inner), Vec::<String>::new(), "{nth}");
        }
    }
}

#[test]
fn a_lost_response_leaves_no_objects() {
    for part in ["/db/t.ibd.00000000000000000001", "/xtrabackup_tab", "b.md5"] {
        let (repository, store, inner) = faulty();
        store.set(|f| f.lose_answer = Some(part.to_owned()));
        let error = put_bytes(&repository, "b", &small(), |o| o.md5 = true).unwrap_err();
        assert!(matches!(error, CloudError::TakenBack { .. }), "{error}");
        assert_eq!(keys(&*inner), Vec::<String>::new(), "{part}");
    }
}

#[test]
fn objects_that_can_not_be_removed_are_named() {
    let (repository, store, inner) = faulty();
    store.set(|f| {
        f.refuse_put = Some("xtrabackup_tablespaces".to_owned());
        f.keep = Some("t.ibd.00000000000000000002".to_owned());
    });
    let error = put_bytes(&repository, "b", &small(), |_| {}).unwrap_err();
    let CloudError::Left { left, reason, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*left, [key("b", "db/t.ibd", 2)]);
    assert_eq!(keys(&*inner), *left);
    assert!(reason.contains("injected: not removed"), "{reason}");
    assert!(error.to_string().contains(&left[0]), "{error}");
}

#[test]
fn an_object_of_another_process_stays_after_a_failed_put() {
    let (repository, store, inner) = faulty();
    store.close();
    let late = key("b", "xtrabackup_tablespaces", 1);
    std::thread::scope(|scope| {
        let job = scope.spawn(|| put_bytes(&repository, "b", &small(), |_| {}));
        // after the check of the name, before its last object
        store.wait_for_held(1);
        put_raw(&*inner, &late, b"somebody else's");
        store.open();
        let error = job.join().unwrap().unwrap_err();
        assert!(error.to_string().contains(&late), "{error}");
    });
    assert_eq!(keys(&*inner), std::slice::from_ref(&late));
    assert_eq!(get_raw(&*inner, &late), "somebody else's");
}

#[test]
fn the_marking_files_are_stored_last() {
    let (repository, store, inner) = faulty();
    // the marking files come first in the stream, and are stored last nevertheless
    let marks_first = stream(&[
        ("xtrabackup_tablespaces.zst", &[]),
        (MANIFEST, &[b"{}"]),
        ("a", &[b"1", b"2", b"3"]),
    ]);
    store.set(|f| f.refuse_put = Some("/a.00000000000000000003".to_owned()));
    store.set(|f| f.keep = Some("/".to_owned()));
    let error = put_bytes(&repository, "b", &marks_first, |_| {}).unwrap_err();
    assert!(matches!(error, CloudError::Left { .. }), "{error}");
    assert!(!keys(&*inner).is_empty());
    assert!(
        keys(&*inner).iter().all(|k| k.starts_with("b/a.")),
        "{:?}",
        keys(&*inner)
    );
}

#[test]
fn objects_lost_by_the_store_are_detected() {
    let (repository, store, _) = faulty();
    store.set(|f| f.lose_object = Some("/db/t.ibd.00000000000000000001".to_owned()));
    let error = put_bytes(&repository, "b", &small(), |_| {}).unwrap_err();
    assert!(error.to_string().contains("lists 6 with"), "{error}");
}

/// Returns the stream with one byte changed.
fn flipped(mut stream: Vec<u8>, at: usize) -> Vec<u8> {
    stream[at] ^= 1;
    stream
}

#[test]
fn incomplete_streams_leave_no_objects() {
    let whole = small();
    let marks: (&str, &[&[u8]]) = ("xtrabackup_tablespaces", &[]);
    let twice = [stream(&[("a", &[b"1"])]), stream(&[("a", &[]), marks])].concat();
    let gap = {
        let mut w = Writer::new(Vec::new());
        w.payload("a", 10, b"x").unwrap();
        w.end("a").unwrap();
        [w.into_inner(), stream(&[marks])].concat()
    };
    let sparse = {
        let mut w = Writer::new(Vec::new());
        w.hole("a", 0, 1 << 20).unwrap();
        w.end("a").unwrap();
        w.into_inner()
    };
    let bad_map = flipped(sparse.clone(), 14 + 1 + 24 + 2);
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("nothing", Vec::new(), "no file xtrabackup_tablespaces"),
        ("no stream", b"hello, I am a tar".to_vec(), "XBSTCK01"),
        (
            "cut in a chunk",
            whole[..whole.len() - 3].to_vec(),
            "cut off",
        ),
        (
            "no mark",
            stream(&[("a", &[b"1"])]),
            "no file xtrabackup_tablespaces",
        ),
        (
            "cut between chunks",
            whole[..whole.len() - 14 - "db/t.ibd".len()].to_vec(),
            "1 file without an end chunk, the first is db/t.ibd",
        ),
        (
            "a byte of a payload",
            flipped(whole, 14 + 8 + 20 + 2),
            "checksum",
        ),
        ("a byte of a sparse map", bad_map, "checksum"),
        ("after the end", twice, "a has a chunk after its end chunk"),
        ("a gap", gap, "a: its bytes 0 to 10 are missing"),
        ("outside", stream(&[("../a", &[b"1"])]), "`..`"),
        ("absolute", stream(&[("/etc/passwd", &[b"1"])]), "absolute"),
    ];
    for (what, bytes, expected) in cases {
        let (repository, _, inner) = faulty();
        let error = put_bytes(&repository, "b", bytes, |_| {}).unwrap_err();
        assert!(error.to_string().contains(expected), "{what}: {error}");
        assert_eq!(keys(&*inner), Vec::<String>::new(), "{what}");
    }
}

#[test]
fn a_chunk_over_the_limit_is_named() {
    let (repository, _, inner) = faulty();
    let large = vec![7u8; 5000];
    let bytes = stream(&[("db/big.ibd", &[&large]), ("xtrabackup_tablespaces", &[])]);
    let error = put_bytes(&repository, "b", &bytes, |o| o.memory = 16_000).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("db/big.ibd") && text.contains("5000 bytes"),
        "{text}"
    );
    assert_eq!(keys(&*inner), Vec::<String>::new());
    put_bytes(&repository, "b", &bytes, |o| o.memory = 20_000).unwrap();
}

#[test]
fn a_usual_chunk_fits_with_any_number_of_streams() {
    for streams in [1, 4, 5, 8, 64] {
        assert!(PutOptions::memory_for(streams) / 4 / streams >= 16 << 20);
    }
}

#[test]
fn bytes_in_flight_stay_within_the_memory() {
    let (repository, store, _) = faulty();
    let chunk = vec![1u8; 1000];
    let chunks: Vec<&[u8]> = vec![&chunk; 50];
    let bytes = stream(&[("a", &chunks), ("xtrabackup_tablespaces", &[])]);
    repository.mark(false).unwrap();
    store.close();
    std::thread::scope(|scope| {
        // half of the memory is for chunks in flight: three and a bit
        let job = scope.spawn(|| {
            put_bytes(&repository, "b", &bytes, |o| {
                (o.parallel, o.memory) = (40, 7000)
            })
        });
        store.wait_for_held(3);
        store.open();
        job.join().unwrap().unwrap();
    });
    assert_eq!(store.most(), 3);
}

#[test]
fn several_streams_make_one_backup_and_a_file_must_be_in_one() {
    let (repository, _, inner) = faulty();
    let inputs = |parts: [Vec<u8>; 2]| parts.map(|p| Input::Bytes(p.into())).into();
    let split = [
        stream(&[("a", &[b"1", b"2"])]),
        stream(&[("xtrabackup_tablespaces", &[])]),
    ];
    let report = put(
        &repository,
        &name("b"),
        inputs(split),
        &PutOptions::default(),
        &Silent,
    );
    assert_eq!(report.unwrap().objects, 4);
    let before = keys(&*inner);
    let shared = [stream(&[("a", &[b"1"])]), stream(&[("a", &[b"1"])])];
    let error = put(
        &repository,
        &name("c"),
        inputs(shared),
        &PutOptions::default(),
        &Silent,
    );
    let text = error.unwrap_err().to_string();
    assert!(text.contains("a file must be in one stream only"), "{text}");
    assert_eq!(keys(&*inner), before);
}

#[test]
fn cancellation_removes_the_stored_objects() {
    let (repository, _, inner) = faulty();
    let error = put_bytes(&repository, "b", &small(), |o| {
        o.cancel.cancel();
    })
    .unwrap_err();
    assert!(
        matches!(&error, CloudError::TakenBack { cause } if matches!(**cause, CloudError::Interrupted))
    );
    assert_eq!(keys(&*inner), Vec::<String>::new());
}

/// Returns a pipe that gives `bytes` and then blocks, and its write end.
fn silent(bytes: &[u8]) -> (Input, PipeWriter) {
    let (read, mut write) = std::io::pipe().unwrap();
    write.write_all(bytes).unwrap();
    let file = File::from(OwnedFd::from(read));
    (Input::Pipe(file), write)
}

#[test]
fn a_failure_does_not_wait_for_blocked_inputs() {
    // a failure of another stream, and of the store
    for (other, nth_put) in [(&b"nonsense, nonsense"[..], None), (&small(), Some(1))] {
        let (repository, store, inner) = faulty();
        repository.mark(false).unwrap();
        store.set(|f| f.nth_put = nth_put);
        let (quiet, _writer) = silent(b"");
        let other = Input::Bytes(other.to_vec().into());
        let options = PutOptions::default();
        let error = within("a put", move || {
            put(
                &repository,
                &name("b"),
                vec![other, quiet],
                &options,
                &Silent,
            )
            .unwrap_err()
        });
        let CloudError::TakenBack { cause } = error else {
            panic!("{error}");
        };
        let first = match nth_put {
            None => matches!(&*cause, CloudError::Stream { input, .. } if input == "stream 0"),
            Some(_) => matches!(&*cause, CloudError::Store(_)),
        };
        assert!(first, "{cause}");
        assert_eq!(keys(&*inner), [""; 0]);
    }
}

#[test]
fn cancellation_does_not_wait_for_a_blocked_input() {
    let (repository, _, store) = faulty();
    let whole = small();
    let (quiet, _writer) = silent(&whole[..whole.len() - 5]);
    let options = PutOptions::default();
    let cancel = options.cancel.clone();
    let begun = Arc::clone(&store);
    std::thread::spawn(move || {
        while keys(&*begun).is_empty() {
            std::thread::yield_now();
        }
        cancel.cancel();
    });
    let error = within("a put", move || {
        put(&repository, &name("b"), vec![quiet], &options, &Silent).unwrap_err()
    });
    let CloudError::TakenBack { cause } = &error else {
        panic!("{error}");
    };
    assert!(matches!(**cause, CloudError::Interrupted), "{cause}");
    assert_eq!(keys(&*store), [""; 0]);
}

/// Returns the options of a put as xbcloud does it.
fn as_xbcloud(options: &mut PutOptions) {
    options.manner = PutManner::Xbcloud;
    options.md5 = true;
}

#[test]
fn as_xbcloud_an_incomplete_stream_stays_and_never_looks_finished() {
    let (repository, _, store) = faulty();
    let only = stream(&[("sst_info", &[b"x"])]);
    let error = put_bytes(&repository, "b", &only, as_xbcloud).unwrap_err();
    assert!(matches!(error, CloudError::Incomplete { .. }), "{error}");
    let stored = [
        key("b", "sst_info", 0),
        key("b", "sst_info", 1),
        "b.md5".to_owned(),
    ];
    let mut expected = stored.to_vec();
    expected.sort();
    assert_eq!(keys(&*store), expected);
    assert_eq!(
        get_raw(&*store, "b.md5")
            .iter()
            .filter(|b| **b == b'\n')
            .count(),
        2
    );
    // A file without its end chunk: what marks the backup as finished is not stored, and has no
    // digest.
    let mut cut = small();
    cut.truncate(cut.len() - 1);
    put_bytes(&repository, "c", &cut, as_xbcloud).unwrap_err();
    let marked = |key: &String| key.contains("xtrabackup_tablespaces");
    assert!(!keys(&*store).iter().any(marked));
    // A file that has no end, in a stream that ends between chunks.
    let open = [
        xbstream::payload_head("x", 0, 1, xbstream::crc(b"x"))
            .unwrap()
            .to_vec(),
        b"x".to_vec(),
        small(),
    ]
    .concat();
    put_bytes(&repository, "d", &open, as_xbcloud).unwrap_err();
    assert!(!keys(&*store).iter().any(marked));
    let sums = get_raw(&*store, "d.md5");
    let sums = String::from_utf8_lossy(&sums);
    assert!(
        sums.contains("  x.") && !sums.contains("xtrabackup_tablespaces"),
        "{sums}"
    );
}

#[test]
fn as_xbcloud_nothing_but_the_objects_is_stored_and_a_lone_md5_is_replaced() {
    let (repository, _, store) = faulty();
    put_raw(&*store, "b.md5", b"of an earlier attempt");
    put_bytes(&repository, "b", &small(), as_xbcloud).unwrap();
    assert!(repository.marker().unwrap().is_none());
    assert_eq!(
        get_raw(&*store, "b.md5")
            .iter()
            .filter(|b| **b == b'\n')
            .count(),
        7
    );
    let before = keys(&*store);
    let error = put_bytes(&repository, "b", &small(), as_xbcloud).unwrap_err();
    assert!(matches!(
        error,
        CloudError::Store(StoreError::Upload(UploadFault::Exists { .. }))
    ));
    assert_eq!(keys(&*store), before);
}
