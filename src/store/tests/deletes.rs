//! Deletion by the rules of chains, interrupted at every request.

use crate::manifest::{BackupName, CHECKPOINTS, Manifest, object_name};
use crate::store::error::backup::BackupFault;
use crate::store::error::deletion::DeletionFault;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::breaking::Breaking;
use super::*;
use crate::progress::Silent;
use crate::store;
use crate::store::deletion::delete::delete_unless;
use crate::store::deletion::options::DeleteOptions;
use crate::store::deletion::prune::prune_unless;
use crate::store::deletion::retention::Policy;

pub(super) fn options(cascade: bool) -> DeleteOptions {
    DeleteOptions {
        cascade,
        lease: Some(Duration::from_secs(1)),
        unfinished_older_than: Duration::ZERO,
        ..DeleteOptions::default()
    }
}

fn delete(
    repository: &Repository,
    name: &BackupName,
    cascade: bool,
) -> Result<Vec<String>, StoreError> {
    let in_use = |_: &BackupName| Ok(false);
    let report = delete_unless(&in_use, repository, name, &options(cascade), &Silent)?;
    Ok(report
        .deleted
        .into_iter()
        .map(|d| d.name.to_string())
        .collect())
}

/// Returns all keys except the repository's marker, which every backup leaves.
pub(super) fn keys(store: &dyn ObjectStore) -> BTreeSet<String> {
    super::keys(store).into_iter().collect()
}

/// Puts a backup as `xtrabackup | xbcloud put` does.
pub(super) fn foreign(store: &dyn ObjectStore, name: &str, from: u64, to: u64) {
    foreign_to(store, name, (from, to), to);
}

/// As [`foreign`], with the end of its redo log.
fn foreign_to(store: &dyn ObjectStore, name: &str, (from, to): (u64, u64), last: u64) {
    let kind = if from == 0 {
        "full-backuped"
    } else {
        "incremental"
    };
    let checkpoints = format!(
        "backup_type = {kind}\nfrom_lsn = {from}\nto_lsn = {to}\nlast_lsn = {last}\nflushed_lsn = {to}\n"
    );
    for (path, data) in [
        ("ibdata1.zst", "data"),
        ("db/t.ibd.zst", "more data"),
        (CHECKPOINTS, checkpoints.as_str()),
        ("xtrabackup_info.zst", "wrapped"),
        ("xtrabackup_tablespaces.zst", "wrapped"),
    ] {
        let first = object(path, 0, data.as_bytes(), false).concat();
        put_raw(store, &format!("{name}/{}", object_name(path, 0)), &first);
        let end = xbstream::end_chunk(path).unwrap().to_vec();
        put_raw(store, &format!("{name}/{}", object_name(path, 1)), &end);
    }
}

/// Of incrementals at the top level with the same start, the one that ends last may depend on the
/// other, whatever their names.
#[test]
fn of_incrementals_with_the_same_start_the_one_that_ends_last_is_deleted_first() {
    let memory = Arc::new(InMemory::new());
    let repository = Repository::over("memory", memory.clone()).unwrap();
    backup(&repository, &full_name(0), None, 10);
    foreign_to(&*memory, "base", (0, 1000), 1100);
    // put here, the later one first
    foreign_to(&*memory, "loose-a", (1000, 1000), 1300);
    std::thread::sleep(std::time::Duration::from_millis(2));
    foreign_to(&*memory, "loose-b", (1000, 1000), 1200);
    let error = delete(&repository, &name("loose-b"), false).unwrap_err();
    assert!(
        matches!(&error, StoreError::Deletion(DeletionFault::Needed { needed_by, .. }) if *needed_by == name("loose-a")),
        "{error}"
    );
    assert_eq!(
        delete(&repository, &name("base"), true).unwrap(),
        ["loose-a", "loose-b", "base"]
    );
}

fn name(text: &str) -> BackupName {
    BackupName::parse(text).unwrap()
}

struct Bucket {
    memory: Arc<InMemory>,
    breaking: Arc<Breaking>,
    repository: Repository,
    chain: Vec<Manifest>,
}

/// Returns a copy of [`filled`], which is made once: hundreds of tests interrupt it at different
/// requests.
fn bucket() -> Bucket {
    static FILLED: OnceLock<(Arc<InMemory>, Vec<Manifest>)> = OnceLock::new();
    let (filled, chain) = FILLED.get_or_init(filled);
    let memory = Arc::new(filled.fork());
    let breaking = Breaking::new(memory.clone());
    let repository = Repository::over("memory", breaking.clone()).unwrap();
    Bucket {
        memory,
        breaking,
        repository,
        chain: chain.clone(),
    }
}

