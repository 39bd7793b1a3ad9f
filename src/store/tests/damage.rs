//! Changed bytes, missing objects, and objects that don't belong to lsnap.

use crate::manifest::{
    BackupName, FileEntry, FileRole, MANIFEST, ObjectEntry, PACKED_FORMAT, SpaceFile, StoredPath,
};
use crate::store::error::backup::BackupFault;
use std::sync::Arc;

use object_store::memory::InMemory;
use proptest::prelude::*;

use super::faults::Faulty;
use super::*;

#[test]
fn a_flipped_byte_in_an_object_names_it_with_both_digests() {
    let store = Faulty::new(Arc::new(InMemory::new()));
    let repository = Repository::over("test:", store.clone()).unwrap();
    let name = full_name(0);
    let manifest = backup(&repository, &name, None, 10);
    let entry = &manifest.files[0].objects[1];
    store.set(|f| f.flip = Some("t.ibd".to_owned()));
    let error = repository.fetch(&name, "db/t.ibd", entry).unwrap_err();
    let text = error.to_string();
    assert!(
        error.is_damage() && text.contains(&format!("{name}/db/t.ibd.00000000000000000001")),
        "{text}"
    );
    assert!(
        text.contains(&format!("expected {}", entry.digest_text()))
            && text.matches("blake3:").count() == 2,
        "{text}"
    );
}

#[test]
fn changed_lengths_and_missing_objects_are_reported() {
    let (repository, store) = memory();
    let name = full_name(0);
    let manifest = backup(&repository, &name, None, 10);
    let entry = &manifest.files[0].objects[1];
    let key = format!("{name}/db/t.ibd.00000000000000000001");
    put_raw(&*store, &key, b"short");
    let error = repository
        .fetch(&name, "db/t.ibd", entry)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("length found 5, expected") && error.contains(&key),
        "{error}"
    );
    remove_raw(&*store, &key);
    let error = repository.fetch(&name, "db/t.ibd", entry).unwrap_err();
    assert!(
        matches!(&error, StoreError::Missing { object, .. } if *object == key),
        "{error}"
    );
    let listed = repository.list().unwrap();
    assert!(
        matches!(&listed[0].state, ListedState::Damaged { reason } if reason.contains("objects are missing")),
        "{:?}",
        listed[0].state
    );
}

#[test]
fn a_flipped_byte_anywhere_in_the_manifest_is_refused() {
    let (repository, store) = memory();
    let name = full_name(0);
    backup(&repository, &name, None, 10);
    let key = format!("{name}/lsnap_manifest.json.00000000000000000000");
    let good = get_raw(&*store, &key);
    for byte in 0..good.len() {
        let mut bad = good.to_vec();
        bad[byte] ^= 1 << (byte % 8);
        put_raw(&*store, &key, &bad);
        let error = repository.manifest(&name).unwrap_err();
        assert!(
            matches!(&error, StoreError::Damaged { object, .. } if *object == key),
            "{byte}: {error}"
        );
        assert!(repository.chain_of(&name).is_err());
    }
    put_raw(&*store, &key, &good);
    repository.manifest(&name).unwrap();
}

#[test]
fn a_damaged_or_missing_summary_is_handled() {
    let (repository, store) = memory();
    let name = full_name(0);
    backup(&repository, &name, None, 10);
    let key = format!("{name}/lsnap_summary.json.00000000000000000000");
    let mut bytes = get_raw(&*store, &key).to_vec();
    bytes[100] ^= 1;
    put_raw(&*store, &key, &bytes);
    assert!(matches!(
        repository.list().unwrap()[0].state,
        ListedState::Damaged { .. }
    ));
    remove_raw(&*store, &key);
    let listed = repository.list().unwrap();
    assert_eq!(
        listed[0].finished().map(|s| s.objects),
        Some(5),
        "made from the manifest"
    );
}

