//! Deletes backups by the rules of chains: only backups that no other depends on, or with `cascade`
//! first all that depend on it, the newest first; the full backup last. A deletion can be killed at
//! any point and run again.
//!
//! A single incremental: its deletion is entered in the chain's ledger
//! ([`crate::store::lease::chain_lease`]), which removes its manifest; then the rest is removed
//! ([`crate::store::deletion::remove`]). A whole chain: one entry closes it for appends; its
//! members are removed, the newest first, then the full backup except its claim; then the ledger
//! and the voids of members that were never finished; then the claim, so that until then `lsnap
//! delete` can find what to continue with. The manifest key of an unfinished backup gets a void
//! before its objects are removed, so that the backup can't be finished any more.
//!
//! Entries and voids need a few hundred bytes. A directory on a full disk doesn't even have these:
//! see [`DeleteOptions::lease`].

use crate::store::deletion::options::DeleteOptions;
use crate::store::deletion::worker::Worker;
use crate::store::error::deletion::DeletionFault;
use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde::Serialize;

use crate::manifest::BackupName;
use crate::progress::{Phase, Progress};
use crate::store::error::StoreError;
use crate::store::listing::chain_group::{ChainGroup, Role, chain_groups};
use crate::store::listing::listed::{Listed, ListedState};
use crate::store::objects::repository::Repository;

/// Returns whether the chain of a backup is in use ([`is_worked_on`], except in tests).
pub(in crate::store) type InUse<'a> = dyn Fn(&BackupName) -> Result<bool, StoreError> + 'a;

/// A backup that was deleted, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Deleted {
    /// The backup.
    pub name: BackupName,
    /// The number of its objects in the listing before the deletion.
    pub objects: u64,
    /// Bytes of these objects.
    pub bytes: u64,
}

/// The result of a deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeleteReport {
    /// Nothing was deleted.
    pub dry_run: bool,
    /// The backups, in the order of their deletion.
    pub deleted: Vec<Deleted>,
    /// The listing before the deletion.
    #[serde(skip)]
    pub listed: Vec<Listed>,
    /// The bucket keeps versions: the bytes of the deleted objects are not freed yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub versions_kept: bool,
}

impl Deleted {
    pub(in crate::store) fn of(backup: &Listed) -> Self {
        Self {
            name: backup.name.clone(),
            objects: backup.objects,
            bytes: backup.stored_bytes,
        }
    }
}

/// Returns a function that tells whether the chain of a backup is in use: an incremental is being
/// appended to it, or a backup is being deleted from it.
pub(super) fn is_worked_on(
    repository: &Repository,
) -> impl Fn(&BackupName) -> Result<bool, StoreError> {
    |name| Ok(repository.worked_on_by(name)?.is_some())
}

/// Deletes a backup, finished or not. A backup whose chain is in use is refused.
///
/// # Errors
/// [`BackupFault::NotFound`](crate::store::BackupFault::NotFound),
/// [`DeletionFault::Needed`](crate::store::DeletionFault::Needed),
/// [`DeletionFault::InUse`](crate::store::DeletionFault::InUse),
/// [`DeletionFault::InProgress`](crate::store::DeletionFault::InProgress),
/// [`DeletionFault::Unexplained`](crate::store::DeletionFault::Unexplained),
/// [`DeletionFault::BeingRead`](crate::store::DeletionFault::BeingRead), [`StoreError::Lease`],
/// [`DeletionFault::Policy`](crate::store::DeletionFault::Policy): nothing was deleted. After any
/// other error, call it again: [`StoreError::NotDeleted`], [`StoreError::Interrupted`] and errors
/// of the store.
pub fn delete(
    repository: &Repository,
    name: &BackupName,
    options: &DeleteOptions,
    progress: &dyn Progress,
) -> Result<DeleteReport, StoreError> {
    let in_use = is_worked_on(repository);
    delete_unless(&in_use, repository, name, options, progress)
}

/// As [`delete`], but a chain is left unchanged if `in_use` returns true for it.
pub(in crate::store) fn delete_unless(
    in_use: &InUse<'_>,
    repository: &Repository,
    name: &BackupName,
    options: &DeleteOptions,
    progress: &dyn Progress,
) -> Result<DeleteReport, StoreError> {
    progress.phase(Phase::Preparing, None);
    repository.check_format_to_change()?;
    let listed = repository.list()?;
    let groups = chain_groups(&listed);
    let worker = Worker {
        repository,
        options,
        progress,
    };
    let found = groups
        .iter()
        .find_map(|f| f.members().find(|m| m.name == *name).map(|m| (f, m)));
    let to_delete = match found {
        Some((group, backup)) => to_delete(group, backup, options.cascade)?,
        None => worker.without_full(name, &groups)?,
    };
    if in_use(&name.base())? {
        return Err(StoreError::Deletion(DeletionFault::InUse {
            chain: name.base(),
        }));
    }
    refuse_if_pinned(&to_delete)?;
    refuse_if_unexplained(&to_delete)?;
    refuse_if_in_progress(&to_delete, options.unfinished_older_than)?;
    let versions = repository.kept_versions();
    let mut report = DeleteReport {
        dry_run: options.dry_run,
        deleted: to_delete.iter().map(|b| Deleted::of(b)).collect(),
        listed: listed.clone(),
        versions_kept: false,
    };
    if !options.dry_run {
        refuse_if_pinned_now(repository, &to_delete)?;
        worker.begin(&to_delete);
        if name.is_incremental() || found.is_some_and(|(_, b)| b.role() == Role::Loose) {
            for backup in &to_delete {
                options.cancel.check()?;
                let before = found.and_then(|(group, _)| group.before(backup));
                worker.member(backup, before)?;
            }
        } else {
            options.cancel.check()?;
            let full = found.map(|(_, backup)| backup);
            worker.chain(name, full, &to_delete, options.lease)?;
        }
    }
    report.versions_kept = repository.kept_versions() > versions;
    Ok(report)
}

