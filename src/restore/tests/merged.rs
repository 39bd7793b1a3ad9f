//! The newest version of a page is restored, for all changes of tablespaces between backups.

use super::packed::Packed;
use crate::reader::fixture::{P, Space, World, start_of, system};
use crate::store::windows::WINDOW;

fn with(spaces: &[Space]) -> Vec<Space> {
    let mut all = system();
    all.extend_from_slice(spaces);
    all
}

#[test]
fn a_full_backup_is_restored_with_its_zero_pages() {
    let mut world = World::new();
    let mut table = Space::new(7, "db/t.ibd", 20, 50);
    for no in [3, 4, 5, 6, 7, 8, 19] {
        table.pages[no] = None;
    }
    let spaces = with(&[table]);
    world.backup(&spaces);
    world.merge(0).unwrap().expect(&spaces);
}

#[test]
fn the_newest_page_wins_and_each_is_written_once() {
    let mut world = World::new();
    let mut table = Space::new(7, "db/t.ibd", 30, 50);
    world.backup(&with(std::slice::from_ref(&table)));
    let first = table.clone();
    table.write(2, start_of(0) + 10, 2);
    table.write(9, start_of(0) + 20, 2);
    world.backup(&with(std::slice::from_ref(&table)));
    let second = table.clone();
    table.write(9, start_of(1) + 10, 3);
    table.write(10, start_of(1) + 10, 3);
    world.backup(&with(std::slice::from_ref(&table)));
    let merged = world.merge(2).unwrap();
    merged.expect(&with(&[table]));
    assert_eq!(
        merged.members.iter().map(|m| m.pages).collect::<Vec<_>>(),
        [2, 1, 27 + 8]
    );
    // Every member of the chain can be restored.
    world.merge(1).unwrap().expect(&with(&[second]));
    world.merge(0).unwrap().expect(&with(&[first]));
}

/// A page that was written between the base's checkpoint and its end is in the overlap.
#[test]
fn pages_that_changed_while_the_base_was_copied_come_from_the_overlap() {
    let mut world = World::new();
    let old = Space::new(7, "db/t.ibd", 5, 50);
    world.backup(&with(std::slice::from_ref(&old)));
    let mut now = old;
    now.write(1, start_of(0) + 1, 9);
    now.write(2, start_of(0), 9);
    world.backup(&with(std::slice::from_ref(&now)));
    world.merge(1).unwrap().expect(&with(&[now]));
}

/// Backups of earlier versions, whose `to_lsn` is their checkpoint at the end, and later ones, in
/// one chain.
#[test]
fn chains_of_earlier_and_later_manifests() {
    for ends in 0..8 {
        let mut world = World::new();
        world.ends = ends;
        let mut table = Space::new(7, "db/t.ibd", 9, 50);
        for number in 0..3 {
            world.backup(&with(std::slice::from_ref(&table)));
            // Changed while it was copied, before and after the checkpoint at its end.
            let fill = number as u8 + 1;
            table.write(number * 3, start_of(number), fill);
            table.write(number * 3 + 1, start_of(number) + 2_999, fill);
            table.write(number * 3 + 2, start_of(number) + 3_001, fill);
        }
        world.backup(&with(std::slice::from_ref(&table)));
        for (n, pair) in world.chain.windows(2).enumerate() {
            let [base, member] = [pair[0].lsn, pair[1].lsn];
            assert_eq!(member.from_lsn, base.to_lsn);
            let is_start = base.to_lsn == base.start_checkpoint;
            assert_eq!(is_start, ends >> n & 1 == 0, "{ends:b}");
            assert!(member.scan_floor <= base.start_checkpoint);
        }
        world.merge(3).unwrap().expect(&with(&[table]));
    }
}

