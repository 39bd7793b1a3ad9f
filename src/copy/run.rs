//! The copy: backup by backup, object by object.

use super::choose::{Chosen, There, choose};
use super::objects::{StoredObject, objects_of};
use super::{Copied, CopyError, CopyOptions, CopyReport, CopyWhich, NotCopied};
use crate::locked::Locked;
use crate::manifest::{BackupName, Manifest};
use crate::progress::{Phase, Progress};
use crate::reader::unwrap::{self, Opening};
use crate::store::{Listed, Original, Replica, Repository, StoreError, each_in_parallel};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// Copies backups from one repository to another. An interrupted copy is continued by the next one.
///
/// # Errors
/// [`CopyError`]. For [`CopyWhich::All`] and [`CopyWhich::Kept`], the failure of one backup is not
/// an error; it is in [`CopyReport::failed`], and the other chains are copied.
pub fn copy(
    from: &Repository,
    to: &Repository,
    which: CopyWhich<'_>,
    options: &CopyOptions,
    progress: &dyn Progress,
) -> Result<CopyReport, CopyError> {
    progress.phase(Phase::Preparing, None);
    refuse_the_same(from, to)?;
    let mut report = CopyReport {
        dry_run: options.dry_run,
        ..CopyReport::default()
    };
    let chosen = choose((from, to), which, &mut report)?;
    let mut job = Job {
        from,
        to,
        options,
        progress,
        chosen: &chosen,
        encrypted_only: false,
        stops: matches!(which, CopyWhich::Named(_)),
        report,
    };
    if chosen.chains.is_empty() {
        if job.report.failed.is_empty() && job.report.skipped.is_empty() {
            return Err(CopyError::Refused {
                what: from.url().to_owned(),
                why:
                    "it has none of the backups that were asked for: check the URL and the cluster"
                        .to_owned(),
            });
        }
        return Ok(job.report);
    }
    if !options.dry_run {
        let source = from.is_encrypted_only().map_err(CopyError::of(from))?;
        to.mark_for_copy(source).map_err(CopyError::of(to))?;
    }
    job.encrypted_only = to.is_encrypted_only().map_err(CopyError::of(to))?;
    job.chains()?;
    Ok(job.report)
}

/// Refuses to copy a repository to itself.
fn refuse_the_same(from: &Repository, to: &Repository) -> Result<(), CopyError> {
    let place = |repository: &Repository| match repository.directory() {
        Some(directory) => std::fs::canonicalize(directory)
            .unwrap_or_else(|_| directory.to_owned())
            .display()
            .to_string(),
        None => repository.url().trim_end_matches('/').to_owned(),
    };
    // Two stores can have the same URL, at other endpoints.
    let id = |repository: &Repository| {
        let marker = repository.marker().map_err(CopyError::of(repository))?;
        Ok::<_, CopyError>(marker.map(|marker| marker.id))
    };
    let same = place(from) == place(to)
        && (from.directory().is_some() || {
            let (one, other) = (id(from)?, id(to)?);
            one.is_some() && one == other
        });
    if !same {
        return Ok(());
    }
    Err(CopyError::Refused {
        what: to.url().to_owned(),
        why: "it is both the source and the target: give two repositories".to_owned(),
    })
}

struct Job<'a> {
    from: &'a Repository,
    to: &'a Repository,
    options: &'a CopyOptions,
    progress: &'a dyn Progress,
    chosen: &'a Chosen,
    /// The target accepts only encrypted backups.
    encrypted_only: bool,
    /// Whether a failure ends the copy.
    stops: bool,
    report: CopyReport,
}

