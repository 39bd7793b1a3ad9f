//! Deleting by the rules of chains: only what nothing stands on, or with `cascade` all that stands on
//! it before, the newest first; the full backup last. It may be killed at any point and run again.
//!
//! One incremental: its deletion is entered in the chain's ledger ([`super::lease`]), which removes
//! its manifest, then the rest goes ([`super::remove`]). A whole chain: one entry closes it for
//! appends, its members go, the newest first, then the full backup up to its claim; the ledger and the
//! voids of members that never were; the claim, so that until then `lsnap delete` finds what to go on
//! with. An unfinished backup is made one that can't be finished any more before its objects go.
//!
//! Entries and voids need a few hundred bytes. A directory on a full disk has not even these: see
//! [`DeleteOptions::lease`].

use crate::cancel::Cancel;
use crate::manifest::object_name;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde::Serialize;

use crate::manifest::{BackupName, MANIFEST};
use crate::progress::{Phase, Progress};
use crate::store::chain_group::{ChainGroup, Role, chain_groups};
use crate::store::lease::DEFAULT_TTL;
use crate::store::ledger::DIRECTORY;
use crate::store::manifest_key::{self, ManifestKey};
use crate::store::noted::Noted;
use crate::store::own::Belongs;
use crate::store::remove::{Removal, remove_md5};
use crate::store::{Deletion, LeaseHolder, Listed, ListedState, MARKER, Repository, StoreError};

/// Tells whether somebody works on the chain of a backup: see [`Repository::worked_on_by`].
pub type InUse<'a> = dyn Fn(&BackupName) -> Result<bool, StoreError> + 'a;

/// How backups are deleted.
#[derive(Debug, Clone)]
pub struct DeleteOptions {
    /// Also delete what stands on it.
    pub cascade: bool,
    /// Only say what would go.
    pub dry_run: bool,
    /// Objects that are removed at the same time (at least 1).
    pub parallel: usize,
    /// How long a deletion that was killed keeps others from the chain. `None`: without an entry in
    /// the ledger and without voids, for a disk that is full; then the caller knows that nobody writes.
    pub lease: Option<Duration>,
    /// How old the newest object of an unfinished backup must be, for it not to be taken for one that
    /// is being made.
    pub unfinished_older_than: Duration,
    /// Ends the deletion early. Run it again to delete the rest.
    pub cancel: Cancel,
}

impl Default for DeleteOptions {
    fn default() -> Self {
        Self {
            cascade: false,
            dry_run: false,
            parallel: 16,
            lease: Some(DEFAULT_TTL),
            unfinished_older_than: Duration::from_secs(15 * 60),
            cancel: Cancel::new(),
        }
    }
}

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
    pub(super) fn of(backup: &Listed) -> Self {
        Self {
            name: backup.name.clone(),
            objects: backup.objects,
            bytes: backup.stored_bytes,
        }
    }
}

