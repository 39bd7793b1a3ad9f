//! Verifies that backups are unchanged since they were made, without the database.
//!
//! | level | checks | finds |
//! |---|---|---|
//! | [`Level::Present`] | manifests, summaries, one listing of each backup | lost, truncated and foreign objects, an exchanged or changed manifest, a broken chain, everything else for which a restore refuses before it reads a file |
//! | [`Level::Data`] | every byte | also wrong bytes of the right length, pages that are damaged or of another place or time, redo logs with gaps |
//! | [`Level::Restore`] | a restored server | also faults that only a server can find: every table is checked, and the recorded position |
//!
//! The manifest proves the objects by their digests, and itself by its own digest, which the
//! summary repeats; for an encrypted backup, the MAC proves the manifest. If a backup isn't
//! encrypted, its replacement by another complete backup of the same name is not detected.
//!
//! Damage is reported as a [`Problem`] instead of an error: all objects are checked, and all
//! problems are reported. An error means that a check was not possible (the store is not reachable,
//! there is too little space for a restore).

mod announced;
mod data;
mod deltas;
mod dictionary;
mod error;
mod job;
mod link;
mod links;
mod member;
pub(crate) mod pages;
mod pick;
mod present;
mod report;
mod scratch;
#[cfg(test)]
mod tests;
mod work;

pub use crate::restore::{CheckedQuery, SqlCheck};
pub use error::VerifyError;
pub(crate) use pick::by_age;
pub use report::{
    Authentication, MemberReport, Outcome, PageReport, Picked, Problem, ProblemKind, Restored,
    VerifyReport,
};

use crate::cancel::Cancel;
use crate::codec::xbcrypt::Key;
use crate::manifest::BackupName;
use crate::progress::Progress;
use crate::reader::resources;
use crate::restore;
use crate::store::{Listed, ListedState, Repository};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The extent of a verification; each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Existence and length of every object, and the plan of a restore of every member.
    #[default]
    Present,
    /// Every byte.
    Data,
    /// A restore into a scratch directory.
    Restore,
}

/// The backups to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// A backup and all that are needed to restore it; `latest` for the newest.
    Named(&'a str),
    /// All backups of the repository. [`Level::Restore`] restores the newest member of each chain.
    All,
}

/// Options of a verification.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// The extent of the verification.
    pub level: Level,
    /// Number of threads that fetch and check.
    pub threads: usize,
    /// Bytes of fetched objects in memory at the same time.
    pub memory: usize,
    /// The key of encrypted backups. Without it only their digests are checked.
    pub key: Option<Key>,
    /// Accept backups that the key doesn't authenticate: plain ones, and those whose MAC has the
    /// first form.
    pub accept_unauthenticated: bool,
    /// The directory in which the directory of a restore is created; default: that of temporary
    /// files.
    pub scratch: Option<PathBuf>,
    /// Options of that restore.
    pub test_restore: TestRestoreOptions,
    /// Cancels the verification.
    pub cancel: Cancel,
}

/// Options of the restore of [`Level::Restore`]. The redo log is always applied by a `mysqld`,
/// which checks every table.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TestRestoreOptions {
    /// Path of the server program, instead of those on the PATH.
    pub mysqld: Option<PathBuf>,
    /// Additional options for the recovering server, after all others (a keyring,
    /// `--lower-case-table-names`).
    pub mysqld_args: Vec<String>,
    /// The owner of the restored files, as in [`RestoreOptions::user`](crate::restore::RestoreOptions::user).
    pub user: Option<String>,
    /// Bytes of the recovering server's buffer pool.
    pub use_memory: u64,
    /// The directory with the configuration of the server's keyring, as in
    /// [`RestoreOptions::keyring_config`](crate::restore::RestoreOptions::keyring_config).
    pub keyring_config: Option<PathBuf>,
    /// Error codes of the recovering server's InnoDB (`MY-013589`) that don't fail the restore.
    pub accepted_errors: Vec<String>,
    /// Begin although there may be too little space.
    pub skip_space_check: bool,
    /// Check tables in a random order, and begin no other after this time; default: all tables.
    pub table_budget: Option<Duration>,
    /// The seed of that order.
    pub seed: u64,
    /// Queries with their expected results.
    pub checks: Vec<SqlCheck>,
}

impl Default for TestRestoreOptions {
    fn default() -> Self {
        Self {
            mysqld: None,
            mysqld_args: Vec::new(),
            user: None,
            use_memory: restore::USE_MEMORY,
            keyring_config: None,
            accepted_errors: Vec::new(),
            skip_space_check: false,
            table_budget: None,
            seed: 0,
            checks: Vec::new(),
        }
    }
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self {
            level: Level::default(),
            threads: resources::threads(),
            memory: resources::MEMORY,
            key: None,
            accept_unauthenticated: false,
            scratch: None,
            test_restore: TestRestoreOptions::default(),
            cancel: Cancel::new(),
        }
    }
}

/// Verifies backups of `repo`.
///
/// # Errors
/// [`VerifyError`] if the backup was not found, or a check was not possible. Damage is in the
/// report.
pub fn verify(
    repo: &Repository,
    which: Which<'_>,
    options: &VerifyOptions,
    progress: &dyn Progress,
) -> Result<VerifyReport, VerifyError> {
    let announced::Chosen {
        listed,
        work,
        mut report,
        _reading,
    } = announced::choose(repo, which)?;
    let job = job::Job {
        repo,
        options,
        progress,
        encrypted_only: options.key.is_none() && repo.is_encrypted_only()?,
    };
    let states: BTreeMap<&BackupName, &Listed> = listed.iter().map(|l| (&l.name, l)).collect();
    for chain in &work {
        let mut walk = links::Walk::default();
        for name in &chain.members {
            options.cancel.check()?;
            let summary = states.get(name).and_then(|l| l.summary());
            let reason = states.get(name).and_then(|l| match &l.state {
                ListedState::Damaged { reason } => Some(reason.as_str()),
                _ => None,
            });
            let mut member = MemberReport::new(name);
            let manifest = member::verify(&job, name, summary, reason, &walk, &mut member)?;
            if let Some(manifest) = manifest {
                walk.link(repo, manifest, &mut member)?;
            }
            report.members.push(member);
        }
        if let (Some(name), Level::Restore) = (&chain.restore, options.level) {
            let restored = scratch::restore(repo, name, options, progress)?;
            report.restored.push(restored);
        }
    }
    report.listed = listed;
    Ok(report)
}
