//! Guarantees that every store must give.

use lsnap::store::DeletionFault;
use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use lsnap::manifest::BackupName;
use lsnap::progress::Silent;
use lsnap::store::{Bucket, DEFAULT_TTL, DeleteOptions, Held, LeaseFault, Repository, StoreError};

use crate::servers::{Kind, Server};

/// Keys as table names create them, and more unusual ones.
const KEYS: [&str; 9] = [
    "c-2026-11-18-11:06:40-full/db/t.ibd.00000000000000000000",
    "c-2026-11-18-11:06:40-full.incr/x/ibdata1.00000000000000000000",
    "x/#undo",
    "x/p#p#p0.ibd",
    "x/%41%2F~x",
    "x/a b+c&d=e?f",
    "x/[x]|y`z`{1}",
    "x/ünïcödé/表/😀",
    "x/'quo\"ted'<&>;,:@!$()*",
];
const MANY: usize = 10_000;

/// Runs the whole suite on one server.
pub fn all(kind: Kind) {
    let server = Server::start(kind);
    let bucket = |prefix: &str| {
        let bucket = server.repository(prefix).bucket();
        bucket.create().unwrap();
        bucket
    };
    keys_and_bytes(&bucket("keys"));
    keys_and_bytes(&bucket("deep/pre fix/%41#ü"));
    ranges(&bucket("ranges"));
    nothing_is_overwritten(&bucket("once"));
    neighbours(&bucket("neighbours"));
    if kind != Kind::File {
        neighbours_of_a_repository(&server);
    }
    races(&bucket("races"));
    copies(&bucket("copies"));
    leases(&server.repository("leases"));
    large(&bucket("large"));
    many(&bucket("many"));
}

fn put(bucket: &Bucket, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
    bucket.put_new(key, vec![Bytes::copy_from_slice(bytes)])
}

fn held(bucket: &Bucket, key: &str) -> Held {
    bucket.get(key, u64::MAX).unwrap()
}

fn under(bucket: &Bucket, directory: &str) -> BTreeSet<(String, u64)> {
    let mut found = BTreeSet::new();
    bucket
        .each(directory, |key, length| {
            found.insert((key.to_owned(), length))
        })
        .unwrap();
    found
}

fn keys_and_bytes(bucket: &Bucket) {
    for key in KEYS {
        assert_eq!(held(bucket, key), Held::Nothing, "{key}");
        assert_eq!(bucket.length(key).unwrap(), None, "{key}");
        put(bucket, key, key.as_bytes()).unwrap();
    }
    for key in KEYS {
        assert_eq!(
            held(bucket, key),
            Held::Bytes(Bytes::from_static(key.as_bytes()))
        );
        assert_eq!(bucket.length(key).unwrap(), Some(key.len() as u64), "{key}");
        assert_eq!(bucket.get(key, 3).unwrap(), Held::Longer(key.len() as u64));
    }
    let expected: BTreeSet<_> = KEYS
        .iter()
        .filter_map(|key| Some((key.strip_prefix("x/")?.to_owned(), key.len() as u64)))
        .collect();
    assert_eq!(under(bucket, "x"), expected);
    put(bucket, "parts", b"").unwrap();
    assert_eq!(held(bucket, "parts"), Held::Bytes(Bytes::new()));
    let parts = ["a", "", "bc"]
        .map(|part| Bytes::from_static(part.as_bytes()))
        .to_vec();
    bucket.put_new("parts-2", parts).unwrap();
    assert_eq!(
        held(bucket, "parts-2"),
        Held::Bytes(Bytes::from_static(b"abc"))
    );
    for key in KEYS {
        bucket.delete(key).unwrap();
        assert_eq!(held(bucket, key), Held::Nothing, "{key}");
        // a second deletion is not an error, because an interrupted delete is run again
        bucket.delete(key).unwrap();
    }
    assert_eq!(under(bucket, "x"), BTreeSet::new());
}

fn ranges(bucket: &Bucket) {
    let bytes: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    put(bucket, "r", &bytes).unwrap();
    for (from, to) in [
        (0, 1),
        (0, 100_000),
        (99_999, 100_000),
        (50_000, 50_777),
        (7, 7),
    ] {
        let got = bucket.get_range("r", from as u64..to as u64).unwrap();
        assert_eq!(&got[..], &bytes[from..to], "{from}..{to}");
    }
    // a range that ends outside never gives a truncated answer
    assert!(bucket.get_range("r", 99_999..100_001).is_err());
    assert!(bucket.get_range("r", 100_000..100_001).is_err());
    assert!(matches!(
        bucket.get_range("none", 0..1),
        Err(StoreError::Missing { .. })
    ));
}

