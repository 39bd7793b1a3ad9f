//! A backup's objects are removed, beginning with what makes it look finished.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::budget::each_in_parallel;
use super::error::CloudError;
use super::marks_finished;
use crate::progress::{Phase, Progress};
use crate::store::{BackupName, Bucket, CLAIM, Repository, StoreError, split_object_name};

/// Keys that are held at a time.
const ROUND: usize = 10_000;

/// How a backup is deleted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeleteOptions {
    /// Objects that are removed at the same time (at least 1).
    pub parallel: usize,
}

impl Default for DeleteOptions {
    fn default() -> Self {
        Self { parallel: 4 }
    }
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeleteReport {
    /// The backup.
    pub name: BackupName,
    /// Objects removed.
    pub objects: u64,
    /// Bytes of these.
    pub bytes: u64,
}

/// Removes every object under `<name>/`, whatever its name; `<name>.md5` stays, as with xbcloud.
///
/// # Errors
/// [`StoreError::NotFound`]; [`CloudError::Needed`] when anything lies under `<name>.incr/` or an
/// incremental backup of the same chain names it as its base: nothing was removed then;
/// [`CloudError::NotDeleted`] says what is left.
pub fn delete(
    repository: &Repository,
    name: &BackupName,
    options: &DeleteOptions,
    progress: &dyn Progress,
) -> Result<DeleteReport, CloudError> {
    progress.phase(Phase::Preparing, None);
    let bucket = repository.bucket();
    let (mut any, mut bytes) = (false, 0u64);
    bucket.each(name.as_str(), |_, len| {
        any = true;
        bytes = bytes.saturating_add(len);
        true
    })?;
    if !any {
        return Err(StoreError::NotFound {
            name: name.to_string(),
            url: repository.url().to_owned(),
            hint: format!("nothing lies under {name}/"),
        }
        .into());
    }
    refuse_if_needed(repository, &bucket, name)?;
    progress.phase(Phase::Transfer, Some(bytes));
    let delete = Delete {
        bucket,
        name,
        options,
        progress,
        state: Mutex::default(),
    };
    for what in [What::Marks, What::Rest, What::Claim] {
        delete.all(what)?;
    }
    let state = delete
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    Ok(DeleteReport {
        name: name.clone(),
        objects: state.objects,
        bytes: state.bytes,
    })
}

fn refuse_if_needed(
    repository: &Repository,
    bucket: &Bucket,
    name: &BackupName,
) -> Result<(), CloudError> {
    let needed = |needed_by| CloudError::Needed {
        name: name.clone(),
        needed_by,
    };
    if name.is_incremental() {
        let listed = repository.list()?;
        let on_it = |l: &&crate::store::Listed| {
            l.finished()
                .and_then(|s| s.base.as_ref())
                .is_some_and(|base| base.name == *name)
        };
        return match listed.iter().find(on_it) {
            Some(other) => Err(needed(other.name.to_string())),
            None => Ok(()),
        };
    }
    let chain = format!("{name}.incr");
    let mut found = None;
    bucket.each(&chain, |object, _| {
        found = Some(format!("{chain}/{object}"));
        false
    })?;
    found.map_or(Ok(()), |found| Err(needed(found)))
}

/// The order in which a backup goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// What makes it look finished.
    Marks,
    /// Everything else.
    Rest,
    /// Whose leftovers they are, as long as there are some.
    Claim,
}

impl What {
    fn of(object: &str) -> Self {
        match split_object_name(object) {
            Some((path, _)) if marks_finished(path) => Self::Marks,
            Some((CLAIM, _)) => Self::Claim,
            _ => Self::Rest,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    objects: u64,
    bytes: u64,
    kept: BTreeSet<String>,
    reason: Option<String>,
}

struct Delete<'a> {
    bucket: Bucket,
    name: &'a BackupName,
    options: &'a DeleteOptions,
    progress: &'a dyn Progress,
    state: Mutex<State>,
}

impl Delete<'_> {
    /// Removes the objects of one kind, round by round until none is listed.
    fn all(&self, what: What) -> Result<(), CloudError> {
        let mut before: BTreeSet<String> = BTreeSet::new();
        loop {
            let mut round = Vec::new();
            self.bucket.each(self.name.as_str(), |object, bytes| {
                if What::of(object) == what {
                    round.push((format!("{}/{object}", self.name), bytes));
                }
                round.len() < ROUND
            })?;
            if round.is_empty() {
                return Ok(());
            }
            let keys: BTreeSet<String> = round.iter().map(|(key, _)| key.clone()).collect();
            // a store that says removed and lists it again would keep us here for ever
            if keys == before {
                let reason = "the store said that they were removed".to_owned();
                return Err(self.not_deleted(keys.into_iter().collect(), reason));
            }
            before = keys;
            each_in_parallel(round.into_iter(), self.options.parallel, |(key, bytes)| {
                self.one(key, bytes);
            });
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if !state.kept.is_empty() {
                let kept = std::mem::take(&mut state.kept).into_iter().collect();
                let reason = state.reason.take().unwrap_or_default();
                return Err(self.not_deleted(kept, reason));
            }
        }
    }

    fn one(&self, key: String, bytes: u64) {
        let result = self.bucket.delete(&key);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) => {
                state.objects += 1;
                state.bytes += bytes;
                self.progress.advance(Phase::Transfer, bytes);
            }
            Err(error) => {
                state.reason.get_or_insert_with(|| error.to_string());
                state.kept.insert(key);
            }
        }
    }

    fn not_deleted(&self, left: Vec<String>, reason: String) -> CloudError {
        CloudError::NotDeleted {
            name: self.name.clone(),
            left,
            reason,
        }
    }
}
