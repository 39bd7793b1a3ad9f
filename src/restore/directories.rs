//! The plan of a restore from extracted backups: a full backup and its incrementals.

use super::applier::ApplierKind;
use super::error::RestoreError;
use super::plan::{MergeMethod, RestorePlan};
use super::target::Target;
use super::{
    ApplierChoice, RestoreOptions, apart, applier, assembled, finished, planning, stepwise,
};
use crate::manifest::Manifest;
use crate::reader::opened::Opened;
use crate::reader::{ReadError, chain, directory, foreign, layout};
use std::path::PathBuf;

/// Creates the plan of a restore from directories: first that of a full backup, then those of its
/// incrementals, each continuing the one before it. It doesn't write anything;
/// [`super::run_directories`] executes it.
///
/// # Errors
/// Any error that would make the restore impossible, see [`RestoreError`].
pub fn plan_directories(
    directories: &[PathBuf],
    options: &RestoreOptions,
) -> Result<RestorePlan, RestoreError> {
    planning::own_options(options)?;
    apart::check(&options.datadir, directories.iter().map(PathBuf::as_path))?;
    Target::check(&options.datadir, options.into())?;
    let mut members = directories
        .iter()
        .map(|directory| directory::open(directory, options.opening()))
        .collect::<Result<Vec<_>, _>>()?;
    let wanted = way(&members, options)?;
    let server = members
        .last()
        .map(|newest| newest.manifest.server.clone())
        .ok_or_else(|| {
            RestoreError::Read(ReadError::NoBackup {
                path: PathBuf::new(),
                why: "no directory was named".to_owned(),
            })
        })?;
    let applier = match wanted {
        Some(MergeMethod::Stepwise) => {
            let options = RestoreOptions {
                applier: ApplierChoice::Xtrabackup,
                ..options.clone()
            };
            let chosen = applier::choose(&server, &options);
            chosen.map_err(|error| match error {
                RestoreError::NoApplier { .. } => by_step(&members, directories).unwrap_or(error),
                other => other,
            })?
        }
        _ => applier::choose(&server, options)?,
    };
    // A single directory of xtrabackup: an xtrabackup prepares it as usual.
    let way = wanted.unwrap_or(match applier.kind {
        ApplierKind::Xtrabackup => MergeMethod::Stepwise,
        ApplierKind::Mysqld | ApplierKind::Server => MergeMethod::Merge,
    });
    let mut newest_first: Vec<PathBuf> = directories.to_vec();
    newest_first.reverse();
    let mut warnings = Vec::new();
    for member in &mut members {
        warnings.append(&mut member.warnings);
    }
    if let (MergeMethod::Merge, [only], [directory]) = (way, &mut members[..], directories)
        && only.foreign
    {
        foreign::list(directory, &mut only.manifest)?;
    }
    let mut chain: Vec<Manifest> = members.into_iter().map(|member| member.manifest).collect();
    chain.reverse();
    let mut plan = match way {
        MergeMethod::Merge => {
            let layout = layout::lay_out(&chain)?;
            assembled::assemble(chain, layout, applier, options)
        }
        MergeMethod::Stepwise => stepwise::plan(chain, &newest_first, applier, options)?,
    };
    if let Some(newest) = plan.chain.first() {
        planning::check_names(newest)?;
    }
    plan.directories = newest_first;
    plan.warnings.append(&mut warnings);
    let left = match plan.way {
        MergeMethod::Merge => finished::not_placed(&plan, options),
        MergeMethod::Stepwise => stepwise::not_placed(&plan, options)?,
    };
    plan.add_not_placed(left);
    Ok(plan)
}

/// Returns how the members can be merged; `None` if the applier determines it.
fn way(members: &[Opened], options: &RestoreOptions) -> Result<Option<MergeMethod>, RestoreError> {
    for pair in members.windows(2) {
        if let [previous, member] = pair {
            same_base(previous, member)?;
        }
    }
    let foreign = members.iter().any(|member| member.foreign);
    let chain: Vec<Manifest> = members.iter().map(|m| m.manifest.clone()).collect();
    match chain::check(&chain) {
        Ok(()) if !foreign => return Ok(Some(MergeMethod::Merge)),
        Ok(()) if members.len() == 1 => return Ok(None),
        Ok(()) => {}
        Err(ReadError::NoOverlap { .. }) if options.allow_missing_overlap && !foreign => {
            return Ok(Some(MergeMethod::Merge));
        }
        // The gap is closed by the redo of every member.
        Err(ReadError::NoOverlap { .. })
            if matches!(
                options.applier,
                ApplierChoice::Auto | ApplierChoice::Xtrabackup
            ) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Some(MergeMethod::Stepwise))
}

/// Returns the error for a chain that `--prepare` of lsnap can merge; `None` if it is no such chain.
fn by_step(members: &[Opened], directories: &[PathBuf]) -> Option<RestoreError> {
    let chain: Vec<Manifest> = members.iter().map(|m| m.manifest.clone()).collect();
    chain::check(&chain).ok()?;
    let foreign = members.iter().zip(directories).rev();
    let mut foreign = foreign.filter(|(member, _)| member.foreign);
    let (_, incremental) = foreign.next()?;
    Some(RestoreError::OnlyByStep {
        directories: directories.to_vec(),
        incremental: incremental.clone(),
    })
}

/// Checks the base of an incremental made by lsnap, which refers to exactly one base.
fn same_base(previous: &Opened, member: &Opened) -> Result<(), RestoreError> {
    match &member.manifest.base {
        Some(base) if base.id != previous.manifest.id => {
            Err(RestoreError::Read(ReadError::Chain {
                member: member.manifest.name.to_string(),
                previous: previous.manifest.name.to_string(),
                what: "base",
                found: format!("{} ({})", base.name, base.id),
                expected: format!("{} ({})", previous.manifest.name, previous.manifest.id),
            }))
        }
        _ => Ok(()),
    }
}