/// Puts a document as lsnap does, with a valid digest.
fn put_document(store: &InMemory, name: &BackupName, value: &serde_json::Value) {
    let sealed = crate::manifest::document::seal(name, MANIFEST, value).unwrap();
    put_raw(
        store,
        &format!("{name}/{MANIFEST}.00000000000000000000"),
        &sealed.parts.concat(),
    );
}

fn manifest_json(name: &BackupName, files: Vec<FileEntry>) -> serde_json::Value {
    serde_json::to_value(manifest(name, None, 10, files)).unwrap()
}

#[test]
fn formats_and_renames_are_checked_and_unknown_fields_ignored() {
    let (repository, store) = memory();
    let name = full_name(0);
    let mut json = manifest_json(&name, vec![]);
    json["from_the_future"] = serde_json::json!({"x": 1});
    put_document(&store, &name, &json);
    repository.manifest(&name).unwrap();

    json["format"] = (PACKED_FORMAT + 1).into();
    json["files"] = "not even a list".into();
    put_document(&store, &name, &json);
    let error = repository.manifest(&name).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::UnknownFormat {
                found: 3,
                expected: PACKED_FORMAT,
                ..
            }
        ),
        "{error}"
    );

    let other = full_name(1);
    put_document(&store, &other, &manifest_json(&name, vec![]));
    let error = repository.manifest(&other).unwrap_err().to_string();
    assert!(error.contains("renamed or copied"), "{error}");
}

#[test]
fn a_manifest_with_paths_outside_is_refused() {
    let (repository, store) = memory();
    let name = full_name(0);
    for path in ["../../etc/passwd", "/etc/passwd", "a/../../b", "a\u{0}b"] {
        let space = SpaceFile {
            name: path.to_owned(),
            space_id: crate::innodb::SpaceId(5),
            node: 0,
            flags: crate::innodb::SpaceFlags(0x4021),
            page_size: PageSize::DEFAULT,
            bytes: 1 << 20,
            undo: false,
            encrypted: false,
            external: None,
            tablespace_name: None,
            floor: None,
            allocated: None,
        };
        let entry = |path: &str, role| FileEntry {
            wrapping: None,
            path: StoredPath::new(path),
            role,
            bytes: 0,
            objects: vec![ObjectEntry {
                at: None,
                pack: None,
                index: 0,
                offset: 0,
                bytes: 20,
                digest: Some(blake3::Hash::from([0xaa; 32]).into()),
            }],
        };
        let good = entry(
            "db/t.ibd",
            FileRole::Tablespace(SpaceFile {
                name: "db/t.ibd".to_owned(),
                ..space.clone()
            }),
        );
        put_document(&store, &name, &manifest_json(&name, vec![good.clone()]));
        assert_eq!(
            repository.manifest(&name).unwrap().files,
            vec![good],
            "a tablespace round-trips"
        );
        for bad in [
            entry(path, FileRole::Plain),
            entry("db/t.ibd", FileRole::Delta(space.clone())),
        ] {
            put_document(&store, &name, &manifest_json(&name, vec![bad]));
            let error = repository.manifest(&name).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        }
    }
}

