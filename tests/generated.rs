//! Data directories of `examples/datadir`: every page passes lsnap's own check and the server's
//! `innochecksum`, and an incremental contains exactly the pages that were changed.
#![allow(clippy::unwrap_used)]

#[path = "../examples/datadir/pages.rs"]
mod pages;
#[path = "../examples/datadir/tree.rs"]
mod tree;

use lsnap::backup::offline::Offline;
use lsnap::consolidate::{ConsolidateOptions, consolidate};
use lsnap::datadir::ReadMode;
use lsnap::innodb::{Lsn, PageSize};
use lsnap::manifest::BackupName;
use lsnap::store::Repository;
use pages::Sum;
use rustix::fs::FallocateFlags;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tree::Shape;

const FLOOR: u64 = 50_000_000;

fn shape(page_size: usize, sum: Sum) -> Shape {
    Shape {
        bytes: 6 << 20,
        files: 3,
        page_size,
        seed: 7,
        lsn: FLOOR,
        sum,
        threads: 2,
    }
}

fn offline(dir: &Path, page_size: usize, floor: Option<u64>) -> Offline {
    Offline {
        page_size: PageSize::new(page_size as u32).unwrap(),
        floor: floor.map(Lsn),
        ..Offline::new(dir)
    }
}

fn tablespaces(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.extension().and_then(|e| e.to_str()) {
            Some("json") => {}
            _ if path.is_dir() => found.extend(tablespaces(&path)),
            _ => found.push(path),
        }
    }
    found
}

