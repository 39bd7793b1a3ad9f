//! Backups whose digests are right and whose content is wrong: wrong when it was made, or replaced
//! before it was stored. Only `Level::Data` finds it.

use super::damages::{look, problems};
use crate::innodb::Lsn;
use crate::manifest::split_object_name;
use crate::reader::fixture::{Space, World, redo_log, start_of, system};
use crate::verify::{Level, Outcome, ProblemKind, Which};

fn finds(world: &World, kind: ProblemKind, words: &[&str]) {
    assert_eq!(problems(&look(&world.repo, Which::All, Level::Present)), []);
    let report = look(&world.repo, Which::All, Level::Data);
    let found = problems(&report);
    let fits = found.iter().any(|p| {
        let all = format!("{} {} {}", p.object, p.found, p.expected);
        p.kind == kind && words.iter().all(|word| all.contains(word))
    });
    assert!(fits, "{words:?} in {found:#?}");
    assert_eq!(report.outcome(), Outcome::Damaged);
}

#[test]
fn a_page_that_is_newer_than_the_backup() {
    let mut world = World::new();
    let mut spaces = system();
    let late = start_of(0) + 4_001;
    spaces[1].write(2, late, 9);
    world.backup(&spaces);
    let words = [
        "mysql.ibd.00000000000000000000",
        "page 2",
        &late.to_string(),
    ];
    finds(&world, ProblemKind::Page, &words);
}

#[test]
fn a_delta_with_a_page_from_before_its_scan() {
    let mut world = World::new();
    let spaces = system();
    world.backup(&spaces);
    let mut later = spaces.clone();
    later[1].write(3, start_of(0) + 7, 9);
    // The floor in the manifest is higher than the LSN of the page.
    world.scan_floor = Some(Lsn(start_of(0) - 50));
    later[1].write(1, start_of(0) - 20, 9);
    world.backup(&later);
    finds(
        &world,
        ProblemKind::Page,
        &["mysql.ibd.delta", "page 1", "at least"],
    );
}

/// A table that is not in one of the backups, with its old pages. Manifests of earlier versions
/// have no floors.
#[test]
fn a_delta_of_a_tablespace_with_a_gap() {
    for floors in [true, false] {
        let mut world = World::new();
        world.floors = floors;
        world.backup(&system());
        let mut spaces = system();
        spaces.push(Space::new(7, "db/t.ibd", 5, 50));
        world.backup(&spaces);
        for level in [Level::Present, Level::Data] {
            let report = look(&world.repo, Which::All, level);
            assert_eq!(problems(&report), [], "floors: {floors}");
        }
    }
}

/// A table whose file contains the pages of another.
#[test]
fn pages_of_another_tablespace() {
    let mut world = World::new();
    let mut spaces = system();
    let mut table = Space::new(7, "db/t.ibd", 5, 50);
    table.pages_of = Some(8);
    spaces.push(table);
    world.backup(&spaces);
    finds(
        &world,
        ProblemKind::Page,
        &["db/t.ibd", "space id 8", "7: the file was replaced"],
    );
}

#[test]
fn a_redo_log_with_a_gap_and_one_that_is_too_short() {
    for (cut, words) in [(false, "redo block"), (true, "ends at LSN")] {
        let mut world = World::new();
        let mut log = redo_log(Lsn(start_of(0)), Lsn(start_of(0) + 4_000));
        if cut {
            log.truncate(2048 + 1024);
        } else {
            log[2048 + 512 + 100] ^= 1;
        }
        world.redo = Some(log);
        world.backup(&system());
        finds(&world, ProblemKind::Content, &["xtrabackup_logfile", words]);
    }
}

/// Creates a full backup and an incremental, whose tables are in packs.
fn packed() -> (World, Vec<Space>) {
    let mut world = World::new();
    world.object_pages = 20;
    world.packs = u32::MAX;
    let mut spaces = system();
    spaces.extend((0..9).map(|n| Space::new(10 + n, &format!("db/t{n}.ibd"), 5, 50)));
    world.backup(&spaces);
    for (number, space) in spaces[2..].iter_mut().enumerate() {
        (0..number % 3).for_each(|no| space.write(no, start_of(0) + 1, 9));
    }
    world.backup(&spaces);
    (world, spaces)
}

/// Bytes that an open repository has read earlier don't prove the current content, and a report
/// contains only existing objects.
#[test]
fn a_pack_that_was_damaged_since_it_was_read() {
    let (world, _) = packed();
    for number in [0, 1] {
        let file = &world.chain[number].files[7];
        let place = file.objects[0].pack.as_ref().unwrap();
        let (path, _) = split_object_name(&place.object).unwrap();
        let disk = world.object(number, path, 0);
        let good = std::fs::read(&disk).unwrap();
        let mut bad = good.clone();
        bad[place.from as usize + 100] ^= 1;
        assert_eq!(problems(&look(&world.repo, Which::All, Level::Data)), []);
        std::fs::write(&disk, bad).unwrap();
        let object = format!("{}/{}", world.chain[number].name, place.object);
        let at = format!("(file {} at byte {} of it)", file.path, place.from);
        finds(&world, ProblemKind::Content, &[&object, &at, "digest"]);
        std::fs::write(&disk, good).unwrap();
    }
}

/// For a page in a pack, the report contains the object with the page.
#[test]
fn a_page_in_a_pack_that_is_newer_than_the_backup() {
    let (mut world, mut spaces) = packed();
    let late = start_of(2) + 5_000;
    spaces[6].write(2, late, 9);
    world.backup(&spaces);
    let pack = world.chain[2].files[6].objects[0].pack.clone().unwrap();
    let words = [&pack.object, "file db/t4.ibd.delta", "page 2", "LSN"];
    finds(&world, ProblemKind::Page, &words);
}
