//! The process is killed, or a store fails, at any request.

use super::*;
use crate::store::tests::breaking::Breaking;
use crate::store::tests::faults::Faulty;
use std::time::Duration;

/// Number of threads that run the cases: a continued copy waits for the lease of the earlier one.
const THREADS: usize = 16;

fn options() -> CopyOptions {
    CopyOptions {
        parallel: 1,
        lease_ttl: Duration::from_secs(1),
        ..CopyOptions::default()
    }
}

fn whole(from: &Repository, to: &Repository) -> Result<CopyReport, CopyError> {
    copy(from, to, CopyWhich::Named("latest"), &options(), &Silent)
}

/// Checks that each finished backup of the target has the bytes of the source, and its base.
fn no_half_backup(source: &BTreeMap<String, Vec<u8>>, target: &Arc<InMemory>) -> usize {
    let found = objects(&**target);
    let repository = Repository::over("target", target.clone()).unwrap();
    let finished: Vec<BackupName> = repository
        .list()
        .unwrap()
        .iter()
        .filter(|l| l.summary().is_some())
        .map(|l| l.name.clone())
        .collect();
    for name in &finished {
        let of = |all: &BTreeMap<String, Vec<u8>>| {
            let start = format!("{name}/");
            let mut all = all.clone();
            all.retain(|key, _| key.starts_with(&start));
            all
        };
        assert!(of(source) == of(&found), "{name} is not whole");
        assert!(repository.chain_of(name).is_ok(), "{name}");
    }
    finished.len()
}

/// Breaks the target's or the source's `n`-th request; returns whether it was reached.
fn case(n: usize, done: bool, of_target: bool) -> bool {
    let (source, source_store) = memory();
    chain(&source);
    let expected = objects(&*source_store);
    let target_store = Arc::new(InMemory::new());
    let broken: Arc<dyn ObjectStore> = match of_target {
        true => target_store.clone(),
        false => source_store.clone(),
    };
    let breaking = Breaking::new(broken);
    let broken = || Repository::over("breaking", breaking.clone()).unwrap();
    let (from, to) = match of_target {
        true => (source, broken()),
        false => (
            broken(),
            Repository::over("target", target_store.clone()).unwrap(),
        ),
    };
    breaking.break_at(n, done);
    let first = whole(&from, &to);
    let broke = breaking.broke();
    breaking.repair();
    let what = format!("request {n}, executed: {done}, of the target: {of_target}, {first:?}");
    let finished = no_half_backup(&expected, &target_store);
    assert!(first.is_err() || finished == 2, "{what}");
    // another process
    let (from, to) = match of_target {
        true => (from, broken()),
        false => (broken(), to),
    };
    let second = whole(&from, &to).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(second.copied.len() + second.present.len(), 2, "{what}");
    assert!(objects(&*target_store) == expected, "{what}");
    broke
}

#[test]
fn killed_at_any_request_a_copy_is_never_half_and_is_continued() {
    for of_target in [true, false] {
        let reached: usize = std::thread::scope(|scope| {
            let run = |first: usize| {
                let cases = (first..).step_by(THREADS);
                cases
                    .take_while(|n| {
                        // the executed request matters for writes only
                        let broke = case(*n, false, of_target);
                        broke && (!of_target || case(*n, true, of_target))
                    })
                    .count()
            };
            let threads: Vec<_> = (1..=THREADS).map(|n| scope.spawn(move || run(n))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        let expected = if of_target { 40 } else { 15 };
        assert!(reached > expected, "only {reached} requests failed");
    }
}

#[test]
fn objects_of_an_interrupted_copy_are_checked_and_not_sent_again() {
    let (from, _) = memory();
    let [full, _] = chain(&from);
    let store = Faulty::new(Arc::new(InMemory::new()));
    let to = || Repository::over("target", store.clone()).unwrap();
    store.set(|f| f.refuse_put = Some("xtrabackup_info".to_owned()));
    whole(&from, &to()).unwrap_err();
    store.set(|f| f.refuse_put = None);
    // an object of the right length with other bytes
    store.set(|f| f.flip = Some("db/t.ibd.00000000000000000001".to_owned()));
    let error = whole(&from, &to()).unwrap_err();
    assert!(
        matches!(&error, CopyError::DamagedThere { name, .. } if *name == full.name),
        "{error}"
    );
    assert!(to().list().unwrap().iter().all(|l| l.summary().is_none()));
    store.set(|f| f.flip = None);
    let report = whole(&from, &to()).unwrap();
    let one = &report.copied[0];
    assert_eq!((one.objects, one.sent_objects), (5, 2), "{report:?}");
}

#[test]
fn a_damaged_object_of_the_source_is_never_copied() {
    let world = world();
    let store = Faulty::new(Arc::new(
        object_store::local::LocalFileSystem::new_with_prefix(world.dir.path().join("repo"))
            .unwrap(),
    ));
    let from = Repository::over("source", store.clone()).unwrap();
    // a large file, and a pack
    for object in ["db/t.ibd.00000000000000000002", "db/small8.ibd.0"] {
        store.set(|f| f.flip = Some(object.to_owned()));
        let (to, target) = target();
        let error = whole(&from, &to).unwrap_err();
        assert!(
            matches!(&error, CopyError::Store { url, error: StoreError::Damaged { .. } } if url == "source"),
            "{error}"
        );
        assert_eq!(no_half_backup(&BTreeMap::new(), &target), 0);
        // other chains are copied nevertheless
        let report = all(&from, &to);
        // with the members after it
        let with_error = report.failed.iter().filter(|one| one.error.is_some());
        assert_eq!(
            (report.failed.len(), with_error.count()),
            (3, 1),
            "{report:?}"
        );
    }
}

#[test]
fn a_chain_that_is_being_copied_is_not_deleted() {
    let (from, _) = memory();
    let [full, member] = chain(&from);
    let store = Faulty::new(Arc::new(InMemory::new()));
    let to = Repository::over("target", store.clone()).unwrap();
    copy(
        &from,
        &to,
        CopyWhich::Named(full.name.as_str()),
        &options(),
        &Silent,
    )
    .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    std::thread::scope(|scope| {
        store.set(|f| f.hold = Some("db/t.ibd".to_owned()));
        store.close();
        let copying = scope.spawn(|| whole(&from, &to));
        store.wait_for_held(1);
        let cascade = crate::store::DeleteOptions {
            cascade: true,
            ..crate::store::DeleteOptions::default()
        };
        for (repository, name) in [
            (&from, &full.name),
            (&to, &full.name),
            (&from, &member.name),
        ] {
            let deleted = crate::store::delete(repository, name, &cascade, &Silent);
            assert!(
                matches!(
                    deleted,
                    Err(StoreError::Deletion(
                        DeletionFault::InUse { .. } | DeletionFault::BeingRead { .. }
                    ))
                ),
                "{deleted:?}"
            );
        }
        store.open();
        assert_eq!(names(&copying.join().unwrap().unwrap()), [member.name]);
    });
}
