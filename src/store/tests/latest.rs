//! `latest` is the newest finished backup, if a newer one can't have been finished.

use super::*;
use crate::store::error::backup::BackupFault;

fn key(name: &BackupName, path: &str) -> String {
    format!("{name}/{path}.00000000000000000000")
}

fn in_doubt(found: Result<Choice, StoreError>) -> (BackupName, Vec<PassedOver>) {
    match found {
        Err(StoreError::Backup(BackupFault::NewerInDoubt { chosen, newer, .. })) => (chosen, newer),
        other => panic!("{other:?}"),
    }
}

/// A change to the newest backup, and the expected reason.
type Row = (
    &'static str,
    fn(&dyn object_store::ObjectStore, &BackupName),
    fn(&Unusable) -> bool,
);

const ROWS: [Row; 5] = [
    (
        "no manifest",
        |store, name| remove_raw(store, &key(name, "lsnap_manifest.json")),
        |why| *why == Unusable::ManifestMissing,
    ),
    (
        "no manifest and no claim",
        |store, name| {
            remove_raw(store, &key(name, "lsnap_manifest.json"));
            remove_raw(store, &key(name, "lsnap_upload.json"));
        },
        |why| *why == Unusable::ManifestMissing,
    ),
    (
        "an object is gone",
        |store, name| remove_raw(store, &key(name, "db/t.ibd")),
        |why| matches!(why, Unusable::Damaged { .. }),
    ),
    (
        "another length of the manifest",
        |store, name| put_raw(store, &key(name, "lsnap_manifest.json"), &[7; 4000]),
        |why| matches!(why, Unusable::Damaged { .. }),
    ),
    (
        "no summary, and no manifest that can be read",
        |store, name| {
            remove_raw(store, &key(name, "lsnap_summary.json"));
            put_raw(store, &key(name, "lsnap_manifest.json"), &[7; 4000]);
        },
        |why| matches!(why, Unusable::Damaged { .. }),
    ),
];

#[test]
fn latest_is_refused_if_a_newer_backup_may_have_been_finished() {
    for (what, damage, expected) in ROWS {
        // the newest is an incremental, a full backup of that server, or one of another server of the
        // cluster
        for of in 0..3 {
            let (repository, store) = memory();
            let full = backup(&repository, &full_name(0), None, 100);
            let name = match of {
                0 => incr_name(&full.name, 10),
                _ => full_name(10),
            };
            let base = (of == 0).then_some(&full);
            backup_with(&repository, &name, base, 200, |m| {
                if of == 2 {
                    m.server.uuid = "other".to_owned();
                }
            });
            assert_eq!(repository.resolve("latest").unwrap(), name);
            damage(&*store, &name);
            let (chosen, newer) = in_doubt(repository.choose("latest"));
            assert_eq!((&chosen, newer.len()), (&full.name, 1), "{what}, {of}");
            assert_eq!(newer[0].name, name, "{what}, {of}");
            assert!(expected(&newer[0].why), "{what}, {of}: {newer:?}");
            let error = repository.resolve("latest").unwrap_err().to_string();
            for word in [name.as_str(), full.name.as_str(), "instead of `latest`"] {
                assert!(error.contains(word), "{error}");
            }
            // it can be chosen by its name
            assert_eq!(
                repository.resolve(full.name.as_str()).unwrap(),
                full.name,
                "{what}"
            );
            let described = describe(&repository, "latest");
            assert!(described.is_err(), "{what}, {of}");
        }
    }
}

#[test]
fn older_damage_does_not_affect_latest() {
    for (what, damage, _) in ROWS {
        let (repository, store) = memory();
        let old = backup(&repository, &full_name(0), None, 100);
        let newest = backup(&repository, &full_name(10), None, 200);
        damage(&*store, &old.name);
        let doubt = repository.choose("latest");
        // an unreadable manifest that was written again may be a newer one
        if what.starts_with("no summary") {
            in_doubt(doubt);
            continue;
        }
        let choice = doubt.unwrap();
        assert_eq!(choice.name, newest.name, "{what}");
        assert_eq!(choice.passed_over, [], "{what}");
    }
}

