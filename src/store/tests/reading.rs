//! Readers and deletions of the same backups.

use crate::manifest::BackupName;
use crate::store::error::backup::BackupFault;
use crate::store::error::deletion::DeletionFault;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use super::breaking::Breaking;
use super::deletes::options;
use super::faults::Faulty;
use super::race_store::{SimStore, World};
use super::*;
use crate::manifest::document::{DELETING, MANIFEST};
use crate::progress::Silent;
use crate::store;
use crate::store::deletion::retention::Policy;
use crate::store::lease::readers::{DeletionState, Reader, Readers};
use crate::store::lease::reading::Wait;

fn delete(repository: &Repository, name: &BackupName) -> Result<(), StoreError> {
    store::delete(repository, name, &options(true), &Silent).map(drop)
}

fn prune(repository: &Repository) -> store::PruneReport {
    let policy = Policy {
        keep_full: Some(1),
        ..Policy::default()
    };
    let now = at(99_999_999);
    store::prune(repository, &policy, &options(false), now, &Silent).unwrap()
}

fn short() -> Wait {
    Wait {
        gives_way: Duration::from_millis(20),
        ..Wait::default()
    }
}

#[test]
fn a_backup_that_is_being_read_is_not_deleted() {
    let (repository, store) = memory();
    let full = backup(&repository, &full_name(0), None, 10);
    let incr = entered(&repository, &incr_name(&full.name, 5), &full, 20);
    let other = backup(&repository, &full_name(50), None, 30);
    backup(&repository, &full_name(99), None, 40);
    let before = keys(&*store);
    let names = [full.name.clone(), incr.name.clone()];
    let reading = repository.announce_reading("restore", &names).unwrap();
    assert!(reading.is_announced());
    for name in &names {
        let error = delete(&repository, name).unwrap_err();
        assert!(
            matches!(error, StoreError::Deletion(DeletionFault::BeingRead { .. })),
            "{error}"
        );
        let text = error.to_string();
        assert!(text.contains("restore") && text.contains("pid"), "{text}");
    }
    // the other chain is deleted
    let report = prune(&repository);
    assert_eq!(report.deleted.len(), 1);
    assert_eq!(report.deleted[0].name, other.name);
    assert_eq!(report.skipped[0].name, full.name);
    assert_eq!(report.failed, []);
    // two readers at a time
    let second = repository.announce_reading("verify", &names).unwrap();
    drop(reading);
    assert!(delete(&repository, &full.name).is_err());
    drop(second);
    let left: Vec<_> = before
        .into_iter()
        .filter(|k| !k.starts_with(other.name.as_str()))
        .collect();
    assert_eq!(keys(&*store), left);
    delete(&repository, &full.name).unwrap();
    assert_eq!(repository.list().unwrap().len(), 1);
}

#[test]
fn a_dead_reader_does_not_block_deletions() {
    let (repository, store) = memory();
    let full = backup(&repository, &full_name(0), None, 10);
    let mut reader = Reader::new(
        "restore",
        std::slice::from_ref(&full.name),
        Duration::from_secs(9999),
    );
    // the PID of this process, used before by another one
    reader.holder.ticks += 1;
    let readers = repository.readers().unwrap();
    let put = async { readers.announce(&reader).await.map(drop) };
    futures::executor::block_on(put).unwrap();
    delete(&repository, &full.name).unwrap();
    assert_eq!(keys(&*store), Vec::<String>::new());
    // a record that can't be read counts as a reader of all backups
    let full = backup(&repository, &full_name(1), None, 10);
    put_raw(&*store, ".lsnap/readers/x.reader", b"{");
    let error = delete(&repository, &full.name).unwrap_err();
    assert!(error.to_string().contains("unknown"), "{error}");
    // a reader that ended without the permission to remove its record
    put_raw(&*store, ".lsnap/readers/x.end", b"{}");
    delete(&repository, &full.name).unwrap();
    assert_eq!(keys(&*store), Vec::<String>::new());
}