#[test]
fn every_page_is_valid_for_lsnap_and_for_the_server() {
    let sandbox = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = Command::new(sandbox.join("tools/sandbox"))
        .arg("install")
        .output();
    assert!(installed.unwrap().status.success());
    for page_size in [4096, 8192, 16384, 32768, 65536] {
        for sum in [Sum::Crc32, Sum::Innodb, Sum::None] {
            let dir = tempfile::tempdir().unwrap();
            let made = tree::create(dir.path(), &shape(page_size, sum)).unwrap();
            let counts = offline(dir.path(), page_size, None).scan().unwrap();
            let (report, files) = (counts.report, tablespaces(dir.path()));
            assert_eq!((counts.files, counts.bytes), (made.files, made.bytes));
            let (sound, unsure) = (report.verified, report.unverifiable);
            let expected = if sum == Sum::None {
                (0, made.pages)
            } else {
                (made.pages, 0)
            };
            assert_eq!((sound, unsure), expected, "{page_size} {sum:?}");
            assert!(report.max_lsn < Lsn(FLOOR));
            for file in files {
                let out = Command::new(sandbox.join(".sandbox/mysql/bin/innochecksum"))
                    .arg(&file)
                    .output()
                    .unwrap();
                let said = String::from_utf8_lossy(&out.stderr);
                assert!(
                    out.status.success(),
                    "{page_size} {sum:?} {}: {said}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn an_incremental_has_the_pages_that_were_changed() {
    let dir = tempfile::tempdir().unwrap();
    let made = tree::create(dir.path(), &shape(16384, Sum::Crc32)).unwrap();
    let scan = |floor| offline(dir.path(), 16384, Some(floor)).scan().unwrap();
    assert_eq!(scan(FLOOR).delta_pages, 0);
    let changed = tree::change(dir.path(), 0.2, FLOOR, 3, 2).unwrap();
    let share = changed.pages as f64 / made.pages as f64;
    assert!((0.15..0.25).contains(&share), "{share}");
    let counts = scan(FLOOR);
    assert_eq!(counts.delta_pages, changed.pages);
    assert_eq!(counts.report.verified, made.pages);
    assert_eq!(scan(FLOOR + (1 << 20)).delta_pages, 0);
    // A second round adds to the first.
    let more = tree::change(dir.path(), 0.2, FLOOR + (1 << 20), 3, 2).unwrap();
    assert_eq!(scan(FLOOR + (1 << 20)).delta_pages, more.pages);
}

/// Returns the bytes of a file in the page cache.
fn cached(file: &Path) -> u64 {
    let out = Command::new("fincore")
        .args(["--bytes", "--noheadings", "--output", "RES"])
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    said.trim().parse().unwrap()
}

fn evict(files: &[PathBuf]) {
    for path in files {
        let file = std::fs::File::open(path).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        assert_eq!(cached(path), 0, "{}: not on a disk?", path.display());
    }
}

/// The page cache belongs to the server: neither the data read nor the data written stays in it.
#[test]
fn nothing_stays_in_the_page_cache() {
    // on the disk of the build; /tmp may be in memory, where files can't leave the cache
    let room = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (data, stored) = (room.path().join("data"), room.path().join("repository"));
    std::fs::create_dir(&data).unwrap();
    let shape = Shape {
        bytes: 60 << 20,
        ..shape(16384, Sum::Crc32)
    };
    tree::create(&data, &shape).unwrap();
    let files = tablespaces(&data);
    evict(&files);
    let whole = std::fs::read(&files[0]).unwrap().len() as u64;
    assert!(
        cached(&files[0]) >= whole,
        "fincore reports the file that was read"
    );
    let repo = Repository::open(stored.to_str().unwrap()).unwrap();
    for (mode, name) in [(ReadMode::Auto, "auto"), (ReadMode::Buffered, "buffered")] {
        evict(&files);
        let job = Offline {
            mode,
            ..offline(&data, 16384, None)
        };
        let name = BackupName::parse(&format!("c-{name}-full")).unwrap();
        job.copy(&repo, &name, 4).unwrap();
        // the header of each file, which the next backup reads first
        for file in &files {
            assert!(
                cached(file) <= 16 << 10,
                "{mode:?} {}: {}",
                file.display(),
                cached(file)
            );
        }
    }
    let objects = tablespaces(&stored);
    let large = objects
        .iter()
        .filter(|o| o.metadata().unwrap().len() > 1 << 20);
    let large: Vec<_> = large.map(|object| cached(object)).collect();
    assert!(
        large.len() > 10 && large.iter().all(|bytes| *bytes == 0),
        "{large:?}"
    );
}

/// More workers than ranges of files, and files of several ranges among small ones: nothing is left
/// out, and no worker waits forever.
#[test]
fn many_workers_share_few_and_many_files() {
    for (bytes, files) in [(3 << 20, 150), (40 << 20, 2)] {
        let dir = tempfile::tempdir().unwrap();
        let shape = Shape {
            bytes,
            files,
            ..shape(16384, Sum::Crc32)
        };
        let made = tree::create(dir.path(), &shape).unwrap();
        let repo = tempfile::tempdir().unwrap();
        let repo = Repository::open(repo.path().to_str().unwrap()).unwrap();
        for (threads, name) in [(1, "c-1-full"), (7, "c-7-full"), (16, "c-16-full")] {
            let job = Offline {
                threads,
                ..offline(dir.path(), 16384, None)
            };
            let counts = job.scan().unwrap();
            assert_eq!(counts.report.verified, made.pages, "{threads} threads");
            let name = BackupName::parse(name).unwrap();
            let counts = job.copy(&repo, &name, 4).unwrap();
            assert_eq!(counts.copied_bytes, made.bytes, "{threads} threads");
            // In addition to the heads and ends of the chunks.
            assert!(counts.stored_bytes > made.bytes, "{threads} threads");
        }
    }
}

/// A file that contains pages of another one fails the job, whichever thread waits for which.
#[test]
fn a_damaged_file_fails_the_job() {
    let dir = tempfile::tempdir().unwrap();
    let made = tree::create(dir.path(), &shape(16384, Sum::Crc32)).unwrap();
    assert!(made.files > 3);
    let table = |n| dir.path().join(format!("made000/t00000{n}.ibd"));
    let page0 = std::fs::read(table(1)).unwrap()[..16384].to_vec();
    let mut whole = std::fs::read(table(0)).unwrap();
    // its header is that of another tablespace, its other pages are its own
    whole[..16384].copy_from_slice(&page0);
    std::fs::remove_file(table(1)).unwrap();
    std::fs::write(table(0), whole).unwrap();
    for threads in [1, 8] {
        let job = Offline {
            threads,
            ..offline(dir.path(), 16384, None)
        };
        let error = job.scan().unwrap_err().to_string();
        assert!(error.contains("space id"), "{error}");
    }
}

#[test]
fn a_generated_chain_merges_to_the_current_directory() {
    let room = tempfile::tempdir().unwrap();
    let (dir, out) = (room.path().join("data"), room.path().join("out"));
    tree::create(&dir, &shape(16384, Sum::Crc32)).unwrap();
    let repo = Repository::open(room.path().join("repo").to_str().unwrap()).unwrap();
    let job = offline(&dir, 16384, None);
    let mut last = job.member(&repo, None, Lsn(FLOOR)).unwrap();
    for at in [FLOOR, FLOOR + (2 << 20)] {
        tree::change(&dir, 0.1, at, 1, 2).unwrap();
        let next = Lsn(at + (2 << 20));
        last = job.member(&repo, Some(&last), next).unwrap();
    }
    std::fs::create_dir(&out).unwrap();
    lsnap::benching::merge_chain(&repo, &last.name, &out, 2).unwrap();
    for file in tablespaces(&dir) {
        let name = file.strip_prefix(&dir).unwrap();
        let same = std::fs::read(&file).unwrap() == std::fs::read(out.join(name)).unwrap();
        assert!(same, "{}", name.display());
    }
}

/// A chain whose tables are in packs, and of which some tables changed: few objects, no delta is in
/// more than one, and it is restored and consolidated to the state that was backed up.
#[test]
fn small_tables_and_their_deltas_share_objects() {
    let room = tempfile::tempdir().unwrap();
    let (dir, out) = (room.path().join("data"), room.path().join("out"));
    let shape = Shape {
        bytes: 1,
        files: 300,
        ..shape(16384, Sum::Crc32)
    };
    tree::create(&dir, &shape).unwrap();
    let repo = Repository::open(room.path().join("repo").to_str().unwrap()).unwrap();
    let job = Offline {
        pack: true,
        compression: Some("zstd".parse().unwrap()),
        ..offline(&dir, 16384, None)
    };
    let mut last = job.member(&repo, None, Lsn(FLOOR)).unwrap();
    for (round, share) in [(0, 0.02), (1, 0.2)] {
        let at = FLOOR + round * (2 << 20);
        let changed = tree::change(&dir, share, at, 1, 2).unwrap();
        assert!(changed.pages > 20, "{}", changed.pages);
        last = job.member(&repo, Some(&last), Lsn(at + (2 << 20))).unwrap();
        let tables = last
            .files
            .iter()
            .filter(|f| f.plain_path().starts_with("made"));
        let tables: Vec<_> = tables.collect();
        let stored: u64 = tables
            .iter()
            .flat_map(|f| &f.objects)
            .map(|o| o.bytes)
            .sum();
        // a delta and its .meta each
        assert_eq!(tables.len(), 2 * 300);
        for file in tables {
            assert!(file.objects[0].pack.is_some(), "{}", file.path);
        }
        // the redo, and of each of the other four the .meta and a delta of two objects
        let most = stored / (4 << 20) + 1 + 1 + 4 * 3;
        assert!(last.objects() <= most, "{}, {most}", last.objects());
    }
    let same = |out: &Path| {
        for file in tablespaces(&dir) {
            let name = file.strip_prefix(&dir).unwrap();
            let same = std::fs::read(&file).unwrap() == std::fs::read(out.join(name)).unwrap();
            assert!(same, "{}", name.display());
        }
    };
    std::fs::create_dir(&out).unwrap();
    lsnap::benching::merge_chain(&repo, &last.name, &out, 4).unwrap();
    same(&out);
    let mut options = ConsolidateOptions::default();
    options.name = Some(BackupName::parse("laid-together-full").unwrap());
    let name = last.name.to_string();
    let full = consolidate(&repo, &name, &options, &lsnap::progress::Silent).unwrap();
    let out = room.path().join("consolidated");
    std::fs::create_dir(&out).unwrap();
    lsnap::benching::merge_chain(&repo, &full.name, &out, 4).unwrap();
    same(&out);
}

/// Long holes are neither read nor stored, at any positions of data and holes between them.
#[test]
fn long_holes_stay_holes() {
    const MIB: u64 = 1 << 20;
    let room = tempfile::tempdir().unwrap();
    let (dir, out) = (room.path().join("data"), room.path().join("out"));
    let shape = Shape {
        bytes: 256 * MIB,
        files: 1,
        ..shape(16384, Sum::Crc32)
    };
    let made = tree::create(&dir, &shape).unwrap();
    let table = dir.join("made000/t000000.ibd");
    let file = std::fs::File::options().write(true).open(&table).unwrap();
    // Between them 10 MiB of data, more than one range; a short hole, which counts as data; and a
    // hole at the end.
    let holes = [
        (17 * MIB, 70),
        (97 * MIB, 66),
        (165 * MIB, 1),
        (170 * MIB, 200),
    ];
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    for (from, mib) in holes {
        rustix::fs::fallocate(&file, flags, from, mib * MIB).unwrap();
    }
    let length = file.metadata().unwrap().len();
    let repo = Repository::open(room.path().join("repo").to_str().unwrap()).unwrap();
    let name = BackupName::parse("holes-full").unwrap();
    let counts = offline(&dir, 16384, None).copy(&repo, &name, 4).unwrap();
    let zero = (70 + 66 + 1) * MIB + length - 170 * MIB;
    assert_eq!(counts.report.zero, zero / 16384);
    let stored = made.bytes - (70 + 66) * MIB - (length - 170 * MIB);
    assert!((stored..stored + MIB).contains(&counts.stored_bytes));
    let full = offline(&dir, 16384, None).member(&repo, None, Lsn(FLOOR));
    std::fs::create_dir(&out).unwrap();
    lsnap::benching::merge_chain(&repo, &full.unwrap().name, &out, 2).unwrap();
    let restored = out.join("made000/t000000.ibd");
    assert!(std::fs::read(&table).unwrap() == std::fs::read(&restored).unwrap());
    // Blocks of the file system itself (ext4 counts those of a file's extents) are added to the
    // data.
    let allocated = std::fs::metadata(&restored).unwrap().blocks() * 512;
    assert!(allocated < stored + MIB, "{allocated} for {stored}");
}

#[test]
fn foreign_directories_are_not_written_into() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ibdata1"), b"mine").unwrap();
    assert!(tree::create(dir.path(), &shape(16384, Sum::Crc32)).is_err());
    assert!(tree::change(dir.path(), 0.5, FLOOR, 1, 1).is_err());
    assert_eq!(std::fs::read(dir.path().join("ibdata1")).unwrap(), b"mine");
}
