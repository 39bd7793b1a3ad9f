//! The journal of a step: which step it is, how far it came, and the changes of names.
//!
//! | phase | what is complete when it is written |
//! |---|---|
//! | `started` | nothing was changed |
//! | `aside` | every file that is renamed or dropped has a name of its own, `lsnap_aside.N` |
//! | `named` | the renamed files have their new names, the dropped ones are removed |
//! | `merged` | pages and files of the incremental are in the target; its state is written |
//! | `redo` | the redo log is complete in `.lsnap-redo`; it is renamed to `#innodb_redo` only now, and from then on a server may have changed the files |
//! | `done` | the files are complete; only the marks of the step are missing |
//!
//! Each phase is written after its changes are synced. A phase that was interrupted is repeated:
//! names change only to names that are unused before the phase, and pages and files are written
//! with the same content. Until `redo`, a `#innodb_redo` in the target is that of a server which was
//! started in between, and the step is refused.

use super::error::PrepareError;
use super::files::{self, Files};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::Path;

/// Its name in the target. It is the sign by which other jobs find that a step did not end.
pub(crate) const JOURNAL: &str = "lsnap-prepare.json";

/// Longest journal that is read, in bytes: with the names of all tablespaces.
const LONGEST: u64 = 1 << 30;

/// The progress of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    Started,
    Aside,
    Named,
    Merged,
    Redo,
    Done,
}

/// A file that gets another name, or is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Move {
    /// Its path in the target.
    pub(super) from: String,
    /// Its new path; `None`: it is dropped.
    pub(super) to: Option<String>,
}

/// The identity of an incremental.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MemberId {
    /// The directory, for messages.
    pub(super) path: String,
    /// The id in its manifest or `xtrabackup_info`; can be empty.
    pub(super) id: String,
    pub(super) from_lsn: u64,
    pub(super) to_lsn: u64,
    pub(super) last_lsn: u64,
}

impl MemberId {
    /// Returns whether both are the same backup, at whatever place.
    fn is(&self, other: &Self) -> bool {
        let key = |id: &Self| (id.id.clone(), id.from_lsn, id.to_lsn, id.last_lsn);
        key(self) == key(other)
    }
}

/// The content of the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Journal {
    /// The incremental of the step.
    pub(super) incremental: Option<MemberId>,
    pub(super) log_only: bool,
    pub(super) phase: Phase,
    /// `xtrabackup_checkpoints` after the step.
    pub(super) after: String,
    pub(super) moves: Vec<Move>,
}

impl Journal {
    /// Returns whether it is the journal of this step.
    pub(super) fn is_of(&self, incremental: Option<&MemberId>, log_only: bool) -> bool {
        let same = match (&self.incremental, incremental) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is(other),
            _ => false,
        };
        same && self.log_only == log_only
    }

    /// Reads the journal of a target; `None` if no step was interrupted.
    pub(super) fn read(target: &Path) -> Result<Option<Self>, PrepareError> {
        let path = target.join(JOURNAL);
        let text = match files::read(&path, LONGEST) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(files::io("read", &path)(error).into()),
        };
        let journal: Self =
            serde_json::from_slice(&text).map_err(|error| PrepareError::State {
                path: path.clone(),
                why: format!(
                    "the journal of an interrupted prepare can't be read ({error}): extract the backup again"
                ),
            })?;
        journal.check(&path)?;
        Ok(Some(journal))
    }

    /// Checks that all names are inside of the target.
    fn check(&self, path: &Path) -> Result<(), PrepareError> {
        let names = self
            .moves
            .iter()
            .flat_map(|m| [Some(&m.from), m.to.as_ref()]);
        for name in names.flatten() {
            crate::reader::paths::check("journal", name).map_err(|error| PrepareError::State {
                path: path.to_path_buf(),
                why: error.to_string(),
            })?;
        }
        Ok(())
    }

    /// Writes the journal, in place of the old one, and syncs it.
    pub(super) fn write(&self, files: &Files<'_>) -> Result<(), PrepareError> {
        let text = serde_json::to_vec(self).map_err(|error| PrepareError::State {
            path: files.path(JOURNAL),
            why: error.to_string(),
        })?;
        Ok(files.replace(JOURNAL, &text)?)
    }

    /// Writes the next phase.
    pub(super) fn advance(&mut self, phase: Phase, files: &Files<'_>) -> Result<(), PrepareError> {
        self.phase = phase;
        self.write(files)
    }
}

/// Returns the name of a file between its old and its new name.
pub(super) fn aside(number: usize) -> String {
    format!("lsnap_aside.{number}")
}
