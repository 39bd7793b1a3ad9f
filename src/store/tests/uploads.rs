//! Failures of uploads, and their limits.

use crate::manifest::{BackupKind, Manifest, ManifestError, StoredPath};
use crate::store::error::backup::BackupFault;
use crate::store::error::upload::UploadFault;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use object_store::memory::InMemory;

use super::faults::Faulty;
use super::*;

fn faulty() -> (Repository, Arc<Faulty>, Arc<InMemory>) {
    let inner = Arc::new(InMemory::new());
    let store = Faulty::new(inner.clone());
    let repository = Repository::over("test:", store.clone()).unwrap();
    (repository, store, inner)
}

#[test]
fn the_first_failure_is_returned_by_every_later_call() {
    let (repository, store, inner) = faulty();
    let name = full_name(0);
    store.set(|f| f.refuse_put = Some("/a.".to_owned()));
    let upload = repository.begin(&name, 2).unwrap();
    upload.put("a", 0, 0, object("a", 0, b"x", true)).unwrap();
    let first = upload.finish_file("a").unwrap_err().to_string();
    assert!(
        first.contains(&format!("{name}/a.00000000000000000000: ")),
        "{first}"
    );
    assert!(first.contains("injected: put refused"), "{first}");
    store.set(|f| f.refuse_put = None);
    assert_eq!(
        upload
            .put("b", 0, 0, object("b", 0, b"x", true))
            .unwrap_err()
            .to_string(),
        first
    );
    assert_eq!(upload.finish_file("b").unwrap_err().to_string(), first);
    let finished = upload.clone().finish(&manifest(&name, None, 10, vec![]));
    assert_eq!(finished.unwrap_err().to_string(), first);
    assert!(
        !keys(&*inner)
            .iter()
            .any(|k| k.contains("lsnap_manifest") || k.contains("/b."))
    );
    upload.abort().unwrap();
    assert_eq!(keys(&*inner), Vec::<String>::new());
}

#[test]
fn after_a_failure_of_any_put_there_is_no_manifest_and_abort_removes_all() {
    for nth in 0..8 {
        let (repository, store, inner) = faulty();
        let name = full_name(0);
        repository.mark(false).unwrap();
        store.set(|f| f.nth_put = Some(nth + 1));
        let run = |upload: &Upload| {
            let files = vec![put_file(upload, "db/t.ibd", 3)?, put_file(upload, "b", 2)?];
            upload.clone().finish(&manifest(&name, None, 10, files))
        };
        // 0 is the claim, 1..=5 the objects, 6 the summary, 7 the manifest
        match repository.begin(&name, 2) {
            Err(error) => assert!(
                nth == 0 && error.to_string().contains("injected: put refused"),
                "{error}"
            ),
            Ok(upload) => {
                let error = run(&upload).unwrap_err();
                assert!(
                    error.to_string().contains("injected: put refused"),
                    "{nth}: {error}"
                );
                assert!(matches!(
                    repository.manifest(&name),
                    Err(StoreError::Backup(BackupFault::NotFinished { .. }))
                ));
                upload.abort().unwrap();
            }
        }
        assert_eq!(keys(&*inner), Vec::<String>::new(), "put {nth}");
    }
}

#[test]
fn a_manifest_with_a_lost_response_is_found_in_the_store() {
    let (repository, store, _) = faulty();
    store.set(|f| f.lose_answer = Some("lsnap_manifest".to_owned()));
    let name = full_name(0);
    let made = backup(&repository, &name, None, 10);
    assert_eq!(repository.manifest(&name).unwrap().id, made.id);
}

#[test]
fn a_lost_response_leaves_no_objects_after_abort() {
    for part in ["lsnap_upload", "/a.", "lsnap_summary"] {
        let (repository, store, inner) = faulty();
        store.set(|f| f.lose_answer = Some(part.to_owned()));
        let name = full_name(0);
        if let Ok(upload) = repository.begin(&name, 2) {
            let result = put_file(&upload, "a", 2).and_then(|file| {
                upload
                    .clone()
                    .finish(&manifest(&name, None, 10, vec![file]))
            });
            assert!(
                result
                    .unwrap_err()
                    .to_string()
                    .contains("response was lost"),
                "{part}"
            );
            assert!(!keys(&*inner).is_empty());
            upload.abort().unwrap();
        }
        assert_eq!(keys(&*inner), Vec::<String>::new(), "{part}");
    }
}

