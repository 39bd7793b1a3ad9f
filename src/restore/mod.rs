//! Restores any member of a chain: plans, merges the pages, applies one redo log, hands the
//! directory over.
//!
//! 1. [`plan`] checks the chain and says what would happen; it writes nothing.
//! 2. [`run`] makes a work directory beside the target, writes every page of every tablespace once,
//!    from the newest member that has it (`docs/design.md#merge`), and lays the redo log of the newest
//!    member beside them.
//! 3. A `mysqld`, isolated, or an `xtrabackup` applies the redo log and rolls back (`docs/design.md#recovery`).
//! 4. The finished directory appears at the target by one rename. Until then the target holds
//!    nothing; whatever fails leaves a log and nothing that starts.
//!
//! Facts come from `docs/design.md`, `docs/format/delta.md`, `docs/format/checkpoints.md` and from runs
//! against MySQL 9.7.4
//! (see `tests/e2e`).

mod adopted;
mod apart;
mod applier;
pub(crate) mod assembled;
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
mod onto;
mod option_file;
mod orphan;
mod owner;
pub(crate) mod plain;
pub(crate) mod plan;
pub(crate) mod planning;
mod reach;
pub(crate) mod redo;
pub(crate) mod report;
pub(crate) mod run;
mod running;
pub(crate) mod scratch_dir;
mod settings;
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
pub use directories::plan_directories;
pub use error::RestoreError;
pub(crate) use mysqld::refused as refused_option;
#[doc(hidden)]
pub use onto::merge_onto;
pub use plan::{MemberPlan, MergeMethod, RestorePlan};
pub use planning::plan;
pub use report::RestoreReport;
pub use run::{run, run_directories};
pub use settings::Setting;
pub use tables::{CheckedTables, TableFinding};
pub use version::{Flavour, Release, XtrabackupVersion, parse_mysqld, parse_xtrabackup};

use crate::cancel::Cancel;
use crate::codec::xbcrypt::Key;
use crate::reader::{resources, unwrap};
use std::path::PathBuf;

/// Who shall apply the redo log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ApplierChoice {
    /// An xtrabackup that fits, else a mysqld that fits.
    #[default]
    Auto,
    /// `xtrabackup --prepare`.
    Xtrabackup,
    /// The crash recovery of a `mysqld`.
    Mysqld,
}

/// The decisions of a caller about a restore; [`RestoreOptions::new`] has the defaults.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// The directory to restore to: it must not exist, or be empty.
    pub datadir: PathBuf,
    /// Who shall apply the redo log.
    pub applier: ApplierChoice,
    /// The server program, instead of those on the PATH.
    pub mysqld: Option<PathBuf>,
    /// The xtrabackup program, instead of the one on the PATH.
    pub xtrabackup: Option<PathBuf>,
    /// Further options of the recovering server, given last (a keyring, `--lower-case-table-names`).
    pub mysqld_args: Vec<String>,
    /// The owner of the restored files: a name, a number, or two numbers `UID:GID`; matters only to root.
    /// Default: `mysql`.
    pub user: Option<String>,
    /// Threads that fetch and write.
    pub threads: usize,
    /// Bytes of fetched objects held at one time.
    pub memory: usize,
    /// Bytes of buffer pool of the redo applier.
    pub use_memory: u64,
    /// What encrypted members are decrypted with. With it, a member that isn't proven by it is refused.
    pub key: Option<Key>,
    /// Take members that the key proves nothing of: plain ones, and those whose MAC has the first form.
    pub accept_unauthenticated: bool,
    /// Place files of the backup that a server acts on when it starts (`mysqld-auto.cnf`, `component_*.cnf`, `*.pem`)
    /// although no key proves who made them.
    pub accept_config: bool,
    /// Keep the directory of a failed restore for an inspection. It may hold a state that starts
    /// and is wrong.
    pub keep_failed: bool,
    /// The directory with the `mysqld.my` and `component_keyring_*.cnf` that the redo applier shall have.
    /// Those of the backup are never given to it: they name files, programs and hosts.
    pub keyring_config: Option<PathBuf>,
    /// Codes of errors of the recovering server's InnoDB (`MY-013589`) that do not fail the restore.
    pub accepted_errors: Vec<String>,
    /// Begin although there may be too little space.
    pub skip_space_check: bool,
    /// Ends the restore early.
    pub cancel: Cancel,
    /// Let the recovering server check every table; only a `mysqld` as the applier can.
    pub check_tables: bool,
    /// Merge a chain although a member was made without overlap. The result is wrong (`docs/design.md#overlap`);
    /// this is for the test that shows it.
    #[doc(hidden)]
    pub allow_missing_overlap: bool,
}

/// Bytes of buffer pool of the redo applier, if the caller decides nothing.
pub(crate) const USE_MEMORY: u64 = 128 << 20;

impl RestoreOptions {
    /// A restore to `datadir` with the defaults of everything else.
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
            skip_space_check: false,
            cancel: Cancel::new(),
            check_tables: false,
            allow_missing_overlap: false,
        }
    }

    /// What opens the members.
    pub(crate) const fn opening(&self) -> unwrap::Opening<'_> {
        unwrap::Opening {
            key: self.key.as_ref(),
            unauthenticated: self.accept_unauthenticated,
        }
    }
}
