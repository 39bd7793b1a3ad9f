use crate::progress::Silent;
use crate::reader::fixture::{P, Space, World, files_below, start_of, system};
use crate::store::Repository;
use crate::verify::{
    Level, Outcome, Problem, ProblemKind, VerifyOptions, VerifyReport, Which, verify,
};
use std::path::{Path, PathBuf};

/// Creates a full backup and two incrementals.
fn world() -> World {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 20, 50));
    world.backup(&spaces);
    spaces[2].write(5, start_of(0) + 1, 2);
    spaces[2].write(6, start_of(0) + 1, 2);
    world.backup(&spaces);
    spaces[2].write(9, start_of(1) + 1, 3);
    world.backup(&spaces);
    world
}

pub(super) fn look(repo: &Repository, which: Which<'_>, level: Level) -> VerifyReport {
    let options = VerifyOptions {
        level,
        threads: 2,
        ..VerifyOptions::default()
    };
    verify(repo, which, &options, &Silent).unwrap()
}

pub(super) fn problems(report: &VerifyReport) -> Vec<Problem> {
    report.problems().cloned().collect()
}

#[test]
fn a_sound_chain_has_no_problems() {
    let world = world();
    for level in [Level::Present, Level::Data] {
        for which in [Which::Named("latest"), Which::All] {
            let report = look(&world.repo, which, level);
            assert_eq!(problems(&report), []);
            assert_eq!(
                (report.members.len(), report.outcome()),
                (3, Outcome::Sound)
            );
        }
    }
    let report = look(&world.repo, Which::All, Level::Data);
    let pages: Vec<_> = report.members.iter().map(|m| m.pages.verified).collect();
    assert_eq!(pages, [28, 2, 1]);
    assert_eq!(report.members[2].pages.max_lsn.0, start_of(1) + 1);
    assert!(report.members[0].read_bytes > 28 * P as u64);
}

#[test]
fn a_chain_with_names_too_long_for_a_directory_is_sound() {
    let mut world = World::new();
    let mut spaces = system();
    for len in [225, 226, 231, 232, 251] {
        let name = format!("db/{}.ibd", "x".repeat(len - 4));
        spaces.push(Space::new(len as u32, &name, 20, 50));
    }
    world.backup(&spaces);
    for space in &mut spaces[2..] {
        space.write(5, start_of(0) + 1, 2);
    }
    world.backup(&spaces);
    for level in [Level::Present, Level::Data] {
        let report = look(&world.repo, Which::All, level);
        assert_eq!(problems(&report), []);
        assert_eq!(report.members.len(), 2);
    }
}

/// Returns the path of an object of a member.
fn at(world: &World, number: usize, path: &str, index: usize) -> PathBuf {
    world.object(number, path, index)
}

type Damage = fn(&World);

fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// A change, and the kind of problem that the listing and the reading levels report for it (`None`:
/// they don't notice it), with the object.
type Row = (
    &'static str,
    Damage,
    Option<ProblemKind>,
    Option<ProblemKind>,
    &'static str,
);

