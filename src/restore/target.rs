//! The target directory: nothing is in it until everything is.
//!
//! Work goes on in `<datadir>.lsnap-restoring/`, beside the target, and ends with one rename of its
//! `data/`. When the target is a mount point, or lies in a directory that may not be written to, the
//! work directory is `.lsnap-restoring/` inside of it, and the entries are moved one by one, with
//! `mysql.ibd`, without which no server starts, as the last.
//!
//! The work directory holds a marker file, locked as long as the restore runs (the redo applier
//! inherits the lock). A marker without a lock is what a killed restore left: it is removed. So is one
//! whose lock only such a restore's redo applier has, when that was stopped ([`super::orphan`]).
//!
//! The marker is the first that is made in a work directory and the last that is removed, so whenever a
//! restore is killed, the next one knows what it finds: a directory that is empty, or has nothing but an
//! empty marker, is one that was being made or removed.

use super::error::{RestoreError, io};
use super::orphan;
use super::plain::DIRECTORY_MODE;
use rustix::fs::{Access, AtFlags, CWD, FlockOperation, StatxAttributes, StatxFlags};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SUFFIX: &str = ".lsnap-restoring";
const MARKER: &str = "lsnap-restore";
/// First line of the marker.
const OURS: &str = "This directory belongs to a running `lsnap restore`, or is left of one.";
/// First line of the list of entries that are being moved into the target.
const MOVING: &str = "moving:";
/// What may lie in an empty file system.
const LOST_FOUND: &str = "lost+found";
/// Moved last: no server starts without it.
const LAST: &str = "mysql.ibd";

/// How the finished directory comes to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handover {
    /// One rename of the whole directory.
    Rename,
    /// A rename of each entry, from within the target.
    Inside,
}

/// Where to restore to, and the work directory.
#[derive(Debug)]
pub(crate) struct Target {
    datadir: PathBuf,
    work: PathBuf,
    handover: Handover,
    marker: File,
    keep: bool,
    done: bool,
}

pub(super) fn refuse(path: &Path, why: impl Into<String>) -> RestoreError {
    RestoreError::Target {
        path: path.to_path_buf(),
        why: why.into(),
    }
}