/// Refuses pinned backups. A pin holds until it is removed.
pub(super) fn refuse_if_pinned(to_delete: &[&Listed]) -> Result<(), StoreError> {
    match to_delete.iter().find(|backup| backup.pinned) {
        Some(backup) => Err(StoreError::Deletion(DeletionFault::Pinned {
            name: backup.name.clone(),
        })),
        None => Ok(()),
    }
}

/// As [`refuse_if_pinned`], by the pins in the store now: a backup may have been pinned since it was
/// listed.
fn refuse_if_pinned_now(repository: &Repository, to_delete: &[&Listed]) -> Result<(), StoreError> {
    let chains: BTreeSet<BackupName> = to_delete.iter().map(|backup| backup.name.base()).collect();
    for name in chains {
        if repository.is_pinned(&name)? {
            return Err(StoreError::Deletion(DeletionFault::Pinned { name }));
        }
    }
    Ok(())
}

/// Refuses backups whose directory has keys that are not part of them.
pub(super) fn refuse_if_unexplained(to_delete: &[&Listed]) -> Result<(), StoreError> {
    let found = to_delete
        .iter()
        .find_map(|b| Some((b, b.unexplained.as_ref()?)));
    match found {
        Some((backup, key)) => Err(StoreError::Deletion(DeletionFault::Unexplained {
            name: backup.name.clone(),
            key: key.clone(),
        })),
        None => Ok(()),
    }
}

/// Refuses unfinished backups whose newest object is young. A full backup in progress is not in a
/// ledger; the age of its objects is the only sign of it.
fn refuse_if_in_progress(to_delete: &[&Listed], older_than: Duration) -> Result<(), StoreError> {
    let wait = TimeDelta::from_std(older_than).unwrap_or(TimeDelta::MAX);
    for backup in to_delete.iter().filter(|b| b.is_unfinished()) {
        let age = Utc::now().signed_duration_since(backup.newest);
        if age < wait {
            return Err(StoreError::Deletion(DeletionFault::InProgress {
                name: backup.name.clone(),
                seconds: age.num_seconds().max(0),
            }));
        }
    }
    Ok(())
}

/// Returns the backups to delete, in this order.
fn to_delete<'a>(
    group: &ChainGroup<'a>,
    backup: &'a Listed,
    cascade: bool,
) -> Result<Vec<&'a Listed>, StoreError> {
    let mut to_delete = group.needing(backup);
    if let (Some(newest), false) = (to_delete.first(), cascade) {
        return Err(StoreError::Deletion(DeletionFault::Needed {
            name: backup.name.clone(),
            needed_by: newest.name.clone(),
        }));
    }
    let loose = to_delete.iter().find(|l| l.role() == Role::Loose);
    if let (Some(loose), [_, _, ..]) = (loose, group.fulls.as_slice()) {
        let fulls: Vec<&str> = group.fulls.iter().map(|f| f.name.as_str()).collect();
        return Err(StoreError::Deletion(DeletionFault::Policy {
            reason: format!(
                "{} depends on one of {}, and it is unknown on which: delete it by its own name first",
                loose.name,
                fulls.join(", ")
            ),
        }));
    }
    to_delete.push(backup);
    Ok(to_delete)
}

impl<'a> ChainGroup<'a> {
    /// Returns the member at which the chain ends once `backup`, its newest, is deleted.
    fn before(&self, backup: &Listed) -> Option<&'a BackupName> {
        let with_bytes =
            |l: &&Listed| l.is_whole() || matches!(l.state, ListedState::Damaged { .. });
        let base = backup.summary().and_then(|s| s.base.as_ref());
        let mut earlier = self.members().filter(with_bytes);
        match base {
            Some(base) => earlier.find(|l| l.name == base.name),
            None => earlier
                .filter(|l| l.name.base() == backup.name.base() && l.name < backup.name)
                .max_by_key(|l| &l.name),
        }
        .map(|l| &l.name)
    }
}