const TABLE: &[Row] = {
    use ProblemKind::{Chain, Content, Foreign, Length, Manifest, Missing};
    &[
        (
            "an object is lost",
            |w| std::fs::remove_file(at(w, 0, "db/t.ibd", 3)).unwrap(),
            Some(Missing),
            Some(Missing),
            "db/t.ibd.00000000000000000003",
        ),
        (
            "the last object is lost",
            |w| std::fs::remove_file(at(w, 0, "db/t.ibd", 6)).unwrap(),
            Some(Missing),
            Some(Missing),
            "db/t.ibd.00000000000000000006",
        ),
        (
            "an object is cut",
            |w| rewrite(&at(w, 0, "db/t.ibd", 1), |b| b.truncate(b.len() - 1)),
            Some(Length),
            Some(Content),
            "db/t.ibd.00000000000000000001",
        ),
        (
            "an object is empty",
            |w| rewrite(&at(w, 0, "xtrabackup_logfile", 0), Vec::clear),
            Some(Length),
            Some(Content),
            "xtrabackup_logfile.00000000000000000000",
        ),
        (
            "an object is longer",
            |w| rewrite(&at(w, 1, "db/t.ibd.delta", 1), |b| b.push(0)),
            Some(Length),
            Some(Content),
            "db/t.ibd.delta.00000000000000000001",
        ),
        (
            "a bit is flipped",
            |w| rewrite(&at(w, 0, "db/t.ibd", 2), |b| b[500] ^= 1),
            None,
            Some(Content),
            "db/t.ibd.00000000000000000002",
        ),
        (
            "a bit of a small file is flipped",
            |w| {
                rewrite(&at(w, 2, "xtrabackup_info", 0), |b| {
                    *b.last_mut().unwrap() ^= 1
                })
            },
            None,
            Some(Content),
            "xtrabackup_info.00000000000000000000",
        ),
        (
            "two objects of one length are exchanged",
            |w| {
                let (one, two) = (at(w, 0, "db/t.ibd", 1), at(w, 0, "db/t.ibd", 2));
                let bytes = std::fs::read(&one).unwrap();
                std::fs::copy(&two, &one).unwrap();
                std::fs::write(&two, bytes).unwrap();
            },
            None,
            Some(Content),
            "db/t.ibd.00000000000000000001",
        ),
        (
            "an object of another member",
            |w| {
                let bytes = std::fs::read(at(w, 0, "db/t.sdi", 0)).unwrap();
                std::fs::write(at(w, 2, "db/t.sdi", 0), bytes).unwrap();
            },
            None,
            Some(Content),
            "db/t.sdi.00000000000000000000",
        ),
        (
            "an object too much",
            |w| {
                let bytes = at(w, 0, "db/t.ibd", 6);
                let to = bytes.with_file_name(format!("t.ibd.{:020}", 7));
                std::fs::copy(bytes, to).unwrap();
            },
            Some(Foreign),
            Some(Foreign),
            "db/t.ibd.00000000000000000007",
        ),
        (
            "a file that is none of the backup's",
            |w| std::fs::write(at(w, 0, "db/t.ibd", 0).with_file_name("notes.txt"), "x").unwrap(),
            Some(Foreign),
            Some(Foreign),
            "db/notes.txt",
        ),
        (
            "the manifest is lost in the middle",
            |w| std::fs::remove_file(at(w, 1, "lsnap_manifest.json", 0)).unwrap(),
            Some(Chain),
            Some(Chain),
            "-incr",
        ),
        (
            "a bit of a manifest is flipped",
            |w| rewrite(&at(w, 0, "lsnap_manifest.json", 0), |b| b[900] ^= 1),
            Some(Manifest),
            Some(Manifest),
            "lsnap_manifest.json",
        ),
        (
            "the manifest of another member",
            |w| {
                let bytes = std::fs::read(at(w, 1, "lsnap_manifest.json", 0)).unwrap();
                std::fs::write(at(w, 2, "lsnap_manifest.json", 0), bytes).unwrap();
            },
            Some(Manifest),
            Some(Manifest),
            "lsnap_manifest.json",
        ),
        (
            "a sound manifest of another backup of the same name",
            |w| {
                let bytes = std::fs::read(at(&world(), 1, "lsnap_manifest.json", 0)).unwrap();
                std::fs::write(at(w, 1, "lsnap_manifest.json", 0), bytes).unwrap();
            },
            Some(Manifest),
            Some(Manifest),
            "lsnap_manifest.json",
        ),
        (
            "the summary is lost",
            |w| std::fs::remove_file(at(w, 0, "lsnap_summary.json", 0)).unwrap(),
            Some(Missing),
            Some(Missing),
            "lsnap_summary.json",
        ),
        (
            "the whole full backup is lost",
            |w| {
                let dir = at(w, 0, "xtrabackup_info", 0);
                std::fs::remove_dir_all(dir.parent().unwrap()).unwrap();
            },
            Some(Chain),
            Some(Chain),
            "-incr",
        ),
    ]
};

/// Verifies the chain of the newest backup, and all backups; the report must contain the object,
/// what was found and what was expected.
#[test]
fn every_damage_is_found() {
    for (what, damage, listing, reading, object) in TABLE {
        let world = world();
        let before = files_below(&world.dir.path().join("repo"));
        damage(&world);
        assert_ne!(
            before,
            files_below(&world.dir.path().join("repo")),
            "{what}"
        );
        for which in [Which::Named("latest"), Which::All] {
            for (level, kind) in [(Level::Present, listing), (Level::Data, reading)] {
                let report = look(&world.repo, which, level);
                let found = problems(&report);
                let Some(kind) = kind else {
                    assert_eq!(found, [], "{what}");
                    continue;
                };
                let fits = |p: &&Problem| p.kind == *kind && p.object.contains(object);
                let Some(problem) = found.iter().find(fits) else {
                    panic!("{what}, {which:?} at {level:?}: {found:#?}");
                };
                assert!(!problem.found.is_empty() && !problem.expected.is_empty());
                let code = if *kind == ProblemKind::Chain && found.iter().all(|p| p.kind == *kind) {
                    Outcome::ChainBroken
                } else {
                    Outcome::Damaged
                };
                assert_eq!(report.outcome(), code, "{what}: {found:#?}");
            }
        }
    }
}
