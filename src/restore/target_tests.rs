//! Tests of the target directory.

use super::super::target_place::sibling;
use super::*;
use std::time::{Duration, Instant};

const KEPT_NOTHING: TargetOptions = TargetOptions {
    keep_failed: false,
    move_aside: false,
};

impl Target {
    /// Begins after another target of this directory was dropped. If another test starts a program at that time, its
    /// child has the lock until it runs the program.
    pub(in crate::restore) fn begin_again(datadir: &Path, options: TargetOptions) -> Self {
        let limit = Instant::now() + Duration::from_secs(20);
        loop {
            match Self::begin(datadir, options) {
                Err(RestoreError::Target { why, .. })
                    if why.contains("running") && Instant::now() < limit =>
                {
                    std::thread::yield_now();
                }
                begun => return begun.unwrap(),
            }
        }
    }
}

fn fill(target: &Target) {
    for name in ["mysql.ibd", "ibdata1", "undo_001"] {
        std::fs::write(target.root().join(name), name).unwrap();
    }
    std::fs::create_dir(target.root().join("db")).unwrap();
    std::fs::write(target.root().join("db/t.ibd"), "t").unwrap();
}

#[test]
fn the_target_appears_at_once_and_the_work_directory_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    for make_first in [false, true] {
        let datadir = dir.path().join(format!("data{make_first}"));
        if make_first {
            std::fs::create_dir(&datadir).unwrap();
        }
        let target = Target::begin(&datadir, KEPT_NOTHING).unwrap();
        fill(&target);
        let work = target.work().to_path_buf();
        target.hand_over().unwrap();
        assert_eq!(std::fs::read(datadir.join("db/t.ibd")).unwrap(), b"t");
        assert!(!work.exists());
    }
}

#[test]
fn a_target_that_is_not_empty_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let datadir = dir.path().join("data");
    std::fs::create_dir(&datadir).unwrap();
    std::fs::write(datadir.join("precious"), "x").unwrap();
    assert!(Target::begin(&datadir, KEPT_NOTHING).is_err());
    assert!(Target::begin(&datadir.join("precious"), KEPT_NOTHING).is_err());
    assert!(Target::begin(&dir.path().join("no/such"), KEPT_NOTHING).is_err());
    let link = dir.path().join("link");
    std::os::unix::fs::symlink("/nowhere/at/all", &link).unwrap();
    assert!(Target::begin(&link, KEPT_NOTHING).is_err());
}

#[test]
fn failure_leaves_the_log_and_nothing_that_starts() {
    let dir = tempfile::tempdir().unwrap();
    let datadir = dir.path().join("data");
    let target = Target::begin(&datadir, KEPT_NOTHING).unwrap();
    fill(&target);
    let log = target.work().join("mysqld.log");
    std::fs::write(&log, "why").unwrap();
    drop(target);
    assert!(!datadir.exists());
    assert!(!sibling(&datadir).join("data").exists());
    assert_eq!(std::fs::read(&log).unwrap(), b"why");
    // The next restore can begin.
    Target::begin_again(&datadir, KEPT_NOTHING)
        .hand_over()
        .unwrap();
}

#[test]
fn only_an_unlocked_work_directory_of_lsnap_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let datadir = dir.path().join("data");
    let work = sibling(&datadir);
    std::fs::create_dir(&work).unwrap();
    std::fs::write(work.join("precious"), "x").unwrap();
    assert!(Target::begin(&datadir, KEPT_NOTHING).is_err());
    assert!(work.join("precious").exists());
    std::fs::write(work.join(MARKER), "something else\n").unwrap();
    assert!(Target::begin(&datadir, KEPT_NOTHING).is_err());
    assert!(work.join("precious").exists());
    std::fs::remove_dir_all(&work).unwrap();

    let running = Target::begin(&datadir, KEPT_NOTHING).unwrap();
    let error = Target::begin(&datadir, KEPT_NOTHING).unwrap_err();
    assert!(error.to_string().contains("running"), "{error}");
    assert!(running.root().exists());
    // A child process that still holds the lock keeps the directory, too.
    let child = running.lock_for_child().unwrap();
    drop(running);
    assert!(Target::begin(&datadir, KEPT_NOTHING).is_err());
    drop(child);
    drop(Target::begin_again(&datadir, KEPT_NOTHING));
}

/// The procedure for mount points, which a test can't create.
#[test]
fn in_the_target_the_dictionary_is_moved_last() {
    let dir = tempfile::tempdir().unwrap();
    let datadir = dir.path().join("data");
    std::fs::create_dir(&datadir).unwrap();
    let mut target = Target::begin(&datadir, KEPT_NOTHING).unwrap();
    fill(&target);
    let inside = datadir.join(SUFFIX);
    std::fs::rename(&target.work, &inside).unwrap();
    target.work = inside.clone();
    target.handover = Handover::Inside;
    // A directory of that name makes the move of the dictionary, the last one, fail.
    std::fs::create_dir(datadir.join(LAST)).unwrap();
    assert!(target.hand_over().is_err());
    assert!(!datadir.join("ibdata1").exists());
    assert!(!datadir.join("db").exists());
    assert!(!inside.join("data").exists());
    // It isn't of the restore.
    assert!(datadir.join(LAST).is_dir());

    // Nothing is left to remove for the next restore.
    assert_eq!(lock_leftover(&inside).unwrap().moved, []);
}

