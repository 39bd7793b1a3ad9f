//! The directories of the server.

use super::BackOptions;
use super::error::{BackError, directory, io};
use super::marker::Marker;
use super::place::Placing;
use super::plan::{Plan, is_doublewrite, is_old_redo};
use super::private::is_private;
use super::source::Source;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// The directory of the redo log in the directory that the setting names.
pub(super) const REDO: &str = "#innodb_redo";

/// The directories, as absolute paths.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) datadir: PathBuf,
    pub(super) undo: PathBuf,
    /// The directory of the system tablespace and of the doublewrite files.
    pub(super) home: PathBuf,
    /// The directory with [`REDO`].
    pub(super) redo: PathBuf,
    /// The files of the system tablespace, in their order: the name in the backup, and the place.
    pub(super) system: Vec<(String, PathBuf)>,
    /// The base name of the binary logs.
    pub(super) log_bin: Option<PathBuf>,
    /// The index of the binary logs.
    pub(super) log_bin_index: Option<PathBuf>,
}

impl Places {
    pub(super) fn of(options: &BackOptions, source: &Source) -> Result<Self, BackError> {
        let datadir = real(&options.datadir)?;
        // As the server: relative paths are in the data directory.
        let within = |path: &Option<PathBuf>| match path {
            Some(path) if !path.as_os_str().is_empty() => beside(&datadir, path),
            _ => datadir.clone(),
        };
        let home = within(&options.data_home);
        let names = options
            .data_file_path
            .as_deref()
            .unwrap_or(&source.data_file_path);
        let system = names.split(';').map(|file| {
            let path = file.split(':').next().unwrap_or(file);
            let name = Path::new(path).file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| {
                directory(
                    &datadir,
                    format!("innodb_data_file_path is {names:?}: {path:?} is not the name of a file; correct BackOptions::data_file_path"),
                )
            })?;
            // The paths of the source server are not those of this one.
            let path = match options.data_file_path {
                Some(_) => path,
                None => name,
            };
            Ok((name.to_owned(), normal(&home.join(path))))
        });
        let system = system.collect::<Result<_, BackError>>()?;
        Ok(Self {
            undo: within(&options.undo_directory),
            redo: within(&options.redo_directory),
            home,
            system,
            log_bin: options.log_bin.as_ref().map(|path| beside(&datadir, path)),
            log_bin_index: options
                .log_bin_index
                .as_ref()
                .map(|path| beside(&datadir, path)),
            datadir,
        })
    }

    /// Checks the directories before anything is made in them.
    ///
    /// # Errors
    /// The data directory has files and none are accepted; or there are a redo log or doublewrite
    /// files of another server, which the server would apply to the restored files.
    pub(super) fn check(
        &self,
        source: &Source,
        plan: &Plan,
        former: Option<&Marker>,
        accept_files: bool,
    ) -> Result<(), BackError> {
        if let Some(entry) = entries(&self.datadir)?.first()
            && !accept_files
            && former.is_none()
        {
            return Err(directory(
                &self.datadir,
                format!(
                    "it is not empty (it has {entry}); empty it, or set BackOptions::force_non_empty to true, with \
                     which no file is overwritten either"
                ),
            ));
        }
        let logs = plan.logs();
        let is_own = |path: &Path, name: &str| {
            former.is_some_and(|former| {
                is_private(name)
                    || former.logs().iter().any(|log| log == path)
                    || logs.iter().any(|log| log == path)
            })
        };
        let redo = self.redo.join(REDO);
        let in_redo = |_: &str| Some("another redo log");
        let beside = |name: &str| match name {
            name if is_doublewrite(name) => Some("doublewrite files of another server"),
            name if is_old_redo(name) => in_redo(name),
            _ => None,
        };
        type Judge<'a> = &'a dyn Fn(&str) -> Option<&'static str>;
        let looked_at: [(&Path, Judge<'_>); 4] = [
            (&redo, &in_redo),
            (&self.datadir, &beside),
            (&self.home, &beside),
            (&self.redo, &beside),
        ];
        for (path, judge) in looked_at {
            if path.starts_with(&source.path) {
                continue;
            }
            for entry in entries(path)? {
                if let Some(what) = judge(&entry)
                    && !is_own(&path.join(&entry), &entry)
                {
                    return Err(directory(
                        path,
                        format!(
                            "it has {what} ({entry}), which the server would apply to the restored files; move it away, \
                             then run the same command again"
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Makes the directories that are missing.
    pub(super) fn make(&self, placing: &Placing<'_>) -> Result<(), BackError> {
        let system = self.system.iter().filter_map(|(_, path)| path.parent());
        let logs = [&self.log_bin, &self.log_bin_index].into_iter().flatten();
        let logs = logs.filter_map(|path| path.parent());
        let own = [&*self.datadir, &*self.undo, &*self.redo];
        for path in own.into_iter().chain(system).chain(logs) {
            placing.make_directory(path)?;
        }
        Ok(())
    }
}

/// Returns the real path of a directory, which may be missing.
fn real(path: &Path) -> Result<PathBuf, BackError> {
    let named = std::path::absolute(path).map_err(io("find", path))?;
    let mut missing = Vec::new();
    let mut above = named.as_path();
    loop {
        match above.canonicalize() {
            Ok(real) if !real.is_dir() => {
                return Err(directory(
                    &named,
                    format!(
                        "{} is a file, expected a directory; set BackOptions::datadir to another",
                        above.display()
                    ),
                ));
            }
            Ok(real) => {
                return Ok(missing
                    .iter()
                    .rev()
                    .fold(real, |real, part| real.join(part)));
            }
            Err(error) if error.kind() == ErrorKind::NotFound && !above.is_symlink() => {}
            Err(error) => return Err(io("find", above)(error)),
        }
        let (Some(name), Some(parent)) = (above.file_name(), above.parent()) else {
            return Err(directory(
                &named,
                "it can't be resolved; set BackOptions::datadir to another",
            ));
        };
        missing.push(name.to_owned());
        above = parent;
    }
}

/// Returns the path of a setting that is relative to the data directory. `..` at its begin is
/// resolved here: below a data directory that is still missing, no path with it would be found.
fn beside(datadir: &Path, path: &Path) -> PathBuf {
    let mut base = datadir.to_path_buf();
    let mut parts = path.components().peekable();
    while let Some(Component::ParentDir | Component::CurDir) = parts.peek() {
        if parts.next() == Some(Component::ParentDir) {
            base.pop();
        }
    }
    normal(&base.join(parts.collect::<PathBuf>()))
}

/// Removes `.` from a path.
fn normal(path: &Path) -> PathBuf {
    path.components().collect()
}

/// Returns the sorted names of the entries of a directory, which may be missing.
fn entries(path: &Path) -> Result<Vec<String>, BackError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io("list", path)(error)),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(io("list", path))?;
    names.sort();
    Ok(names)
}
