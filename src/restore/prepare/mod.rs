//! Prepares a backup in its own directory, step by step, as `xtrabackup --prepare` does: first the
//! full backup, then each incremental, the last of them without [`PrepareOptions::log_only`].
//!
//! It is lazy. An incremental has every page that changed since the start of the backup before it
//! (`docs/design.md#overlap`), so the redo log of the newest member alone brings the merged files to
//! their end. The steps before the last one don't apply redo: they merge pages and replace files.
//! The last step applies the redo log by a `mysqld`, or leaves it for the first start of the server.
//!
//! A step changes the only copy of the data, so it can be repeated after it was killed: a journal
//! is written and synced before the first change, and every change can be made twice
//! (`journal`). Until the step is complete, `xtrabackup_checkpoints` has a type that no program
//! accepts, and only the same step is accepted.

mod carried;
mod content;
mod error;
mod files;
mod journal;
mod log;
mod member;
mod merging;
mod others;
mod partial;
mod prepared;
mod recovery;
mod scan;
mod states;
mod steps;
#[cfg(test)]
mod tests;

pub use error::PrepareError;
pub(crate) use journal::JOURNAL;
pub(crate) use prepared::{PREPARED, PreparedList, prepared_list};

use super::{ApplierChoice, ApplierPlan, USE_MEMORY};
use crate::cancel::Cancel;
use crate::progress::Progress;
use crate::reader::resources;
use serde::Serialize;
use std::path::PathBuf;
use steps::Steps;

/// Options of one step; [`PrepareOptions::new`] sets the defaults.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PrepareOptions {
    /// The directory of the full backup, which is changed.
    pub target: PathBuf,
    /// The directory of the incremental that is merged into it.
    pub incremental: Option<PathBuf>,
    /// Don't apply the redo log, because incrementals follow.
    pub log_only: bool,
    /// The program that applies the redo log: `Auto` is a suitable `mysqld`, else the server that is
    /// started on the directory later.
    pub applier: ApplierChoice,
    /// Path of the server program, instead of those on the PATH.
    pub mysqld: Option<PathBuf>,
    /// Additional options for the recovering server, after all others.
    pub mysqld_args: Vec<String>,
    /// The configuration of a keyring component (`component_keyring_*.cnf`) for the recovering
    /// server.
    pub keyring_config: Option<PathBuf>,
    /// Number of threads that read and write.
    pub threads: usize,
    /// Bytes of the recovering server's buffer pool.
    pub use_memory: u64,
    /// Roll back prepared XA transactions; possible only with a `mysqld`.
    pub rollback_prepared: bool,
    /// Write a `.cfg` file beside the tablespace of each table (`.cfp` too, if it is encrypted), with which another server
    /// imports it; possible only with a `mysqld`, in the last step.
    pub export: bool,
    /// Cancels the step. The same step can be run again.
    pub cancel: Cancel,
}

impl PrepareOptions {
    /// Creates the options of the last step, without an incremental.
    #[must_use]
    pub fn new(target: impl Into<PathBuf>) -> Self {
        Self {
            target: target.into(),
            incremental: None,
            log_only: false,
            applier: ApplierChoice::Auto,
            mysqld: None,
            mysqld_args: Vec::new(),
            keyring_config: None,
            threads: resources::threads(),
            use_memory: USE_MEMORY,
            rollback_prepared: false,
            export: false,
            cancel: Cancel::new(),
        }
    }
}

/// The state of the directory after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Prepared {
    /// It was ready before; nothing was changed.
    Already,
    /// Incrementals can follow.
    LogApplied,
    /// It is ready for a server.
    Ready,
}

/// The result of a step.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct PrepareReport {
    /// The state of the directory.
    pub state: Prepared,
    /// The program that applied the redo log, or the server that has to; only of the last step.
    pub applier: Option<ApplierPlan>,
    /// Its `to_lsn`.
    pub to_lsn: u64,
    /// The end of its redo log.
    pub last_lsn: u64,
    /// True if a step that was interrupted before was continued.
    pub continued: bool,
    /// Number of prepared XA transactions that were rolled back.
    pub rolled_back: usize,
    /// Number of tables that were exported, if that was requested.
    pub exported: Option<usize>,
    /// Warnings.
    pub warnings: Vec<String>,
}

/// Executes one step.
///
/// # Errors
/// See [`PrepareError`]. If a step failed after it had changed the directory, only the same step is
/// accepted next.
pub fn prepare(
    options: &PrepareOptions,
    progress: &dyn Progress,
) -> Result<PrepareReport, PrepareError> {
    steps::run(options, progress, &Steps::unlimited())
}
