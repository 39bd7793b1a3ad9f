//! Restores any member of a chain: creates a plan, merges the pages, applies one redo log, and
//! moves the directory to the target.
//!
//! 1. [`plan`] checks the chain and describes the restore; it doesn't write anything.
//! 2. [`run`] creates a work directory next to the target, writes every page of every tablespace
//!    once, from the newest member that has it (`docs/design.md#merge`), and adds the redo log of
//!    the newest member.
//! 3. A `mysqld`, isolated, or an `xtrabackup` applies the redo log and rolls back
//!    (`docs/design.md#recovery`).
//! 4. One rename moves the finished directory to the target. Until then the target is empty; a
//!    failure leaves a log, and nothing that a server can start on.
//!
//! Facts are from `docs/design.md`, `docs/format/delta.md`, `docs/format/checkpoints.md` and from
//! runs against MySQL 9.7.4 (see `tests/e2e`).

mod adopted;
mod apart;
mod applier;
mod aside;
pub(crate) mod assembled;
mod back;
mod binary_log;
mod complete;
mod data_files;
mod delta;
mod direct;
mod directories;
pub(crate) mod error;
mod facts;
mod finished;
mod gtid_set;
mod held;
mod image;
pub(crate) mod merge;
mod mysqld;
mod new_directory;
mod next;
mod occupied;
mod onto;
mod option_file;
mod orphan;
mod owner;
mod partial;
pub(crate) mod plain;
pub(crate) mod plan;
pub(crate) mod planning;
pub mod prepare;
mod queries;
mod reach;
pub(crate) mod redo;
pub(crate) mod report;
pub(crate) mod run;
mod running;
mod running_server;
pub(crate) mod sample;
pub(crate) mod scratch_dir;
mod service;
mod settings;
mod shell;
mod sparse;
mod stepwise;
pub(crate) mod syncing;
mod tables;
mod target;
mod target_place;
mod version;
mod work_dir;
mod xtrabackup;

#[cfg(test)]
pub(crate) mod tests;

pub use applier::{ApplierKind, ApplierPlan, applier_of};
pub(crate) use back::external_places;
pub use back::{BackError, BackOptions, BackReport, back};
pub use directories::plan_directories;
pub use error::RestoreError;
pub(crate) use mysqld::refused as refused_option;
pub use next::{Join, JoinMethod, JoinSource, NextSteps};
pub(crate) use occupied::Occupied;
#[doc(hidden)]
pub use onto::merge_onto;
pub use plan::{MemberPlan, MergeMethod, RestorePlan};
pub use planning::plan;
pub use queries::{CheckedQuery, SqlCheck};
pub use report::RestoreReport;
pub use run::{run, run_directories};
pub use settings::Setting;
pub(crate) use shell::quoted as quoted_word;
pub use tables::{CheckedTables, TableFinding};
pub use version::{Flavour, Release, XtrabackupVersion, parse_mysqld, parse_xtrabackup};

use crate::cancel::Cancel;
use crate::codec::xbcrypt::Key;
use crate::reader::{resources, unwrap};
use std::path::PathBuf;
use std::time::Duration;

/// The program that applies the redo log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ApplierChoice {
    /// A suitable xtrabackup, else a suitable mysqld.
    #[default]
    Auto,
    /// `xtrabackup --prepare`.
    Xtrabackup,
    /// The crash recovery of a `mysqld`.
    Mysqld,
    /// The first start of the restored server: the redo log is checked and left in the directory
    /// for it. No program is needed for the restore.
    Server,
}

