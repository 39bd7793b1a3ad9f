//! Deletes the backups that a policy doesn't keep ([`crate::store::deletion::retention`]), by the
//! rules of chains ([`crate::store::deletion::delete`]).
//!
//! A dry run and a deletion use the same plan. Before each chain is deleted, it is checked again
//! whether it is in use or being read; a chain that changed in the meantime is skipped and
//! reported. A chain that can't be deleted doesn't prevent the deletion of others.

use crate::store::error::deletion::DeletionFault;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::manifest::BackupName;
use crate::progress::{Phase, Progress};
use crate::store::deletion::delete::{InUse, is_worked_on, refuse_if_unexplained};
use crate::store::deletion::options::DeleteOptions;
use crate::store::deletion::retention::{Kept, Plan, Policy, Step, ToDelete, plan};
use crate::store::deletion::worker::Worker;
use crate::store::error::StoreError;
use crate::store::listing::chain_group::{ChainGroup, Role, chain_groups};
use crate::store::listing::listed::Listed;
use crate::store::objects::repository::Repository;

/// A chain or a single backup that was to be deleted and was skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Skipped {
    /// The full backup of the chain, or the backup.
    pub name: BackupName,
    /// The reason.
    pub reason: String,
}

/// A chain or a single backup that was to be deleted and could not be deleted completely.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Failed {
    /// The full backup of the chain, or the backup.
    pub name: BackupName,
    /// The text of the error.
    pub reason: String,
    /// The error.
    #[serde(skip)]
    pub error: StoreError,
}

impl PartialEq for Failed {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.reason) == (&other.name, &other.reason)
    }
}

impl Eq for Failed {}

/// The backups that a policy doesn't keep, and the outcome of their deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PruneReport {
    /// Nothing was deleted.
    pub dry_run: bool,
    /// The backups that are deleted, in this order.
    pub deleted: Vec<ToDelete>,
    /// The bucket keeps versions: the bytes of the deleted objects are not freed yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub versions_kept: bool,
    /// The chains that stay.
    pub kept: Vec<Kept>,
    /// Backups that were skipped (never with `dry_run`).
    pub skipped: Vec<Skipped>,
    /// Backups that could not be deleted. The others were deleted nevertheless.
    pub failed: Vec<Failed>,
    /// The listing before the deletions.
    #[serde(skip)]
    pub listed: Vec<Listed>,
}

/// Deletes the backups that `policy` doesn't keep; with [`DeleteOptions::dry_run`] it only reports
/// them. A chain that is in use stays ([`Keep::InUse`](crate::store::Keep::InUse)).
///
/// # Errors
/// [`DeletionFault::Policy`](crate::store::DeletionFault::Policy), or the repository can't be
/// listed: nothing was deleted. [`StoreError::Interrupted`]: some chains may be deleted. A chain
/// that can't be deleted is not an error; it is in [`PruneReport::failed`]. Call it again.
pub fn prune(
    repository: &Repository,
    policy: &Policy,
    options: &DeleteOptions,
    now: DateTime<Utc>,
    progress: &dyn Progress,
) -> Result<PruneReport, StoreError> {
    let in_use = is_worked_on(repository);
    prune_unless(&in_use, repository, policy, options, now, progress)
}

/// As [`prune`], but a chain is left unchanged if `in_use` returns true for it.
pub(in crate::store) fn prune_unless(
    in_use: &InUse<'_>,
    repository: &Repository,
    policy: &Policy,
    options: &DeleteOptions,
    now: DateTime<Utc>,
    progress: &dyn Progress,
) -> Result<PruneReport, StoreError> {
    progress.phase(Phase::Preparing, None);
    repository.check_format_to_change()?;
    let listed = repository.list()?;
    let groups = chain_groups(&listed);
    let Plan { steps, kept } = plan(&groups, policy, now, in_use)?;
    let mut report = PruneReport {
        dry_run: options.dry_run,
        deleted: steps.iter().flat_map(Step::to_delete).collect(),
        versions_kept: false,
        kept,
        skipped: Vec::new(),
        failed: Vec::new(),
        listed: listed.clone(),
    };
    if options.dry_run {
        return Ok(report);
    }
    let worker = Worker {
        repository,
        options,
        progress,
    };
    let versions = repository.kept_versions();
    worker.execute(&steps, in_use, &mut report)?;
    report.versions_kept = repository.kept_versions() > versions;
    Ok(report)
}