/// Makes two chains of lsnap, two of xtrabackup, and backups with similar names.
fn filled() -> (Arc<InMemory>, Vec<Manifest>) {
    let memory = Arc::new(InMemory::new());
    let repository = Repository::over("memory", memory.clone()).unwrap();
    let mut chain = vec![backup(&repository, &full_name(0), None, 10)];
    for n in 1..4 {
        let name = incr_name(&chain[0].name, n);
        let base = chain.last().unwrap().clone();
        chain.push(backup(
            &repository,
            &name,
            Some(&base),
            10 + u64::try_from(n).unwrap(),
        ));
    }
    backup(&repository, &full_name(100), None, 200);
    foreign(&*memory, "old-full", 0, 1000);
    foreign(&*memory, "old-full.incr/a-incr", 1000, 1010);
    foreign(&*memory, "old-full.incr/b-incr", 1010, 1020);
    foreign(&*memory, "old-full-2", 0, 5000);
    foreign(&*memory, "loose-1", 5000, 5010);
    foreign(&*memory, "loose-2", 5010, 5020);
    put_raw(&*memory, "old-full.md5", b"sums");
    put_raw(&*memory, "old-full.txt", b"a note");
    (memory, chain)
}

#[test]
fn only_the_newest_is_deleted_and_a_cascade_deletes_all_dependents() {
    let Bucket {
        repository,
        memory,
        chain,
        ..
    } = bucket();
    let before = keys(&*memory);
    for (which, needed_by) in [
        (&chain[0].name, &chain[3].name),
        (&chain[2].name, &chain[3].name),
        (&name("old-full"), &name("old-full.incr/b-incr")),
        (&name("old-full.incr/a-incr"), &name("old-full.incr/b-incr")),
        (&name("old-full-2"), &name("loose-2")),
        (&name("loose-1"), &name("loose-2")),
    ] {
        let error = delete(&repository, which, false).unwrap_err();
        assert!(
            matches!(&error, StoreError::Deletion(DeletionFault::Needed { needed_by: n, .. }) if n == needed_by),
            "{which}: {error}"
        );
        assert_eq!(keys(&*memory), before);
    }
    let mut expected = before.clone();
    let mut gone = |starts: &[&str]| expected.retain(|k| !starts.iter().any(|s| k.starts_with(s)));
    delete(&repository, &name("old-full.incr/b-incr"), false).unwrap();
    gone(&["old-full.incr/b-incr/"]);
    assert_eq!(
        delete(&repository, &name("old-full"), true).unwrap(),
        ["old-full.incr/a-incr", "old-full"]
    );
    gone(&["old-full/", "old-full.incr/", "old-full.md5"]);
    assert_eq!(
        delete(&repository, &name("old-full-2"), true).unwrap(),
        ["loose-2", "loose-1", "old-full-2"]
    );
    gone(&["old-full-2/", "loose-"]);
    let names: Vec<String> = chain.iter().rev().map(|m| m.name.to_string()).collect();
    assert_eq!(delete(&repository, &chain[0].name, true).unwrap(), names);
    gone(&[
        &format!("{}/", chain[0].name),
        &format!("{}.incr/", chain[0].name),
    ]);
    assert_eq!(keys(&*memory), expected);
    assert!(matches!(
        delete(&repository, &chain[0].name, true),
        Err(StoreError::Backup(BackupFault::NotFound { .. }))
    ));
}

#[test]
fn a_chain_in_use_is_not_deleted() {
    let Bucket {
        repository,
        memory,
        chain,
        ..
    } = bucket();
    let before = keys(&*memory);
    let full = chain[0].name.clone();
    let in_use = |name: &BackupName| Ok(*name == full);
    let name = &chain[3].name;
    let error = delete_unless(&in_use, &repository, name, &options(false), &Silent);
    assert!(
        matches!(
            error,
            Err(StoreError::Deletion(DeletionFault::InUse { .. }))
        ),
        "{error:?}"
    );
    // an incremental in progress holds the lease
    let upload = repository.begin(&incr_name(&full, 50), 1).unwrap();
    upload
        .follow(&chain[3].name, Duration::from_secs(60))
        .unwrap();
    assert!(repository.worked_on_by(&full).unwrap().is_some());
    let with_upload = keys(&*memory);
    let error = delete(&repository, &full, true).unwrap_err();
    assert!(matches!(error, StoreError::Lease(_)), "{error}");
    // also if the caller doesn't check it
    let error = store::delete(&repository, &full, &options(true), &Silent).unwrap_err();
    assert!(
        matches!(error, StoreError::Deletion(DeletionFault::InUse { .. })),
        "{error}"
    );
    let all = Policy {
        keep_full: Some(0),
        may_delete_all: true,
        unfinished_older_than: Duration::ZERO,
        ..Policy::default()
    };
    let now = Utc::now() + chrono::TimeDelta::days(1);
    let dry = DeleteOptions {
        dry_run: true,
        ..options(false)
    };
    let report = store::prune(&repository, &all, &dry, now, &Silent).unwrap();
    let kept = report.kept.iter().find(|kept| kept.name == full).unwrap();
    assert_eq!(kept.why, store::Keep::InUse);
    assert_eq!(keys(&*memory), with_upload);
    upload.abort().unwrap();
    assert!(repository.worked_on_by(&full).unwrap().is_none());
    assert!(before.is_subset(&keys(&*memory)));
    delete(&repository, &full, true).unwrap();
}

