//! The marker of a repository, and nested repositories.

use crate::manifest::BackupName;
use crate::store::error::backup::BackupFault;
use crate::store::error::deletion::DeletionFault;
use crate::store::error::open::OpenFault;
use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;

use super::deletes::options;
use super::faults::Faulty;
use super::*;
use crate::progress::Silent;
use crate::store;
use crate::store::deletion::retention::Policy;

fn delete(repository: &Repository, name: &BackupName) -> Result<(), StoreError> {
    store::delete(repository, name, &options(true), &Silent).map(drop)
}

fn prune(repository: &Repository) -> Result<store::PruneReport, StoreError> {
    let policy = Policy {
        keep_full: Some(1),
        ..Policy::default()
    };
    store::prune(
        repository,
        &policy,
        &options(false),
        at(99_999_999),
        &Silent,
    )
}

fn within(store: &Arc<InMemory>, prefix: &str) -> Repository {
    let store = PrefixStore::new(Arc::clone(store), prefix);
    Repository::over("memory:", Arc::new(store)).unwrap()
}

fn names(repository: &Repository) -> Vec<String> {
    let listed = repository.list().unwrap().into_iter();
    listed.map(|l| l.name.to_string()).collect()
}

#[test]
fn the_first_backup_creates_the_marker_and_later_ones_keep_it() {
    let (repository, store) = memory();
    assert_eq!(repository.marker().unwrap(), None);
    let full = backup(&repository, &full_name(0), None, 10);
    let marker = repository.marker().unwrap().unwrap();
    assert_eq!(
        (marker.format, marker.encrypted_only),
        (REPOSITORY_FORMAT, false)
    );
    backup(&repository, &incr_name(&full.name, 5), Some(&full), 20);
    assert_eq!(repository.marker().unwrap().unwrap(), marker);
    assert_eq!(repository.list().unwrap().len(), 2);
    // a repository of an earlier lsnap, or one whose marker was lost
    remove_raw(&*store, MARKER);
    assert_eq!(repository.list().unwrap().len(), 2);
    backup(&repository, &full_name(99), None, 30);
    let anew = repository.marker().unwrap().unwrap();
    assert_ne!(anew.id, marker.id);
}

#[test]
fn two_concurrent_first_backups_use_the_same_marker() {
    for _ in 0..20 {
        let (repository, _) = memory();
        let mut ids: Vec<String> = std::thread::scope(|scope| {
            let one = || repository.mark(false).unwrap().id;
            let both = [scope.spawn(one), scope.spawn(one)];
            both.map(|b| b.join().unwrap()).to_vec()
        });
        ids.dedup();
        assert_eq!(ids.len(), 1);
    }
}

