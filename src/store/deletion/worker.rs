//! Deletes chains and single backups step by step.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::manifest::{BackupName, MANIFEST, object_name};
use crate::progress::{Phase, Progress};
use crate::store::deletion::noted::DeletionNotes;
use crate::store::deletion::options::DeleteOptions;
use crate::store::deletion::remove::{Removal, remove_md5};
use crate::store::error::StoreError;
use crate::store::error::backup::BackupFault;
use crate::store::error::deletion::DeletionFault;
use crate::store::lease::chain_lease::Deletion;
use crate::store::lease::holder::LeaseHolder;
use crate::store::lease::ledger::DIRECTORY;
use crate::store::listing::chain_group::{ChainGroup, Role};
use crate::store::listing::listed::{Listed, ListedState};
use crate::store::objects::manifest_key::{self, ManifestKey};
use crate::store::objects::marker::MARKER;
use crate::store::objects::own::Belongs;
use crate::store::objects::repository::Repository;

/// Returns whether a key is that of a ledger record, `lease.<20 digits>`.
fn is_record(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or_default();
    name.strip_prefix("lease.")
        .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Executes deletions.
pub(super) struct Worker<'a> {
    pub repository: &'a Repository,
    pub options: &'a DeleteOptions,
    pub progress: &'a dyn Progress,
}

