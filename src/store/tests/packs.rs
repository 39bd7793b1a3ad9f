//! Small files that share objects.

use crate::manifest::{
    BackupName, FileEntry, FileRole, MANIFEST_FORMAT, Manifest, ManifestError, PACKED_FORMAT,
    StoredPath,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::faults::Faulty;
use super::*;
use crate::store::objects::windows::{WINDOW, reserved_bytes};

fn faulty() -> (Repository, Arc<Faulty>, Arc<InMemory>) {
    let inner = Arc::new(InMemory::new());
    let store = Faulty::new(inner.clone());
    let repository = Repository::over("test:", store.clone()).unwrap();
    (repository, store, inner)
}

fn data(number: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 31 + number * 7) as u8).collect()
}

/// Puts `count` files of `bytes` bytes as packs, and finishes them in another order.
pub(crate) fn put_packed(
    upload: &Upload,
    count: usize,
    bytes: usize,
) -> Result<Vec<FileEntry>, StoreError> {
    let path = |number: usize| format!("db/t{number}.ibd");
    for number in 0..count {
        let path = path(number);
        upload.put_packed(&path, object(&path, 0, &data(number, bytes), true))?;
    }
    let entry = |number: usize| {
        Ok(FileEntry {
            wrapping: None,
            path: StoredPath::new(path(number)),
            role: FileRole::Plain,
            bytes: bytes as u64,
            objects: upload.finish_file(&path(number))?,
        })
    };
    (0..count).rev().map(entry).collect()
}

fn packed_manifest(name: &BackupName, files: Vec<FileEntry>) -> Manifest {
    let mut manifest = manifest(name, None, 10, files);
    manifest.format = PACKED_FORMAT;
    manifest
}

/// Makes a backup of `count` such files, with at most `places` packs in flight.
fn backup(repository: &Repository, places: usize, count: usize, bytes: usize) -> Manifest {
    let name = full_name(0);
    let upload = repository.begin(&name, places).unwrap();
    let made = packed_manifest(&name, put_packed(&upload, count, bytes).unwrap());
    upload.finish(&made).unwrap();
    made
}

/// Checks that every file can be read in any order, and that the store has few objects. Part of the
/// conformance tests.
pub(super) fn round_trip(repository: &Repository, store: &dyn ObjectStore) {
    let before = keys(store);
    let name = full_name(60);
    let upload = repository.begin(&name, 3).unwrap();
    let mut files = put_packed(&upload, 300, 30_000).unwrap();
    files.push(put_file(&upload, "xtrabackup_info", 1).unwrap());
    upload
        .put_packed(
            "db/large.ibd",
            object("db/large.ibd", 0, &[7; 200_000], true),
        )
        .unwrap();
    files.push(FileEntry {
        wrapping: None,
        path: StoredPath::new("db/large.ibd"),
        role: FileRole::Plain,
        bytes: 200_000,
        objects: upload.finish_file("db/large.ibd").unwrap(),
    });
    assert_eq!(files.last().unwrap().objects[0].pack, None);
    let written = packed_manifest(&name, files);
    upload.finish(&written).unwrap();

    let read = repository.manifest(&name).unwrap();
    // 9 MB in packs of 4 MiB, two ordinary objects, three documents
    assert_eq!(keys(store).len() - before.len(), 3 + 2 + 3);
    assert_eq!(read.objects(), 5);
    let summary = repository.list().unwrap();
    let listed = summary.iter().find(|l| l.name == name).unwrap();
    assert!(
        matches!(listed.state, ListedState::Finished(_)),
        "{listed:?}"
    );
    for file in &read.files {
        let bytes = repository
            .fetch(&name, file.path.as_stored(), &file.objects[0])
            .unwrap();
        let number = file
            .plain_path()
            .strip_prefix("db/t")
            .and_then(|p| p.strip_suffix(".ibd"));
        if let Some(number) = number {
            let expected = object(
                file.path.as_stored(),
                0,
                &data(number.parse().unwrap(), 30_000),
                true,
            );
            assert!(bytes == expected.concat(), "{}", file.path);
        }
    }
    let describe = describe(repository, name.as_str()).unwrap();
    let told = describe.contents.unwrap().files["plain"];
    assert_eq!((told.files, told.objects), (302, 5));
}

