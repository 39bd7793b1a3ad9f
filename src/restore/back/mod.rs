//! Places a prepared backup in the directories of a server, as `xtrabackup --copy-back` and
//! `--move-back` do.
//!
//! 1. The backup is checked: it is fully prepared, complete, and no other job works on it.
//! 2. [`plan`] lists its files and their places. If a place is occupied, nothing is changed.
//! 3. A [`marker`] is written into the data directory. While it is there, the directory is
//!    incomplete, and only the same backup may be placed in it: the next run continues.
//!    Before files are moved, the backup gets one too ([`moved`]).
//! 4. All files but those of the redo log, the data dictionary and the system tablespace are placed,
//!    and synced.
//! 5. These follow, the first file of the system tablespace last: without it, no server starts.
//!
//! A copied file has a private name until it is complete and synced. A moved file is renamed, or
//! copied to another file system and then removed. Nothing is overwritten.

mod binary_log;
mod error;
mod marker;
mod moved;
mod place;
mod places;
mod plan;
mod private;
mod source;
mod syncs;
#[cfg(test)]
mod tests;

pub use error::BackError;
pub(crate) use source::places as external_places;

use super::running_server;
use crate::cancel::Cancel;
use crate::progress::{Phase, Progress};
use error::{directory, target};
use marker::Marker;
use place::Placing;
use places::Places;
use plan::Plan;
use rayon::prelude::*;
use source::Source;
use std::path::{Path, PathBuf};

/// How a prepared backup is placed in a data directory.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackOptions {
    /// The directory of the prepared backup.
    pub target: PathBuf,
    /// The data directory, which is made if it is missing.
    pub datadir: PathBuf,
    /// Move the files instead of copying them: the backup is used up.
    pub move_files: bool,
    /// Accept directories with files. Nothing in them is overwritten.
    pub force_non_empty: bool,
    /// The directory of undo tablespaces (`innodb_undo_directory`), if it is not the data directory.
    pub undo_directory: Option<PathBuf>,
    /// The directory of the system tablespace (`innodb_data_home_dir`).
    pub data_home: Option<PathBuf>,
    /// The files of the system tablespace (`innodb_data_file_path`); without it, those of the
    /// backup, in the data directory.
    pub data_file_path: Option<String>,
    /// The directory of the redo log (`innodb_log_group_home_dir`).
    pub redo_directory: Option<PathBuf>,
    /// The base name of the binary logs (`log_bin`).
    pub log_bin: Option<PathBuf>,
    /// The index of the binary logs (`log_bin_index`).
    pub log_bin_index: Option<PathBuf>,
    /// Number of files that are placed at the same time.
    pub parallel: usize,
    /// Cancels the job. The next run continues.
    pub cancel: Cancel,
}

impl BackOptions {
    /// Creates options that copy the backup in `target` to `datadir`, one file at a time.
    #[must_use]
    pub fn new(target: impl Into<PathBuf>, datadir: impl Into<PathBuf>) -> Self {
        Self {
            target: target.into(),
            datadir: datadir.into(),
            move_files: false,
            force_non_empty: false,
            undo_directory: None,
            data_home: None,
            data_file_path: None,
            redo_directory: None,
            log_bin: None,
            log_bin_index: None,
            parallel: 1,
            cancel: Cancel::new(),
        }
    }
}

/// The result of placing a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackReport {
    /// Number of files in their places.
    pub files: usize,
    /// Their length in bytes, including holes.
    pub bytes: u64,
    /// Whether a former run that was interrupted was continued.
    pub continued: bool,
    /// The places of tablespaces outside of the data directory.
    pub external: Vec<PathBuf>,
    /// Files and settings that the server's start needs attention for.
    pub warnings: Vec<String>,
}

