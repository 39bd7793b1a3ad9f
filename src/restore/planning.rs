//! The plan of a restore is made: the chain, the target directory and the programs are checked.

use super::assembled::assemble;
use super::error::RestoreError;
use super::plan::RestorePlan;
use super::target::Target;
use super::version::Release;
use super::{RestoreOptions, apart, applier, binary_log, facts, finished, refused_option};
use crate::manifest::{BackupName, Finding, Manifest};
use crate::reader::layout::Layout;
use crate::reader::{ReadError, chain, layout, redo_log, streamed, unwrap};
use crate::store::{BackupFault, Repository, StoreError, Streamed};
use std::sync::Arc;

/// Makes the plan for a restore of the backup `name` (anything that `Repository::resolve` takes).
/// Looks at the repository, at the target directory and at the programs that could apply redo;
/// writes nothing.
///
/// # Errors
/// Everything that would make the restore impossible, see [`RestoreError`].
pub fn plan(
    repo: &Repository,
    name: &str,
    options: &RestoreOptions,
) -> Result<RestorePlan, RestoreError> {
    own_options(options)?;
    apart::check(&options.datadir, repo.directory())?;
    Target::check(&options.datadir)?;
    let choice = repo.choose(name)?;
    let name = &choice.name;
    let Checked {
        manifests,
        streams,
        layout,
        mut accepted,
    } = checked(repo, name, options)?;
    let newest = manifests.first().ok_or_else(|| {
        RestoreError::Read(ReadError::damaged(
            name,
            "lsnap_manifest.json",
            "its chain is empty",
        ))
    })?;
    let applier = applier::choose(&newest.server, options)?;
    check_names(newest)?;
    let mut plan = assemble(manifests, layout, applier, options);
    plan.streams = Arc::new(streams);
    plan.warnings.append(&mut accepted);
    plan.warnings.extend(choice.warnings());
    plan.leave(finished::not_placed(&plan, options));
    Ok(plan)
}

/// Checks a person's own options of the recovering server.
///
/// # Errors
/// [`RestoreError::MysqldArgument`].
pub(super) fn own_options(options: &RestoreOptions) -> Result<(), RestoreError> {
    let mut refused = options.mysqld_args.iter().filter_map(|argument| {
        let why = refused_option(argument)?;
        Some(RestoreError::MysqldArgument {
            argument: argument.clone(),
            why,
        })
    });
    refused.next().map_or(Ok(()), Err)
}

/// A chain that can be restored, as far as its manifests say.
pub(crate) struct Checked {
    /// Newest first.
    manifests: Vec<Manifest>,
    /// Its members that are streams, newest first; empty if none is.
    streams: Vec<Option<Streamed>>,
    /// Where everything of it goes.
    layout: Layout,
    /// What was accepted that the key proves nothing of.
    accepted: Vec<String>,
}

/// Looks at the chain of a backup: all that can be said without a target and a program.
///
/// # Errors
/// Everything that a restore demands of manifests, see [`RestoreError`].
pub(crate) fn checked(
    repo: &Repository,
    name: &BackupName,
    options: &RestoreOptions,
) -> Result<Checked, RestoreError> {
    let (mut manifests, mut streams) = match repo.chain_of(name) {
        Err(StoreError::Backup(BackupFault::Streamed { .. })) => {
            streamed::chain(repo, name)?.into_iter().unzip()
        }
        chain => (chain?, Vec::new()),
    };
    streams.reverse();
    match chain::check(&manifests) {
        Err(ReadError::NoOverlap { .. }) if options.allow_missing_overlap => {}
        checked => checked?,
    }
    let accepted = unwrap::check(&manifests, options.opening())?;
    manifests.reverse();
    let layout = layout::lay_out(&manifests)?;
    if let Some(newest) = manifests.first() {
        recoverable(newest)?;
    }
    Ok(Checked {
        manifests,
        streams,
        layout,
        accepted,
    })
}

/// Whether a server can be told what it needs to know of the backup, as far as the manifest says.
/// With [`chain::check`], [`unwrap::check`] and [`layout::lay_out`], it is all that a restore demands of
/// manifests before it reads anything else; a verification demands the same.
///
/// # Errors
/// [`ReadError::Damaged`](crate::reader::ReadError::Damaged).
pub(crate) fn recoverable(newest: &Manifest) -> Result<(), RestoreError> {
    let server = &newest.server;
    let damaged = |what: Finding| {
        RestoreError::Read(ReadError::damaged(
            &newest.name,
            "lsnap_manifest.json",
            what,
        ))
    };
    if Release::parse(&server.version).is_none() {
        return Err(damaged(Finding::new(
            format!("the server version {:?} found", server.version),
            "major.minor.patch",
        )));
    }
    if redo_log::creator(&server.redo_creator).is_none() {
        return Err(damaged(Finding::new(
            format!("the redo creator {:?} found", server.redo_creator),
            "at most 31 bytes",
        )));
    }
    check_names(newest)
}

/// Checks what of the newest member reaches a command line, an index or a question to a server.
///
/// # Errors
/// [`ReadError::Damaged`](crate::reader::ReadError::Damaged).
pub(crate) fn check_names(newest: &Manifest) -> Result<(), RestoreError> {
    binary_log::BinaryLog::of(newest)?;
    facts::check(newest)
}

impl RestorePlan {
    /// Notes files that are not placed.
    pub(super) fn leave(&mut self, names: Vec<String>) {
        self.warnings.extend(finished::told(&names, self));
        self.not_placed.extend(names);
    }
}
