//! Deletes what a policy lets go ([`crate::store::deletion::retention`]), by the rules of chains ([`crate::store::deletion::delete`]).
//!
//! What is printed before and what is done are made by the same plan. Before each chain it is asked
//! again whether somebody works on it or reads it; what changed meanwhile is left alone and told. What
//! can't be deleted keeps no other chain from being deleted.

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

/// A chain, or one backup, that was to go and was left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Skipped {
    /// Which one.
    pub name: BackupName,
    /// Why.
    pub reason: String,
}

/// A chain, or one backup, that was to go and could not be deleted, or not wholly.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Failed {
    /// Which one.
    pub name: BackupName,
    /// Why, for people.
    pub reason: String,
    /// Why.
    #[serde(skip)]
    pub error: StoreError,
}

impl PartialEq for Failed {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.reason) == (&other.name, &other.reason)
    }
}

impl Eq for Failed {}

/// What a policy lets go, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PruneReport {
    /// Nothing was deleted.
    pub dry_run: bool,
    /// The backups that go, in this order.
    pub deleted: Vec<ToDelete>,
    /// The chains that stay.
    pub kept: Vec<Kept>,
    /// What was left alone after all (never with `dry_run`).
    pub skipped: Vec<Skipped>,
    /// What could not be deleted; the others were all the same.
    pub failed: Vec<Failed>,
}

/// Deletes what `policy` lets go; with [`DeleteOptions::dry_run`] only says what. A chain that is being
/// worked on stays ([`Keep::InUse`](crate::store::Keep::InUse)).
///
/// # Errors
/// [`DeletionFault::Policy`](crate::store::DeletionFault::Policy), or the repository can't be listed: nothing was
/// deleted. [`StoreError::Interrupted`]: some chains may be deleted. That one chain can't be
/// deleted is no error but in [`PruneReport::failed`]; run it again.
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

/// As [`prune`]; a chain is left alone if `in_use` says so.
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
        kept,
        skipped: Vec::new(),
        failed: Vec::new(),
    };
    if options.dry_run {
        return Ok(report);
    }
    let worker = Worker {
        repository,
        options,
        progress,
    };
    worker.follow(&steps, in_use, &mut report)?;
    Ok(report)
}

impl PruneReport {
    fn not_deleted(&mut self, step: &Step<'_>) {
        let gone: Vec<_> = step.to_delete().into_iter().map(|d| d.name).collect();
        self.deleted.retain(|d| !gone.contains(&d.name));
    }

    fn leave(&mut self, step: &Step<'_>, reason: String) {
        self.not_deleted(step);
        self.skipped.push(Skipped {
            name: step.name().clone(),
            reason,
        });
    }
}

impl Worker<'_> {
    /// Takes the steps of a plan, and reports those that were not completed.
    fn follow(
        &self,
        steps: &[Step<'_>],
        in_use: &InUse<'_>,
        report: &mut PruneReport,
    ) -> Result<(), StoreError> {
        let bytes = report.deleted.iter().map(|d| d.bytes).sum();
        self.progress.phase(Phase::Transfer, Some(bytes));
        let mut away = None;
        for step in steps {
            self.options.cancel.check()?;
            if let Some(name) = &away {
                report.leave(step, format!("not tried: the store failed at {name}"));
                continue;
            }
            let (name, done) = match step {
                Step::ChainGroup(family) => (&family.name, self.family(family, in_use)),
                Step::Leftover(backup) => (&backup.name, self.leftover(backup, in_use)),
            };
            match done {
                Ok(()) => {}
                Err(
                    error @ (StoreError::Deletion(DeletionFault::InUse { .. })
                    | StoreError::Lease(_)
                    | StoreError::Deletion(DeletionFault::BeingRead { .. })
                    | StoreError::Deletion(DeletionFault::Changed { .. })),
                ) => report.leave(step, error.to_string()),
                Err(_) if self.options.cancel.is_cancelled() => {
                    return Err(StoreError::Interrupted);
                }
                Err(error) => {
                    if error.is_of_the_store() {
                        away = Some(name.clone());
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

    /// Deletes a whole family: what lies at the top by itself, then each chain.
    fn family(&self, family: &ChainGroup<'_>, in_use: &InUse<'_>) -> Result<(), StoreError> {
        for full in &family.fulls {
            refuse_if_used(&full.name, in_use)?;
        }
        refuse_if_unexplained(&family.members().collect::<Vec<_>>())?;
        for loose in family.others.iter().rev() {
            if loose.role() == Role::Loose {
                self.chain(&loose.name, Some(loose), &[loose], None)?;
            }
        }
        for full in family.fulls.iter().rev() {
            let of = |l: &&&Listed| l.role() == Role::Member && l.name.base() == full.name;
            let members = family.others.iter().filter(of).rev().copied();
            let to_delete: Vec<&Listed> = members.chain([*full]).collect();
            self.chain(&full.name, Some(full), &to_delete, self.options.lease)?;
        }
        Ok(())
    }

    fn leftover(&self, backup: &Listed, in_use: &InUse<'_>) -> Result<(), StoreError> {
        refuse_if_used(&backup.name.base(), in_use)?;
        refuse_if_unexplained(&[backup])?;
        if backup.role() == Role::Full {
            // leftovers above it went before
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