/// Deletes a backup, finished or not.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Needed`], [`StoreError::InUse`], [`StoreError::InProgress`],
/// [`StoreError::Unexplained`], [`StoreError::BeingRead`], [`StoreError::Lease`], [`StoreError::Policy`]:
/// nothing was deleted. After any other run it again:
/// [`StoreError::NotDeleted`], [`StoreError::Interrupted`] and the store's own errors.
pub fn delete(
    repository: &Repository,
    name: &BackupName,
    options: &DeleteOptions,
    in_use: &InUse<'_>,
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
        return Err(StoreError::InUse { chain: name.base() });
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
pub(super) fn refuse_if_unexplained(to_delete: &[&Listed]) -> Result<(), StoreError> {
    let found = to_delete
        .iter()
        .find_map(|b| Some((b, b.unexplained.as_ref()?)));
    match found {
        Some((backup, key)) => Err(StoreError::Unexplained {
            name: backup.name.clone(),
            key: key.clone(),
        }),
        None => Ok(()),
    }
}

/// A full backup under way is in no ledger: that its objects are young tells it.
fn refuse_if_in_progress(to_delete: &[&Listed], older_than: Duration) -> Result<(), StoreError> {
    let wait = TimeDelta::from_std(older_than).unwrap_or(TimeDelta::MAX);
    for backup in to_delete.iter().filter(|b| b.is_unfinished()) {
        let age = Utc::now().signed_duration_since(backup.newest);
        if age < wait {
            return Err(StoreError::InProgress {
                name: backup.name.clone(),
                seconds: age.num_seconds().max(0),
            });
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
        return Err(StoreError::Needed {
            name: backup.name.clone(),
            needed_by: newest.name.clone(),
        });
    }
    let loose = to_delete.iter().find(|l| l.role() == Role::Loose);
    if let (Some(loose), [_, _, ..]) = (loose, family.fulls.as_slice()) {
        let fulls: Vec<&str> = family.fulls.iter().map(|f| f.name.as_str()).collect();
        return Err(StoreError::Policy {
            reason: format!(
                "{} stands on one of {}, and nobody can tell on which: delete it by its own name first",
                loose.name,
                fulls.join(", ")
            ),
        });
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

/// Deletes.
pub(super) struct Worker<'a> {
    pub repository: &'a Repository,
    pub options: &'a DeleteOptions,
    pub progress: &'a dyn Progress,
}

impl Worker<'_> {
    pub(super) fn begin(&self, to_delete: &[&Listed]) {
        let bytes = to_delete.iter().map(|b| b.stored_bytes).sum();
        self.progress.phase(Phase::Transfer, Some(bytes));
    }

    /// Deletes a chain: its full backup, as far as it is there, and `to_delete`, which are all its members
    /// (the full one may be among them).
    pub(super) fn chain(
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
        let done = self.members_and_full(root, full, to_delete);
        let done = done.map_err(|error| noted.unless_begun(error));
        // what decides was done: the chain is closed, whatever is left of it
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
    ) -> Result<(), StoreError> {
        let known = to_delete.iter().map(|b| &b.name).collect();
        self.refuse_if_grown(root, &known)?;
        for backup in to_delete.iter().filter(|b| b.name != *root) {
            self.take_down(backup)?;
        }
        let Some(full) = full else { return Ok(()) };
        let removal = self.prepare(full)?;
        removal.strip(self.progress)?;
        removal.remove_void()
    }

    /// Deletes a backup that no other stands on and that is no full one; `before` is where its chain
    /// then ends.
    pub(super) fn member(
        &self,
        backup: &Listed,
        before: Option<&BackupName>,
    ) -> Result<(), StoreError> {
        let noted = self.note(&[backup])?;
        let entered = self.enter(backup, before);
        let lease = entered.map_err(|error| noted.unless_begun(error))?;
        let done = self.take_down(backup);
        // what decides was done: its manifest is gone
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
        // what is not lsnap's was never entered, and the ledger knows nothing of it
        let has_register = match backup.state {
            ListedState::Finished(_)
            | ListedState::BaseMissing(_)
            | ListedState::Damaged { .. } => backup.role() == Role::Member,
            _ => false,
        };
        let (Some(ttl), Some(before), true) = (self.options.lease, before, has_register) else {
            return Ok(None);
        };
        let begun = self
            .repository
            .begin_deletion(&backup.name, Some(before), ttl);
        begun.map(Some)
    }

    /// Notes that what may be read goes.
    fn note(&self, to_delete: &[&Listed]) -> Result<Noted<'_>, StoreError> {
        let readable =
            |b: &&&Listed| !matches!(b.state, ListedState::Unfinished | ListedState::Deleting);
        let names = to_delete.iter().filter(readable).map(|b| b.name.clone());
        let names: Vec<BackupName> = names.collect();
        Noted::put(self.repository, &names, self.options.lease.is_none())
    }

    fn take_down(&self, backup: &Listed) -> Result<(), StoreError> {
        let removal = self.prepare(backup)?;
        removal.strip(self.progress)?;
        remove_md5(self.repository, &backup.name)?;
        removal.complete().map(drop)
    }

    fn removal<'n>(&'n self, name: &'n BackupName) -> Removal<'n> {
        Removal::new(self.repository, name, self.options.parallel)
            .cancelled_by(&self.options.cancel)
    }

    /// Says what comes, so that the rest is known for what it is. Of an unfinished backup of lsnap's
    /// own the manifest is made a void instead: its writer may only be slow.
    fn prepare<'n>(&'n self, backup: &'n Listed) -> Result<Removal<'n>, StoreError> {
        let removal = self.removal(&backup.name);
        let ours = backup.state == ListedState::Unfinished && backup.claimed;
        if ours && self.options.lease.is_some() {
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
            ManifestKey::Empty | ManifestKey::Manifest { .. } => Err(StoreError::Changed {
                chain: name.base(),
                what: format!("{name} was finished"),
            }),
        }
    }

    /// The members that a chain without its full backup has, to delete all of it by the name that the
    /// full one had.
    fn without_full<'l>(
        &self,
        name: &BackupName,
        groups: &[ChainGroup<'l>],
    ) -> Result<Vec<&'l Listed>, StoreError> {
        let not_found = |hint| StoreError::NotFound {
            name: name.to_string(),
            url: self.repository.url().to_owned(),
            hint,
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
                "{} is a repository (it has {MARKER}): give it as the URL",
                name.chain_directory()
            )));
        }
        if let Some(object) = nested {
            return Err(not_found(format!(
                "{name}/ is a repository or holds one (it has {}): name a backup in it, with {name} in the URL",
                object.escape_debug()
            )));
        }
        if let Some(object) = strange {
            return Err(not_found(format!(
                "what lies there (first {}) is no backup; `lsnap cloud delete` removes it",
                object.escape_debug()
            )));
        }
        let of =
            |f: &&ChainGroup<'l>| !name.is_incremental() && f.fulls.is_empty() && f.name == *name;
        let orphans = groups.iter().find(of);
        if orphans.is_none() && (name.is_incremental() || !self.has_chain(name)?) {
            return Err(not_found(format!("nothing lies under {name}/")));
        }
        let members: Vec<&Listed> = orphans
            .map(|f| f.others.iter().rev().copied().collect())
            .unwrap_or_default();
        match members.first() {
            Some(newest) if !self.options.cascade => Err(StoreError::Needed {
                name: name.clone(),
                needed_by: newest.name.clone(),
            }),
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

    /// Fails when a chain has members besides `known`.
    pub(super) fn refuse_if_grown(
        &self,
        root: &BackupName,
        known: &BTreeSet<&BackupName>,
    ) -> Result<(), StoreError> {
        for name in self.repository.members_in(&root.chain_directory())? {
            if !known.contains(&name) && !self.is_gone_or_void(&name)? {
                return Err(StoreError::Changed {
                    chain: root.clone(),
                    what: format!("{name} came to it"),
                });
            }
        }
        Ok(())
    }

    /// Whether nothing lies there but a void, or not even that: a directory marker is nothing.
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

    /// Removes what a chain without members still has: voids, and its ledger.
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
        // records after what says how they ended, the newest last: it says that the chain is closed, and
        // without it what belongs to it would look like a loss
        entries.sort_by_key(|entry| (is_record(entry), entry.clone()));
        entries.iter().try_for_each(|entry| bucket.delete(entry))
    }
}

/// Whether a key is that of a record of a ledger, `lease.<20 digits>`.
fn is_record(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or_default();
    name.strip_prefix("lease.")
        .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
}
