//! Copies between directories and stores in memory, with failures at every request.

mod broken;
mod conflicts;
mod keys;

use super::{CopyError, CopyOptions, CopyReport, CopyWhich, copy};
use crate::manifest::{BackupName, Manifest, split_object_name};
use crate::progress::Silent;
use crate::reader::fixture::{Space, World, files_below, start_of, system};
use crate::store::tests::{
    at, backup, backup_with, entered, full_name, get_raw, incr_name, keys, memory,
};
use crate::store::{DeletionFault, LatestOf, Policy, Repository, StoreError};
use crate::verify::{Level, VerifyOptions, Which, verify};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Returns an empty target in memory.
fn target() -> (Repository, Arc<InMemory>) {
    let store = Arc::new(InMemory::new());
    let repository = Repository::over("target", store.clone()).unwrap();
    (repository, store)
}

fn all(from: &Repository, to: &Repository) -> CopyReport {
    copy(from, to, CopyWhich::All, &CopyOptions::default(), &Silent).unwrap()
}

fn names(report: &CopyReport) -> Vec<BackupName> {
    report.copied.iter().map(|one| one.name.clone()).collect()
}

/// A full backup and an incremental, which is in the ledger of its chain.
fn chain(repository: &Repository) -> [Manifest; 2] {
    let full = backup(repository, &full_name(0), None, 100);
    let member = entered(repository, &incr_name(&full.name, 10), &full, 200);
    [full, member]
}

/// Returns the objects of a store that a copy must have too: all except claims, ledgers, records of
/// readers and the marker.
fn objects(store: &dyn ObjectStore) -> BTreeMap<String, Vec<u8>> {
    let of_backup = |key: &String| {
        let file = key.rsplit('/').next().unwrap();
        let path = split_object_name(file).map(|(path, _)| path);
        path.is_some_and(|path| path != "lsnap_upload.json") && !key.contains(".lsnap/")
    };
    let keys = keys(store).into_iter().filter(of_backup);
    keys.map(|key| (key.clone(), get_raw(store, &key).to_vec()))
        .collect()
}

/// Packs, names that a directory shortens, and a chain of three.
fn world() -> World {
    let mut world = World::new();
    world.packs = 0b011;
    let long = format!("db/{}.sdi", "x".repeat(240));
    world.plain.push((long, "long".to_owned()));
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 40, 50));
    for id in 8..11 {
        spaces.push(Space::new(id, &format!("db/small{id}.ibd"), 4, 50));
    }
    for number in 0..3 {
        world.backup(&spaces);
        spaces[2].write(5 + number, start_of(number) + 1, 2);
    }
    world
}

#[test]
fn a_copy_has_every_byte() {
    let world = world();
    let (middle, _) = target();
    let dir = tempfile::tempdir().unwrap();
    let last = Repository::open(dir.path().join("there").to_str().unwrap()).unwrap();
    let wanted: Vec<BackupName> = world.chain.iter().map(|m| m.name.clone()).collect();
    // as a chain, base before member
    let tip = wanted[2].as_str();
    let options = CopyOptions::default();
    let report = copy(
        &world.repo,
        &middle,
        CopyWhich::Named(tip),
        &options,
        &Silent,
    )
    .unwrap();
    assert_eq!(names(&report), wanted);
    for one in &report.copied {
        assert_eq!(
            (one.objects, one.stored_bytes),
            (one.sent_objects, one.sent_bytes)
        );
        assert!(one.objects > 5, "{report:?}");
    }
    assert_eq!(names(&all(&middle, &last)), wanted);
    let of_backups = |root: &std::path::Path| {
        let mut files = files_below(root);
        files.retain(|path, _| {
            !path.starts_with("lsnap_repository")
                && !path.contains(".lsnap/")
                && !path.contains("lsnap_upload.json")
        });
        files
    };
    assert!(
        of_backups(&world.dir.path().join("repo")) == of_backups(&dir.path().join("there")),
        "the copy of the copy differs"
    );
    let options = VerifyOptions {
        level: Level::Data,
        ..VerifyOptions::default()
    };
    let report = verify(&last, Which::All, &options, &Silent).unwrap();
    assert_eq!(report.problems().collect::<Vec<_>>(), [] as [&_; 0]);
    assert_eq!(report.members.len(), 3);
    // the next incremental continues the copied chain
    let next = last.next_base(crate::reader::fixture::UUID, Some("c"), None);
    assert_eq!(next.unwrap().base.name, wanted[2]);
    let again = all(&world.repo, &last);
    assert_eq!((names(&again), again.present), (Vec::new(), wanted));
}

