use super::{equal, made, options, sound};
use crate::innodb::Lsn;
use crate::manifest::{BackupKind, Checkpoints, FileRole, PackChoice};
use crate::reader::fixture::{P, Space, World, start_of, system};
use crate::restore::tests::model::{step, walk};
use crate::restore::tests::packed::Packed;
use proptest::prelude::*;

/// A table with few changes: most objects are copied, each to the right position.
#[test]
fn unchanged_objects_are_copied() {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 300, 50));
    spaces.push(Space::new(8, "db/still.ibd", 100, 50));
    world.backup(&spaces);
    for n in 0..3 {
        spaces[2].write(10 + n * 100, start_of(n) + 1, 9);
        world.backup(&spaces);
    }
    let mut options = options(0);
    options.window_pages = 1 << 20;
    let report = made(&world.repo, &world.chain[3], &options);
    equal(&mut world, 3, &report, &spaces);
    sound(&world.repo, &report.name);
    // 100 objects of the table, 3 of them changed; 34 of the unchanged table; the small ones.
    assert!(report.copied_objects >= 97 + 34, "{report:?}");
    let fetched = report.fetched_bytes;
    assert!(fetched < 40 * P as u64, "{fetched} bytes fetched");
}

/// A table that one member lacks, with its old pages: all of it is in the delta of the member that
/// has it again.
#[test]
fn a_tablespace_with_a_gap() {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 20, 50));
    world.backup(&spaces);
    world.backup(&system());
    spaces[2].pages[4] = None;
    world.backup(&spaces);
    spaces[2].write(9, start_of(2) + 1, 9);
    world.backup(&spaces);
    let report = made(&world.repo, &world.chain[3], &options(0));
    equal(&mut world, 3, &report, &spaces);
    sound(&world.repo, &report.name);
    let manifest = world.repo.manifest(&report.name).unwrap();
    let mut made = manifest.files.iter().filter_map(|file| file.role.space());
    assert!(made.all(|space| space.floor.is_none()));
}

#[test]
fn the_new_backup_has_all_properties_of_a_full_backup() {
    let mut world = World::new();
    let mut spaces = system();
    world.backup(&spaces);
    spaces[1].write(2, start_of(0) + 1, 9);
    world.backup(&spaces);
    let report = made(&world.repo, &world.chain[1], &options(0));
    let manifest = world.repo.manifest(&report.name).unwrap();
    let member = &world.chain[1];
    assert_eq!((manifest.kind, &manifest.base), (BackupKind::Full, &None));
    assert_eq!(manifest.server, member.server);
    assert_eq!(
        (manifest.lsn.from_lsn, manifest.lsn.scan_floor),
        (Lsn(0), Lsn(0))
    );
    assert_eq!(manifest.lsn.start_checkpoint, member.lsn.start_checkpoint);
    assert_eq!(manifest.lsn.to_lsn, member.lsn.to_lsn);
    assert_eq!(manifest.lsn.last_lsn, member.lsn.last_lsn);
    assert_eq!(manifest.started_at, member.started_at);
    assert_ne!(manifest.id, member.id);
    let incremental = |f: &&crate::manifest::FileEntry| {
        matches!(f.role, FileRole::Delta(_) | FileRole::DeltaMeta)
    };
    assert!(manifest.files.iter().find(incremental).is_none());
    let last = manifest.files.last().unwrap();
    assert_eq!(last.plain_path(), "xtrabackup_tablespaces");
    let object = world
        .repo
        .bucket()
        .get(
            &format!("{}/xtrabackup_checkpoints.{:020}", report.name, 0),
            1 << 20,
        )
        .unwrap();
    let crate::store::Held::Bytes(object) = object else {
        panic!("it is not there");
    };
    let text = String::from_utf8_lossy(&object).into_owned();
    let at = text.find("backup_type").unwrap();
    let end = text[at..].find("XBSTCK").unwrap();
    let checkpoints = Checkpoints::parse(&text.as_bytes()[at..at + end]).unwrap();
    assert_eq!(checkpoints.from_lsn, Lsn(0));
    assert_eq!(checkpoints.to_lsn, member.lsn.to_lsn);
}