#[test]
fn a_newer_format_is_refused_by_everything() {
    let (first, store) = memory();
    let full = backup(&first, &full_name(0), None, 10);
    remove_raw(&*store, MARKER);
    put_raw(&*store, MARKER, br#"{"format":2,"whatever":[]}"#);
    let before = keys(&*store);
    let repository = || Repository::over("memory:", store.clone()).unwrap();
    let errors = [
        repository().list().unwrap_err(),
        repository().manifest(&full.name).unwrap_err(),
        repository().begin(&full_name(5), 1).unwrap_err(),
        repository()
            .bucket()
            .each(full.name.as_str(), |_, _| true)
            .unwrap_err(),
        delete(&repository(), &full.name).unwrap_err(),
        prune(&repository()).unwrap_err(),
    ];
    for error in errors {
        assert!(
            matches!(
                error,
                StoreError::Open(OpenFault::NewerRepository { found: 2, .. })
            ),
            "{error}"
        );
    }
    assert_eq!(keys(&*store), before);
}

#[test]
fn a_damaged_marker_does_not_prevent_reads() {
    let (first, store) = memory();
    let full = backup(&first, &full_name(0), None, 10);
    remove_raw(&*store, MARKER);
    put_raw(&*store, MARKER, b"{\"form");
    let repository = Repository::over("memory:", store.clone()).unwrap();
    assert_eq!(repository.list().unwrap().len(), 1);
    repository.manifest(&full.name).unwrap();
    for error in [
        repository.begin(&full_name(5), 1).unwrap_err(),
        delete(&repository, &full.name).unwrap_err(),
        prune(&repository).unwrap_err(),
    ] {
        assert!(
            matches!(error, StoreError::Open(OpenFault::BadMarker { .. })),
            "{error}"
        );
    }
}

#[test]
fn without_permission_for_the_marker_backups_continue() {
    let (_, memory) = memory();
    let faulty = Faulty::new(memory);
    faulty.set(|f| f.deny = Some(MARKER.to_owned()));
    let repository = Repository::over("faulty:", faulty.clone()).unwrap();
    let full = backup(&repository, &full_name(0), None, 10);
    assert_eq!(repository.list().unwrap().len(), 1);
    repository.manifest(&full.name).unwrap();
}

#[test]
fn encrypted_only_can_not_be_disabled() {
    let (repository, store) = memory();
    assert!(!repository.is_encrypted_only().unwrap());
    assert!(repository.mark(true).unwrap().encrypted_only);
    assert!(repository.mark(false).unwrap().encrypted_only);
    // a repository that exists already
    let (repository, _) = (within(&store, "p"), ());
    assert!(!repository.mark(false).unwrap().encrypted_only);
    assert!(repository.require_encryption().unwrap().encrypted_only);
    assert!(repository.marker().unwrap().unwrap().encrypted_only);
    remove_raw(&*store, &format!("p/{MARKER}"));
    assert!(repository.is_encrypted_only().unwrap());
    assert!(repository.mark(false).unwrap().encrypted_only);
}

#[test]
fn a_nested_repository_is_not_a_backup() {
    for marked in [true, false] {
        let (outer, store) = memory();
        let own = backup(&outer, &full_name(0), None, 10);
        let mut inner = Vec::new();
        // one of them has the name of a chain directory
        for place in ["prod", "deep/er", "x.incr"] {
            let repository = within(&store, place);
            let full = backup(&repository, &full_name(5), None, 10);
            backup(&repository, &incr_name(&full.name, 6), Some(&full), 20);
            if !marked {
                remove_raw(&*store, &format!("{place}/{MARKER}"));
            }
            inner.push(repository);
        }
        super::deletes::foreign(&*store, "theirs/a", 0, 10);
        let before = keys(&*store);
        let listed = names(&outer);
        let unexpected: Vec<_> = listed
            .iter()
            .filter(|name| **name != own.name.as_str() && !name.starts_with("x.incr/"))
            .collect();
        assert!(unexpected.is_empty(), "{unexpected:?}");
        assert_eq!(marked, listed.len() == 1, "{listed:?}");
        let mut to_delete: Vec<BackupName> = ["prod", "deep", "theirs", "x"]
            .map(|name| BackupName::parse(name).unwrap())
            .to_vec();
        // a nested repository of an earlier lsnap is listed as damaged, and stays
        to_delete.extend(
            listed[1..]
                .iter()
                .map(|name| BackupName::parse(name).unwrap()),
        );
        for name in &to_delete {
            let error = delete(&outer, name).unwrap_err();
            assert!(
                matches!(
                    error,
                    StoreError::Backup(BackupFault::NotFound { .. })
                        | StoreError::Deletion(DeletionFault::Unexplained { .. })
                ),
                "{error}"
            );
        }
        assert!(prune(&outer).unwrap().deleted.is_empty());
        assert_eq!(keys(&*store), before);
        for repository in &inner {
            assert_eq!(repository.list().unwrap().len(), 2);
        }
    }
}

#[test]
fn a_repository_can_not_be_created_in_a_backup() {
    let (outer, store) = memory();
    let full = backup(&outer, &full_name(0), None, 10);
    let inside = within(&store, full.name.as_str());
    let error = inside.begin(&full_name(5), 1).unwrap_err();
    assert!(error.to_string().contains("it is a backup"), "{error}");
    assert_eq!(outer.list().unwrap().len(), 1);
    // an earlier lsnap did so
    put_raw(
        &*store,
        &format!("{}/a-full/lsnap_manifest.json.{:020}", full.name, 0),
        b"x",
    );
    let before = keys(&*store);
    assert!(matches!(
        outer.list().unwrap()[0].state,
        ListedState::Damaged { .. }
    ));
    let error = delete(&outer, &full.name).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Deletion(DeletionFault::Unexplained { .. })
        ),
        "{error}"
    );
    assert_eq!(keys(&*store), before);
}