#[test]
fn a_dry_run_writes_nothing() {
    let (from, _) = memory();
    let made = chain(&from).map(|m| m.name);
    let dir = tempfile::tempdir().unwrap();
    let to = Repository::open(dir.path().join("new").to_str().unwrap()).unwrap();
    let options = CopyOptions {
        dry_run: true,
        ..CopyOptions::default()
    };
    let report = copy(&from, &to, CopyWhich::All, &options, &Silent).unwrap();
    assert_eq!(names(&report), made);
    assert!(report.copied.iter().all(|one| one.sent_objects == 0));
    assert!(!dir.path().join("new").exists());
}

#[test]
fn the_backups_of_the_cluster_or_of_the_policy() {
    let (from, _) = memory();
    for (cluster, second) in [("a", 0), ("a", 100), ("b", 50)] {
        let name = BackupName::full(cluster, at(second)).unwrap();
        backup_with(&from, &name, None, 100, |m| {
            (m.started_at, m.finished_at) = (at(second), at(second + 1));
            m.server.uuid = cluster.to_owned();
            m.server.redo_log_uuid = cluster.bytes().map(u32::from).sum();
            m.lsn.last_lsn.0 += u64::try_from(second).unwrap();
        });
    }
    let unfinished = BackupName::full("a", at(200)).unwrap();
    from.begin(&unfinished, 4).unwrap();
    let of = |cluster: Option<&str>| {
        let cluster = cluster.map(str::to_owned);
        let before = None;
        from.clone().with_latest(LatestOf { cluster, before })
    };
    let copied = |from: &Repository, which: CopyWhich<'_>| {
        let (to, _) = target();
        let report = copy(from, &to, which, &CopyOptions::default(), &Silent)?;
        let mut names = names(&report);
        names.sort();
        assert!(report.failed.is_empty(), "{report:?}");
        Ok::<_, CopyError>(
            names
                .iter()
                .map(|n| n.to_string()[..1].to_owned())
                .collect::<String>(),
        )
    };
    assert_eq!(copied(&of(None), CopyWhich::All).unwrap(), "aab");
    assert_eq!(copied(&of(Some("a")), CopyWhich::All).unwrap(), "aa");
    let newest = Policy {
        keep_full: Some(1),
        ..Policy::default()
    };
    assert_eq!(copied(&of(None), CopyWhich::Kept(&newest)).unwrap(), "ab");
    assert_eq!(
        copied(&of(Some("a")), CopyWhich::Kept(&newest)).unwrap(),
        "a"
    );
    assert!(copied(&of(None), CopyWhich::Kept(&Policy::default())).is_err());
    let error = copied(&of(None), CopyWhich::Named("latest")).unwrap_err();
    assert!(error.to_string().contains("a or b"), "{error}");
    assert_eq!(
        copied(&of(Some("b")), CopyWhich::Named("latest")).unwrap(),
        "b"
    );
}

#[test]
fn pins_are_copied_on_request_only() {
    let (from, _) = memory();
    let [full, member] = chain(&from);
    from.pin(&member.name).unwrap();
    let (to, _) = target();
    all(&from, &to);
    assert!(!to.is_pinned(&full.name).unwrap());
    let options = CopyOptions {
        with_pins: true,
        ..CopyOptions::default()
    };
    let report = copy(&from, &to, CopyWhich::All, &options, &Silent).unwrap();
    assert_eq!(report.pinned, std::slice::from_ref(&full.name));
    assert!(to.is_pinned(&full.name).unwrap());
}