#[test]
fn renamed_tablespaces_are_tracked_by_their_id() {
    let mut world = World::new();
    let a = Space::new(7, "db/a.ibd", 6, 50);
    let mut b = Space::new(8, "db/b.ibd", 6, 50);
    b.write(3, 60, 5);
    world.backup(&with(&[a.clone(), b.clone()]));
    // They exchange their names, and one page changes.
    let (mut a, mut b) = (a, b);
    a.name = "db/b.ibd".into();
    b.name = "other/a.ibd".into();
    a.write(0, start_of(0) + 5, 6);
    world.backup(&with(&[a.clone(), b.clone()]));
    world.merge(1).unwrap().expect(&with(&[a, b]));
}

#[test]
fn dropped_tablespaces_are_absent_and_new_ones_need_no_image() {
    let mut world = World::new();
    let dropped = Space::new(7, "db/t.ibd", 6, 50);
    world.backup(&with(&[dropped]));
    // The same name, another table, as after TRUNCATE, or DROP and CREATE.
    let mut new = Space::new(9, "db/t.ibd", 8, start_of(0) + 50);
    new.pages[5] = None;
    world.backup(&with(std::slice::from_ref(&new)));
    world
        .merge(1)
        .unwrap()
        .expect(&with(std::slice::from_ref(&new)));
    // It appeared in the middle of the chain.
    new.write(2, start_of(1) + 5, 4);
    world.backup(&with(std::slice::from_ref(&new)));
    let merged = world.merge(2).unwrap();
    merged.expect(&with(&[new]));
    assert_eq!(merged.members[2].pages, 8);
}

#[test]
fn files_grow_and_shrink_to_the_newest_length() {
    let mut world = World::new();
    let mut table = Space::new(7, "db/t.ibd", 10, 50);
    world.backup(&with(std::slice::from_ref(&table)));
    table.write(40, start_of(0) + 5, 2);
    world.backup(&with(std::slice::from_ref(&table)));
    world
        .merge(1)
        .unwrap()
        .expect(&with(std::slice::from_ref(&table)));
    table.pages.truncate(4);
    world.backup(&with(std::slice::from_ref(&table)));
    world.merge(2).unwrap().expect(&with(&[table]));
}

/// A cluster has 255 pages of 1 KiB: this delta has three clusters, the last but one full.
#[test]
fn deltas_of_several_clusters() {
    let mut world = World::new();
    world.object_pages = 10;
    let mut table = Space::new(7, "db/t.ibd", 1200, 50);
    world.backup(&with(std::slice::from_ref(&table)));
    for no in (0..1200).filter(|no| no % 2 == 0 || (300..420).contains(no)) {
        table.write(no, start_of(0) + 5, 2);
    }
    world.backup(&with(std::slice::from_ref(&table)));
    world
        .merge(1)
        .unwrap()
        .expect(&with(std::slice::from_ref(&table)));
    for pages in [255, 510, 1] {
        let mut exact = Space::new(7, "db/t.ibd", 1200, 50);
        for no in 0..pages {
            exact.write(no, start_of(0) + 5, 2);
        }
        let mut world = World::new();
        world.backup(&with(&[Space::new(7, "db/t.ibd", 1200, 50)]));
        world.backup(&with(std::slice::from_ref(&exact)));
        world.merge(1).unwrap().expect(&with(&[exact]));
    }
}

/// Objects without a wanted page are not fetched.
#[test]
fn objects_that_are_not_needed_are_not_fetched() {
    let mut world = World::new();
    world.object_pages = 10;
    let mut table = Space::new(7, "db/t.ibd", 100, 50);
    world.backup(&with(std::slice::from_ref(&table)));
    for no in 0..50 {
        table.write(no, start_of(0) + 5, 2);
    }
    world.backup(&with(std::slice::from_ref(&table)));
    // Damaged, but not needed.
    std::fs::remove_file(world.object(0, "db/t.ibd", 1)).unwrap();
    let merged = world.merge(1).unwrap();
    merged.expect(&with(std::slice::from_ref(&table)));
    assert_eq!(merged.members[1].objects_skipped, 5);
    let [newest, base] = &merged.members[..] else {
        panic!("two members")
    };
    assert!(newest.fetched_bytes > 50 * P as u64 && newest.fetched_bytes <= newest.stored_bytes);
    let left = base.stored_bytes - base.fetched_bytes;
    let p = P as u64;
    assert!(
        left > 50 * p && left < 60 * p + 4096,
        "half of the table, and its plain files: {left}"
    );
    for no in 0..100 {
        table.write(no, start_of(1) + 5, 3);
    }
    world.backup(&with(std::slice::from_ref(&table)));
    let merged = world.merge(2).unwrap();
    merged.expect(&with(&[table]));
    assert_eq!(merged.members[2].objects_skipped, 10);
    assert_eq!(merged.members[2].pages, 8);
}

