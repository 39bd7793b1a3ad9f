use super::{options, sound};
use crate::consolidate::{ConsolidateError, ConsolidateOptions, consolidate};
use crate::manifest::PackChoice;
use crate::progress::Silent;
use crate::reader::fixture::{Space, World, files_below, start_of, system};
use crate::store::tests::faults::Faulty;
use crate::store::{ListedState, Repository};
use object_store::local::LocalFileSystem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn world() -> World {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 40, 50));
    for id in 8..11 {
        spaces.push(Space::new(id, &format!("db/small{id}.ibd"), 4, 50));
    }
    world.backup(&spaces);
    spaces[2].write(5, start_of(0) + 1, 2);
    spaces[2].write(31, start_of(0) + 1, 2);
    world.backup(&spaces);
    world
}

fn faulty(world: &World) -> (Arc<Faulty>, Repository) {
    let path = world.dir.path().join("repo");
    let inner = LocalFileSystem::new_with_prefix(path).unwrap();
    let store = Faulty::new(Arc::new(inner));
    let repo = Repository::over("faulty", store.clone()).unwrap();
    (store, repo)
}

/// Whichever call fails, there is no new finished backup, the chain is unchanged, and the same
/// command succeeds afterwards.
#[test]
fn every_call_to_the_store_may_fail() {
    let world = world();
    let before = files_below(&world.dir.path().join("repo"));
    let (mut failed, mut nth) = (0, 0);
    let options = ConsolidateOptions {
        pack_small_files: PackChoice::On,
        ..options(1)
    };
    loop {
        let (store, repo) = faulty(&world);
        store.set(|f| f.nth_call = Some(nth));
        let result = consolidate(&repo, "latest", &options, &Silent);
        let done = store.calls.load(Ordering::SeqCst) <= nth;
        store.set(|f| f.nth_call = None);
        let name = options.name.clone().unwrap();
        match result {
            Ok(report) => {
                sound(&world.repo, &report.name);
                world.remove(&[report.name]);
                if done {
                    break;
                }
            }
            Err(error) => {
                failed += 1;
                let listed = world.repo.list().unwrap();
                let new = listed.iter().find(|l| l.name == name);
                let finished =
                    |l: &&crate::store::Listed| matches!(l.state, ListedState::Finished(_));
                assert!(new.filter(finished).is_none(), "call {nth}: {error}");
                // If an abort could not remove all objects, there is an unfinished backup that has
                // to be deleted.
                if new.is_some() {
                    world.remove(&[name]);
                }
            }
        }
        assert!(
            before == files_below(&world.dir.path().join("repo")),
            "call {nth}"
        );
        nth += 1;
    }
    assert!(failed > 30, "only {failed} calls failed");
}

/// Objects are then copied through this process, and their digests are checked.
#[test]
fn a_store_that_cannot_copy() {
    let world = world();
    let (store, repo) = faulty(&world);
    store.set(|f| f.no_copy = true);
    let before = files_below(&world.dir.path().join("repo"));
    // An object of the image without a page in a delta.
    store.set(|f| f.flip = Some("db/t.ibd.00000000000000000004".to_owned()));
    let error = consolidate(&repo, "latest", &options(1), &Silent).unwrap_err();
    assert!(error.to_string().contains("digest found"), "{error}");
    assert!(before == files_below(&world.dir.path().join("repo")));
    store.set(|f| f.flip = None);
    let report = consolidate(&repo, "latest", &options(1), &Silent).unwrap();
    assert!(report.copied_objects > 5, "{report:?}");
    sound(&world.repo, &report.name);
}

#[test]
fn a_damaged_member_is_an_error() {
    let world = world();
    let object = world.object(1, "db/t.ibd.delta", 1);
    let mut bytes = std::fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&object, bytes).unwrap();
    let before = files_below(&world.dir.path().join("repo"));
    let error = consolidate(&world.repo, "latest", &options(1), &Silent).unwrap_err();
    assert!(error.to_string().contains("db/t.ibd.delta"), "{error}");
    assert!(
        before == files_below(&world.dir.path().join("repo")),
        "something was left"
    );
}

#[test]
fn it_stops_when_cancelled() {
    let world = world();
    let options = options(1);
    options.cancel.cancel();
    let before = files_below(&world.dir.path().join("repo"));
    let error = consolidate(&world.repo, "latest", &options, &Silent).unwrap_err();
    assert!(matches!(error, ConsolidateError::Interrupted), "{error}");
    assert!(before == files_below(&world.dir.path().join("repo")));
}

#[test]
fn an_existing_name_is_not_overwritten() {
    let world = world();
    let mut options = options(1);
    options.name = Some(world.chain[0].name.clone());
    let before = files_below(&world.dir.path().join("repo"));
    let error = consolidate(&world.repo, "latest", &options, &Silent).unwrap_err();
    assert!(error.to_string().contains("c-2026-01-01"), "{error}");
    options.name = Some(world.chain[1].name.clone());
    assert!(consolidate(&world.repo, "latest", &options, &Silent).is_err());
    assert!(before == files_below(&world.dir.path().join("repo")));
}