#[test]
fn an_object_lost_by_the_store_is_detected_before_the_manifest() {
    let (repository, store, inner) = faulty();
    let name = full_name(0);
    store.set(|f| f.lose_object = Some("/a.00000000000000000001".to_owned()));
    let upload = repository.begin(&name, 2).unwrap();
    let file = put_file(&upload, "a", 3).unwrap();
    let error = upload
        .finish(&manifest(&name, None, 10, vec![file]))
        .unwrap_err();
    let key = format!("{name}/a.00000000000000000001");
    assert!(
        matches!(&error, StoreError::Missing { object, bytes: 135 } if *object == key),
        "{error}"
    );
    assert!(!keys(&*inner).iter().any(|k| k.contains("lsnap_manifest")));
}

#[test]
fn a_panic_in_a_put_is_a_failure() {
    let (repository, store, _) = faulty();
    let upload = repository.begin(&full_name(0), 1).unwrap();
    store.set(|f| f.panic_put = Some("/a.".to_owned()));
    upload.put("a", 0, 0, object("a", 0, b"x", true)).unwrap();
    assert!(matches!(
        upload.finish_file("a"),
        Err(StoreError::TaskDied { .. })
    ));
    upload.abort().unwrap();
}

#[test]
fn abort_reports_remaining_objects_and_can_be_repeated() {
    let (repository, store, inner) = faulty();
    let name = full_name(0);
    let upload = repository.begin(&name, 2).unwrap();
    put_file(&upload, "a", 3).unwrap();
    put_file(&upload, "b", 1).unwrap();
    store.set(|f| f.keep = Some("/a.".to_owned()));
    let error = upload.clone().abort().unwrap_err();
    assert!(
        matches!(&error, StoreError::Upload(UploadFault::AbortIncomplete { remaining: 4, first, .. }) if *first == format!("{name}/a.00000000000000000000")),
        "{error}"
    );
    assert!(
        error.to_string().contains("injected: not removed"),
        "{error}"
    );
    assert_eq!(keys(&*inner).len(), 4, "three objects and the claim");
    store.set(|f| f.keep = None);
    upload.abort().unwrap();
    assert_eq!(keys(&*inner), Vec::<String>::new());
}

#[test]
fn of_two_concurrent_begins_one_succeeds() {
    for _ in 0..20 {
        let (repository, store, _) = faulty();
        store.close();
        let name = full_name(0);
        let winners: usize = std::thread::scope(|scope| {
            let begin = || usize::from(repository.begin(&name, 1).is_ok());
            let (one, two) = (scope.spawn(begin), scope.spawn(begin));
            // both have seen an empty prefix: only the claim excludes one of them
            store.wait_for_held(2);
            store.open();
            one.join().unwrap() + two.join().unwrap()
        });
        assert_eq!(winners, 1);
    }
}

#[test]
fn put_blocks_when_parallel_puts_are_in_flight() {
    let (repository, store, _) = faulty();
    let upload = repository.begin(&full_name(0), 3).unwrap();
    store.close();
    for index in 0..3 {
        upload
            .put("a", index, 0, object("a", 0, b"x", false))
            .unwrap();
    }
    store.wait_for_held(3);
    let passed = Arc::new(AtomicBool::new(false));
    let (started, wait) = mpsc::channel();
    let fourth = std::thread::spawn({
        let (upload, passed) = (upload.clone(), passed.clone());
        move || {
            started.send(()).unwrap();
            upload.put("a", 3, 0, object("a", 0, b"x", true)).unwrap();
            passed.store(true, Ordering::SeqCst);
        }
    });
    wait.recv().unwrap();
    for _ in 0..1000 {
        std::thread::yield_now();
    }
    assert!(!passed.load(Ordering::SeqCst), "the fourth did not wait");
    store.open();
    fourth.join().unwrap();
    assert_eq!(upload.finish_file("a").unwrap().len(), 4);
    assert_eq!(store.most(), 3);
}

