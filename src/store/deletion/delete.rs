//! Deleting by the rules of chains: only what nothing stands on, or with `cascade` all that stands on
//! it before, the newest first; the full backup last. It may be killed at any point and run again.
//!
//! One incremental: its deletion is entered in the chain's ledger ([`crate::store::lease::chain_lease`]), which removes
//! its manifest, then the rest goes ([`crate::store::deletion::remove`]). A whole chain: one entry closes it for
//! appends, its members go, the newest first, then the full backup up to its claim; the ledger and the
//! voids of members that never were; the claim, so that until then `lsnap delete` finds what to go on
//! with. An unfinished backup is made one that can't be finished any more before its objects go.
//!
//! Entries and voids need a few hundred bytes. A directory on a full disk has not even these: see
//! [`DeleteOptions::lease`].

use crate::store::deletion::options::DeleteOptions;
use crate::store::deletion::worker::Worker;
use crate::store::error::deletion::DeletionFault;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde::Serialize;

use crate::manifest::BackupName;
use crate::progress::{Phase, Progress};
use crate::store::error::StoreError;
use crate::store::listing::chain_group::{ChainGroup, Role, chain_groups};
use crate::store::listing::listed::{Listed, ListedState};
use crate::store::objects::repository::Repository;

/// Tells whether the chain of a backup is being worked on ([`is_worked_on`], but for tests).
pub(in crate::store) type InUse<'a> = dyn Fn(&BackupName) -> Result<bool, StoreError> + 'a;

/// A backup that was deleted, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Deleted {
    /// Which one.
    pub name: BackupName,
    /// Its objects as listed before.
    pub objects: u64,
    /// The bytes of these.
    pub bytes: u64,
}

/// What a deletion did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeleteReport {
    /// Nothing was deleted.
    pub dry_run: bool,
    /// The backups, in the order in which they went.
    pub deleted: Vec<Deleted>,
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

/// Returns whether the chain of a backup is being worked on: an incremental is being made in it, or a
/// deletion.
pub(in crate::store) fn is_worked_on(
    repository: &Repository,
) -> impl Fn(&BackupName) -> Result<bool, StoreError> {
    |name| Ok(repository.worked_on_by(name)?.is_some())
}

/// Deletes a backup, finished or not. One whose chain is being worked on is refused.
///
/// # Errors
/// [`BackupFault::NotFound`](crate::store::BackupFault::NotFound); [`DeletionFault::Needed`](crate::store::DeletionFault::Needed), [`DeletionFault::InUse`](crate::store::DeletionFault::InUse), [`DeletionFault::InProgress`](crate::store::DeletionFault::InProgress),
/// [`DeletionFault::Unexplained`](crate::store::DeletionFault::Unexplained), [`DeletionFault::BeingRead`](crate::store::DeletionFault::BeingRead), [`StoreError::Lease`], [`DeletionFault::Policy`](crate::store::DeletionFault::Policy):
/// nothing was deleted. After any other run it again:
/// [`StoreError::NotDeleted`], [`StoreError::Interrupted`] and the store's own errors.
pub fn delete(
    repository: &Repository,
    name: &BackupName,
    options: &DeleteOptions,
    progress: &dyn Progress,
) -> Result<DeleteReport, StoreError> {
    let in_use = is_worked_on(repository);
    delete_unless(&in_use, repository, name, options, progress)
}

/// As [`delete`]; a chain is left alone if `in_use` says so.
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
        Some((family, backup)) => to_delete(family, backup, options.cascade)?,
        None => worker.without_full(name, &groups)?,
    };
    if in_use(&name.base())? {
        return Err(StoreError::Deletion(DeletionFault::InUse {
            chain: name.base(),
        }));
    }
    refuse_if_unexplained(&to_delete)?;
    refuse_if_in_progress(&to_delete, options.unfinished_older_than)?;
    let report = DeleteReport {
        dry_run: options.dry_run,
        deleted: to_delete.iter().map(|b| Deleted::of(b)).collect(),
    };
    if !options.dry_run {
        worker.begin(&to_delete);
        if name.is_incremental() || found.is_some_and(|(_, b)| b.role() == Role::Loose) {
            for backup in &to_delete {
                options.cancel.check()?;
                let before = found.and_then(|(family, _)| family.before(backup));
                worker.member(backup, before)?;
            }
        } else {
            options.cancel.check()?;
            let full = found.map(|(_, backup)| backup);
            worker.chain(name, full, &to_delete, options.lease)?;
        }
    }
    Ok(report)
}

/// Only what a backup consists of goes with it.
pub(in crate::store) fn refuse_if_unexplained(to_delete: &[&Listed]) -> Result<(), StoreError> {
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

/// A full backup under way is in no ledger: that its objects are young tells it.
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

/// What goes, in this order.
fn to_delete<'a>(
    family: &ChainGroup<'a>,
    backup: &'a Listed,
    cascade: bool,
) -> Result<Vec<&'a Listed>, StoreError> {
    let mut to_delete = family.needing(backup);
    if let (Some(newest), false) = (to_delete.first(), cascade) {
        return Err(StoreError::Deletion(DeletionFault::Needed {
            name: backup.name.clone(),
            needed_by: newest.name.clone(),
        }));
    }
    let loose = to_delete.iter().find(|l| l.role() == Role::Loose);
    if let (Some(loose), [_, _, ..]) = (loose, family.fulls.as_slice()) {
        let fulls: Vec<&str> = family.fulls.iter().map(|f| f.name.as_str()).collect();
        return Err(StoreError::Deletion(DeletionFault::Policy {
            reason: format!(
                "{} stands on one of {}, and nobody can tell on which: delete it by its own name first",
                loose.name,
                fulls.join(", ")
            ),
        }));
    }
    to_delete.push(backup);
    Ok(to_delete)
}

impl<'a> ChainGroup<'a> {
    /// The member that a chain ends at when `backup`, its newest, is gone.
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