fn nothing_is_overwritten(bucket: &Bucket) {
    put(bucket, "k/one", b"first").unwrap();
    for again in [&b"second"[..], b"first"] {
        let error = put(bucket, "k/one", again).unwrap_err();
        assert!(matches!(error, StoreError::ObjectExists { .. }), "{error}");
    }
    assert_eq!(
        held(bucket, "k/one"),
        Held::Bytes(Bytes::from_static(b"first"))
    );
    bucket.delete("k/one").unwrap();
    put(bucket, "k/one", b"third").unwrap();
    assert_eq!(
        held(bucket, "k/one"),
        Held::Bytes(Bytes::from_static(b"third"))
    );
}

fn neighbours(bucket: &Bucket) {
    for key in [
        "prod-full/a",
        "prod-full/b/c",
        "prod-full-2/a",
        "prod-full.md5",
        "prod-full.incr/i/a",
        "prod-ful/a",
    ] {
        put(bucket, key, b"x").unwrap();
    }
    let names = |directory| under(bucket, directory).into_iter().map(|(key, _)| key);
    assert!(names("prod-full").eq(["a", "b/c"]));
    assert!(names("prod-full-2").eq(["a"]));
    assert!(names("prod-full.incr").eq(["i/a"]));
    assert!(names("prod").eq([] as [&str; 0]));
    let top = bucket.children("").unwrap();
    assert_eq!(top.objects, ["prod-full.md5"]);
    assert_eq!(
        top.directories,
        ["prod-ful", "prod-full", "prod-full-2", "prod-full.incr"]
    );
    let full = bucket.children("prod-full").unwrap();
    assert_eq!(full.objects, ["prod-full/a"]);
    assert_eq!(full.directories, ["prod-full/b"]);
    // a listing that is not read to its end
    let mut seen = 0;
    bucket
        .each("prod-full", |_, _| {
            seen += 1;
            false
        })
        .unwrap();
    assert_eq!(seen, 1);
}

/// Two repositories, one of whose prefixes is the beginning of the other's.
fn neighbours_of_a_repository(server: &Server) {
    let (one, two) = (
        server.repository("pre/fix").bucket(),
        server.repository("pre/fix-2").bucket(),
    );
    put(&one, "k", b"1").unwrap();
    put(&two, "k", b"2").unwrap();
    put(&two, "d/k", b"2").unwrap();
    assert_eq!(one.children("").unwrap().objects, ["k"]);
    assert_eq!(one.children("").unwrap().directories, [] as [&str; 0]);
    one.delete("k").unwrap();
    assert_eq!(held(&two, "k"), Held::Bytes(Bytes::from_static(b"2")));
}

fn races(bucket: &Bucket) {
    const THREADS: usize = 8;
    const ROUNDS: usize = 20;
    let barrier = Barrier::new(THREADS);
    for round in 0..ROUNDS {
        let key = format!("race/{round}");
        let (won, lost) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let winner = AtomicUsize::new(usize::MAX);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (key, won, lost, winner, barrier) = (&key, &won, &lost, &winner, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    match put(bucket, key, format!("of thread {thread}").as_bytes()) {
                        Ok(()) => {
                            won.fetch_add(1, Ordering::Relaxed);
                            winner.store(thread, Ordering::Relaxed);
                        }
                        Err(StoreError::ObjectExists { .. }) => {
                            lost.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => panic!("{error}"),
                    }
                });
            }
        });
        assert_eq!(won.into_inner(), 1, "round {round}");
        assert_eq!(lost.into_inner(), THREADS - 1);
        let expected = format!("of thread {}", winner.into_inner());
        assert_eq!(
            held(bucket, &key),
            Held::Bytes(expected.into()),
            "round {round}"
        );
    }
}