#[test]
fn files_in_one_window_need_one_request() {
    let (repository, store, _) = faulty();
    let name = full_name(0);
    let upload = repository.begin(&name, 2).unwrap();
    let files = put_packed(&upload, 2000, 100).unwrap();
    let before = store.puts.load(Ordering::SeqCst);
    let made = packed_manifest(&name, files);
    upload.finish(&made).unwrap();
    assert!(before < 4, "{before} puts");
    let calls = store.calls.load(Ordering::SeqCst);
    for file in &made.files {
        repository
            .fetch(&name, file.path.as_stored(), &file.objects[0])
            .unwrap();
    }
    let calls = store.calls.load(Ordering::SeqCst) - calls;
    assert_eq!(calls, 1, "reads of a pack of 300 kB");
}

#[test]
fn a_single_file_is_an_ordinary_object() {
    let (repository, _, _) = faulty();
    let name = full_name(0);
    let upload = repository.begin(&name, 2).unwrap();
    let files = put_packed(&upload, 1, 100).unwrap();
    assert_eq!(files[0].objects[0].pack, None);
    let made = manifest(&name, None, 10, files);
    upload.finish(&made).unwrap();
    assert_eq!(repository.manifest(&name).unwrap().format, MANIFEST_FORMAT);
}

#[test]
fn damage_names_the_file_and_the_object() {
    let (repository, store, inner) = faulty();
    let made = backup(&repository, 2, 10, 1000);
    let name = &made.name;
    let object = format!("{name}/db/t0.ibd.{:020}", 0);
    let good = get_raw(&*inner, &object);
    let fetch = |number: usize| {
        let file = &made.files[9 - number];
        // another handle, with an empty cache
        let fresh = Repository::over("test:", store.clone()).unwrap();
        fresh.fetch(name, file.path.as_stored(), &file.objects[0])
    };
    let mut bad = good.to_vec();
    bad[good.len() / 2] ^= 1;
    put_raw(&*inner, &object, &bad);
    let failures: Vec<_> = (0..10).filter_map(|n| fetch(n).err()).collect();
    assert_eq!(failures.len(), 1, "one file has the byte");
    let text = failures[0].to_string();
    assert!(matches!(failures[0], StoreError::Damaged { .. }), "{text}");
    assert!(
        text.contains(&object) && text.contains("db/t5.ibd"),
        "{text}"
    );

    put_raw(&*inner, &object, &good[..good.len() - 1]);
    fetch(8).unwrap();
    let text = fetch(9).unwrap_err().to_string();
    assert!(
        text.contains("db/t9.ibd") && text.contains("at least"),
        "{text}"
    );
    put_raw(&*inner, &object, &good[..50]);
    assert!(matches!(fetch(9), Err(StoreError::Damaged { .. })));
    remove_raw(&*inner, &object);
    assert!(matches!(fetch(3), Err(StoreError::Missing { .. })));
}

/// Cached bytes of an earlier backup of the same name don't count as damage of the current one.
#[test]
fn a_reused_name_has_its_own_bytes() {
    let (repository, store, inner) = faulty();
    let name = full_name(0);
    for bytes in [1000, 1001] {
        let upload = repository.begin(&name, 2).unwrap();
        let made = packed_manifest(&name, put_packed(&upload, 10, bytes).unwrap());
        upload.finish(&made).unwrap();
        let calls = store.calls.load(Ordering::SeqCst);
        for file in &made.files {
            repository
                .fetch(&name, file.path.as_stored(), &file.objects[0])
                .unwrap();
        }
        // one read of the first file, which shows that the cache is outdated, and one of the window
        // for the others
        let calls = store.calls.load(Ordering::SeqCst) - calls;
        assert!(calls <= 2, "{calls} reads");
        keys(&*inner)
            .iter()
            .for_each(|key| remove_raw(&*inner, key));
    }
}

