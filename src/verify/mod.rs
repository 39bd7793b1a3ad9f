//! Whether backups are what they were when they were made, without the database.
//!
//! | level | looks at | finds |
//! |---|---|---|
//! | [`Level::Present`] | manifests, summaries, one listing of each backup | lost, truncated and foreign objects, an exchanged or changed manifest, a broken chain, whatever else makes a restore refuse before it reads a file |
//! | [`Level::Data`] | every byte | also wrong bytes of the right length, pages that are damaged or not of that place or time, redo logs with gaps |
//! | [`Level::Restore`] | a restored server | also what only a server can tell: every table checked, the recorded position |
//!
//! A manifest vouches for its objects by their digests, and for itself by its own, which the summary
//! repeats; of an encrypted backup, its MAC vouches for the manifest. What can't be noticed is a whole
//! backup that was exchanged for another of the same name, when it isn't encrypted.
//!
//! Damage is no error but a [`Problem`]: everything is looked at and told. An error means that
//! something could not be looked at (the store does not answer, there is no room to restore).

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
mod present;
mod report;
mod scratch;
#[cfg(test)]
mod tests;
mod work;

pub use error::VerifyError;
pub use report::{
    Authentication, MemberReport, Outcome, PageReport, Problem, ProblemKind, Restored, VerifyReport,
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

/// How much is looked at; each level includes those before it.
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

/// Which backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// A backup and all that its restore needs; `latest` for the newest.
    Named(&'a str),
    /// Everything in the repository. [`Level::Restore`] restores the newest member of each chain.
    All,
}

/// How backups are to be verified.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// How much is looked at.
    pub level: Level,
    /// Threads that fetch and check.
    pub threads: usize,
    /// Bytes of fetched objects held at one time.
    pub memory: usize,
    /// What encrypted backups are decrypted with. Without it their bytes are compared with their
    /// digests, and no more.
    pub key: Option<Key>,
    /// Take backups that the key proves nothing of: plain ones, and those whose MAC has the first form.
    pub accept_unauthenticated: bool,
    /// Where the directory of a restore is made; default: that of temporary files.
    pub scratch: Option<PathBuf>,
    /// The programs and the memory of that restore.
    pub test_restore: TestRestoreOptions,
    /// Ends the verification early.
    pub cancel: Cancel,
}

/// The decisions of a caller about the restore of [`Level::Restore`]. The redo log is always applied by a `mysqld`,
/// which checks every table.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TestRestoreOptions {
    /// The server program, instead of those on the PATH.
    pub mysqld: Option<PathBuf>,
    /// Further options of the recovering server, given last (a keyring, `--lower-case-table-names`).
    pub mysqld_args: Vec<String>,
    /// The owner of the restored files, as in [`RestoreOptions::user`](crate::restore::RestoreOptions::user).
    pub user: Option<String>,
    /// Bytes of buffer pool of the recovering server.
    pub use_memory: u64,
    /// The directory with the server's configuration of its keyring, as in
    /// [`RestoreOptions::keyring_config`](crate::restore::RestoreOptions::keyring_config).
    pub keyring_config: Option<PathBuf>,
    /// Codes of errors of the recovering server's InnoDB (`MY-013589`) that do not fail the restore.
    pub accepted_errors: Vec<String>,
    /// Begin although there may be too little space.
    pub skip_space_check: bool,
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
/// [`VerifyError`]: not found, or something could not be looked at. Damage is in the report.
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
    Ok(report)
}
