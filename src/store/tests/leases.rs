//! Leases through the interface of backups, in memory and in a directory.

use crate::manifest::{MANIFEST, Manifest, Summary};
use crate::store::error::backup::BackupFault;
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;

use super::*;
use crate::progress::Silent;
use crate::store::deletion::remove::Removal;
use crate::store::lease::ledger::Ledger;
use crate::store::lease::record::{End, Entry, ExpiryRule, Record, Work};

const TTL: Duration = Duration::from_secs(60);

/// Considers every lease as expired.
struct AlwaysExpired;

impl ExpiryRule for AlwaysExpired {
    fn is_over(&self, _: &Entry, _: DateTime<Utc>) -> bool {
        true
    }
}

fn repositories() -> Vec<(Repository, Option<tempfile::TempDir>)> {
    let memory = Repository::over("memory", Arc::new(InMemory::new())).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let local = Repository::open(dir.path().to_str().unwrap()).unwrap();
    vec![(memory, None), (local, Some(dir))]
}

/// Begins an incremental that lacks only its manifest.
fn begun(repository: &Repository, base: &Manifest, second: i64) -> (Upload, Manifest) {
    let name = incr_name(&base.name, second);
    let upload = repository.begin(&name, 2).unwrap();
    let files = vec![put_file(&upload, "a", 2).unwrap()];
    let to = base.lsn.to_lsn.0 + 10;
    (upload, manifest(&name, Some(base), to, files))
}

fn steal(
    repository: &Repository,
    work: Work,
    holder: LeaseHolder,
) -> Result<(Ledger, u64), StoreError> {
    let store = Arc::clone(repository.store().unwrap());
    let member = match &work {
        Work::Append { base, .. } => base,
        Work::Delete { member, .. } => member,
    };
    let ledger = Ledger::new(store, member, repository.longest_component());
    let (record, taking) = (Record::new(work, 60, holder), ledger.clone());
    let epoch = repository.runtime().wait("stealing", async move {
        taking.take(record, &AlwaysExpired).await
    })??;
    Ok((ledger, epoch))
}

fn fault(error: StoreError) -> LeaseFault {
    match error {
        StoreError::Lease(fault) => *fault,
        other => panic!("{other}"),
    }
}

#[test]
fn the_error_of_a_second_writer_names_the_first_and_a_clean_end_releases_the_lease() {
    for (repository, _dir) in repositories() {
        let full = backup(&repository, &full_name(0), None, 10);
        let (first, made) = begun(&repository, &full, 1);
        first.follow(&full.name, TTL).unwrap();
        let (second, _) = begun(&repository, &full, 2);
        let error = second.follow(&full.name, TTL).unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains(&format!("pid {} on", std::process::id())),
            "{told}"
        );
        assert!(matches!(fault(error), LeaseFault::Held { .. }));
        first.finish(&made).unwrap();
        // the chain has a new member
        match fault(second.follow(&full.name, TTL).unwrap_err()) {
            LeaseFault::Moved { newest, .. } => assert_eq!(newest, made.name),
            other => panic!("{other}"),
        }
        second.abort().unwrap();
        let (third, next) = begun(&repository, &made, 3);
        third.follow(&made.name, TTL).unwrap();
        third.finish(&next).unwrap();
        assert_eq!(repository.chain_of(&next.name).unwrap().len(), 3);
    }
}

#[test]
fn an_aborted_backup_releases_the_chain_and_leaves_no_void() {
    for (repository, _dir) in repositories() {
        let full = backup(&repository, &full_name(0), None, 10);
        let (first, made) = begun(&repository, &full, 1);
        first.follow(&full.name, TTL).unwrap();
        first.abort().unwrap();
        let (second, next) = begun(&repository, &full, 2);
        second.follow(&full.name, TTL).unwrap();
        second.finish(&next).unwrap();
        assert!(!repository.is_voided(&made.name).unwrap());
        assert_eq!(repository.list().unwrap().len(), 2);
    }
}

#[test]
fn a_writer_that_was_taken_over_can_not_finish() {
    for (repository, _dir) in repositories() {
        let full = backup(&repository, &full_name(0), None, 10);
        let (paused, made) = begun(&repository, &full, 1);
        paused.follow(&full.name, TTL).unwrap();
        let work = Work::Append {
            backup: incr_name(&full.name, 2),
            base: full.name.clone(),
        };
        let (ledger, epoch) = steal(&repository, work, LeaseHolder::this()).unwrap();
        let listed = repository.list().unwrap();
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[1].state, ListedState::Unfinished);
        let manifest = repository.manifest(&made.name).unwrap_err();
        assert!(
            matches!(
                manifest,
                StoreError::Backup(BackupFault::NotFinished { .. })
            ),
            "{manifest}"
        );
        let error = paused.clone().finish(&made).unwrap_err();
        assert!(matches!(fault(error), LeaseFault::Lost { .. }));
        paused.abort().unwrap();
        // the void stays, but isn't listed
        assert!(repository.is_voided(&made.name).unwrap());
        assert_eq!(repository.list().unwrap().len(), 1);
        let ending = async move { ledger.end(epoch, End::Unsent, 0).await };
        repository
            .runtime()
            .wait("ending", ending)
            .unwrap()
            .unwrap();
        let (next, last) = begun(&repository, &full, 3);
        next.follow(&full.name, TTL).unwrap();
        next.finish(&last).unwrap();
    }
}

