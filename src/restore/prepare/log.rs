//! The redo log of the last step. It is made under a private name, and gets its own name after the
//! journal says so: no server finds a redo log in the target before.

use super::error::PrepareError;
use super::files::io;
use super::merging::fetcher;
use super::recovery::{LastStep, WORK};
use crate::progress::Phase as Shown;
use crate::reader::counters::Counters;
use crate::restore::{RestoreError, RestorePlan, redo, target};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The redo log of a data directory.
pub(super) const REDO: &str = "#innodb_redo";
/// The directory in which it is made, in the target.
pub(super) const MADE: &str = ".lsnap-redo";

impl LastStep<'_> {
    /// Refuses a target whose redo log is not the backup's.
    pub(super) fn check(&self) -> Result<(), PrepareError> {
        for name in [WORK, MADE] {
            if self.files.has(name) {
                return Err(self.not_applied(name));
            }
        }
        self.check_logs()
    }

    /// Refuses redo logs and doublewrite files that a server left in the target: the recovery would
    /// use them.
    pub(super) fn check_logs(&self) -> Result<(), PrepareError> {
        for name in self.top_names()? {
            let is_log = name.starts_with("ib_logfile") && !self.files.path(&name).is_dir();
            if name == REDO || is_doublewrite(&name) || is_log {
                return Err(self.not_applied(&name));
            }
        }
        Ok(())
    }

    fn not_applied(&self, name: &str) -> PrepareError {
        PrepareError::State {
            path: self.files.path(name),
            why: "it exists already, although the redo log of the backup was not applied; extract the backup into an \
                  empty directory"
                .to_owned(),
        }
    }

    /// Returns the path at which the redo log is made.
    fn made(&self) -> PathBuf {
        self.files.path(MADE).join(REDO)
    }

    /// Makes the redo log under its private name.
    pub(super) fn make_log(&self, plan: &RestorePlan) -> Result<(), PrepareError> {
        self.files.budget.spend()?;
        let directory = self.files.path(MADE);
        remove_all(&directory)?;
        std::fs::create_dir(&directory).map_err(io("create the directory", &directory))?;
        let counters = Counters::new(1);
        let fetcher = fetcher(plan, &counters, Shown::Apply, self.progress, self.options);
        let member = plan.chain.first();
        let source = member.map_or(0, |member| member.server.redo_log_uuid);
        redo::for_mysqld(&fetcher, plan, &directory, redo::new_log_uuid(source))?;
        let made = self.made();
        self.files.give(&made)?;
        self.files.give(&made.join("#ib_redo0"))?;
        target::sync(&made)?;
        target::sync(&directory)?;
        self.files.budget.spend()?;
        Ok(())
    }

    /// Gives the redo log its own name, if it doesn't have it yet.
    ///
    /// # Errors
    /// [`PrepareError::State`] if a server made another redo log, or if there is none.
    pub(super) fn place_log(&self) -> Result<(), PrepareError> {
        let (made, placed) = (self.made(), self.files.path(REDO));
        let wrong = |why: &str| PrepareError::State {
            path: placed.clone(),
            why: why.to_owned(),
        };
        match (
            std::fs::symlink_metadata(&made).is_ok(),
            self.files.has(REDO),
        ) {
            (true, true) => {
                return Err(wrong(
                    "it is not that of the backup, which is not applied yet: a server may have changed the files while the \
                     step was interrupted; extract the backup again",
                ));
            }
            (false, false) => {
                return Err(wrong(
                    "it is missing, although the step was interrupted after it was placed; extract the backup again",
                ));
            }
            (true, false) => {
                self.files.budget.spend()?;
                std::fs::rename(&made, &placed).map_err(io("rename a directory to", &placed))?;
                target::sync(self.files.root)?;
            }
            (false, true) => {}
        }
        self.files.budget.spend()?;
        Ok(remove_all(&self.files.path(MADE))?)
    }
}

/// Returns whether it is the name of a doublewrite file.
pub(super) fn is_doublewrite(name: &str) -> bool {
    let of_buffer = |suffix| name.ends_with(suffix);
    name.starts_with("#ib_") && (of_buffer(".dblwr") || of_buffer(".bdblwr"))
}

/// Removes a directory of this step, if it exists.
fn remove_all(directory: &Path) -> Result<(), RestoreError> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io("remove", directory)(error)),
        _ => Ok(()),
    }
}