impl Worker<'_> {
    pub(in crate::store) fn begin(&self, to_delete: &[&Listed]) {
        let bytes = to_delete.iter().map(|b| b.stored_bytes).sum();
        self.progress.phase(Phase::Transfer, Some(bytes));
    }

    /// Deletes a chain: its full backup, if it exists, and `to_delete`, which are all its members
    /// (the full backup may be among them).
    pub(in crate::store) fn chain(
        &self,
        root: &BackupName,
        full: Option<&Listed>,
        to_delete: &[&Listed],
        lease: Option<Duration>,
    ) -> Result<(), StoreError> {
        let noted = self.note(to_delete)?;
        let lease = match lease.map(|ttl| self.repository.begin_deletion(root, None, ttl)) {
            Some(Ok(lease)) => Some(lease),
            Some(Err(error)) => return Err(noted.unless_begun(error)),
            None => None,
        };
        let done = self.members_and_full(root, full, to_delete, lease.as_ref());
        let done = done.map_err(|error| noted.unless_begun(error));
        // the decisive step is done: the chain is closed, whatever is left of it
        if let Some(lease) = lease {
            lease.end();
        }
        done?;
        self.sweep(root)?;
        remove_md5(self.repository, root)?;
        self.removal(root).complete().map(drop)
    }

    fn members_and_full(
        &self,
        root: &BackupName,
        full: Option<&Listed>,
        to_delete: &[&Listed],
        lease: Option<&Deletion>,
    ) -> Result<(), StoreError> {
        let known = to_delete.iter().map(|b| &b.name).collect();
        self.refuse_if_grown(root, &known)?;
        for backup in to_delete.iter().filter(|b| b.name != *root) {
            self.remove_objects(backup, lease)?;
        }
        let Some(full) = full else { return Ok(()) };
        let removal = self.prepare(full)?.under(lease);
        removal.strip(self.progress)?;
        removal.remove_void()
    }

    /// Deletes a backup that is not a full backup and that no other depends on. `before` is the new
    /// end of its chain.
    pub(in crate::store) fn member(
        &self,
        backup: &Listed,
        before: Option<&BackupName>,
    ) -> Result<(), StoreError> {
        let noted = self.note(&[backup])?;
        let entered = self.enter(backup, before);
        let lease = entered.map_err(|error| noted.unless_begun(error))?;
        let done = self.remove_objects(backup, lease.as_ref());
        // the decisive step is done: its manifest is removed
        if let Some(lease) = lease {
            lease.end();
        }
        done
    }

    /// Enters the deletion of the newest member of a chain in its ledger.
    fn enter(
        &self,
        backup: &Listed,
        before: Option<&BackupName>,
    ) -> Result<Option<Deletion>, StoreError> {
        // backups of other programs are not in the ledger
        let in_ledger = match backup.state {
            ListedState::Finished(_)
            | ListedState::BaseMissing(_)
            | ListedState::Damaged { .. } => backup.role() == Role::Member,
            _ => false,
        };
        let (Some(ttl), Some(before), true) = (self.options.lease, before, in_ledger) else {
            return Ok(None);
        };
        let begun = self
            .repository
            .begin_deletion(&backup.name, Some(before), ttl);
        begun.map(Some)
    }

    /// Puts deletion notes for the backups that may be read.
    fn note(&self, to_delete: &[&Listed]) -> Result<DeletionNotes<'_>, StoreError> {
        let readable =
            |b: &&&Listed| !matches!(b.state, ListedState::Unfinished | ListedState::Deleting);
        let names = to_delete.iter().filter(readable).map(|b| b.name.clone());
        let names: Vec<BackupName> = names.collect();
        DeletionNotes::put(self.repository, &names, self.options.lease.is_none())
    }

    fn remove_objects(&self, backup: &Listed, lease: Option<&Deletion>) -> Result<(), StoreError> {
        let removal = self.prepare(backup)?.under(lease);
        removal.strip(self.progress)?;
        lease.map_or(Ok(()), Deletion::still_held)?;
        remove_md5(self.repository, &backup.name)?;
        removal.complete().map(drop)
    }

    fn removal<'n>(&'n self, name: &'n BackupName) -> Removal<'n> {
        Removal::new(self.repository, name, self.options.parallel)
            .cancelled_by(&self.options.cancel)
    }

    /// Prepares the removal so that remains are recognised as leftovers: it puts a note. For an
    /// unfinished backup of lsnap it puts a void instead, because its writer may only be slow.
    fn prepare<'n>(&'n self, backup: &'n Listed) -> Result<Removal<'n>, StoreError> {
        let removal = self.removal(&backup.name);
        let ours = backup.state == ListedState::Unfinished && backup.claimed;
        if ours && self.options.lease.is_some() {
            // A copy that is continued reads for hours what it has put before.
            let one = std::slice::from_ref(&backup.name);
            if let Some((name, reader)) = self.repository.reader_of(one)? {
                return Err(StoreError::Deletion(DeletionFault::BeingRead {
                    name,
                    holder: Box::new(reader.holder),
                    work: reader.work,
                }));
            }
            self.make_void(&backup.name)?;
            return Ok(removal.keep_void());
        }
        removal.announce();
        Ok(removal)
    }

    fn make_void(&self, name: &BackupName) -> Result<(), StoreError> {
        let store = Arc::clone(self.repository.store()?);
        let at = manifest_key::location(name, self.repository.longest_component())?;
        let owned = name.clone();
        let voided = self
            .repository
            .runtime()
            .wait("putting a void", async move {
                manifest_key::void(&*store, &owned, &at, &LeaseHolder::this()).await
            })??;
        match voided {
            ManifestKey::Void => Ok(()),
            ManifestKey::Empty | ManifestKey::Manifest { .. } => {
                Err(StoreError::Deletion(DeletionFault::Changed {
                    chain: name.base(),
                    what: format!("{name} was finished"),
                }))
            }
        }
    }

    /// Returns the members of a chain whose full backup is missing, so that the chain can be
    /// deleted by the name of the full backup.
    pub(super) fn without_full<'l>(
        &self,
        name: &BackupName,
        groups: &[ChainGroup<'l>],
    ) -> Result<Vec<&'l Listed>, StoreError> {
        let not_found = |hint| {
            StoreError::Backup(BackupFault::NotFound {
                name: name.to_string(),
                url: self.repository.url().to_owned(),
                hint,
            })
        };
        let (mut strange, mut nested) = (None, None);
        let bucket = self.repository.bucket();
        bucket.each(name.as_str(), |object, bytes| {
            if Belongs::of(object, bytes) == Belongs::Nested {
                nested = Some(object.to_owned());
            }
            strange.get_or_insert_with(|| object.to_owned());
            nested.is_none()
        })?;
        let marker = format!("{}/{MARKER}", name.chain_directory());
        if nested.is_none() && bucket.length(&marker)?.is_some() {
            return Err(not_found(format!(
                "{} is a repository (it has {MARKER}): use it as the URL",
                name.chain_directory()
            )));
        }
        if let Some(object) = nested {
            return Err(not_found(format!(
                "{name}/ is a repository or contains one (it has {}): name a backup in it, with {name} in the URL",
                object.escape_debug()
            )));
        }
        if let Some(object) = strange {
            return Err(not_found(format!(
                "the objects under this name (first {}) are not a backup; remove them as a stream's objects",
                object.escape_debug()
            )));
        }
        let of =
            |f: &&ChainGroup<'l>| !name.is_incremental() && f.fulls.is_empty() && f.name == *name;
        let orphans = groups.iter().find(of);
        if orphans.is_none() && (name.is_incremental() || !self.has_chain(name)?) {
            return Err(not_found(format!("there are no objects under {name}/")));
        }
        let members: Vec<&Listed> = orphans
            .map(|f| f.others.iter().rev().copied().collect())
            .unwrap_or_default();
        match members.first() {
            Some(newest) if !self.options.cascade => {
                Err(StoreError::Deletion(DeletionFault::Needed {
                    name: name.clone(),
                    needed_by: newest.name.clone(),
                }))
            }
            _ => Ok(members),
        }
    }

    fn has_chain(&self, root: &BackupName) -> Result<bool, StoreError> {
        let mut any = false;
        let bucket = self.repository.bucket();
        bucket.each(&root.chain_directory(), |_, _| {
            any = true;
            false
        })?;
        Ok(any)
    }

    /// Fails if a chain has members other than `known`.
    pub(super) fn refuse_if_grown(
        &self,
        root: &BackupName,
        known: &BTreeSet<&BackupName>,
    ) -> Result<(), StoreError> {
        for name in self.repository.members_in(&root.chain_directory())? {
            if !known.contains(&name) && !self.is_gone_or_void(&name)? {
                return Err(StoreError::Deletion(DeletionFault::Changed {
                    chain: root.clone(),
                    what: format!("{name} was added"),
                }));
            }
        }
        Ok(())
    }

    /// Returns whether the backup has no objects, or only a void. Directory markers don't count.
    fn is_gone_or_void(&self, name: &BackupName) -> Result<bool, StoreError> {
        let void = object_name(MANIFEST, 0);
        let (mut any, mut other) = (false, false);
        self.repository.bucket().each(name.as_str(), |object, _| {
            any = true;
            other |= object != void;
            !other
        })?;
        Ok(!any || !other && self.repository.is_voided(name)?)
    }

    /// Removes the voids and the ledger of a chain without members.
    fn sweep(&self, root: &BackupName) -> Result<(), StoreError> {
        let bucket = self.repository.bucket();
        for name in self.repository.members_in(&root.chain_directory())? {
            if self.is_gone_or_void(&name)? {
                bucket.delete(&format!("{name}/{}", object_name(MANIFEST, 0)))?;
            }
        }
        let ledger = format!("{}/{DIRECTORY}", root.chain_directory());
        let mut entries = Vec::new();
        bucket.each(&ledger, |entry, _| {
            entries.push(format!("{ledger}/{entry}"));
            true
        })?;
        // records after their end objects, the newest record last: it closes the chain, and without
        // it the remains of the chain would look like a loss
        entries.sort_by_key(|entry| (is_record(entry), entry.clone()));
        entries.iter().try_for_each(|entry| bucket.delete(entry))
    }
}