impl PruneReport {
    fn not_deleted(&mut self, step: &Step<'_>) {
        let gone: Vec<_> = step.to_delete().into_iter().map(|d| d.name).collect();
        self.deleted.retain(|d| !gone.contains(&d.name));
    }

    fn skip(&mut self, step: &Step<'_>, reason: String) {
        self.not_deleted(step);
        self.skipped.push(Skipped {
            name: step.name().clone(),
            reason,
        });
    }
}

impl Worker<'_> {
    /// Executes the steps of a plan, and reports those that were not completed.
    fn execute(
        &self,
        steps: &[Step<'_>],
        in_use: &InUse<'_>,
        report: &mut PruneReport,
    ) -> Result<(), StoreError> {
        let bytes = report.deleted.iter().map(|d| d.bytes).sum();
        self.progress.phase(Phase::Transfer, Some(bytes));
        let mut failed_at = None;
        for step in steps {
            self.options.cancel.check()?;
            if let Some(name) = &failed_at {
                report.skip(step, format!("not attempted: the store failed at {name}"));
                continue;
            }
            let (name, done) = match step {
                Step::ChainGroup(group) => (&group.name, self.delete_group(group, in_use)),
                Step::Leftover(backup) => (&backup.name, self.leftover(backup, in_use)),
            };
            match done {
                Ok(()) => {}
                Err(
                    error @ (StoreError::Deletion(
                        DeletionFault::InUse { .. } | DeletionFault::Pinned { .. },
                    )
                    | StoreError::Lease(_)
                    | StoreError::Deletion(DeletionFault::BeingRead { .. })
                    | StoreError::Deletion(DeletionFault::Changed { .. })),
                ) => report.skip(step, error.to_string()),
                Err(_) if self.options.cancel.is_cancelled() => {
                    return Err(StoreError::Interrupted);
                }
                Err(error) => {
                    if error.is_of_the_store() {
                        failed_at = Some(name.clone());
                    }
                    report.not_deleted(step);
                    report.failed.push(Failed {
                        name: name.clone(),
                        reason: error.to_string(),
                        error,
                    });
                }
            }
        }
        Ok(())
    }

    /// Deletes all chains of a group: first the incrementals outside a chain directory, then each
    /// chain.
    fn delete_group(&self, group: &ChainGroup<'_>, in_use: &InUse<'_>) -> Result<(), StoreError> {
        for full in &group.fulls {
            refuse_if_used(&full.name, in_use)?;
            // it may have been pinned since the plan was made
            if self.repository.is_pinned(&full.name)? {
                let name = full.name.clone();
                return Err(StoreError::Deletion(DeletionFault::Pinned { name }));
            }
        }
        refuse_if_unexplained(&group.members().collect::<Vec<_>>())?;
        for loose in group.others.iter().rev() {
            if loose.role() == Role::Loose {
                self.chain(&loose.name, Some(loose), &[loose], None)?;
            }
        }
        for full in group.fulls.iter().rev() {
            let of = |l: &&&Listed| l.role() == Role::Member && l.name.base() == full.name;
            let members = group.others.iter().filter(of).rev().copied();
            let to_delete: Vec<&Listed> = members.chain([*full]).collect();
            self.chain(&full.name, Some(full), &to_delete, self.options.lease)?;
        }
        Ok(())
    }

    fn leftover(&self, backup: &Listed, in_use: &InUse<'_>) -> Result<(), StoreError> {
        refuse_if_used(&backup.name.base(), in_use)?;
        refuse_if_unexplained(&[backup])?;
        if backup.role() == Role::Full {
            // leftovers above it were deleted before
            return self.chain(&backup.name, Some(backup), &[backup], None);
        }
        self.member(backup, None)
    }
}

fn refuse_if_used(root: &BackupName, in_use: &InUse<'_>) -> Result<(), StoreError> {
    if in_use(root)? {
        return Err(StoreError::Deletion(DeletionFault::InUse {
            chain: root.clone(),
        }));
    }
    Ok(())
}
