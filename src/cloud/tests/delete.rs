//! Deletion: the objects that are removed, their order, and the objects that stay.

use super::*;
use crate::store::BackupFault;
use crate::store::DeletionFault;
use crate::store::StoreError;
use crate::store::tests::{backup, full_name, incr_name};

fn delete_it(repository: &Repository, which: &str) -> Result<DeleteReport, CloudError> {
    delete(repository, &name(which), &DeleteOptions::default(), &Silent)
}

#[test]
fn everything_under_the_name_and_nothing_else() {
    let (repository, _, store) = faulty();
    put_bytes(&repository, "prod-full", &small(), |o| o.md5 = true).unwrap();
    let neighbours = [
        key("prod-full-2", "a", 0),
        key("prod-ful", "a", 0),
        key("prod", "b", 0),
    ];
    for key in &neighbours {
        put_raw(&*store, key, b"x");
    }
    put_raw(&*store, "prod-full/of no backup", b"x");
    let report = delete_it(&repository, "prod-full").unwrap();
    // the digests too: with them the name could not be used again
    assert_eq!(report.objects, 9);
    let mut expected = neighbours.to_vec();
    expected.sort();
    assert_eq!(keys(&*store), expected);
    for gone in ["prod-full", "prod-", "prod-full-"] {
        let error = delete_it(&repository, gone).unwrap_err();
        assert!(
            matches!(
                error,
                CloudError::Store(StoreError::Backup(BackupFault::NotFound { .. }))
            ),
            "{error}"
        );
    }
}

#[test]
fn a_backup_that_others_depend_on_stays() {
    let (repository, _, store) = faulty();
    let full = backup(&repository, &full_name(0), None, 10);
    let first = backup(&repository, &incr_name(&full.name, 5), Some(&full), 20);
    let second = backup(&repository, &incr_name(&full.name, 9), Some(&first), 30);
    let before = keys(&*store);
    for (which, needed_by) in [(&full, first.name.as_str()), (&first, second.name.as_str())] {
        let error = delete_it(&repository, which.name.as_str()).unwrap_err();
        assert!(
            matches!(&error, CloudError::Needed { needed_by: n, .. } if n.starts_with(needed_by)),
            "{error}"
        );
        assert_eq!(keys(&*store), before);
    }
    for which in [second, first, full] {
        delete_it(&repository, which.name.as_str()).unwrap();
    }
    assert_eq!(keys(&*store), Vec::<String>::new());
}

#[test]
fn an_interrupted_deletion_leaves_no_backup_that_looks_finished() {
    let (repository, store, inner) = faulty();
    let full = backup(&repository, &full_name(0), None, 10);
    let own = full.name.as_str();
    put_bytes(&repository, "b", &small(), |_| {}).unwrap();
    for (which, kept) in [("b", key("b", "empty", 0)), (own, key(own, "db/t.ibd", 1))] {
        store.set(|f| f.keep = Some(kept.clone()));
        let error = delete_it(&repository, which).unwrap_err();
        let CloudError::Store(StoreError::NotDeleted { left, reason, .. }) = &error else {
            panic!("{error}");
        };
        assert_eq!(left.as_slice(), std::slice::from_ref(&kept));
        assert!(reason.contains("injected: not removed"), "{reason}");
        let there: Vec<String> = keys(&*inner);
        assert!(there.contains(&kept));
        let marks = |k: &&String| k.contains("tablespaces") || k.contains(MANIFEST);
        assert_eq!(
            there.iter().filter(|k| k.starts_with(which)).find(marks),
            None
        );
        let (_, got) = get_bytes(&repository, which, |_| {});
        assert!(matches!(got, Err(CloudError::Unfinished { .. })));
        // the claim identifies the owner of the leftovers
        assert_eq!(
            there.contains(&key(which, "lsnap_upload.json", 0)),
            which == own
        );
        store.set(|f| f.keep = None);
        delete_it(&repository, which).unwrap();
    }
    assert_eq!(keys(&*inner), Vec::<String>::new());
}

#[test]
fn if_a_marking_file_can_not_be_removed_the_rest_stays() {
    let (repository, store, inner) = faulty();
    put_bytes(&repository, "b", &small(), |_| {}).unwrap();
    let before = keys(&*inner);
    store.set(|f| f.keep = Some("xtrabackup_tablespaces".to_owned()));
    delete_it(&repository, "b").unwrap_err();
    let note = key("b", "lsnap_deleting.json", 0);
    let left: Vec<_> = keys(&*inner).into_iter().filter(|k| *k != note).collect();
    assert_eq!(left, before);
}

#[test]
fn a_backup_that_is_being_read_stays() {
    let (repository, _, store) = faulty();
    put_bytes(&repository, "b", &small(), |_| {}).unwrap();
    let before = keys(&*store);
    let names = [name("b")];
    let reading = repository.announce_reading_some("cloud get", &names, &|_| false);
    let error = delete_it(&repository, "b").unwrap_err();
    assert!(
        matches!(
            error,
            CloudError::Store(StoreError::Deletion(DeletionFault::BeingRead { .. }))
        ),
        "{error}"
    );
    drop(reading.unwrap());
    assert_eq!(keys(&*store), before);
    delete_it(&repository, "b").unwrap();
}

#[test]
fn an_interrupted_listing_is_an_error() {
    let (repository, store, _) = faulty();
    put_bytes(&repository, "b", &small(), |_| {}).unwrap();
    store.set(|f| f.cut_listing = Some(3));
    assert!(delete_it(&repository, "b").is_err());
    let (out, got) = get_bytes(&repository, "b", |_| {});
    assert!(got.is_err() && out.is_empty());
    assert!(put_bytes(&repository, "c", &small(), |_| {}).is_err());
}

#[test]
fn deletion_of_the_digests_frees_the_name() {
    let (repository, store, inner) = faulty();
    for _ in 0..2 {
        put_bytes(&repository, "b", &small(), |o| o.md5 = true).unwrap();
        delete_it(&repository, "b").unwrap();
    }
    // the digests that an earlier lsnap left
    put_raw(&*inner, "b.md5", b"x");
    assert_eq!(delete_it(&repository, "b").unwrap().objects, 1);
    assert_eq!(keys(&*inner), Vec::<String>::new());
    // and those that an interrupted deletion left
    put_bytes(&repository, "b", &small(), |o| o.md5 = true).unwrap();
    store.set(|f| f.keep = Some("b.md5".to_owned()));
    delete_it(&repository, "b").unwrap_err();
    store.set(|f| f.keep = None);
    delete_it(&repository, "b").unwrap();
    assert_eq!(keys(&*inner), Vec::<String>::new());
}

#[test]
fn a_repository_in_the_directory_stays() {
    let (repository, _, store) = faulty();
    put_bytes(&repository, "b", &small(), |_| {}).unwrap();
    for inside in [
        "b/inner/lsnap_repository.json".to_owned(),
        key("b/inner/a-full", MANIFEST, 0),
        key("b/theirs", "xtrabackup_checkpoints", 0),
    ] {
        put_raw(&*store, &inside, b"x");
        let before = keys(&*store);
        let error = delete_it(&repository, "b").unwrap_err();
        assert!(
            matches!(&error, CloudError::Store(StoreError::Deletion(DeletionFault::Unexplained { key, .. })) if *key == inside),
            "{error}"
        );
        assert_eq!(keys(&*store), before);
        remove_raw(&*store, &inside);
    }
    delete_it(&repository, "b").unwrap();
}