/// Bytes that count the living instances.
struct Counted(Arc<AtomicUsize>, [u8; 64]);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.1
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn no_more_objects_than_parallel_are_held_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let local = object_store::local::LocalFileSystem::new_with_prefix(dir.path()).unwrap();
    let store = Faulty::new(Arc::new(local));
    let repository = Repository::over("test:", store.clone()).unwrap();
    let (parallel, threads) = (4, 8);
    let upload = repository.begin(&full_name(0), parallel).unwrap();
    let (alive, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    std::thread::scope(|scope| {
        for t in 0..threads {
            let (upload, alive, most) = (upload.clone(), alive.clone(), most.clone());
            scope.spawn(move || {
                for index in 0..50u64 {
                    let now = alive.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    let bytes = Bytes::from_owner(Counted(alive.clone(), [t as u8; 64]));
                    upload
                        .put(&format!("f{t}"), index, index, vec![bytes])
                        .unwrap();
                }
                upload.finish_file(&format!("f{t}")).unwrap();
            });
        }
    });
    // the objects that the waiting callers hold, and those that the upload holds
    assert!(
        most.load(Ordering::SeqCst) <= parallel + threads,
        "{most:?}"
    );
    assert!(store.most() <= parallel, "{}", store.most());
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn invalid_puts_are_refused() {
    let (repository, _) = memory();
    let try_put = |second, path: &str, parts: Vec<Bytes>| {
        let upload = repository.begin(&full_name(second), 1).unwrap();
        let error = upload.put(path, 0, 0, parts).unwrap_err();
        assert_eq!(
            upload.finish_file("x").unwrap_err().to_string(),
            error.to_string()
        );
        upload.abort().unwrap();
        error
    };
    let some = || vec![Bytes::from_static(b"x")];
    assert!(matches!(
        try_put(0, "../x", some()),
        StoreError::Manifest(ManifestError::BadPath { .. })
    ));
    assert!(matches!(
        try_put(1, "x", vec![Bytes::new()]),
        StoreError::Upload(UploadFault::Misuse { .. })
    ));
    for document in [
        "lsnap_manifest.json",
        "lsnap_summary.json",
        "lsnap_upload.json",
    ] {
        assert!(matches!(
            try_put(2, document, some()),
            StoreError::Upload(UploadFault::Misuse { .. })
        ));
    }
}

#[test]
fn indices_must_be_dense_and_offsets_ascend() {
    for (puts, reason) in [
        (vec![(0, 0), (2, 5)], "index 2, expected 1"),
        (vec![(1, 0)], "index 1, expected 0"),
        (
            vec![(0, 0), (1, 9), (2, 8)],
            "begins at 8, expected at least 9",
        ),
        (vec![(0, 3)], "begins at 3, expected exactly 0"),
        (vec![], "nothing was put for it"),
    ] {
        let (repository, store) = memory();
        let upload = repository.begin(&full_name(0), 2).unwrap();
        for (index, offset) in puts {
            upload
                .put("a", index, offset, object("a", offset, b"x", false))
                .unwrap();
        }
        let error = upload.finish_file("a").unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        upload.abort().unwrap();
        assert_eq!(keys(&*store), Vec::<String>::new(), "{reason}");
    }
}

#[test]
fn a_manifest_that_differs_from_the_puts_is_refused() {
    type Change = fn(&mut Manifest);
    let cases: [(Change, &str); 9] = [
        (
            |m| m.files[0].objects[1].digest = Some(blake3::Hash::from([0; 32]).into()),
            "are not the 3 that were put",
        ),
        (
            |m| drop(m.files[0].objects.pop()),
            "its 2 objects are not the 3",
        ),
        (
            |m| drop(m.files.remove(1)),
            "file b was put, but is not in the manifest",
        ),
        (
            |m| m.files[1].path = StoredPath::new("c"),
            "file c was not put",
        ),
        (|m| m.files.push(m.files[0].clone()), "listed twice"),
        (|m| m.name = full_name(99), "it is of "),
        (|m| m.kind = BackupKind::Incremental, "with no base"),
        (|m| m.lsn.last_lsn = Lsn(1), "to_lsn <= last_lsn"),
        (|m| m.format = 2, "format 2"),
    ];
    for (change, reason) in cases {
        let (repository, store) = memory();
        let name = full_name(0);
        let upload = repository.begin(&name, 2).unwrap();
        let files = vec![
            put_file(&upload, "a", 3).unwrap(),
            put_file(&upload, "b", 1).unwrap(),
        ];
        let mut manifest = manifest(&name, None, 10, files);
        change(&mut manifest);
        let error = upload.finish(&manifest).unwrap_err();
        assert!(
            matches!(error, StoreError::Manifest(ManifestError::Refused { .. })),
            "{error}"
        );
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!keys(&*store).iter().any(|k| k.contains("lsnap_manifest")));
    }
}

#[test]
fn after_finish_nothing_can_be_put_or_aborted() {
    let (repository, _) = memory();
    let name = full_name(0);
    let upload = repository.begin(&name, 2).unwrap();
    let file = put_file(&upload, "a", 1).unwrap();
    upload
        .clone()
        .finish(&manifest(&name, None, 10, vec![file]))
        .unwrap();
    assert!(matches!(
        upload.put("b", 0, 0, object("b", 0, b"x", true)),
        Err(StoreError::Upload(UploadFault::Misuse { .. }))
    ));
    assert!(
        upload
            .clone()
            .abort()
            .unwrap_err()
            .to_string()
            .contains("complete and stays")
    );
    repository.manifest(&name).unwrap();
}

#[test]
fn callers_may_be_inside_a_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (repository, _) = memory();
        backup(&repository, &full_name(0), None, 10);
        assert_eq!(repository.list().unwrap().len(), 1);
    });
}