fn copies(bucket: &Bucket) {
    put(bucket, "from/a #ü", b"bytes").unwrap();
    bucket.copy_new("from/a #ü", "to/b #ü").unwrap();
    assert_eq!(
        held(bucket, "to/b #ü"),
        Held::Bytes(Bytes::from_static(b"bytes"))
    );
    put(bucket, "to/taken", b"mine").unwrap();
    let error = bucket.copy_new("from/a #ü", "to/taken").unwrap_err();
    assert!(matches!(error, StoreError::ObjectExists { .. }), "{error}");
    assert_eq!(
        held(bucket, "to/taken"),
        Held::Bytes(Bytes::from_static(b"mine"))
    );
    let error = bucket.copy_new("from/none", "to/c").unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    bucket.delete("from/a #ü").unwrap();
    assert_eq!(
        held(bucket, "to/b #ü"),
        Held::Bytes(Bytes::from_static(b"bytes"))
    );
}

/// One writer for each chain, and a deletion that leaves nothing.
fn leases(repository: &Repository) {
    repository.bucket().create().unwrap();
    let time = chrono::Utc::now();
    let full = BackupName::full("prod", time).unwrap();
    let begin = |seconds: i64| {
        let time = time + chrono::TimeDelta::seconds(seconds);
        let name = BackupName::incremental(&full, "prod", time).unwrap();
        repository.begin(&name, 2).unwrap()
    };
    let (first, second) = (begin(1), begin(2));
    first.follow(&full, DEFAULT_TTL).unwrap();
    let held = second.follow(&full, DEFAULT_TTL).unwrap_err();
    let StoreError::Lease(fault) = &held else {
        panic!("{held}");
    };
    assert!(matches!(**fault, LeaseFault::Held { .. }), "{held}");
    assert!(repository.worked_on_by(&full).unwrap().is_some());
    second.abort().unwrap();
    let mut options = DeleteOptions::default();
    options.cascade = true;
    let delete = || lsnap::store::delete(repository, &full, &options, &Silent);
    let refused = delete().unwrap_err();
    assert!(
        matches!(refused, StoreError::Deletion(DeletionFault::InUse { .. })),
        "{refused}"
    );
    first.abort().unwrap();
    assert!(repository.worked_on_by(&full).unwrap().is_none());
    let third = begin(3);
    third.follow(&full, DEFAULT_TTL).unwrap();
    third.abort().unwrap();
    delete().unwrap();
    // except the object that marks the repository
    let left = repository.bucket().children("").unwrap();
    assert_eq!(left.objects, ["lsnap_repository.json"]);
    assert_eq!(left.directories, [] as [&str; 0]);
}

/// Several at once, of the size of lsnap's own objects, and one much larger.
fn large(bucket: &Bucket) {
    let bytes = |seed: u8, length: usize| -> Bytes {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[seed]);
        let mut out = vec![0; length];
        hasher.finalize_xof().fill(&mut out);
        out.into()
    };
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let bytes = &bytes;
            scope.spawn(move || {
                for n in 0..2u8 {
                    let sent = bytes(thread * 2 + n, (8 << 20) + 1);
                    let key = format!("at once/{thread}-{n}");
                    let parts = vec![sent.slice(..100), sent.slice(100..)];
                    bucket.put_new(&key, parts).unwrap();
                    assert!(held(bucket, &key) == Held::Bytes(sent), "{key}");
                }
            });
        }
    });
    let sent = bytes(99, 65 << 20);
    bucket.put_new("large", vec![sent.clone()]).unwrap();
    // A store may refuse it before it has read the bytes, and close the connection.
    let again = bucket.put_new("large", vec![bytes(98, 65 << 20)]);
    assert!(
        matches!(again, Err(StoreError::ObjectExists { .. })),
        "{again:?}"
    );
    assert!(held(bucket, "large") == Held::Bytes(sent));
}

/// More objects than any store lists in one page.
fn many(bucket: &Bucket) {
    const THREADS: usize = 8;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for n in (thread..MANY).step_by(THREADS) {
                    put(bucket, &format!("many/{}/{n:05}", n % 3), b"x").unwrap();
                }
            });
        }
    });
    let expected: BTreeSet<_> = (0..MANY)
        .map(|n| (format!("{}/{n:05}", n % 3), 1))
        .collect();
    assert!(under(bucket, "many") == expected);
    assert_eq!(bucket.children("many").unwrap().directories.len(), 3);
    assert_eq!(
        bucket.children("many/0").unwrap().objects.len(),
        MANY.div_ceil(3)
    );
}