#[test]
fn plain_files_and_kept_metadata_come_from_the_newest() {
    let mut world = World::new();
    let spaces = with(&[]);
    world.backup(&spaces);
    world.backup(&spaces);
    let merged = world.merge(1).unwrap();
    let read = |path: &str| std::fs::read_to_string(merged.dir.path().join(path));
    assert_eq!(read("db/t.sdi").unwrap(), "sdi 1");
    assert_eq!(read("xtrabackup_info").unwrap(), "uuid = 1\n");
    assert_eq!(read("xtrabackup_binlog_info").unwrap(), "b.1\t4\n");
    for gone in [
        "xtrabackup_checkpoints",
        "backup-my.cnf",
        "empty/db.opt",
        "xtrabackup_logfile",
    ] {
        assert!(read(gone).is_err(), "{gone}");
    }
    assert!(merged.dir.path().join("empty").is_dir());
}

#[test]
fn zero_pages_of_an_image_take_no_space() {
    use std::os::unix::fs::MetadataExt;
    let mut world = World::new();
    world.object_pages = 512;
    let mut table = Space::new(7, "db/t.ibd", 4096, 50);
    for no in 8..4096 {
        table.pages[no] = None;
    }
    let spaces = with(&[table]);
    world.backup(&spaces);
    let merged = world.merge(0).unwrap();
    merged.expect(&spaces);
    let blocks = std::fs::metadata(merged.dir.path().join("db/t.ibd"))
        .unwrap()
        .blocks();
    assert!(blocks * 512 <= 16 * P as u64, "{blocks}");
}

/// A tablespace that was created just before it was copied: page 0 is on disk with LSN 0, so that a
/// delta by LSN lacks it. It is created from the manifest.
#[test]
fn a_new_tablespace_without_its_first_page_gets_one() {
    let mut world = World::new();
    world.backup(&with(&[]));
    let mut new = Space::new(9, "db/t.ibd", 4, start_of(0) + 5);
    new.pages[0] = None;
    world.backup(&with(std::slice::from_ref(&new)));
    let merged = world.merge(1).unwrap();
    let bytes = std::fs::read(merged.dir.path().join("db/t.ibd")).unwrap();
    let header = crate::innodb::SpaceHeader::parse(&bytes[..P]).unwrap();
    assert_eq!(header.space_id, crate::innodb::SpaceId(9));
    assert!(bytes[P..] == new.bytes()[P..]);
    // The next member has the real page.
    new.write(0, start_of(1) + 5, 3);
    world.backup(&with(std::slice::from_ref(&new)));
    world.merge(2).unwrap().expect(&with(&[new]));
}

/// A zero first page in an image is damage.
#[test]
fn a_first_page_of_zeros_in_an_image_is_refused() {
    let mut world = World::new();
    let mut table = Space::new(9, "db/t.ibd", 4, 5);
    table.pages[0] = None;
    world.backup(&with(&[table]));
    assert!(world.merge(0).is_err());
}

/// Many workers read a chain of packs: each window of each member is fetched about once, although
/// only few are kept.
#[test]
fn workers_read_from_the_same_windows() {
    let packed = Packed::chain(300, 3);
    let (windows, before) = (packed.windows(), packed.reads());
    assert!(windows > 50, "{windows}");
    // Two windows a member, and two to spare.
    let merged = packed.world.merge_by(2, 8, 16 * WINDOW).unwrap();
    let reads = packed.reads() - before;
    merged.expect(&packed.spaces);
    assert!(reads < 2 * windows, "{reads} reads of {windows} windows");
}