/// Places a prepared backup in a data directory.
///
/// # Errors
/// [`BackError`]. Before the first file is placed, nothing was changed.
pub fn back(options: &BackOptions, progress: &dyn Progress) -> Result<BackReport, BackError> {
    let source = Source::open(&options.target)?;
    let places = Places::of(options, &source)?;
    apart(&source.path, &places.datadir)?;
    let former = Marker::find(&places.datadir)?;
    if let Some(former) = &former {
        former.check(&source)?;
    }
    let continued = former.is_some();
    moved::check(&source.path, &places.datadir, continued)?;
    let plan = Plan::of(&source, &places)?;
    plan.check_complete(&source, &places, continued)?;
    places.check(&source, &plan, former.as_ref(), options.force_non_empty)?;
    plan.check_free(continued)?;
    for used in [&source.path, &places.datadir] {
        no_server(used)?;
    }
    let placing = Placing::new(options, continued);
    let work = Work {
        options,
        plan: &plan,
        placing: &placing,
        progress,
    };
    places.make(&placing)?;
    let marker = match former {
        Some(former) => former,
        None => Marker::write(&places.datadir, &source, &plan, &placing)?,
    };
    let is_new_move = work.begin_move(&source, &places, &marker, continued)?;
    work.run(&marker)
        .and_then(|()| work.end(&source, &marker))
        .map_err(|error| {
            if is_new_move && placing.done() == 0 {
                // The backup has all its files. The error is the first one.
                let _ = moved::remove(&source.path, &placing);
            }
            BackError::Unfinished {
                done: placing.done(),
                all: plan.files.len(),
                datadir: places.datadir.clone(),
                moved: options.move_files,
                error: Box::new(error),
            }
        })?;
    Ok(BackReport {
        files: plan.files.len(),
        bytes: plan.files.iter().map(|file| file.bytes).sum(),
        continued,
        external: plan.external(),
        warnings: source.warnings.into_iter().chain(plan.warnings).collect(),
    })
}

/// Refuses directories that contain each other in a way in which a file would be placed in the
/// backup. (A backup in the data directory is fine: the operator for Percona Server has it there.)
fn apart(backup: &Path, datadir: &Path) -> Result<(), BackError> {
    if datadir == backup {
        return Err(directory(
            datadir,
            "it is the directory of the backup itself; set BackOptions::datadir to another",
        ));
    }
    if datadir.starts_with(backup) {
        return Err(directory(
            datadir,
            format!(
                "it is in the directory of the backup, {}; set BackOptions::datadir to another",
                backup.display()
            ),
        ));
    }
    Ok(())
}

fn no_server(path: &Path) -> Result<(), BackError> {
    if !path.is_dir() {
        return Ok(());
    }
    match running_server::in_directory(path)? {
        None => Ok(()),
        Some(found) => {
            let process = found
                .pid
                .map_or_else(String::new, |pid| format!(", process {pid}"));
            Err(target(
                path,
                format!(
                    "a server runs in this directory{process} ({}); stop it, then run the same command again",
                    found.sign
                ),
            ))
        }
    }
}

struct Work<'a> {
    options: &'a BackOptions,
    plan: &'a Plan,
    placing: &'a Placing<'a>,
    progress: &'a dyn Progress,
}

impl Work<'_> {
    /// Writes into the backup that its files are moved; returns whether that is new.
    fn begin_move(
        &self,
        source: &Source,
        places: &Places,
        marker: &Marker,
        continued: bool,
    ) -> Result<bool, BackError> {
        if !self.options.move_files {
            return Ok(false);
        }
        let written = moved::write(&source.path, &places.datadir, self.placing);
        if written.is_err() && !continued {
            // Nothing was placed. The error is the first one.
            let _ = marker.remove();
        }
        Ok(written? && !continued)
    }

    /// Removes the markers: all files are in their places.
    fn end(&self, source: &Source, marker: &Marker) -> Result<(), BackError> {
        if self.options.move_files {
            moved::remove(&source.path, self.placing)?;
        }
        marker.remove()
    }

    fn run(&self, marker: &Marker) -> Result<(), BackError> {
        let bytes = self.plan.files.iter().map(|file| file.bytes).sum();
        self.progress.phase(Phase::Transfer, Some(bytes));
        for made in &self.plan.directories {
            self.placing.make_directory(made)?;
        }
        self.placing.remove_stale(marker.directories())?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.options.parallel.max(1))
            .thread_name(|number| format!("back-{number}"))
            .build()
            .map_err(|error| {
                error::io("start threads for", &self.options.datadir)(std::io::Error::other(error))
            })?;
        let last: Vec<_> = pool.install(|| {
            let staged = self.plan.files.par_iter().map(|file| {
                self.options.cancel.check()?;
                let staged = self.placing.stage(file)?;
                if file.is_last {
                    return Ok(Some(staged));
                }
                self.placing.finish(staged)?;
                self.progress.advance(Phase::Transfer, file.bytes);
                Ok(None)
            });
            staged.collect::<Result<Vec<_>, BackError>>()
        })?;
        for made in marker.made() {
            self.placing.write(made)?;
        }
        self.placing.syncs.sync()?;
        // The plan has the first file of the system tablespace at its end.
        for staged in last.into_iter().flatten() {
            self.placing.finish(staged)?;
            self.placing.syncs.sync()?;
        }
        for used in self.plan.used_up.iter().filter(|_| self.options.move_files) {
            self.placing.remove(used)?;
        }
        self.placing.syncs.sync()
    }
}