/// Bytes that were cached before a job began are not used by it.
#[test]
fn a_job_reads_the_current_store() {
    let (repository, _, inner) = faulty();
    let made = backup(&repository, 2, 10, 1000);
    let name = &made.name;
    let file = &made.files[4];
    let fetch = || repository.fetch(name, file.path.as_stored(), &file.objects[0]);
    fetch().unwrap();
    let object = format!("{name}/db/t0.ibd.{:020}", 0);
    let good = get_raw(&*inner, &object);
    let spoil = || put_raw(&*inner, &object, &vec![0; good.len()]);
    spoil();
    fetch().unwrap();
    let reading = repository.reading([&made], 1 << 30);
    fetch().unwrap_err();
    put_raw(&*inner, &object, &good);
    fetch().unwrap();
    spoil();
    fetch().unwrap();
    drop(reading);
    fetch().unwrap_err();
}

/// The number of cached windows depends on the reader's memory.
#[test]
fn cached_windows_stay_within_the_memory() {
    let (repository, store, _) = faulty();
    // two packs of several windows
    let made = backup(&repository, 2, 80, 100_000);
    let name = &made.name;
    let reads = |memory: u64| {
        let _reading = repository.reading([&made], memory);
        let calls = store.calls.load(Ordering::SeqCst);
        for file in [1, 60, 1, 60, 1, 60].map(|at| &made.files[at]) {
            repository
                .fetch(name, file.path.as_stored(), &file.objects[0])
                .unwrap();
        }
        store.calls.load(Ordering::SeqCst) - calls
    };
    assert_eq!(reads(4 * WINDOW), 2);
    assert_eq!(reads(2 * WINDOW), 6);
    assert_eq!(reserved_bytes([&made], 2 * WINDOW), WINDOW);
    assert_eq!(reserved_bytes([&made], WINDOW), WINDOW / 2);
}

#[test]
fn after_a_failure_of_any_put_the_backup_is_unfinished_and_abort_removes_all() {
    // 0 is the claim, 1..=3 the packs, 4 the summary, 5 the manifest
    for nth in 1..6 {
        let (repository, store, inner) = faulty();
        let name = full_name(0);
        repository.mark(false).unwrap();
        store.set(|f| f.nth_put = Some(nth + 1));
        let upload = repository.begin(&name, 1).unwrap();
        let run = || {
            let files = put_packed(&upload, 100, 100_000)?;
            upload.clone().finish(&packed_manifest(&name, files))
        };
        let error = run().unwrap_err().to_string();
        assert!(error.contains("injected: put refused"), "{nth}: {error}");
        assert!(repository.manifest(&name).is_err());
        upload.abort().unwrap();
        assert_eq!(keys(&*inner), Vec::<String>::new(), "put {nth}");
    }
}

#[test]
fn an_abort_removes_packs_also_after_a_lost_response() {
    for lost in [None, Some("db/t0.ibd".to_owned())] {
        for finished in [false, true] {
            let (repository, store, inner) = faulty();
            store.set(|f| f.lose_answer.clone_from(&lost));
            let name = full_name(0);
            let upload = repository.begin(&name, 2).unwrap();
            if finished {
                assert_eq!(put_packed(&upload, 50, 100_000).is_err(), lost.is_some());
            } else {
                for number in 0..50 {
                    let path = format!("db/t{number}.ibd");
                    let parts = object(&path, 0, &[1; 100_000], true);
                    if upload.put_packed(&path, parts).is_err() {
                        assert!(lost.is_some());
                    }
                }
            }
            upload.abort().unwrap();
            assert_eq!(keys(&*inner), Vec::<String>::new(), "{lost:?} {finished}");
        }
    }
}

#[test]
fn a_put_that_panics_fails_all_files_of_the_pack() {
    let (repository, store, _) = faulty();
    let upload = repository.begin(&full_name(0), 1).unwrap();
    store.set(|f| f.panic_put = Some("db/t0.".to_owned()));
    assert!(matches!(
        put_packed(&upload, 3, 10),
        Err(StoreError::TaskDied { .. })
    ));
    upload.abort().unwrap();
}