#[test]
fn a_deleted_unfinished_member_can_not_be_finished() {
    let Bucket {
        repository,
        memory,
        chain,
        ..
    } = bucket();
    let slow = incr_name(&chain[0].name, 50);
    let upload = repository.begin(&slow, 1).unwrap();
    let files = vec![put_file(&upload, "db/t.ibd", 2).unwrap()];
    delete(&repository, &slow, false).unwrap();
    let left: Vec<_> = keys(&*memory)
        .into_iter()
        .filter(|k| k.starts_with(slow.as_str()))
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(!repository.list().unwrap().iter().any(|l| l.name == slow));
    let error = upload
        .finish(&manifest(&slow, Some(&chain[3]), 60, files))
        .unwrap_err();
    assert!(!error.to_string().is_empty());
    assert!(matches!(
        repository.manifest(&slow),
        Err(StoreError::Backup(BackupFault::NotFinished { .. }))
    ));
    // the void is removed with the chain
    delete(&repository, &chain[0].name, true).unwrap();
    let start = chain[0].name.as_str();
    assert!(!keys(&*memory).iter().any(|k| k.starts_with(start)));
}

/// Returns the listing, and the names of the backups that can be restored.
fn restorable(repository: &Repository) -> (Vec<Listed>, BTreeSet<String>) {
    let listed = repository.list().unwrap();
    let whole = |l: &&Listed| l.is_whole();
    let ok = |l: &&Listed| match l.state {
        ListedState::Finished(_) => repository.chain_of(&l.name).is_ok(),
        // in the operator's order: the full backup and all before it
        _ => {
            listed
                .iter()
                .filter(|o| o.name.base() == l.name.base() && o.name <= l.name)
                .all(Listed::is_whole)
                && listed.iter().any(|o| o.name == l.name.base())
        }
    };
    let names = listed.iter().filter(whole).filter(ok);
    let names = names.map(|l| l.name.to_string()).collect();
    (listed, names)
}

/// Checks that every backup that looks finished has all of its objects and can be restored. Returns
/// the backups that can be restored.
fn check_finished_backups(bucket: &Bucket, before: &BTreeSet<String>) -> BTreeSet<String> {
    let now = keys(&*bucket.memory);
    let (listed, restorable) = restorable(&bucket.repository);
    for whole in listed.iter().filter(|l| l.is_whole()) {
        assert!(
            restorable.contains(whole.name.as_str()),
            "{} looks finished",
            whole.name
        );
        let start = format!("{}/", whole.name);
        let lost: Vec<_> = before
            .difference(&now)
            .filter(|k| k.starts_with(&start))
            .collect();
        assert!(
            lost.is_empty(),
            "{} looks finished without {lost:?}",
            whole.name
        );
    }
    restorable
}

/// Runs `command` with the store failing at every request in turn, checks, repairs the store and
/// runs the command again. A request that is executed while its response is lost leaves the same
/// state as a failure at the next request, unless requests run concurrently; therefore every
/// seventh of these is enough. Most of a run is the wait for the lease of the interrupted command,
/// so many runs wait concurrently.
fn at_every_request(
    to_delete: impl Fn(&Bucket) -> BTreeSet<String>,
    command: impl Fn(&Bucket) -> Result<(), StoreError> + Sync,
) -> usize {
    let whole = bucket();
    let to_delete = to_delete(&whole);
    let (before, could) = (keys(&*whole.memory), restorable(&whole.repository).1);
    let runs = AtomicUsize::new(0);
    for (done, step) in [(false, 1), (true, 7)] {
        let (next, ended) = (AtomicUsize::new(1), AtomicBool::new(false));
        let work = || {
            while !ended.load(Ordering::SeqCst) {
                let n = next.fetch_add(step, Ordering::SeqCst);
                if !broken_at(n, done, (&before, &could), &to_delete, &command) {
                    ended.store(true, Ordering::SeqCst);
                }
                runs.fetch_add(1, Ordering::SeqCst);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(work);
            }
        });
    }
    runs.into_inner()
}