impl Job<'_> {
    fn chains(&mut self) -> Result<(), CopyError> {
        let all = self.chosen.chains.iter().flatten();
        let bytes = all.map(|l| l.summary().map_or(0, |s| s.stored_bytes)).sum();
        self.progress.phase(Phase::Transfer, Some(bytes));
        for chain in &self.chosen.chains {
            self.options.cancel.check()?;
            match self.chain(chain) {
                Ok(()) => {}
                Err((_, error)) if self.stops || error.ends_the_copy() => return Err(error),
                Err((name, error)) => {
                    let later = chain.iter().skip_while(|l| l.name != name).skip(1);
                    let later = later.map(|l| NotCopied {
                        name: l.name.clone(),
                        reason: format!("{name} before it was not copied"),
                        error: None,
                    });
                    self.report.failed.push(NotCopied {
                        name: name.clone(),
                        reason: error.to_string(),
                        error: Some(Arc::new(error)),
                    });
                    self.report.failed.extend(later);
                }
            }
        }
        Ok(())
    }

    /// Copies the members of one chain, and its pin. The first failure ends the chain, because the
    /// later members depend on the earlier ones.
    fn chain(&mut self, chain: &[Listed]) -> Result<(), (BackupName, CopyError)> {
        let Some(first) = chain.first() else {
            return Ok(());
        };
        let failed = |name: &BackupName| {
            let name = name.clone();
            move |error| (name, error)
        };
        let names: Vec<BackupName> = chain.iter().map(|l| l.name.clone()).collect();
        let reading = (!self.options.dry_run).then(|| self.from.announce_reading("copy", &names));
        let _reading = reading
            .transpose()
            .map_err(CopyError::of(self.from))
            .map_err(failed(&first.name))?;
        let mut there: BTreeSet<BackupName> = BTreeSet::new();
        let mut before: Option<Manifest> = None;
        for backup in chain {
            let done = self.backup(backup, &there, before.as_ref());
            before = done.map_err(failed(&backup.name))?.or(before);
            there.insert(backup.name.clone());
        }
        if self.options.with_pins && first.pinned {
            let root = first.name.base();
            if !self.options.dry_run {
                let pinned = self.to.pin(&first.name).map_err(CopyError::of(self.to));
                pinned.map_err(failed(&root))?;
            }
            self.report.pinned.push(root);
        }
        Ok(())
    }

    /// Copies one backup, unless the target has it. `there` are the members before it that the
    /// target has. Returns its manifest if it was read.
    fn backup(
        &mut self,
        backup: &Listed,
        there: &BTreeSet<BackupName>,
        before: Option<&Manifest>,
    ) -> Result<Option<Manifest>, CopyError> {
        self.options.cancel.check()?;
        let (name, bytes) = (&backup.name, backup.summary().map_or(0, |s| s.stored_bytes));
        if self.chosen.there(backup, self.to)? == There::Same {
            self.progress.advance(Phase::Transfer, bytes);
            self.report.present.push(name.clone());
            return Ok(None);
        }
        let original = self.from.original(name).map_err(CopyError::of(self.from))?;
        self.refuse_a_fork(&original.manifest)?;
        self.admit(&original.manifest, before)?;
        let objects = objects_of(&original.manifest.files);
        let mut copied = Copied {
            name: name.clone(),
            objects: objects.len() as u64,
            stored_bytes: objects.iter().map(|o| o.bytes).sum(),
            sent_objects: 0,
            sent_bytes: 0,
        };
        if !self.options.dry_run {
            (copied.sent_objects, copied.sent_bytes) =
                self.replicate(&original, &objects, there)?;
        }
        self.report.copied.push(copied);
        Ok(Some(original.manifest))
    }

    /// Refuses a backup that the key doesn't authenticate, or that the target doesn't accept.
    fn admit(&mut self, manifest: &Manifest, before: Option<&Manifest>) -> Result<(), CopyError> {
        if self.encrypted_only && !manifest.is_encrypted() {
            return Err(CopyError::Refused {
                what: manifest.name.to_string(),
                why: format!(
                    "it is not encrypted, and {} accepts encrypted backups only; copy into another repository",
                    self.to.url()
                ),
            });
        }
        let Some(key) = &self.options.key else {
            let base = manifest.base.as_ref().map(|base| &base.name);
            let before = before.filter(|before| Some(&before.name) == base);
            unwrap::check_without_key(before, manifest)?;
            return Ok(());
        };
        let opening = Opening {
            key: Some(key),
            unauthenticated: self.options.accept_unauthenticated,
        };
        let accepted = unwrap::check(std::slice::from_ref(manifest), opening)?;
        for warning in &accepted {
            tracing::warn!("{warning}");
        }
        self.report.warnings.extend(accepted);
        Ok(())
    }

    /// Writes one backup. Returns the number of objects that were sent, and their bytes.
    fn replicate(
        &self,
        original: &Original,
        objects: &[StoredObject<'_>],
        there: &BTreeSet<BackupName>,
    ) -> Result<(u64, u64), CopyError> {
        let target = CopyError::of(self.to);
        let manifest = &original.manifest;
        // `prune` leaves the members before this one while it is copied
        let members: Vec<BackupName> = match &manifest.base {
            Some(base) if !there.contains(&base.name) && !self.chosen.has(&base.name) => {
                return Err(self.no_base(manifest));
            }
            Some(base) => there.iter().chain([&base.name]).cloned().collect(),
            None => Vec::new(),
        };
        // Its own name too: `prune` looks for readers before it removes an unfinished backup.
        let all: Vec<BackupName> = members.iter().chain([&manifest.name]).cloned().collect();
        let _reading = self
            .to
            .announce_reading_some("copy", &all, &|name| *name != manifest.name)
            .map_err(&target)?;
        let replica = self
            .to
            .replicate(original, self.options.lease_ttl)
            .map_err(&target)?;
        let sent = self
            .base_is_there(manifest)
            .and_then(|()| self.objects(manifest, &replica, objects));
        match sent {
            Ok(sent) => {
                replica.finish().map_err(&target)?;
                Ok(sent)
            }
            Err(error) => {
                replica.give_up();
                Err(error)
            }
        }
    }

    fn refuse_a_fork(&self, manifest: &Manifest) -> Result<(), CopyError> {
        let Some(base) = &manifest.base else {
            return Ok(());
        };
        match self.chosen.sibling(&manifest.name, &base.name) {
            None => Ok(()),
            Some(other) => Err(CopyError::Forks {
                name: manifest.name.clone(),
                base: base.name.clone(),
                other: other.clone(),
                url: self.to.url().to_owned(),
            }),
        }
    }

    fn no_base(&self, manifest: &Manifest) -> CopyError {
        let base = manifest.base.as_ref().map(|base| base.name.clone());
        CopyError::NoBase {
            name: manifest.name.clone(),
            base: base.unwrap_or_else(|| manifest.name.base()),
            url: self.to.url().to_owned(),
        }
    }

    /// Checks that the target has the very base of an incremental. The lease on the chain is held.
    fn base_is_there(&self, manifest: &Manifest) -> Result<(), CopyError> {
        let Some(base) = &manifest.base else {
            return Ok(());
        };
        let found = self
            .to
            .manifest(&base.name)
            .map_err(CopyError::of(self.to))?;
        if found.id != base.id || found.lsn.to_lsn != base.to_lsn {
            return Err(self.no_base(manifest));
        }
        Ok(())
    }

    fn objects(
        &self,
        manifest: &Manifest,
        replica: &Replica<'_>,
        objects: &[StoredObject<'_>],
    ) -> Result<(u64, u64), CopyError> {
        let largest = objects.iter().map(|o| o.bytes).max().unwrap_or(1).max(1);
        let fitting = usize::try_from(self.options.memory as u64 / largest).unwrap_or(usize::MAX);
        let threads = self.options.parallel.min(fitting).max(1);
        let state: Mutex<(u64, u64, Option<CopyError>)> = Mutex::default();
        let going = || state.locked().2.is_none();
        let items = objects.iter().take_while(|_| going());
        each_in_parallel(items, threads, |object| {
            let done = self
                .options
                .cancel
                .check()
                .map_err(CopyError::from)
                .and_then(|()| self.object(&manifest.name, replica, object));
            let mut state = state.locked();
            match done {
                Ok(sent) => {
                    state.0 += u64::from(sent);
                    state.1 += if sent { object.bytes } else { 0 };
                    drop(state);
                    self.progress.advance(Phase::Transfer, object.bytes);
                }
                Err(error) => drop(state.2.get_or_insert(error)),
            }
        });
        match state.unlocked() {
            (_, _, Some(error)) => Err(error),
            (objects, bytes, None) => Ok((objects, bytes)),
        }
    }

    /// Copies one object, unless the target has it with the right bytes. Returns whether it was
    /// sent.
    fn object(
        &self,
        name: &BackupName,
        replica: &Replica<'_>,
        object: &StoredObject<'_>,
    ) -> Result<bool, CopyError> {
        if replica.found(&object.name).is_some() {
            return self.compare(name, object).map(|()| false);
        }
        let bytes = fetched(self.from, name, object).map_err(CopyError::of(self.from))?;
        let put = replica.put(&object.name, bytes);
        if put.map_err(CopyError::of(self.to))? {
            return Ok(true);
        }
        // another copy has put it meanwhile
        self.compare(name, object).map(|()| false)
    }

    /// Checks the bytes of an object that the target has.
    fn compare(&self, name: &BackupName, object: &StoredObject<'_>) -> Result<(), CopyError> {
        match fetched(self.to, name, object) {
            Ok(_) => Ok(()),
            Err(StoreError::Damaged { object, what }) => Err(CopyError::DamagedThere {
                name: name.clone(),
                url: self.to.url().to_owned(),
                object,
                what: what.to_string(),
            }),
            Err(error) => Err(CopyError::of(self.to)(error)),
        }
    }
}

/// Fetches an object and checks its digests.
fn fetched(
    repository: &Repository,
    name: &BackupName,
    object: &StoredObject<'_>,
) -> Result<bytes::Bytes, StoreError> {
    let bytes = repository.whole_object(name, &object.name, object.bytes)?;
    object.check(&format!("{name}/{}", object.name), &bytes)?;
    Ok(bytes)
}