#[test]
fn packs_in_flight_are_limited_by_the_slots() {
    let (repository, store, _) = faulty();
    backup(&repository, 2, 300, 100_000);
    assert!(store.most() <= 2, "{}", store.most());
}

#[test]
fn many_threads_pack_together() {
    let (repository, _, _) = faulty();
    let name = full_name(0);
    let upload = repository.begin(&name, 2).unwrap();
    let paths: Vec<String> = (0..400).map(|n| format!("db/t{n}.ibd")).collect();
    let mut files: Vec<FileEntry> = std::thread::scope(|scope| {
        let threads: Vec<_> = paths
            .chunks(50)
            .map(|paths| {
                let upload = upload.clone();
                scope.spawn(move || {
                    for path in paths {
                        let parts = object(path, 0, &[3; 40_000], true);
                        upload.put_packed(path, parts).unwrap();
                    }
                    let entry = |path: &String| FileEntry {
                        wrapping: None,
                        path: StoredPath::new(path),
                        role: FileRole::Plain,
                        bytes: 40_000,
                        objects: upload.finish_file(path).unwrap(),
                    };
                    paths.iter().map(entry).collect::<Vec<_>>()
                })
            })
            .collect();
        let files = threads.into_iter().flat_map(|t| t.join().unwrap());
        files.collect()
    });
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let paths: BTreeSet<_> = files.iter().map(|f| f.path.to_string()).collect();
    assert_eq!(paths.len(), 400);
    let made = packed_manifest(&name, files);
    upload.finish(&made).unwrap();
    assert_eq!(repository.manifest(&name).unwrap().files, made.files);
}

#[test]
fn invalid_packed_puts_are_refused() {
    let (repository, _, _) = faulty();
    let parts = || object("a", 0, b"x", true);
    let twice = repository.begin(&full_name(0), 2).unwrap();
    twice.put_packed("a", parts()).unwrap();
    assert!(twice.put("a", 1, 1, parts()).is_err());
    let twice = repository.begin(&full_name(1), 2).unwrap();
    twice.put("a", 0, 0, parts()).unwrap();
    assert!(twice.put_packed("a", parts()).is_err());
    let unfinished = repository.begin(&full_name(2), 2).unwrap();
    unfinished.put_packed("a", parts()).unwrap();
    let refused = unfinished.finish(&manifest(&full_name(2), None, 10, vec![]));
    assert!(matches!(
        refused,
        Err(StoreError::Manifest(ManifestError::Refused { .. }))
    ));
    // a manifest with packs has another format, so that an older lsnap reports that it is too old
    let name = full_name(3);
    let upload = repository.begin(&name, 2).unwrap();
    let files = put_packed(&upload, 3, 10).unwrap();
    let refused = upload.finish(&manifest(&name, None, 10, files));
    assert!(matches!(
        refused,
        Err(StoreError::Manifest(ManifestError::Refused { .. }))
    ));
}

/// A copy of a packed file is an object of its own.
#[test]
fn a_copy_of_a_packed_file_is_an_object_of_its_own() {
    let (repository, _, inner) = faulty();
    let (from, to) = (full_name(0), full_name(1));
    let upload = repository.begin(&from, 2).unwrap();
    let made = packed_manifest(&from, put_packed(&upload, 3, 10).unwrap());
    upload.finish(&made).unwrap();
    let copy = repository.begin(&to, 2).unwrap();
    let file = &made.files[1];
    copy.copy(file.path.as_stored(), 0, 0, &from, &file.objects[0])
        .unwrap();
    let copied = copy.finish_file(file.path.as_stored()).unwrap();
    assert_eq!(copied[0].pack, None);
    assert_eq!(copied[0].digest, file.objects[0].digest);
    let bytes = get_raw(&*inner, &format!("{to}/{}.{:020}", file.path, 0));
    assert_eq!(
        bytes,
        object(file.path.as_stored(), 0, &data(1, 10), true).concat()
    );
    copy.abort().unwrap();
}