/// The real place of the target, how to get there, and the work directory.
fn place(datadir: &Path) -> Result<(PathBuf, PathBuf, Handover), RestoreError> {
    let named = std::path::absolute(datadir).map_err(io("find", datadir))?;
    match std::fs::metadata(&named) {
        Ok(found) if !found.is_dir() => Err(refuse(
            &named,
            "it is a file, expected a directory that is empty or does not exist; name another with --datadir",
        )),
        Ok(_) => {
            let real = named.canonicalize().map_err(io("find", &named))?;
            let parent = real
                .parent()
                .ok_or_else(|| refuse(&real, "it is the root directory"))?;
            if is_mount_point(&real, parent)
                || rustix::fs::access(parent, Access::WRITE_OK).is_err()
            {
                Ok((real.clone(), real.join(SUFFIX), Handover::Inside))
            } else {
                Ok((real.clone(), sibling(&real), Handover::Rename))
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if named.is_symlink() {
                return Err(refuse(&named, "it is a symbolic link to nowhere"));
            }
            let (Some(parent), Some(name)) = (named.parent(), named.file_name()) else {
                return Err(refuse(&named, "it has no parent directory"));
            };
            let parent = parent.canonicalize().map_err(|_| {
                refuse(
                    &named,
                    "the directory above it does not exist; create it first",
                )
            })?;
            let real = parent.join(name);
            Ok((real.clone(), sibling(&real), Handover::Rename))
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            let file = named.ancestors().find(|above| above.is_file());
            let file = file.unwrap_or(&named).display();
            Err(refuse(
                &named,
                format!("{file} is a file, expected a directory; name another with --datadir"),
            ))
        }
        Err(error) => Err(refuse(
            &named,
            format!("it can't be looked at: {error}; name another with --datadir"),
        )),
    }
}

/// The real place of a target.
///
/// # Errors
/// [`RestoreError::Target`].
pub(super) fn real(datadir: &Path) -> Result<PathBuf, RestoreError> {
    Ok(place(datadir)?.0)
}

/// Stops the server that a killed restore left in the work directory `work`. One that is no work directory is left
/// as it is.
///
/// # Errors
/// [`RestoreError::Target`] if a restore still works in it.
pub(super) fn end_left(work: &Path) -> Result<(), RestoreError> {
    match std::fs::symlink_metadata(work.join(MARKER)) {
        Ok(_) => left_behind(work).map(drop),
        Err(_) => Ok(()),
    }
}

fn sibling(datadir: &Path) -> PathBuf {
    let mut name = datadir.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

fn is_mount_point(directory: &Path, parent: &Path) -> bool {
    let look =
        |path: &Path| rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS);
    let (Ok(own), Ok(above)) = (look(directory), look(parent)) else {
        return false;
    };
    own.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
        || (own.stx_dev_major, own.stx_dev_minor) != (above.stx_dev_major, above.stx_dev_minor)
}

impl Target {
    /// Whether a restore to this directory could begin; changes nothing.
    pub(crate) fn check(datadir: &Path) -> Result<(), RestoreError> {
        let (datadir, work, handover) = place(datadir)?;
        let ours = match std::fs::symlink_metadata(&work) {
            Ok(_) => left_behind(&work)?.moved,
            Err(_) => Vec::new(),
        };
        if handover == Handover::Rename && !datadir.exists() {
            return Ok(());
        }
        for entry in std::fs::read_dir(&datadir).map_err(io("list", &datadir))? {
            let name = entry.map_err(io("list", &datadir))?.file_name();
            let expected = handover == Handover::Inside
                && (name == SUFFIX
                    || name == LOST_FOUND
                    || ours.iter().any(|moved| name == moved.as_str()));
            if !expected {
                return Err(refuse(
                    &datadir,
                    format!("it is not empty (it has {name:?}); empty it or name another"),
                ));
            }
        }
        Ok(())
    }

    /// Checks the target, clears what a killed restore left, and makes the work directory.
    pub(crate) fn begin(datadir: &Path, keep_failed: bool) -> Result<Self, RestoreError> {
        Self::check(datadir)?;
        let (datadir, work, handover) = place(datadir)?;
        if std::fs::symlink_metadata(&work).is_ok() {
            // Its lock is held until all of it is gone.
            let left = left_behind(&work)?;
            for entry in &left.moved {
                remove(&datadir.join(entry))?;
            }
            remove_work(&work)?;
        }
        make_directory(&work)?;
        let path = work.join(MARKER);
        let mut marker = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(io("create", &path))?;
        lock(&marker, &work)?;
        writeln!(marker, "{OURS}").map_err(io("write", &path))?;
        make_directory(&work.join("data"))?;
        Ok(Self {
            datadir,
            work,
            handover,
            marker,
            keep: keep_failed,
            done: false,
        })
    }

    /// The directory that becomes the datadir.
    pub(crate) fn root(&self) -> PathBuf {
        self.work.join("data")
    }

    /// The directory for logs and temporary files.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// The target itself.
    pub(crate) fn datadir(&self) -> &Path {
        &self.datadir
    }

    /// The locked marker, for a child process to hold.
    pub(crate) fn lock_for_child(&self) -> Result<File, RestoreError> {
        self.marker.try_clone().map_err(io("share", &self.work))
    }

    /// Whether there is room for that many bytes.
    pub(crate) fn check_space(&self, needed: u64) -> Result<(), RestoreError> {
        let stat = rustix::fs::statvfs(&self.work)
            .map_err(|error| io("ask for the free space of", &self.work)(error.into()))?;
        let available = stat.f_bavail.saturating_mul(stat.f_frsize);
        if available >= needed {
            return Ok(());
        }
        Err(RestoreError::NoSpace {
            path: self.work.clone(),
            needed,
            available,
        })
    }

    /// Brings the finished directory to its place.
    pub(crate) fn hand_over(mut self) -> Result<(), RestoreError> {
        let root = self.root();
        sync_directories(&root)?;
        match self.handover {
            Handover::Rename => {
                std::fs::rename(&root, &self.datadir)
                    .map_err(io("rename the finished directory to", &self.datadir))?;
                if let Some(parent) = self.datadir.parent() {
                    sync(parent)?;
                }
            }
            Handover::Inside => self.move_entries(&root)?,
        }
        self.done = true;
        remove_work(&self.work)
    }

    /// Removes everything, the log too: the restore was asked to stop.
    pub(crate) fn discard(mut self) -> Result<(), RestoreError> {
        self.done = true;
        remove_work(&self.work)
    }

    /// The target itself, where it stays what it is: a mount point is not exchanged for the finished
    /// directory.
    pub(crate) fn kept_root(&self) -> Option<&Path> {
        (self.handover == Handover::Inside).then_some(self.datadir.as_path())
    }

    fn move_entries(&mut self, root: &Path) -> Result<(), RestoreError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(root).map_err(io("list", root))? {
            let name = entry.map_err(io("list", root))?.file_name();
            names.push(name.into_string().map_err(|name| {
                refuse(
                    root,
                    format!("an entry has a name that is no text: {name:?}"),
                )
            })?);
        }
        names.sort_by_key(|name| name == LAST);
        let listed = format!("{MOVING}\n{}\n", names.join("\n"));
        self.marker
            .write_all(listed.as_bytes())
            .and_then(|()| self.marker.sync_all())
            .map_err(io("write the marker in", &self.work))?;
        for name in &names {
            let (from, to) = (root.join(name), self.datadir.join(name));
            if name == LAST {
                sync(&self.datadir)?;
            }
            std::fs::rename(&from, &to).map_err(io("move an entry to", &to))?;
        }
        sync(&self.datadir)?;
        // From here on the entries are a restored server's, and no left-over.
        self.marker
            .set_len(OURS.len() as u64 + 1)
            .and_then(|()| self.marker.sync_all())
            .map_err(io("write the marker in", &self.work))
    }
}