/// The clock of the host that made the newest backup was a year behind: the LSN in its summary
/// decides.
#[test]
fn a_wrong_clock_does_not_hide_a_newer_backup() {
    let (repository, store) = memory();
    let full = backup(&repository, &full_name(0), None, 100);
    let behind = full_name(-365 * 86400);
    backup(&repository, &behind, None, 200);
    remove_raw(&*store, &key(&behind, "lsnap_manifest.json"));
    let (chosen, newer) = in_doubt(repository.choose("latest"));
    assert_eq!((chosen, &newer[0].name), (full.name, &behind));
}

/// On an idle server, two backups end at the same LSN, but files that are not of InnoDB may have
/// changed.
#[test]
fn equal_lsns_are_ordered_by_time() {
    let (repository, store) = memory();
    let full = backup(&repository, &full_name(0), None, 100);
    let member = backup(&repository, &incr_name(&full.name, 10), Some(&full), 100);
    remove_raw(&*store, &key(&member.name, "lsnap_manifest.json"));
    assert_eq!(in_doubt(repository.choose("latest")).1[0].name, member.name);
}

#[test]
fn unfinished_backups_are_named_and_passed_over() {
    let (repository, _) = memory();
    let full = backup(&repository, &full_name(0), None, 100);
    let name = incr_name(&full.name, 10);
    let upload = repository.begin(&name, 4).unwrap();
    put_file(&upload, "db/t.ibd", 3).unwrap();
    let choice = repository.choose("latest").unwrap();
    assert_eq!(choice.name, full.name);
    let expected = PassedOver {
        name: name.clone(),
        why: Unusable::Unfinished,
    };
    assert_eq!(choice.passed_over, [expected]);
    let warnings = choice.warnings();
    assert!(
        warnings[0].contains(name.as_str()) && warnings[0].contains(full.name.as_str()),
        "{warnings:?}"
    );
    let described = describe(&repository, "latest").unwrap();
    assert_eq!(described.passed_over, choice.passed_over);
    let json = serde_json::to_value(&described).unwrap();
    assert_eq!(json["passed_over"][0]["why"], "unfinished");
    // a choice by name passes nothing over
    let named = repository.choose(full.name.as_str()).unwrap();
    assert_eq!(named.passed_over, []);
}

/// The next incremental can be based on an older backup, but the newer damaged one is reported.
#[test]
fn the_next_base_reports_newer_backups() {
    let (repository, store) = memory();
    let full = backup(&repository, &full_name(0), None, 100);
    let newer = backup(&repository, &full_name(10), None, 200);
    let next = || repository.next_base(SERVER, None, None).unwrap();
    assert_eq!(
        (next().base.name, next().passed_over),
        (newer.name.clone(), vec![])
    );
    remove_raw(&*store, &key(&newer.name, "lsnap_manifest.json"));
    let found = next();
    assert_eq!((&found.base.name, found.before.len()), (&full.name, 0));
    assert_eq!(found.passed_over.len(), 1);
    assert_eq!(found.passed_over[0].name, newer.name);
    // a chain chosen by name, and a newer backup of another server
    let named = repository
        .next_base(SERVER, None, Some(full.name.as_str()))
        .unwrap();
    assert_eq!(named.passed_over, []);
    let foreign = backup_with(&repository, &full_name(20), None, 300, |m| {
        m.server.uuid = "other".to_owned();
    });
    remove_raw(&*store, &key(&foreign.name, "lsnap_manifest.json"));
    assert_eq!(next().passed_over.len(), 1);
    // a member of the chain itself
    let member = backup(&repository, &incr_name(&full.name, 30), Some(&full), 400);
    let last = backup(&repository, &incr_name(&full.name, 40), Some(&member), 500);
    let found = next();
    assert_eq!((&found.base.name, found.before.len()), (&last.name, 2));
    remove_raw(&*store, &key(&last.name, "lsnap_manifest.json"));
    let found = next();
    assert_eq!(found.base.name, member.name);
    assert_eq!(found.passed_over.len(), 1);
    assert_eq!(found.passed_over[0].name, last.name);
}
