//! Backups in the target that are not the ones of the source.

use super::*;
use crate::store::tests::put_file;
use crate::store::{LeaseFault, UploadFault};

fn one(from: &Repository, to: &Repository, name: &BackupName) -> Result<CopyReport, CopyError> {
    let which = CopyWhich::Named(name.as_str());
    copy(from, to, which, &CopyOptions::default(), &Silent)
}

fn store_error(result: Result<CopyReport, CopyError>) -> StoreError {
    match result {
        Err(CopyError::Store { error, .. }) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_backup_of_the_same_name_is_never_changed() {
    let (from, _) = memory();
    let [full, member] = chain(&from);
    let (to, store) = target();
    // a finished one
    backup_with(&to, &full.name, None, 100, |m| {
        "other".clone_into(&mut m.id)
    });
    let before = objects(&*store);
    for name in [&full.name, &member.name] {
        let error = one(&from, &to, name).unwrap_err();
        assert!(
            matches!(&error, CopyError::OtherBackup { name, .. } if *name == full.name),
            "{error}"
        );
    }
    assert!(objects(&*store) == before);
    // one that is being written
    let (to, store) = target();
    let upload = to.begin(&full.name, 4).unwrap();
    put_file(&upload, "db/t.ibd", 1).unwrap();
    let before = objects(&*store);
    let error = store_error(one(&from, &to, &full.name));
    assert!(
        matches!(error, StoreError::Upload(UploadFault::Exists { .. })),
        "{error}"
    );
    assert!(objects(&*store) == before);
}

#[test]
fn a_backup_that_begins_under_the_name_of_a_copy_is_refused() {
    let (from, _) = memory();
    let [full, _] = chain(&from);
    let (to, _) = target();
    let original = from.original(&full.name).unwrap();
    let replica = to
        .replicate(&original, std::time::Duration::from_secs(60))
        .unwrap();
    assert!(to.begin(&full.name, 4).is_err());
    replica.give_up();
    one(&from, &to, &full.name).unwrap();
}

#[test]
fn a_chain_does_not_fork() {
    let (from, _) = memory();
    let [full, member] = chain(&from);
    let (to, _) = target();
    one(&from, &to, &full.name).unwrap();
    // the target got a backup of its own
    let own = entered(&to, &incr_name(&full.name, 5), &full, 150);
    let error = one(&from, &to, &member.name).unwrap_err();
    assert!(
        matches!(&error, CopyError::Forks { other, .. } if *other == own.name),
        "{error}"
    );
    // also if it came after the listing
    let original = from.original(&member.name).unwrap();
    let error = to
        .replicate(&original, std::time::Duration::from_secs(60))
        .unwrap_err();
    assert!(
        matches!(&error, StoreError::Lease(fault) if matches!(**fault, LeaseFault::Moved { .. })),
        "{error}"
    );
    assert_eq!(to.chain_of(&own.name).unwrap().len(), 2);
}

#[test]
fn a_deleted_copy_of_a_member_is_refused_with_a_remedy() {
    let (from, _) = memory();
    let [full, member] = chain(&from);
    let (to, _) = target();
    one(&from, &to, &full.name).unwrap();
    let original = from.original(&member.name).unwrap();
    let replica = to
        .replicate(&original, std::time::Duration::from_secs(1))
        .unwrap();
    replica.give_up();
    let options = crate::store::DeleteOptions {
        unfinished_older_than: std::time::Duration::ZERO,
        ..crate::store::DeleteOptions::default()
    };
    crate::store::delete(&to, &member.name, &options, &Silent).unwrap();
    let error = store_error(one(&from, &to, &member.name));
    assert!(
        matches!(error, StoreError::Upload(UploadFault::Voided { .. })),
        "{error}"
    );
    // as the message says
    let options = crate::store::DeleteOptions {
        cascade: true,
        ..options
    };
    crate::store::delete(&to, &full.name, &options, &Silent).unwrap();
    one(&from, &to, &member.name).unwrap();
}

#[test]
fn a_repository_is_not_copied_to_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let from = Repository::open(path.to_str().unwrap()).unwrap();
    backup(&from, &full_name(0), None, 100);
    let again = Repository::open(&format!("file://{}/", path.display())).unwrap();
    let error = copy(
        &from,
        &again,
        CopyWhich::All,
        &CopyOptions::default(),
        &Silent,
    )
    .unwrap_err();
    assert!(matches!(error, CopyError::Refused { .. }), "{error}");
}
