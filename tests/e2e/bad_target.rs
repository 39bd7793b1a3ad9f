//! Targets and redo appliers that can't be used.

use crate::lsnap;
use crate::sandbox::{SOURCE, Sandbox, scratch};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` if mounting is not permitted.
    fn mount(at: PathBuf, mib: u32) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let size = format!("size={mib}m");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&at)
            .status();
        status
            .is_ok_and(|status| status.success())
            .then_some(Self(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn script(path: &Path, body: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn unusable_targets_and_appliers_are_refused() {
    let room = scratch();
    let repository = room.path().join("repository");
    std::fs::create_dir(&repository).unwrap();
    let server = Sandbox::start("e2e-target", &[SOURCE]);
    server.run("CREATE DATABASE d");
    let full = lsnap::full(&server, &repository).name;
    let mysqld = server.program("mysqld");
    let with_mysqld = [
        "--redo-applier",
        "mysqld",
        "--mysqld",
        mysqld.to_str().unwrap(),
    ];

    let occupied = room.path().join("occupied");
    std::fs::create_dir(&occupied).unwrap();
    std::fs::write(occupied.join("precious"), "do not touch").unwrap();
    lsnap::try_restore(&repository, &full, &occupied, &with_mysqld).refused(11, &["occupied"]);
    assert_eq!(
        std::fs::read(occupied.join("precious")).unwrap(),
        b"do not touch"
    );
    assert_eq!(std::fs::read_dir(&occupied).unwrap().count(), 1);

    let target = room.path().join("target");
    lsnap::try_restore(
        &repository,
        "no-such-2020-01-01-00:00:00-full",
        &target,
        &with_mysqld,
    )
    .refused(10, &["no-such-2020-01-01-00:00:00-full"]);

    let version = server.value("SELECT SUBSTRING_INDEX(VERSION(), '-', 1)");
    let missing = room.path().join("no-mysqld-here");
    lsnap::try_restore(
        &repository,
        &full,
        &target,
        &[
            "--redo-applier",
            "mysqld",
            "--mysqld",
            missing.to_str().unwrap(),
        ],
    )
    .refused(1, &["no-mysqld-here"]);
    let other = room.path().join("mysqld");
    script(
        &other,
        "echo '/usr/sbin/mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)'",
    );
    lsnap::try_restore(
        &repository,
        &full,
        &target,
        &[
            "--redo-applier",
            "mysqld",
            "--mysqld",
            other.to_str().unwrap(),
        ],
    )
    .refused(1, &["8.0.36", &version]);
    assert!(!target.exists(), "a refused restore left a target");

    // Planning doesn't run an applier, and doesn't change anything.
    let mut plan = with_mysqld.to_vec();
    plan.push("--print-plan");
    lsnap::try_restore(&repository, &full, &target, &plan).ok();
    assert!(!target.exists(), "--print-plan restored something");

    no_space(&server, &repository, &full, room.path(), &with_mysqld);
    lsnap::restore(&server, &repository, &full, &target);
}

fn no_space(server: &Sandbox, repository: &Path, full: &str, room: &Path, with_mysqld: &[&str]) {
    let Some(disk) = SmallDisk::mount(room.join("small"), 48) else {
        // A developer without root may skip this; CI must not.
        assert!(
            std::env::var_os("CI").is_none(),
            "a small file system can't be mounted here"
        );
        eprintln!("not run: a full file system (mounting is not permitted here)");
        return;
    };
    let said = lsnap::try_restore(repository, full, &disk.0.join("target"), with_mysqld);
    said.refused(1, &["space"]);
    assert!(
        !disk.0.join("target").exists(),
        "a failed restore left a target"
    );
    let said = lsnap::try_backup(server, &disk.0.join("repository"), &[]);
    said.refused(1, &["space"]);
    let listed = lsnap::lsnap([
        "list",
        "--json",
        "--from",
        &lsnap::url(&disk.0.join("repository")),
    ]);
    assert!(
        !listed.stdout.to_lowercase().contains("\"finished\""),
        "{listed:?}"
    );
    // The server was not left locked.
    server.run("CREATE TABLE d.after_no_space (id INT)");
}