impl Drop for Target {
    /// A failed restore leaves its log, and nothing that starts.
    fn drop(&mut self) {
        if self.done || self.keep {
            return;
        }
        let mut moved = String::new();
        if self.marker.rewind().is_ok() && self.marker.read_to_string(&mut moved).is_ok() {
            for entry in moved_entries(&moved) {
                let _ = remove(&self.datadir.join(entry));
            }
        }
        let _ = std::fs::remove_dir_all(self.root());
    }
}

/// Removes a work directory, its marker last.
fn remove_work(work: &Path) -> Result<(), RestoreError> {
    for entry in std::fs::read_dir(work).map_err(io("list", work))? {
        let entry = entry.map_err(io("list", work))?;
        if entry.file_name() != MARKER {
            remove(&entry.path())?;
        }
    }
    remove(&work.join(MARKER))?;
    std::fs::remove_dir(work).map_err(io("remove", work))
}

pub(super) fn make_directory(path: &Path) -> Result<(), RestoreError> {
    DirBuilder::new()
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(io("create the directory", path))
}

/// Removes an entry of either kind; that it is gone already is fine.
fn remove(path: &Path) -> Result<(), RestoreError> {
    let gone = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match gone {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// How long a process that was killed may take to let go of its lock: it may have much memory.
const LETS_GO: Duration = Duration::from_secs(60);

fn lock(marker: &File, work: &Path) -> Result<(), RestoreError> {
    let path = work.join(MARKER);
    // While this one waited, another restore may have removed that marker and made its own.
    let is_there = || {
        let (held, there) = (marker.metadata(), std::fs::symlink_metadata(&path));
        matches!((held, there), (Ok(held), Ok(there)) if held.dev() == there.dev() && held.ino() == there.ino())
    };
    let try_it = || {
        rustix::fs::flock(marker, FlockOperation::NonBlockingLockExclusive).is_ok() && is_there()
    };
    if try_it() {
        return Ok(());
    }
    if orphan::stop(&path, work) {
        let began = Instant::now();
        while began.elapsed() < LETS_GO {
            if try_it() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Err(refuse(
        work,
        "another restore to it is running (or a mysqld that one started); wait for it or stop it",
    ))
}

/// What a killed restore left.
#[derive(Debug, Default)]
struct LeftBehind {
    /// The locked marker, where there is one.
    _marker: Option<File>,
    /// The entries that it had begun to move into the target.
    moved: Vec<String>,
}

/// Makes sure that an existing work directory is ours and that nobody works in it.
fn left_behind(work: &Path) -> Result<LeftBehind, RestoreError> {
    let path = work.join(MARKER);
    let foreign = || {
        refuse(
            work,
            "it exists, and no restore of lsnap made it; move it away",
        )
    };
    let directory = std::fs::symlink_metadata(work).map_err(io("look at", work))?;
    if !directory.is_dir() {
        return Err(foreign());
    }
    let entries = std::fs::read_dir(work).map_err(io("list", work))?.count();
    if entries == 0 {
        return Ok(LeftBehind::default());
    }
    let plain = std::fs::symlink_metadata(&path).map_err(|_| foreign())?;
    if !plain.is_file() {
        return Err(foreign());
    }
    let mut marker = File::open(&path).map_err(io("open", &path))?;
    lock(&marker, work)?;
    let mut text = String::new();
    marker
        .read_to_string(&mut text)
        .map_err(io("read", &path))?;
    let unwritten = text.is_empty() && entries == 1;
    if text.lines().next() != Some(OURS) && !unwritten {
        return Err(foreign());
    }
    Ok(LeftBehind {
        moved: moved_entries(&text),
        _marker: Some(marker),
    })
}

/// The entries named after the line that says that they are being moved.
fn moved_entries(marker: &str) -> Vec<String> {
    marker
        .lines()
        .skip_while(|line| *line != MOVING)
        .skip(1)
        .filter(|name| !name.is_empty() && !name.contains('/') && *name != "." && *name != "..")
        .map(str::to_owned)
        .collect()
}

/// Syncs a directory, so that its entries last.
fn sync(directory: &Path) -> Result<(), RestoreError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(io("sync the directory", directory))
}

fn sync_directories(directory: &Path) -> Result<(), RestoreError> {
    for entry in std::fs::read_dir(directory).map_err(io("list", directory))? {
        let entry = entry.map_err(io("list", directory))?;
        let path = entry.path();
        if entry.file_type().map_err(io("look at", &path))?.is_dir() {
            sync_directories(&path)?;
        }
    }
    sync(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(target: &Target) {
        for name in ["mysql.ibd", "ibdata1", "undo_001"] {
            std::fs::write(target.root().join(name), name).unwrap();
        }
        std::fs::create_dir(target.root().join("db")).unwrap();
        std::fs::write(target.root().join("db/t.ibd"), "t").unwrap();
    }

    #[test]
    fn appears_at_once_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        for make_first in [false, true] {
            let datadir = dir.path().join(format!("data{make_first}"));
            if make_first {
                std::fs::create_dir(&datadir).unwrap();
            }
            let target = Target::begin(&datadir, false).unwrap();
            fill(&target);
            let work = target.work().to_path_buf();
            target.hand_over().unwrap();
            assert_eq!(std::fs::read(datadir.join("db/t.ibd")).unwrap(), b"t");
            assert!(!work.exists());
        }
    }

    #[test]
    fn a_target_that_holds_something_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let datadir = dir.path().join("data");
        std::fs::create_dir(&datadir).unwrap();
        std::fs::write(datadir.join("precious"), "x").unwrap();
        assert!(Target::begin(&datadir, false).is_err());
        assert!(Target::begin(&datadir.join("precious"), false).is_err());
        assert!(Target::begin(&dir.path().join("no/such"), false).is_err());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/nowhere/at/all", &link).unwrap();
        assert!(Target::begin(&link, false).is_err());
    }

    #[test]
    fn failure_leaves_the_log_and_nothing_that_starts() {
        let dir = tempfile::tempdir().unwrap();
        let datadir = dir.path().join("data");
        let target = Target::begin(&datadir, false).unwrap();
        fill(&target);
        let log = target.work().join("mysqld.log");
        std::fs::write(&log, "why").unwrap();
        drop(target);
        assert!(!datadir.exists());
        assert!(!sibling(&datadir).join("data").exists());
        assert_eq!(std::fs::read(&log).unwrap(), b"why");
        // And the next one may begin.
        Target::begin(&datadir, false).unwrap().hand_over().unwrap();
    }

    #[test]
    fn only_our_own_unlocked_left_over_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let datadir = dir.path().join("data");
        let work = sibling(&datadir);
        std::fs::create_dir(&work).unwrap();
        std::fs::write(work.join("precious"), "x").unwrap();
        assert!(Target::begin(&datadir, false).is_err());
        assert!(work.join("precious").exists());
        std::fs::write(work.join(MARKER), "something else\n").unwrap();
        assert!(Target::begin(&datadir, false).is_err());
        assert!(work.join("precious").exists());
        std::fs::remove_dir_all(&work).unwrap();

        let running = Target::begin(&datadir, false).unwrap();
        let error = Target::begin(&datadir, false).unwrap_err();
        assert!(error.to_string().contains("running"), "{error}");
        assert!(running.root().exists());
        // A child that still holds the lock keeps the directory, too.
        let child = running.lock_for_child().unwrap();
        drop(running);
        assert!(Target::begin(&datadir, false).is_err());
        drop(child);
        assert!(Target::begin(&datadir, false).is_ok());
    }

    /// The way for mount points, which a test cannot make.
    #[test]
    fn inside_of_the_target_the_dictionary_comes_last() {
        let dir = tempfile::tempdir().unwrap();
        let datadir = dir.path().join("data");
        std::fs::create_dir(&datadir).unwrap();
        let mut target = Target::begin(&datadir, false).unwrap();
        fill(&target);
        let inside = datadir.join(SUFFIX);
        std::fs::rename(&target.work, &inside).unwrap();
        target.work = inside.clone();
        target.handover = Handover::Inside;
        // Something in the way of the dictionary makes its move, the last one, fail.
        std::fs::create_dir(datadir.join(LAST)).unwrap();
        assert!(target.hand_over().is_err());
        assert!(!datadir.join("ibdata1").exists());
        assert!(!datadir.join("db").exists());
        assert!(!inside.join("data").exists());

        let left = left_behind(&inside).unwrap();
        assert_eq!(left.moved.last().map(String::as_str), Some(LAST));
        assert_eq!(left.moved.len(), 4);
    }

    /// A restore that is killed at any moment of clearing, or of making, a work directory.
    #[test]
    fn the_next_restore_clears_whatever_a_killed_one_left() {
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
                    Some("whole") => {
                        std::fs::write(work.join(MARKER), format!("{OURS}\n")).unwrap()
                    }
                    Some(_) => std::fs::write(work.join(MARKER), "").unwrap(),
                    None => {}
                }
                let begun = Target::begin(&datadir, false);
                // A directory of somebody else's has entries and no marker of ours.
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
        // An entry that can't be removed stands for a restore that is killed there.
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
    fn moved_entries_of_a_finished_restore_are_no_left_over() {
        let dir = tempfile::tempdir().unwrap();
        let datadir = dir.path().join("data");
        std::fs::create_dir(&datadir).unwrap();
        let mut target = Target::begin(&datadir, false).unwrap();
        fill(&target);
        let inside = datadir.join(SUFFIX);
        std::fs::rename(&target.work, &inside).unwrap();
        target.work = inside.clone();
        target.handover = Handover::Inside;
        let root = target.root();
        target.move_entries(&root).unwrap();
        target.done = true;
        drop(target);
        // As if it had been killed here: the work directory is still there.
        assert_eq!(left_behind(&inside).unwrap().moved, Vec::<String>::new());
        assert!(datadir.join("mysql.ibd").exists());
    }

    #[test]
    fn space_is_compared() {
        let dir = tempfile::tempdir().unwrap();
        let target = Target::begin(&dir.path().join("data"), false).unwrap();
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
}
