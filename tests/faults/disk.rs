//! A full disk: that of the repository, and that of the restore's target. Small file systems in
//! memory are enlarged afterwards, when the same command must succeed.

use std::path::PathBuf;
use std::process::Command;

use crate::checks::{Before, Depth, after};
use crate::servers::Kind;
use crate::table::Ended;
use crate::world::{Act, World};

/// A separate file system, unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None` if mounting is not permitted.
    fn mount(at: PathBuf, bytes: u64) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let disk = Self(at);
        disk.run(bytes, &["-t", "tmpfs", "tmpfs"]).then_some(disk)
    }

    fn resize(&self, bytes: u64) {
        assert!(self.run(bytes, &["-o", "remount"]), "remount failed");
    }

    fn run(&self, bytes: u64, how: &[&str]) -> bool {
        let size = format!("size={bytes}");
        let mut mount = Command::new("mount");
        mount.args(how).args(["-o", &size]).arg(&self.0);
        mount.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Returns the bytes in the files of a directory, rounded up to pages of memory.
fn used(dir: &std::path::Path) -> u64 {
    let file_system = rustix::fs::statvfs(dir).unwrap();
    (file_system.f_blocks - file_system.f_bfree) * file_system.f_frsize
}

/// The commands that write to a repository.
pub const ACTS: [Act; 5] = [
    Act::Full,
    Act::Incremental,
    Act::Consolidate,
    Act::Delete,
    Act::Prune,
];
const ROOMY: u64 = 1 << 30;

/// Runs each command that writes, on a disk with less space than it needs.
pub fn all(world: &mut World, acts: &[Act]) {
    for &act in acts {
        let path = world.room.path().join(format!("disk-{act:?}"));
        let Some(disk) = Disk::mount(path, ROOMY) else {
            // A developer without root may skip this; CI must not.
            assert!(
                std::env::var_os("CI").is_none(),
                "a small disk can't be mounted here"
            );
            eprintln!("not run: full disks (mounting is not permitted here)");
            return;
        };
        // its root belongs to the mount, so the repository is a directory in it
        let dir = disk.0.join("repository");
        std::fs::create_dir(&dir).unwrap();
        let place = world.place_in(&dir);
        let before = Before::look(world, &place, act);
        world.change();
        // a random part of the required space; a deletion requires almost no space, and gets none
        let room = if act.removes() {
            0
        } else {
            world
                .random
                .below(if act == Act::Incremental { 30 } else { 100 })
                * 4096
        };
        disk.resize(used(&disk.0) + room);
        let said = world.run(act, &place, &[]);
        let all = format!("{}{}", said.stderr, said.stdout);
        let mut violations = before.violated(world, &place);
        let ended = match said.code {
            0 => Ended::Well,
            1 if all.contains("space") => Ended::Properly,
            _ => Ended::Wrongly,
        };
        if ended == Ended::Wrongly {
            violations.push(format!(
                "ended with {}, expected 1 and \"space\": {all}",
                said.code
            ));
        }
        if act == Act::Delete && ended == Ended::Properly {
            // the message about the full disk contains the instruction, too
            let said = world.run(act, &place, &["--disk-full"]);
            if said.code != 0 {
                violations.push(format!("--disk-full: {}{}", said.stderr, said.stdout));
            }
        }
        disk.resize(ROOMY);
        let mut outcome = after(world, act, &place, &before, ended, Depth::Data);
        outcome.violations.extend(violations);
        world.table.add(&place.title(act), "full disk", outcome);
    }
    target(world);
}

fn target(world: &mut World) {
    let mut small = world.place(Kind::File);
    let before = Before::look(world, &small, Act::Restore);
    let room = (1 + world.random.below(60)) << 20;
    let Some(disk) = Disk::mount(world.room.path().join("disk-target"), room) else {
        return;
    };
    small.target = disk.0.join("target");
    let said = world.run(Act::Restore, &small, &[]);
    let all = format!("{}{}", said.stderr, said.stdout);
    let mut violations = Vec::new();
    let ended = match said.code {
        1 if all.contains("space") => Ended::Properly,
        _ => Ended::Wrongly,
    };
    if ended == Ended::Wrongly {
        violations.push(format!(
            "ended with {}, expected 1 and \"space\": {all}",
            said.code
        ));
    }
    disk.resize(ROOMY);
    let mut outcome = after(world, Act::Restore, &small, &before, ended, Depth::Server);
    outcome.violations.extend(violations);
    world
        .table
        .add(&small.title(Act::Restore), "full disk", outcome);
    world.leave(&small);
}