/// Incremental-forever: one full backup, then only incrementals; the old chain is deleted in each
/// round.
#[test]
fn incrementals_continue_the_new_backup() {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 60, 50));
    world.backup(&spaces);
    for round in 1..6 {
        for page in [round * 7, 3, 50 - round] {
            let base = &world.chain.last().unwrap().lsn;
            spaces[2].write(page, base.start_checkpoint.0 + 1, round as u8);
            world.backup(&spaces);
        }
        let member = world.chain.last().unwrap().clone();
        let report = made(&world.repo, &member, &options(round));
        let number = world.chain.len() - 1;
        equal(&mut world, number, &report, &spaces);
        let uuid = &member.server.uuid;
        let pinned = world
            .repo
            .next_base(uuid, None, Some(report.name.as_str()))
            .unwrap()
            .base;
        assert_eq!(pinned.name, report.name);
        world.remove(
            &world
                .chain
                .iter()
                .map(|m| m.name.clone())
                .collect::<Vec<_>>(),
        );
        world.past += world.chain.len() - 1;
        world.chain = vec![world.repo.manifest(&report.name).unwrap()];
        world.merge(0).unwrap().expect(&spaces);
        sound(&world.repo, &report.name);
        assert_eq!(
            world.repo.next_base(uuid, None, None).unwrap().base.name,
            report.name
        );
    }
}

/// Many workers merge the small tables of a long chain: each window of each member's packs is
/// fetched about once, although not all of them are kept.
#[test]
fn workers_read_from_the_same_windows() {
    const LAST: usize = 15;
    let mut packed = Packed::chain(160, LAST + 1);
    let mut options = options(0);
    options.threads = 8;
    options.memory = 1 << 30;
    options.range_bytes = 8 << 20;
    let (windows, before) = (packed.windows(), packed.reads());
    let report = made(&packed.world.repo, &packed.world.chain[LAST], &options);
    let reads = packed.reads() - before;
    assert!(reads < 2 * windows, "{reads} reads of {windows} windows");
    equal(&mut packed.world, LAST, &report, &packed.spaces);
}

/// Small tables share objects in the new backup too, both if they are copied from a pack (a chain
/// of one member) and if they are merged; or none of them does.
#[test]
fn small_tables_are_copied_from_packs_into_packs() {
    const TABLES: usize = 200;
    for last in [0, 2] {
        let mut packed = Packed::chain(TABLES as u32, last + 1);
        for (second, choice) in [PackChoice::On, PackChoice::Off, PackChoice::Auto]
            .into_iter()
            .enumerate()
        {
            let mut options = options(second);
            options.range_bytes = 8 << 20;
            options.pack_small_files = choice;
            let member = packed.world.chain[last].clone();
            let before = packed.puts();
            let report = made(&packed.world.repo, &member, &options);
            let puts = packed.puts() - before;
            let manifest = packed.world.repo.manifest(&report.name).unwrap();
            let tables = manifest
                .files
                .iter()
                .filter(|f| f.plain_path().starts_with("db/"));
            let shared = tables.filter(|f| f.objects[0].pack.is_some()).count();
            let on = choice == PackChoice::On;
            assert_eq!(shared, if on { TABLES } else { 0 });
            assert_eq!(puts < 30, on, "{puts} puts");
            assert!(
                report.fetched_bytes > (TABLES * 20 * P) as u64,
                "{report:?}"
            );
            equal(&mut packed.world, last, &report, &packed.spaces);
            sound(&packed.world.repo, &report.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn it_restores_to_the_same_files_as_the_member(
        steps in proptest::collection::vec(step(), 1..60),
        object_pages in 1usize..20,
        packs in 0u32..32,
        range in 1usize..12,
        window in 1u64..120,
        memory in prop_oneof![Just(0usize), Just(64 << 10), Just(256 << 20)],
        pack: bool,
    ) {
        let (mut world, seen) = walk(&steps, object_pages, packs);
        for (number, spaces) in seen.iter().enumerate() {
            let mut options = options(number);
            options.range_bytes = range * P;
            options.window_pages = window;
            // Less than one worker needs: there is hardly any cache.
            options.memory = memory.max(8 << 20);
            options.pack_small_files = if pack { PackChoice::On } else { PackChoice::Off };
            let report = made(&world.repo, &world.chain[number].clone(), &options);
            equal(&mut world, number, &report, spaces);
            sound(&world.repo, &report.name);
        }
    }
}