#[test]
fn other_objects_are_not_deleted_with_a_backup() {
    let (repository, store) = memory();
    let full = backup(&repository, &full_name(0), None, 10);
    let note = format!("{}/db/README", full.name);
    put_raw(&*store, &note, b"mine");
    let before = keys(&*store);
    let error = delete(&repository, &full.name).unwrap_err();
    assert!(error.to_string().contains(&note), "{error}");
    assert_eq!(keys(&*store), before);
    remove_raw(&*store, &note);
    delete(&repository, &full.name).unwrap();
    assert_eq!(keys(&*store), Vec::<String>::new());
}

#[test]
fn directory_markers_are_ignored() {
    let (_, memory) = memory();
    let faulty = Faulty::new(memory.clone());
    let repository = Repository::over("faulty:", faulty.clone()).unwrap();
    let full = backup(&repository, &full_name(0), None, 10);
    let incr = backup(&repository, &incr_name(&full.name, 5), Some(&full), 20);
    let last = backup(&repository, &full_name(99), None, 30);
    let markers = [
        format!("{}/folder", full.name),
        format!("{}/folder/folder", incr.name),
        format!("{}.incr/folder", full.name),
        "folder".to_owned(),
    ];
    for key in &markers {
        put_raw(&*memory, key, b"");
    }
    assert_eq!(repository.list().unwrap().len(), 3);
    assert!(repository.list().unwrap().iter().all(Listed::is_whole));
    // a store that has them with a slash doesn't remove them
    faulty.set(|f| f.keep = Some("folder".to_owned()));
    let report = prune(&repository).unwrap();
    assert_eq!(report.failed, []);
    assert_eq!(report.deleted.len(), 2);
    assert_eq!(names(&repository), [last.name.as_str()]);
    let left: Vec<_> = keys(&*memory)
        .into_iter()
        .filter(|k| !k.starts_with(last.name.as_str()))
        .collect();
    let mut expected = markers.to_vec();
    expected.sort();
    assert_eq!(left, expected);
    // the names can be used again
    backup(&repository, &full.name, None, 40);
    // a store that can remove them does
    faulty.set(|f| f.keep = None);
    delete(&repository, &full.name).unwrap();
    assert!(!keys(&*memory).contains(&markers[0]));
}

#[test]
fn a_chain_that_cannot_be_deleted_does_not_prevent_other_deletions() {
    let (_, memory) = memory();
    let faulty = Faulty::new(memory.clone());
    let repository = Repository::over("faulty:", faulty.clone()).unwrap();
    for n in 0..4 {
        backup(&repository, &full_name(n * 10), None, 10 * (n as u64 + 1));
    }
    put_raw(&*memory, &format!("{}/README", full_name(0)), b"mine");
    let kept = format!("{}/db/t.ibd.{:020}", full_name(10), 1);
    faulty.set(|f| f.keep = Some(kept));
    let report = prune(&repository).unwrap();
    let failed: Vec<_> = report.failed.iter().map(|f| f.name.clone()).collect();
    assert_eq!(failed, [full_name(0), full_name(10)]);
    let deleted: Vec<_> = report.deleted.iter().map(|d| d.name.clone()).collect();
    assert_eq!(deleted, [full_name(20)]);
    assert!(names(&repository).contains(&full_name(0).to_string()));
}
