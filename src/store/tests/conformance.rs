//! Requirements for every store of a repository, tested on each kind.

use crate::manifest::{BackupName, FileEntry, Manifest};
use crate::store::error::backup::BackupFault;
use crate::store::error::upload::UploadFault;
use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use super::*;

/// Paths of MySQL, and more difficult ones.
pub(super) const PATHS: [&str; 20] = [
    "ibdata1",
    "#undo",
    "#sql-1a.ibd",
    "a@0020b/t@002fx.ibd",
    "db/t#p#p0.ibd",
    "db/t#P#p0.ibd",
    "db/t#p#p0#sp#s1.ibd",
    "db/T.ibd",
    "db/t.ibd",
    "Db/t.ibd",
    "d b/ t .ibd",
    "db/~t.ibd",
    "db/100%.ibd",
    "db/%23.ibd",
    "db/größe/数据.ibd",
    "db/a:b.ibd",
    "db/[x]{y}|`^\"<>*?.ibd",
    "db/back\\slash",
    "db/t+u&v=w;x.ibd",
    "%2e%2e/x",
];

fn conformance(store: &Arc<dyn ObjectStore>) {
    let repository = Repository::over("test:", Arc::clone(store)).unwrap();
    names_round_trip(&repository, &**store);
    prefixes_are_whole_components(&repository, &**store);
    nothing_is_overwritten(&repository, &**store);
    many_threads(&repository);
    super::packs::round_trip(&repository, &**store);
    an_abort_removes_only_its_own_objects(&repository, &**store);
}

fn names_round_trip(repository: &Repository, store: &dyn ObjectStore) {
    let name = full_name(0);
    let upload = repository.begin(&name, 3).unwrap();
    let files: Vec<_> = PATHS
        .iter()
        .map(|path| put_file(&upload, path, 2).unwrap())
        .collect();
    let written = manifest(&name, None, 1000, files);
    upload.finish(&written).unwrap();

    let read = repository.manifest(&name).unwrap();
    assert!(read.digest.starts_with("blake3:"));
    assert_eq!(
        Manifest {
            layout: crate::manifest::Layout::default(),
            mac: None,
            page_tracking: None,
            dictionary: None,
            replica: None,
            history: None,
            digest: String::new(),
            ..read.clone()
        },
        written
    );
    for file in &read.files {
        for entry in &file.objects {
            let bytes = repository
                .fetch(&name, file.path.as_stored(), entry)
                .unwrap();
            let last = entry.index == 1;
            let expected = object(
                file.path.as_stored(),
                entry.offset,
                &[entry.index as u8; 100],
                last,
            );
            assert_eq!(bytes, expected.concat(), "{}", file.path);
        }
    }
    let stored: BTreeSet<String> = keys(store).into_iter().collect();
    for path in PATHS {
        for index in 0..2 {
            let key = format!("{name}/{path}.{index:020}");
            assert!(
                stored.contains(&key),
                "{key} is not stored under its own name"
            );
        }
    }
    let listed = repository.list().unwrap();
    let summary = listed[0].finished().unwrap();
    assert_eq!(
        (listed.len(), &summary.name, summary.objects),
        (1, &name, 40)
    );
    assert_eq!(listed[0].objects, 43);
    // in JSON both numbers must exist: flattened into one object, they would be the same key twice
    let json = serde_json::to_value(&listed[0]).unwrap();
    assert_eq!(
        (&json["objects"], &json["detail"]["objects"]),
        (&43.into(), &40.into())
    );
    assert_eq!(json["state"], "finished");
}

fn prefixes_are_whole_components(repository: &Repository, store: &dyn ObjectStore) {
    let neighbour = BackupName::parse("prod-full-2").unwrap();
    put_raw(store, "prod-full-2/x.00000000000000000000", b"x");
    put_raw(store, "prod-full.md5", b"x");
    let name = BackupName::parse("prod-full").unwrap();
    assert!(matches!(
        repository.manifest(&name),
        Err(StoreError::Backup(BackupFault::NotFound { .. }))
    ));
    assert!(matches!(
        repository.manifest(&neighbour),
        Err(StoreError::Backup(BackupFault::NotFinished { .. }))
    ));
    let error = repository.begin(&neighbour, 1).unwrap_err();
    assert!(error.to_string().contains("prod-full-2/x.000"), "{error}");
    let upload = repository.begin(&name, 1).unwrap();
    upload.abort().unwrap();
    let left = keys(store);
    assert!(
        left.iter()
            .any(|k| k == "prod-full-2/x.00000000000000000000")
    );
    assert!(
        !left.iter().any(|k| k.starts_with("prod-full/")),
        "{left:?}"
    );
}

fn nothing_is_overwritten(repository: &Repository, store: &dyn ObjectStore) {
    let name = full_name(10);
    let first = repository.begin(&name, 2).unwrap();
    assert!(matches!(
        repository.begin(&name, 2),
        Err(StoreError::Upload(UploadFault::Exists { .. }))
    ));
    let key = format!("{name}/a.00000000000000000000");
    put_raw(store, &key, b"somebody else's");
    first.put("a", 0, 0, object("a", 0, b"mine", true)).unwrap();
    let error = first.finish_file("a").unwrap_err();
    assert!(
        matches!(&error, StoreError::ObjectExists { key: found } if *found == key),
        "{error}"
    );
    first.abort().unwrap();
    assert_eq!(get_raw(store, &key), "somebody else's");
    remove_raw(store, &key);
}

fn many_threads(repository: &Repository) {
    let name = full_name(20);
    let upload = repository.begin(&name, 5).unwrap();
    let files: Vec<FileEntry> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|t| {
                let upload = upload.clone();
                scope.spawn(move || put_file(&upload, &format!("db/t{t}.ibd"), 20).unwrap())
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    upload.finish(&manifest(&name, None, 5000, files)).unwrap();
    let read = repository.manifest(&name).unwrap();
    assert_eq!(read.objects(), 16 * 20);
    std::thread::scope(|scope| {
        for file in &read.files {
            let name = &name;
            scope.spawn(move || {
                for entry in &file.objects {
                    repository
                        .fetch(name, file.path.as_stored(), entry)
                        .unwrap();
                }
            });
        }
    });
}

fn an_abort_removes_only_its_own_objects(repository: &Repository, store: &dyn ObjectStore) {
    let before = keys(store);
    let name = full_name(30);
    let upload = repository.begin(&name, 4).unwrap();
    put_file(&upload, "db/done.ibd", 3).unwrap();
    for index in [0, 7] {
        upload
            .put(
                "db/open.ibd",
                index,
                0,
                object("db/open.ibd", 0, b"x", false),
            )
            .unwrap();
    }
    let foreign = format!("{name}/db/foreign.ibd.00000000000000000000");
    put_raw(store, &foreign, b"x");
    upload.clone().abort().unwrap();
    let mut expected = before;
    expected.push(foreign.clone());
    expected.sort();
    assert_eq!(keys(store), expected);
    assert!(matches!(
        upload.put("b", 0, 0, object("b", 0, b"x", true)),
        Err(StoreError::Upload(UploadFault::Aborted { .. }))
    ));
    remove_raw(store, &foreign);
}

#[test]
fn in_memory_store_conforms() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    conformance(&store);
}

#[test]
fn directory_store_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let local = LocalFileSystem::new_with_prefix(dir.path()).unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(local.with_fsync(true).with_automatic_cleanup(true));
    conformance(&store);
}
