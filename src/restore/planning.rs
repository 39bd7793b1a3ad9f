//! Creates the plan of a restore: checks the chain, the target directory and the programs.

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

/// Creates the plan of a restore of the backup `name` (any name that `Repository::resolve`
/// accepts). Reads the repository, the target directory and the versions of programs that could
/// apply redo; doesn't write anything.
///
/// # Errors
/// Any error that would make the restore impossible, see [`RestoreError`].
pub fn plan(
    repo: &Repository,
    name: &str,
    options: &RestoreOptions,
) -> Result<RestorePlan, RestoreError> {
    own_options(options)?;
    apart::check(&options.datadir, repo.directory())?;
    Target::check(&options.datadir, options.into())?;
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
    plan.add_not_placed(finished::not_placed(&plan, options));
    Ok(plan)
}

/// Checks the additional options for the recovering server.
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

/// A chain that can be restored, as far as its manifests show.
pub(crate) struct Checked {
    /// Newest first.
    manifests: Vec<Manifest>,
    /// Its members that are streams, newest first; empty if there are none.
    streams: Vec<Option<Streamed>>,
    /// The files of the restored directory.
    layout: Layout,
    /// Warnings for members that the key doesn't authenticate and that were accepted.
    accepted: Vec<String>,
}

/// Checks the chain of a backup, as far as that is possible without a target and a redo applier.
///
/// # Errors
/// Any violation of the requirements of a restore on manifests, see [`RestoreError`].
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

/// Checks that a manifest has the values that a server needs to recover the backup. Together with
/// [`chain::check`], [`unwrap::check`] and [`layout::lay_out`], these are all requirements of a
/// restore on manifests before it reads anything else; a verification has the same requirements.
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

/// Checks the values of the newest member that are used in a command line, an index or a query to a
/// server.
///
/// # Errors
/// [`ReadError::Damaged`](crate::reader::ReadError::Damaged).
pub(crate) fn check_names(newest: &Manifest) -> Result<(), RestoreError> {
    binary_log::BinaryLog::of(newest)?;
    facts::check(newest)
}

impl RestorePlan {
    /// Adds files that are not placed, with warnings.
    pub(super) fn add_not_placed(&mut self, names: Vec<String>) {
        self.warnings.extend(finished::warnings(&names, self));
        self.not_placed.extend(names);
    }
}