/// Options of a restore; [`RestoreOptions::new`] sets the defaults.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// The target directory: it must not exist, or be empty; see also
    /// [`Self::force_move_aside`].
    pub datadir: PathBuf,
    /// The program that applies the redo log.
    pub applier: ApplierChoice,
    /// Path of the server program, instead of those on the PATH.
    pub mysqld: Option<PathBuf>,
    /// Path of the xtrabackup program, instead of the one on the PATH.
    pub xtrabackup: Option<PathBuf>,
    /// Additional options for the recovering server, after all others (a keyring,
    /// `--lower-case-table-names`).
    pub mysqld_args: Vec<String>,
    /// The owner of the restored files: a name, a number, or two numbers `UID:GID`; used only if
    /// the process is root. Default: `mysql`.
    pub user: Option<String>,
    /// Number of threads that fetch and write.
    pub threads: usize,
    /// Bytes of fetched objects in memory at the same time.
    pub memory: usize,
    /// Bytes of the redo applier's buffer pool.
    pub use_memory: u64,
    /// The key of encrypted members. If it is set, a member that it doesn't authenticate is
    /// refused.
    pub key: Option<Key>,
    /// Accept members that the key doesn't authenticate: plain ones, and those whose MAC has the
    /// first form.
    pub accept_unauthenticated: bool,
    /// Place files of the backup that a server acts on when it starts (`mysqld-auto.cnf`,
    /// `component_*.cnf`, `*.pem`) although no key proves who made them.
    pub accept_config: bool,
    /// Keep the directory of a failed restore for inspection. It may be in a state that starts and
    /// is wrong.
    pub keep_failed: bool,
    /// The directory with the `mysqld.my` and `component_keyring_*.cnf` for the redo applier. It
    /// never gets those of the backup, because they contain files, programs and hosts.
    pub keyring_config: Option<PathBuf>,
    /// Error codes of the recovering server's InnoDB (`MY-013589`) that don't fail the restore.
    pub accepted_errors: Vec<String>,
    /// If the target is a data directory with files: move its content aside at the end of the
    /// restore, immediately before the restored directory takes its place. Nothing is deleted.
    pub force_move_aside: bool,
    /// Begin although there may be too little space.
    pub skip_space_check: bool,
    /// Cancels the restore.
    pub cancel: Cancel,
    /// Roll back XA transactions that are prepared; possible only with `mysqld` as the applier.
    pub(crate) rollback_prepared: bool,
    /// Write `.cfg` files beside the tablespaces; possible only with `mysqld` as the applier.
    pub(crate) export: bool,
    /// Check every table with the recovering server; possible only with `mysqld` as the applier.
    pub check_tables: bool,
    /// Check tables in a random order, and begin no other after this time.
    pub(crate) table_budget: Option<Duration>,
    /// The seed of that order.
    pub(crate) seed: u64,
    /// Queries of the user on the recovering server; possible only with `mysqld` as the applier.
    pub(crate) queries: Vec<SqlCheck>,
    /// Merge a chain although a member was made without overlap. The result is wrong
    /// (`docs/design.md#overlap`); only for the test that shows it.
    #[doc(hidden)]
    pub allow_missing_overlap: bool,
}

/// Default size of the redo applier's buffer pool in bytes.
pub(crate) const USE_MEMORY: u64 = 128 << 20;

impl RestoreOptions {
    /// Creates the options of a restore to `datadir`, with defaults for all others.
    #[must_use]
    pub fn new(datadir: impl Into<PathBuf>) -> Self {
        Self {
            datadir: datadir.into(),
            applier: ApplierChoice::Auto,
            mysqld: None,
            xtrabackup: None,
            mysqld_args: Vec::new(),
            user: None,
            threads: resources::threads(),
            memory: resources::MEMORY,
            use_memory: USE_MEMORY,
            key: None,
            accept_unauthenticated: false,
            accept_config: false,
            keep_failed: false,
            keyring_config: None,
            accepted_errors: Vec::new(),
            force_move_aside: false,
            skip_space_check: false,
            cancel: Cancel::new(),
            rollback_prepared: false,
            export: false,
            check_tables: false,
            table_budget: None,
            seed: 0,
            queries: Vec::new(),
            allow_missing_overlap: false,
        }
    }

    /// Returns the key and the required extent of authentication.
    pub(crate) const fn opening(&self) -> unwrap::Opening<'_> {
        unwrap::Opening {
            key: self.key.as_ref(),
            unauthenticated: self.accept_unauthenticated,
        }
    }
}
