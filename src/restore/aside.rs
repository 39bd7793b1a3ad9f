//! The old content of a target is moved aside, and never deleted.
//!
//! A target that can be renamed is renamed to `<target>.old-<time>`. A target that is kept (a mount
//! point, or a directory whose parent is not writable) keeps its old content in
//! `.lsnap-old-<time>`: a server and a backup skip directories whose names begin with a dot
//! (MySQL 9.7.4, `tests/e2e/move_aside.rs`).

use super::error::{RestoreError, io, refuse};
use super::running_server;
use super::target::{is_kept, sync};
use super::target_place::is_mount_point;
use chrono::{DateTime, Utc};
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};

/// The beginning of the name of the directory in a target that is kept.
pub(super) const INSIDE: &[u8] = b".lsnap-old-";
/// Entries of which every data directory has at least one.
const SIGNS: [&str; 3] = ["ibdata1", "mysql.ibd", "auto.cnf"];

/// Checks that the content of a directory can be moved aside: it is a data directory, and no server
/// runs in it.
///
/// # Errors
/// [`RestoreError::Target`], [`RestoreError::ServerRuns`].
pub(super) fn check(datadir: &Path) -> Result<(), RestoreError> {
    let has = |name: &&str| std::fs::symlink_metadata(datadir.join(name)).is_ok();
    if !SIGNS.iter().any(has) {
        return Err(refuse(
            datadir,
            format!(
                "it is not empty, and not a data directory of a server: expected one of {}. Check the path; move its \
                 content away with mv",
                SIGNS.join(", ")
            ),
        ));
    }
    match running_server::in_directory(datadir)? {
        None => Ok(()),
        Some(found) => Err(RestoreError::ServerRuns {
            path: datadir.to_path_buf(),
            pid: found.pid,
            sign: found.sign,
        }),
    }
}

/// Refuses a directory with a mount point in it, which can't be moved within the directory.
pub(super) fn refuse_mounts(datadir: &Path) -> Result<(), RestoreError> {
    for entry in std::fs::read_dir(datadir).map_err(io("list", datadir))? {
        let entry = entry.map_err(io("list", datadir))?.path();
        if is_mount_point(&entry, datadir) {
            return Err(refuse(
                &entry,
                "it is a mount point in the data directory, and can't be moved aside: unmount it first".to_owned(),
            ));
        }
    }
    Ok(())
}

/// Returns the time in the name of the directory.
fn stamp(now: DateTime<Utc>) -> String {
    now.format("%Y%m%d-%H%M%S").to_string()
}

/// Returns the place for the whole directory.
pub(super) fn place_of_whole(datadir: &Path, now: DateTime<Utc>) -> PathBuf {
    let mut name = datadir.as_os_str().to_owned();
    name.push(format!(".old-{}", stamp(now)));
    name.into()
}

/// Returns the place in the directory for its entries.
pub(super) fn place_of_entries(datadir: &Path, now: DateTime<Utc>) -> PathBuf {
    let prefix = String::from_utf8_lossy(INSIDE);
    datadir.join(format!("{prefix}{}", stamp(now)))
}

/// Old content in its new place.
#[derive(Debug)]
pub(super) struct Aside {
    datadir: PathBuf,
    place: PathBuf,
    /// The names of the entries; `None`: the directory itself was renamed.
    entries: Option<Vec<std::ffi::OsString>>,
}

impl Aside {
    /// Renames the directory.
    pub(super) fn whole(datadir: &Path, now: DateTime<Utc>) -> Result<Self, RestoreError> {
        let place = create(&place_of_whole(datadir, now))?;
        // A directory can replace an empty one, so nothing else can have the name.
        let renamed = std::fs::rename(datadir, &place);
        renamed.map_err(|error| {
            let _ = std::fs::remove_dir(&place);
            io("move the old data directory to", &place)(error)
        })?;
        let aside = Self {
            datadir: datadir.to_path_buf(),
            place,
            entries: None,
        };
        match datadir.parent().map_or(Ok(()), sync) {
            Ok(()) => Ok(aside),
            Err(error) => Err(aside.put_back(error)),
        }
    }