#[test]
fn other_directories_are_classified() {
    let (repository, store) = memory();
    backup(&repository, &full_name(0), None, 10);
    let zeros = "00000000000000000000";
    for key in [
        "readme.txt".to_owned(),
        format!("loose.{zeros}"),
        "photos/2026/cat.jpg".to_owned(),
        format!("photos.incr/loose.{zeros}"),
        "lost+found/x".to_owned(),
        format!(".snapshot/prod-full/xtrabackup_info.{zeros}"),
        format!("{}.md5", full_name(0)),
        format!("xb-full/xtrabackup_info.zst.{zeros}"),
        format!("xb-full/xtrabackup_tablespaces.zst.{zeros}"),
        format!("xb-full.incr/b-incr/xtrabackup_checkpoints.{zeros}"),
        format!("half-full/ibdata1.{zeros}"),
    ] {
        put_raw(&*store, &key, b"x");
    }
    drop(repository.begin(&full_name(50), 1).unwrap());
    let upload = repository.begin(&full_name(60), 1).unwrap();
    put_file(&upload, "xtrabackup_info", 1).unwrap();
    put_file(&upload, "xtrabackup_tablespaces", 1).unwrap();
    let states: Vec<_> = repository
        .list()
        .unwrap()
        .into_iter()
        .map(|l| {
            let state = match l.state {
                ListedState::Finished(_) => "finished",
                ListedState::BaseMissing(_) => "base missing",
                ListedState::Stream { .. } => "stream",
                ListedState::Unfinished => "unfinished",
                ListedState::Deleting => "deleting",
                ListedState::Foreign { finished: true } => "xtrabackup's",
                ListedState::Foreign { finished: false } => "xtrabackup's, unfinished",
                ListedState::Damaged { .. } => "damaged",
            };
            (l.name.to_string(), state)
        })
        .collect();
    assert_eq!(
        states,
        [
            ("half-full".to_owned(), "unfinished"),
            (full_name(0).to_string(), "finished"),
            (full_name(50).to_string(), "unfinished"),
            // it has every file of xtrabackup, but lsnap made it and did not finish
            (full_name(60).to_string(), "unfinished"),
            ("xb-full".to_owned(), "xtrabackup's"),
            ("xb-full.incr/b-incr".to_owned(), "xtrabackup's, unfinished"),
        ]
    );
    let foreign = BackupName::parse("xb-full").unwrap();
    assert!(matches!(
        repository.manifest(&foreign),
        Err(StoreError::Backup(BackupFault::Foreign { .. }))
    ));
}

#[test]
fn an_interrupted_listing_is_an_error() {
    let store = Faulty::new(Arc::new(InMemory::new()));
    let repository = Repository::over("test:", store.clone()).unwrap();
    let name = full_name(0);
    backup(&repository, &name, None, 10);
    let upload = repository.begin(&full_name(5), 1).unwrap();
    let file = put_file(&upload, "a", 2).unwrap();
    for count in 0..3 {
        store.set(|f| f.cut_listing = Some(count));
        assert!(
            repository
                .list()
                .unwrap_err()
                .to_string()
                .contains("broke off")
        );
        assert!(repository.next_base(SERVER, None, None).is_err());
    }
    let written = manifest(&full_name(5), None, 10, vec![file]);
    assert!(
        upload
            .finish(&written)
            .unwrap_err()
            .to_string()
            .contains("broke off")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_mutated_manifest_is_refused_without_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..5)
    ) {
        let (repository, store) = memory();
        let name = full_name(0);
        backup(&repository, &name, None, 10);
        let key = format!("{name}/lsnap_manifest.json.00000000000000000000");
        let good = get_raw(&*store, &key);
        let mut bad = good.to_vec();
        for (at, byte, kind) in edits {
            let at = at.index(bad.len());
            match kind {
                0 => bad[at] = byte,
                1 => bad.insert(at, byte),
                _ => drop(bad.remove(at)),
            }
        }
        put_raw(&*store, &key, &bad);
        prop_assert_eq!(repository.manifest(&name).is_ok(), bad == good);
    }

    #[test]
    fn any_json_with_a_valid_digest_is_read_without_panic(field in "[a-z_]{1,12}", number in any::<i64>(), path in any::<String>()) {
        let (repository, store) = memory();
        let name = full_name(0);
        let mut json = manifest_json(&name, vec![]);
        json[field.as_str()] = number.into();
        json["files"] = serde_json::json!([{"path": path, "role": {"role": "plain"}, "bytes": number, "objects": []}]);
        put_document(&store, &name, &json);
        prop_assert!(repository.manifest(&name).is_err(), "a file without objects");
    }
}
