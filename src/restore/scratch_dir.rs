//! Directories with random names for the duration of one command: for a restore that is not kept,
//! or for a socket. Each has a marker that is locked as long as its process runs, so that the next
//! command finds the directories of killed processes.

use super::work_dir;
use rustix::fs::{FlockOperation, OFlags};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const MARKER: &str = "lsnap-scratch";
/// The marker's name until it is locked and written.
const UNFINISHED: &str = "lsnap-scratch.new";
/// Longest marker that is read, in bytes.
const LONGEST: u64 = 4096;
/// First line of the marker.
const OURS: &str = "This directory belongs to a running lsnap, or is left of one that was killed.";

/// A scratch directory; removed when dropped.
#[derive(Debug)]
pub(crate) struct ScratchDir {
    path: PathBuf,
    /// Locked.
    _marker: File,
}

impl ScratchDir {
    /// Creates one in `place` with a name that begins with `prefix`, and removes those of killed
    /// processes there. All users may enter it: its contents have modes of their own.
    ///
    /// # Errors
    /// The errors of the file system.
    pub(crate) fn make(place: &Path, prefix: &str) -> std::io::Result<Self> {
        clear(place, prefix);
        let directory = tempfile::Builder::new().prefix(prefix).tempdir_in(place)?;
        let (marker, unfinished) = (
            directory.path().join(MARKER),
            directory.path().join(UNFINISHED),
        );
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        writeln!(file, "{OURS}")?;
        std::fs::rename(&unfinished, &marker)?;
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o711))?;
        Ok(Self {
            path: directory.keep(),
            _marker: file,
        })
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it with its contents.
    ///
    /// # Errors
    /// The errors of the file system.
    pub(crate) fn close(self) -> std::io::Result<()> {
        remove(&self.path)
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        let _ = remove(&self.path);
    }
}

/// Removes a scratch directory, its marker last. It is not an error if it doesn't exist.
fn remove(scratch: &Path) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(scratch) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name() == MARKER {
            continue;
        }
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    std::fs::remove_file(scratch.join(MARKER))?;
    std::fs::remove_dir(scratch)
}

/// Removes the scratch directories in `place` whose process has ended, and stops the servers of
/// their restores. Directories that can't be removed stay; the next command tries again.
fn clear(place: &Path, prefix: &str) {
    let Ok(entries) = std::fs::read_dir(place) else {
        return;
    };
    for entry in entries.flatten() {
        let named = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(prefix));
        let scratch = entry.path();
        let Some(marker) = named.then(|| abandoned(&scratch)).flatten() else {
            continue;
        };
        let ended = end_restores(&scratch);
        match ended.and_then(|()| remove(&scratch).map_err(|error| error.to_string())) {
            Ok(()) => tracing::warn!(
                "removed {}, which a killed lsnap left behind",
                scratch.display()
            ),
            Err(why) => tracing::warn!(
                "{} was left behind by a killed lsnap and can't be removed: {why}",
                scratch.display()
            ),
        }
        drop(marker);
    }
}

/// Returns the locked marker of a scratch directory of this account whose process has ended.
fn abandoned(scratch: &Path) -> Option<File> {
    let me = rustix::process::geteuid().as_raw();
    let directory = std::fs::symlink_metadata(scratch).ok()?;
    if !directory.is_dir() || directory.uid() != me {
        return None;
    }
    let path = scratch.join(MARKER);
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).ok()?;
    let mut marker = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(&path)
        .ok()?;
    rustix::fs::flock(&marker, FlockOperation::NonBlockingLockExclusive).ok()?;
    let held = marker.metadata().ok()?;
    // Another process may have removed it in the meantime.
    let there = std::fs::symlink_metadata(&path).ok()?;
    let same = (held.dev(), held.ino()) == (there.dev(), there.ino());
    if held.len() > LONGEST {
        return None;
    }
    let mut text = String::new();
    marker.read_to_string(&mut text).ok()?;
    let ours = held.is_file() && held.uid() == me && text.lines().next() == Some(OURS);
    (same && ours).then_some(marker)
}

/// Stops the servers of the restores in a scratch directory.
fn end_restores(scratch: &Path) -> Result<(), String> {
    let entries = std::fs::read_dir(scratch).map_err(|error| error.to_string())?;
    for entry in entries.flatten() {
        work_dir::stop_leftover(&entry.path()).map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    const PREFIX: &str = "lsnap-test-";

    /// Creates a scratch directory in the state that a killed process leaves.
    fn left(place: &Path, name: &str, marker: Option<&str>) -> PathBuf {
        let scratch = place.join(name);
        std::fs::create_dir(&scratch).unwrap();
        std::fs::write(scratch.join("file"), "x").unwrap();
        if let Some(text) = marker {
            std::fs::write(scratch.join(MARKER), format!("{text}\n")).unwrap();
        }
        scratch
    }

    #[test]
    fn only_directories_of_ended_processes_are_removed() {
        let place = tempfile::tempdir().unwrap();
        let dead = left(place.path(), "lsnap-test-dead", Some(OURS));
        let others = [
            left(place.path(), "lsnap-test-foreign", Some("something else")),
            left(place.path(), "lsnap-test-bare", None),
            left(place.path(), "other", Some(OURS)),
        ];
        let target = left(place.path(), "target", Some(OURS));
        let link = place.path().join("lsnap-test-link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let alive = ScratchDir::make(place.path(), PREFIX).unwrap();
        assert!(!dead.exists());
        let second = ScratchDir::make(place.path(), PREFIX).unwrap();
        assert!(alive.path().join(MARKER).exists());
        assert!(
            others
                .iter()
                .chain([&target, &link])
                .all(|scratch| scratch.join("file").exists())
        );
        let path = second.path().to_path_buf();
        std::fs::create_dir(path.join("inner")).unwrap();
        second.close().unwrap();
        assert!(!path.exists());
        let path = alive.path().to_path_buf();
        drop(alive);
        assert!(!path.exists());
    }

    /// The server of a killed restore continues, with the lock of its work directory.
    #[test]
    fn the_server_of_a_killed_restore_is_stopped() {
        let place = tempfile::tempdir().unwrap();
        let target = super::super::target::Target::begin(
            &place.path().join("datadir"),
            super::super::target::TargetOptions::default(),
        )
        .unwrap();
        let scratch = left(place.path(), "lsnap-test-dead", Some(OURS));
        let work = scratch.join("datadir.lsnap-restoring");
        std::fs::rename(target.work(), &work).unwrap();
        let mut server = crate::child::command("sleep")
            .arg("600")
            .current_dir(work.join("data"))
            .stdin(Stdio::from(target.lock_for_child().unwrap()))
            .spawn()
            .unwrap();
        // As long as the process of the scratch directory runs, everything stays.
        let marker = File::open(scratch.join(MARKER)).unwrap();
        rustix::fs::flock(&marker, FlockOperation::NonBlockingLockExclusive).unwrap();
        drop(ScratchDir::make(place.path(), PREFIX).unwrap());
        assert!(server.try_wait().unwrap().is_none() && work.exists());
        drop((marker, target));
        drop(ScratchDir::make(place.path(), PREFIX).unwrap());
        assert!(!server.wait().unwrap().success());
        assert!(!scratch.exists());
    }
}
