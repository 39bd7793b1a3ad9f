//! The results for backups that can't be verified, and for a repository without a finished backup.

use super::damages::{look, problems};
use crate::manifest::Finding;
use crate::manifest::document::MANIFEST;
use crate::progress::Silent;
use crate::reader::ReadError;
use crate::reader::fixture::{World, files_below, start_of, system};
use crate::store::BackupFault;
use crate::store::{ListedState, Repository, StoreError};
use crate::verify::{
    Level, Outcome, Problem, ProblemKind, VerifyError, VerifyOptions, Which, verify,
};
use std::path::Path;
use std::time::{Duration, SystemTime};

fn world(members: usize) -> World {
    let mut world = World::new();
    let mut spaces = system();
    for number in 0..members {
        spaces[1].write(1, start_of(number), 2);
        world.backup(&spaces);
    }
    world
}

/// Makes everything in a repository one hour old.
fn age(repository: &Path) {
    let time = SystemTime::now() - Duration::from_secs(3600);
    for path in files_below(repository).keys() {
        let file = std::fs::File::options()
            .write(true)
            .open(repository.join(path));
        file.unwrap().set_modified(time).unwrap();
    }
}

#[test]
fn a_repository_without_any_manifest_is_not_sound() {
    let world = world(3);
    for number in 0..3 {
        std::fs::remove_file(world.object(number, MANIFEST, 0)).unwrap();
    }
    let report = look(&world.repo, Which::All, Level::Present);
    // They may be just about to be finished, but nothing was verified.
    assert_eq!(
        (report.unfinished.len(), report.outcome()),
        (3, Outcome::Empty)
    );
    age(&world.dir.path().join("repo"));
    let report = look(&world.repo, Which::All, Level::Present);
    assert_eq!(
        (report.members.len(), report.outcome()),
        (3, Outcome::Damaged)
    );
    assert!(
        problems(&report)
            .iter()
            .all(|p| p.kind == ProblemKind::Missing)
    );
}

#[test]
fn an_empty_repository_is_not_sound() {
    let dir = tempfile::tempdir().unwrap();
    let repo = Repository::open(dir.path().to_str().unwrap()).unwrap();
    let report = look(&repo, Which::All, Level::Present);
    assert_eq!(report.outcome(), Outcome::Empty);
}

/// The full backup is missing, or one in the middle.
#[test]
fn members_whose_base_is_missing_are_reported() {
    for gone in [0, 1] {
        let world = world(4);
        world.remove(&[world.chain[gone].name.clone()]);
        let states: Vec<bool> = world
            .repo
            .list()
            .unwrap()
            .iter()
            .map(|l| matches!(l.state, ListedState::BaseMissing(_)))
            .collect();
        let expected: &[bool] = if gone == 0 {
            &[true; 3]
        } else {
            &[false, true, true]
        };
        assert_eq!(states, expected);
        let report = look(&world.repo, Which::All, Level::Present);
        assert_eq!(report.outcome(), Outcome::ChainBroken, "{report:#?}");
        let with_problems = report.members.iter().filter(|m| !m.problems.is_empty());
        assert_eq!(
            with_problems.count(),
            expected.iter().filter(|gone| **gone).count()
        );
        let latest = world.repo.resolve("latest");
        match gone {
            0 => assert!(
                matches!(
                    latest,
                    Err(StoreError::Backup(BackupFault::NotFound { .. }))
                ),
                "{latest:?}"
            ),
            _ => assert!(
                matches!(&latest, Err(StoreError::Backup(BackupFault::NewerInDoubt { chosen, newer, .. }))
                    if *chosen == world.chain[0].name && newer.len() == 2),
                "{latest:?}"
            ),
        }
        // Those that are newer than `latest` are not skipped.
        let report = look(&world.repo, Which::Named("latest"), Level::Present);
        assert_eq!(report.outcome(), Outcome::ChainBroken);
    }
}

/// Backups older than `latest` are not needed to restore it.
#[test]
fn damage_of_older_backups_does_not_affect_latest() {
    let mut world = world(3);
    world.remove(&[world.chain[1].name.clone()]);
    world.chain.clear();
    (world.past, world.day) = (7, 2);
    world.backup(&system());
    let report = look(&world.repo, Which::Named("latest"), Level::Present);
    let looked_at: Vec<_> = report.members.iter().map(|m| m.name.clone()).collect();
    assert_eq!(looked_at, [world.chain[0].name.clone()]);
    assert_eq!(report.outcome(), Outcome::Sound, "{report:#?}");
    let report = look(&world.repo, Which::All, Level::Present);
    assert_eq!(report.outcome(), Outcome::ChainBroken, "{report:#?}");
}