#[test]
fn records_of_dead_readers_are_removed() {
    let (repository, store) = memory();
    let kept = backup(&repository, &full_name(0), None, 10);
    let announce = |gone: bool| {
        let names = std::slice::from_ref(&kept.name);
        let mut reader = Reader::new("verify", names, Duration::from_secs(9999));
        reader.holder.ticks += u64::from(gone);
        let readers = repository.readers().unwrap();
        futures::executor::block_on(readers.announce(&reader)).unwrap();
        format!(".lsnap/readers/{}.reader", reader.token)
    };
    let (gone, alive) = (announce(true), announce(false));
    // they read another backup than the one that is deleted
    let other = backup(&repository, &full_name(1), None, 10);
    delete(&repository, &other.name).unwrap();
    let keys = keys(&*store);
    assert!(!keys.contains(&gone), "{keys:?}");
    assert!(keys.contains(&alive), "{keys:?}");
}

#[test]
fn a_backup_that_is_being_deleted_is_not_read() {
    let (repository, store) = memory();
    let full = backup(&repository, &full_name(0), None, 10);
    let names = [full.name.clone()];
    let note = format!("{}/{DELETING}.{:020}", full.name, 0);
    put_raw(&*store, &note, b"{}");
    let announce = || repository.announce("restore", &names, &|_| true, short());
    let error = announce().unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Backup(BackupFault::BeingDeleted { gone: false, .. })
        ),
        "{error}"
    );
    // the attempt leaves no objects
    assert!(!keys(&*store).iter().any(|k| k.starts_with(".lsnap")));
    // a deletion that finds the reader gives way
    std::thread::scope(|scope| {
        let wait = Wait::default();
        let reading = scope.spawn(move || repository.announce("restore", &names, &|_| true, wait));
        std::thread::sleep(Duration::from_millis(100));
        remove_raw(&*store, &note);
        drop(reading.join().unwrap().unwrap());
    });
    let (repository, store) = memory();
    let full = backup(&repository, &full_name(0), None, 10);
    remove_raw(&*store, &format!("{}/{MANIFEST}.{:020}", full.name, 0));
    let error = repository
        .announce_reading("restore", &[full.name])
        .unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Backup(BackupFault::BeingDeleted { gone: true, .. })
        ),
        "{error}"
    );
}

#[test]
fn an_interrupted_deletion_blocks_readers_for_a_limited_time() {
    let (_, memory) = memory();
    let breaking = Breaking::new(memory.clone());
    let repository = Repository::over("breaking:", breaking.clone()).unwrap();
    let full = backup(&repository, &full_name(0), None, 10);
    put_raw(
        &*memory,
        &format!("{}/{DELETING}.{:020}", full.name, 0),
        b"{}",
    );
    let names = [full.name.clone()];
    let announce = || repository.announce("restore", &names, &|_| true, short());
    announce().unwrap_err();
    // a longer deletion holds its lease
    let ttl = Duration::from_secs(99_999);
    let deletion = repository.begin_deletion(&full.name, None, ttl).unwrap();
    breaking.repair();
    announce().unwrap_err();
    deletion.end();
    drop(announce().unwrap());
}

#[test]
fn without_permission_to_write_backups_can_be_read() {
    let (_, memory) = memory();
    let faulty = Faulty::new(memory.clone());
    let repository = Repository::over("faulty:", faulty.clone()).unwrap();
    let full = backup(&repository, &full_name(0), None, 10);
    faulty.set(|f| f.deny = Some(".lsnap/readers".to_owned()));
    let reading = repository
        .announce_reading("restore", &[full.name])
        .unwrap();
    assert!(!reading.is_announced());
    drop(reading);
    assert!(!keys(&*memory).iter().any(|k| k.starts_with(".lsnap")));
}