    /// Moves the entries into a directory in `datadir`.
    pub(super) fn entries(datadir: &Path, now: DateTime<Utc>) -> Result<Self, RestoreError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(datadir).map_err(io("list", datadir))? {
            names.push(entry.map_err(io("list", datadir))?.file_name());
        }
        let mut aside = Self {
            datadir: datadir.to_path_buf(),
            place: create(&place_of_entries(datadir, now))?,
            entries: Some(Vec::new()),
        };
        if let Ok(found) = std::fs::metadata(datadir) {
            let _ = lchown(&aside.place, Some(found.uid()), Some(found.gid()));
        }
        match aside.move_in(names) {
            Ok(()) => Ok(aside),
            Err(error) => Err(aside.put_back(error)),
        }
    }

    fn move_in(&mut self, mut names: Vec<std::ffi::OsString>) -> Result<(), RestoreError> {
        // Without the dictionary no server starts on the rest, if the machine fails in between.
        names.sort_by_key(|name| name != "mysql.ibd");
        for name in names.into_iter().filter(|name| !is_kept(name)) {
            let to = self.place.join(&name);
            std::fs::rename(self.datadir.join(&name), &to)
                .map_err(io("move an entry of the old data directory to", &to))?;
            self.entries.get_or_insert_default().push(name);
        }
        sync(&self.place)?;
        sync(&self.datadir)
    }

    /// Returns the place.
    pub(super) fn into_place(self) -> PathBuf {
        self.place
    }

    /// Moves the old content back after a failure. Returns the failure, or a failure that names the
    /// place.
    pub(super) fn put_back(self, error: RestoreError) -> RestoreError {
        // After an error of `Target::undo`, its entries are in the way.
        if matches!(error, RestoreError::OldContentMoved { .. }) {
            return error;
        }
        match self.try_put_back() {
            Ok(()) => error,
            Err(why) => self.is_stuck(error, &why),
        }
    }

    fn try_put_back(&self) -> Result<(), String> {
        let rename = |from: &Path, to: &Path| {
            if self.entries.is_some() && std::fs::symlink_metadata(to).is_ok() {
                return Err(format!("{} exists", to.display()));
            }
            std::fs::rename(from, to).map_err(|why| format!("{}: {why}", to.display()))
        };
        let Some(entries) = &self.entries else {
            return rename(&self.place, &self.datadir);
        };
        for name in entries.iter().rev() {
            rename(&self.place.join(name), &self.datadir.join(name))?;
        }
        std::fs::remove_dir(&self.place).map_err(|why| format!("{}: {why}", self.place.display()))
    }

    /// Returns the error for old content that can't be moved back.
    pub(super) fn is_stuck(&self, error: RestoreError, why: &str) -> RestoreError {
        RestoreError::OldContentMoved {
            datadir: self.datadir.clone(),
            place: self.place.clone(),
            why: why.to_owned(),
            error: Box::new(error),
        }
    }
}

/// Creates an empty directory of this name, or of this name and a number.
fn create(wanted: &Path) -> Result<PathBuf, RestoreError> {
    use super::new_directory::DIRECTORY_MODE;
    use std::os::unix::fs::DirBuilderExt as _;
    let mut place = wanted.to_path_buf();
    for number in 2.. {
        match std::fs::DirBuilder::new()
            .mode(DIRECTORY_MODE)
            .create(&place)
        {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && number < 1000 => {
                let mut name = wanted.as_os_str().to_owned();
                name.push(format!("-{number}"));
                place = name.into();
            }
            Ok(()) => break,
            Err(error) => return Err(io("create the directory", &place)(error)),
        }
    }
    Ok(place)
}

#[cfg(test)]
#[path = "aside_tests.rs"]
mod tests;