#[test]
fn a_writer_paused_before_the_manifest_finds_the_void() {
    for (repository, _dir) in repositories() {
        let full = backup(&repository, &full_name(0), None, 10);
        let (paused, made) = begun(&repository, &full, 1);
        paused.follow(&full.name, TTL).unwrap();
        // paused after the check of the lease and the put of the summary
        let sealed = crate::manifest::document::seal(&made.name, MANIFEST, &made).unwrap();
        let summary = Summary::of(&made, sealed.digest.clone(), sealed.len());
        let summary = crate::manifest::document::seal(&made.name, "lsnap_summary.json", &summary);
        paused
            .inner
            .put_document("lsnap_summary.json", summary.unwrap().parts)
            .unwrap();
        let work = Work::Append {
            backup: incr_name(&full.name, 2),
            base: full.name.clone(),
        };
        steal(&repository, work, LeaseHolder::this()).unwrap();
        let listed = repository.list().unwrap();
        assert_eq!(listed[1].state, ListedState::Unfinished, "{listed:?}");
        let error = paused
            .inner
            .put_document(MANIFEST, sealed.parts)
            .unwrap_err();
        assert!(matches!(error, StoreError::ObjectExists { .. }), "{error}");
    }
}

#[test]
fn a_dead_holder_on_this_host_does_not_block_others() {
    for (repository, _dir) in repositories() {
        let full = backup(&repository, &full_name(0), None, 10);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = LeaseHolder {
            pid: child.id(),
            ..LeaseHolder::this()
        };
        child.wait().unwrap();
        let work = Work::Append {
            backup: incr_name(&full.name, 1),
            base: full.name.clone(),
        };
        steal(&repository, work, dead).unwrap();
        let (next, last) = begun(&repository, &full, 2);
        next.follow(&full.name, TTL).unwrap();
        next.finish(&last).unwrap();
    }
}

#[test]
fn a_deletion_that_was_begun_is_completed() {
    for (repository, _dir) in repositories() {
        let full = backup(&repository, &full_name(0), None, 10);
        let one = backup(&repository, &incr_name(&full.name, 1), Some(&full), 20);
        let work = Work::Delete {
            member: one.name.clone(),
            then: Some(full.name.clone()),
        };
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = LeaseHolder {
            pid: child.id(),
            ..LeaseHolder::this()
        };
        child.wait().unwrap();
        steal(&repository, work, dead).unwrap();
        let (wrong, _) = begun(&repository, &one, 2);
        let error = wrong.follow(&one.name, TTL).unwrap_err();
        assert!(matches!(fault(error), LeaseFault::Moved { .. }));
        assert!(repository.manifest(&one.name).is_err());
        wrong.abort().unwrap();
        let deletion = repository.begin_deletion(&full.name, None, TTL).unwrap();
        deletion.end();
        let (late, _) = begun(&repository, &full, 3);
        let error = late.follow(&full.name, TTL).unwrap_err();
        assert!(matches!(fault(error), LeaseFault::Closed { .. }));
    }
}

#[test]
fn a_deletion_that_was_paused_removes_nothing_after_another_process_took_over() {
    for (repository, _dir) in repositories() {
        let full = backup(&repository, &full_name(0), None, 10);
        let one = backup(&repository, &incr_name(&full.name, 1), Some(&full), 20);
        let paused = repository
            .begin_deletion(&one.name, Some(&full.name), TTL)
            .unwrap();
        let again = Work::Append {
            backup: one.name.clone(),
            base: full.name.clone(),
        };
        steal(&repository, again, LeaseHolder::this()).unwrap();
        let objects = || {
            let mut found = Vec::new();
            let each = |object: &str, _| {
                found.push(object.to_owned());
                true
            };
            repository.bucket().each(one.name.as_str(), each).unwrap();
            found
        };
        let before = objects();
        assert!(before.len() > 1, "{before:?}");
        paused.was_paused();
        let removal = Removal::new(&repository, &one.name, 2).under(Some(&paused));
        let error = removal.strip(&Silent).unwrap_err();
        let StoreError::NotDeleted { cause, .. } = error else {
            panic!("{error}");
        };
        assert!(matches!(fault(*cause.unwrap()), LeaseFault::Lost { .. }));
        assert_eq!(objects(), before);
    }
}