#[test]
fn heartbeats_keep_a_reader_alive() {
    let (repository, store) = memory();
    let full = backup(&repository, &full_name(0), None, 10);
    let wait = Wait {
        ttl: Duration::from_millis(30),
        ..short()
    };
    let names = [full.name.clone()];
    let reading = repository
        .announce("restore", &names, &|_| true, wait)
        .unwrap();
    let beats = || {
        let keys = keys(&*store).into_iter();
        keys.filter(|k| k.contains(".beat.")).max()
    };
    while beats().is_none_or(|b| b.ends_with("00001")) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(delete(&repository, &full.name).is_err());
    drop(reading);
    delete(&repository, &full.name).unwrap();
}

/// The outcome of one side of an interleaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    GaveWay,
}

/// A side of the race, polled by hand.
type Side = Pin<Box<dyn Future<Output = Outcome>>>;

fn reader(world: &Arc<Mutex<World>>, name: BackupName, broken: bool) -> Side {
    let store: Arc<dyn ObjectStore> = Arc::new(SimStore::new(Arc::clone(world), 0));
    let readers = Readers::new(store, None);
    Box::pin(async move {
        let mut record = Reader::new(
            "restore",
            std::slice::from_ref(&name),
            Duration::from_secs(60),
        );
        record.holder.place.clear();
        let mut state = DeletionState::Clear;
        if broken {
            // in the wrong order: the check first, then the record
            state = readers.deletion_state(&name, true).await.unwrap();
        }
        readers.announce(&record).await.unwrap();
        if !broken {
            state = readers.deletion_state(&name, true).await.unwrap();
        }
        match state {
            DeletionState::Clear => Outcome::Passed,
            _ => Outcome::GaveWay,
        }
    })
}

fn deleter(world: &Arc<Mutex<World>>, name: BackupName) -> Side {
    let store: Arc<dyn ObjectStore> = Arc::new(SimStore::new(Arc::clone(world), 1));
    Box::pin(async move {
        let at = |document: &str| Path::parse(format!("{name}/{document}.{:020}", 0)).unwrap();
        let mode = PutMode::Create;
        let options = PutOptions {
            mode,
            ..PutOptions::default()
        };
        store
            .put_opts(&at(DELETING), "{}".into(), options)
            .await
            .unwrap();
        let readers = Readers::new(Arc::clone(&store), None);
        let found = readers.find(std::slice::from_ref(&name)).await.unwrap();
        if found.is_some() {
            store.delete(&at(DELETING)).await.unwrap();
            return Outcome::GaveWay;
        }
        store.delete(&at(MANIFEST)).await.unwrap();
        store.delete(&at(DELETING)).await.unwrap();
        Outcome::Passed
    })
}

/// Runs both sides to their ends. Bit `n` of `schedule` selects the side of step `n`.
fn race(schedule: u32, broken: bool) -> (Outcome, Outcome) {
    let root = full_name(0);
    let mut world = World::new(7, &root);
    world.calm = true;
    let world = Arc::new(Mutex::new(world));
    let mut sides = [reader(&world, root.clone(), broken), deleter(&world, root)];
    let mut ends = [None, None];
    let mut context = Context::from_waker(Waker::noop());
    for step in 0.. {
        let mut turn = if step < 32 {
            (schedule >> step & 1) as usize
        } else {
            0
        };
        if ends[turn].is_some() {
            turn = 1 - turn;
        }
        if ends[turn].is_some() {
            break;
        }
        if let Poll::Ready(outcome) = sides[turn].as_mut().poll(&mut context) {
            ends[turn] = Some(outcome);
        }
    }
    (ends[0].unwrap(), ends[1].unwrap())
}

#[test]
fn a_reader_and_a_deletion_exclude_each_other() {
    let both = (Outcome::Passed, Outcome::Passed);
    let mut seen = std::collections::HashSet::new();
    for schedule in 0..1 << 16 {
        let outcome = race(schedule, false);
        assert_ne!(outcome, both, "schedule {schedule:b}");
        seen.insert(format!("{outcome:?}"));
    }
    // both outcomes occur
    assert!(seen.len() >= 2, "{seen:?}");
    // a reader that checks before it puts its record is detected
    assert!((0..1 << 16).any(|schedule| race(schedule, true) == both));
}