/// A backup of the same name can't be the base of the incrementals of its predecessor.
#[test]
fn another_backup_in_the_place_of_the_base() {
    let mut world = world(2);
    let full = world.chain[0].name.clone();
    world.remove(&[full]);
    let younger = world.chain.pop().unwrap();
    world.chain.clear();
    world.past = 7;
    world.backup_with_changes(&system(), |_| {});
    let other = &world.chain[0];
    assert_eq!(other.name, younger.name.base());
    // The fixture gives every first backup the same id.
    let listed = world.repo.list().unwrap();
    let same = younger.base.as_ref().unwrap().id == other.id;
    assert!(same && listed.len() == 2);
    let report = look(&world.repo, Which::All, Level::Present);
    assert_eq!(report.outcome(), Outcome::ChainBroken, "{report:#?}");
}

/// Streams that `cloud put` stored, and backups of xtrabackup.
#[test]
fn backups_that_are_not_verified_change_the_exit_code() {
    let world = world(1);
    let repo = world.dir.path().join("repo");
    let zeros = "00000000000000000000";
    let put = |name: &str, files: &[&str]| {
        std::fs::create_dir(repo.join(name)).unwrap();
        for file in files {
            std::fs::write(repo.join(name).join(file), b"x").unwrap();
        }
    };
    put(
        "streamed",
        &[
            &format!("xtrabackup_tablespaces.{zeros}"),
            &format!("lsnap_manifest.json.{zeros}"),
            "lsnap_manifest.json.00000000000000000001",
        ],
    );
    let report = look(&world.repo, Which::All, Level::Present);
    assert_eq!((report.streams.len(), report.members.len()), (1, 1));
    assert_eq!(report.outcome(), Outcome::NotVerified);
    let options = VerifyOptions::default();
    let named = |name| {
        verify(
            &world.repo,
            Which::Named(name),
            &options,
            &crate::progress::Silent,
        )
    };
    let streamed =
        |error: &StoreError| matches!(error, StoreError::Backup(BackupFault::Streamed { .. }));
    match named("streamed") {
        Err(crate::verify::VerifyError::Store(error)) => assert!(streamed(&error), "{error}"),
        other => panic!("{other:?}"),
    }
    let name = world.repo.resolve("streamed").unwrap();
    assert!(streamed(&world.repo.manifest(&name).unwrap_err()));
    assert!(streamed(&world.repo.chain_of(&name).unwrap_err()));
    put("xtra", &[&format!("xtrabackup_info.{zeros}")]);
    let report = look(&world.repo, Which::All, Level::Present);
    assert_eq!(
        (report.xtrabackups.len(), report.outcome()),
        (1, Outcome::NotVerified)
    );
}

/// This test takes ten seconds, because the reader waits for the deletion to stop.
#[test]
fn a_chain_that_is_being_deleted_is_not_verified_and_not_damaged() {
    let world = world(2);
    let names: Vec<_> = world.chain.iter().map(|m| m.name.clone()).collect();
    let repository = world.dir.path().join("repo");
    let note = format!("{}/lsnap_deleting.json.{:020}", names[1], 0);
    std::fs::write(repository.join(note), "{}").unwrap();
    let report = look(&world.repo, Which::All, Level::Present);
    assert_eq!(problems(&report), []);
    assert_eq!(
        (report.members.len(), report.outcome()),
        (0, Outcome::NotVerified)
    );
    let mut left: Vec<_> = report.not_verified().cloned().collect();
    left.sort();
    assert_eq!(left, names);
    let named = verify(
        &world.repo,
        Which::Named(names[1].as_str()),
        &VerifyOptions::default(),
        &Silent,
    );
    let Err(VerifyError::Store(StoreError::Backup(BackupFault::BeingDeleted {
        name,
        gone: false,
    }))) = named
    else {
        panic!("{named:?}");
    };
    assert_eq!(name, names[1]);
}

/// A name in a message can look like the end of a sentence.
#[test]
fn a_problem_has_the_fields_of_its_error() {
    let finding = Finding::new("a file \"x, expected y\" of 3 bytes", 4);
    let error = ReadError::damaged("b", "t.ibd", finding);
    let text = error.to_string();
    let sentence = "b/t.ibd is damaged: a file \"x, expected y\" of 3 bytes, expected 4; verify";
    assert!(text.starts_with(sentence), "{text}");
    let problem = Problem::of_read(error).unwrap();
    assert_eq!(problem.object, "b/t.ibd");
    assert_eq!(problem.found, "a file \"x, expected y\" of 3 bytes");
    assert_eq!(problem.expected, "4");
    let alone = ReadError::damaged("b", "t", "it lacks \"x, expected y\"");
    let problem = Problem::of_read(alone).unwrap();
    assert_eq!(problem.found, "it lacks \"x, expected y\"");
    assert_eq!(problem.expected, "what was written");
}