/// A restore that was killed while it moved entries into a mount point. Meanwhile somebody put another
/// file of the same name there.
#[test]
fn the_next_restore_removes_only_the_entries_of_the_killed_one() {
    let dir = tempfile::tempdir().unwrap();
    let datadir = dir.path().join("data");
    std::fs::create_dir(&datadir).unwrap();
    for name in ["ibdata1", "mysql.ibd", "older"] {
        std::fs::write(datadir.join(name), "x").unwrap();
    }
    let ours = Moved::of(&datadir, "ibdata1").unwrap().to_string();
    let theirs = Moved::of(&datadir, "mysql.ibd").unwrap().to_string();
    std::fs::write(dir.path().join("other"), "y").unwrap();
    std::fs::rename(dir.path().join("other"), datadir.join("mysql.ibd")).unwrap();
    // An earlier version listed only names.
    let marker = format!("{OURS}\n{MOVING}\n{ours}{theirs}older\n../escape\n");
    let moved = moved_entries(&marker);
    assert_eq!(moved.len(), 3);
    remove_moved(&datadir, &moved).unwrap();
    let left: Vec<_> = std::fs::read_dir(&datadir)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["mysql.ibd"]);
}

/// A killed restore had moved everything, the rest was done by hand, and a server ran on it: it is old content.
#[test]
fn entries_of_a_killed_restore_that_a_server_used_are_moved_aside() {
    let dir = tempfile::tempdir().unwrap();
    let datadir = dir.path().join("data");
    std::fs::create_dir(&datadir).unwrap();
    for name in ["ibdata1", "mysql.ibd", "auto.cnf"] {
        std::fs::write(datadir.join(name), "live").unwrap();
    }
    let moved = ["ibdata1", "mysql.ibd"].map(|name| Moved::of(&datadir, name).unwrap().to_string());
    let work = sibling(&datadir);
    std::fs::create_dir(&work).unwrap();
    let marker = format!("{OURS}\n{MOVING}\n{}", moved.concat());
    std::fs::write(work.join(MARKER), marker).unwrap();
    assert!(Target::begin(&datadir, KEPT_NOTHING).is_err());
    let options = TargetOptions {
        keep_failed: false,
        move_aside: true,
    };
    let target = Target::begin(&datadir, options).unwrap();
    fill(&target);
    let place = target.hand_over().unwrap().unwrap();
    for name in ["ibdata1", "mysql.ibd", "auto.cnf"] {
        assert_eq!(std::fs::read(place.join(name)).unwrap(), b"live", "{name}");
    }
}

/// Simulates a restore that was killed at any moment of removing, or creating, a work directory.
#[test]
fn the_next_restore_removes_the_files_of_a_killed_one() {
    let dir = tempfile::tempdir().unwrap();
    let datadir = dir.path().join("data");
    let work = sibling(&datadir);
    for entries in [&["data", "mysqld.log"][..], &["data"], &["mysqld.log"], &[]] {
        for marker in [Some("whole"), Some("empty"), None] {
            std::fs::create_dir(&work).unwrap();
            for name in entries {
                std::fs::write(work.join(name), "x").unwrap();
            }
            match marker {
                Some("whole") => std::fs::write(work.join(MARKER), format!("{OURS}\n")).unwrap(),
                Some(_) => std::fs::write(work.join(MARKER), "").unwrap(),
                None => {}
            }
            let begun = Target::begin(&datadir, KEPT_NOTHING);
            // A directory of another program has entries and no marker of lsnap.
            let foreign = !entries.is_empty() && marker != Some("whole");
            assert_eq!(begun.is_err(), foreign, "{entries:?} {marker:?}");
            drop(begun);
            std::fs::remove_dir_all(&work).unwrap();
        }
    }
}

#[test]
fn the_marker_is_removed_last() {
    let dir = tempfile::tempdir().unwrap();
    let work = sibling(&dir.path().join("data"));
    std::fs::create_dir_all(work.join("data")).unwrap();
    std::fs::write(work.join(MARKER), format!("{OURS}\n")).unwrap();
    // An entry that can't be removed simulates a restore that is killed there.
    let held = work.join("data/file");
    std::fs::write(&held, "x").unwrap();
    rustix::fs::ioctl_setflags(File::open(&held).unwrap(), rustix::fs::IFlags::IMMUTABLE)
        .unwrap_or_default();
    let removed = remove_work(&work);
    if removed.is_err() {
        assert!(work.join(MARKER).exists());
        let file = File::open(&held).unwrap();
        rustix::fs::ioctl_setflags(&file, rustix::fs::IFlags::empty()).unwrap();
        remove_work(&work).unwrap();
    }
    assert!(!work.exists());
}

#[test]
fn moved_entries_of_a_finished_restore_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let datadir = dir.path().join("data");
    std::fs::create_dir(&datadir).unwrap();
    let mut target = Target::begin(&datadir, KEPT_NOTHING).unwrap();
    fill(&target);
    let inside = datadir.join(SUFFIX);
    std::fs::rename(&target.work, &inside).unwrap();
    target.work = inside.clone();
    target.handover = Handover::Inside;
    let root = target.root();
    target.move_entries(&root).unwrap();
    target.done = true;
    drop(target);
    // As if it had been killed here: the work directory still exists.
    assert_eq!(lock_leftover(&inside).unwrap().moved, Vec::<Moved>::new());
    assert!(datadir.join("mysql.ibd").exists());
}

#[test]
fn too_little_space_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let target = Target::begin(&dir.path().join("data"), KEPT_NOTHING).unwrap();
    target.check_space(1).unwrap();
    let error = target.check_space(u64::MAX).unwrap_err();
    assert!(matches!(
        error,
        RestoreError::NoSpace {
            needed: u64::MAX,
            ..
        }
    ));
}