/// Executes one run of [`at_every_request`]. Returns whether that request was reached.
fn broken_at(
    n: usize,
    done: bool,
    (before, could): (&BTreeSet<String>, &BTreeSet<String>),
    to_delete: &BTreeSet<String>,
    command: &impl Fn(&Bucket) -> Result<(), StoreError>,
) -> bool {
    let bucket = bucket();
    bucket.breaking.break_at(n, done);
    let result = command(&bucket);
    let broke = bucket.breaking.broke();
    bucket.breaking.repair();
    let can = check_finished_backups(&bucket, before);
    let lost: Vec<_> = could
        .difference(&can)
        .filter(|l| !to_delete.contains(*l))
        .collect();
    assert!(lost.is_empty(), "broken at {n}: lost {lost:?}");
    assert!(broke || result.is_ok(), "{result:?}");
    if let Err(error) = command(&bucket) {
        panic!("broken at {n}, and then: {error}");
    }
    let rest: BTreeSet<_> = could.difference(to_delete).cloned().collect();
    assert_eq!(restorable(&bucket.repository).1, rest, "broken at {n}");
    let of_deleted = |k: &&String| to_delete.iter().any(|d| k.starts_with(&format!("{d}/")));
    let left = keys(&*bucket.memory);
    assert_eq!(left.iter().find(of_deleted), None, "broken at {n}");
    broke
}

fn deleted(bucket: &Bucket, which: &BackupName, cascade: bool) -> Result<(), StoreError> {
    match delete(&bucket.repository, which, cascade) {
        // it had completed
        Ok(_) | Err(StoreError::Backup(BackupFault::NotFound { .. })) => Ok(()),
        Err(error) => Err(error),
    }
}

#[test]
fn a_deletion_interrupted_at_any_request_leaves_a_valid_state() {
    let name_of = |b: &Bucket, at: usize| b.chain[at].name.clone();
    let all = |names: &[&str]| {
        names
            .iter()
            .map(|n| (*n).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let newest = at_every_request(
        |b| all(&[name_of(b, 3).as_str()]),
        |b| deleted(b, &name_of(b, 3), false),
    );
    let cascade = at_every_request(
        |b| b.chain.iter().map(|m| m.name.to_string()).collect(),
        |b| deleted(b, &name_of(b, 0), true),
    );
    let theirs = at_every_request(
        |_| all(&["old-full", "old-full.incr/a-incr", "old-full.incr/b-incr"]),
        |b| deleted(b, &name("old-full"), true),
    );
    let loose = at_every_request(
        |_| all(&["loose-2"]),
        |b| deleted(b, &name("loose-2"), false),
    );
    println!(
        "killed at every request: {newest} runs of an incremental, {cascade} of a cascade, {theirs} of xtrabackup's chain, {loose} of a loose incremental"
    );
    assert!(newest > 20 && cascade > 60 && theirs > 60 && loose > 20);
}

#[test]
fn a_prune_interrupted_at_any_request_leaves_a_valid_state() {
    let policy = Policy {
        keep_full: Some(1),
        ..Policy::default()
    };
    let in_use = |_: &BackupName| Ok(false);
    let run = |b: &Bucket, dry_run| {
        let options = DeleteOptions {
            dry_run,
            ..options(false)
        };
        prune_unless(
            &in_use,
            &b.repository,
            &policy,
            &options,
            Utc::now(),
            &Silent,
        )
    };
    let runs = at_every_request(
        |b| {
            let report = run(b, true).unwrap();
            report.deleted.iter().map(|d| d.name.to_string()).collect()
        },
        |b| {
            let report = run(b, false)?;
            if let Some(failed) = report.failed.first() {
                return Err(failed.error.clone());
            }
            assert!(report.skipped.is_empty(), "{:?}", report.skipped);
            Ok(())
        },
    );
    println!("killed at every request: {runs} runs of prune");
    assert!(runs > 100);
}

#[test]
fn members_of_xtrabackup_can_be_deleted_repeatedly() {
    let memory = Arc::new(InMemory::new());
    let repository = Repository::over("memory", memory.clone()).unwrap();
    let full = backup(&repository, &full_name(0), None, 10);
    let first = entered(&repository, &incr_name(&full.name, 1), &full, 20);
    delete(&repository, &first.name, false).unwrap();
    for n in 2..5 {
        let theirs = incr_name(&full.name, n);
        foreign(&*memory, theirs.as_str(), 10, 20);
        delete(&repository, &theirs, false).unwrap();
        assert_eq!(repository.list().unwrap().len(), 1);
    }
}
