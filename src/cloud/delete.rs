//! Removes the objects of a backup as xbcloud does, unless other backups need them. [`Removal`]
//! sets the order. `lsnap delete` also applies the rules of chains.

use crate::store::BackupFault;
use crate::store::DeletionFault;
use serde::Serialize;

use super::error::CloudError;
use crate::cancel::Cancel;
use crate::manifest::BackupName;
use crate::progress::{Phase, Progress};
use crate::store::{Belongs, Bucket, DeletionNotes, Removal, Repository, StoreError, remove_md5};

/// How to delete a backup.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeleteOptions {
    /// Number of objects that are removed concurrently (at least 1).
    pub parallel: usize,
    /// Ends the deletion early. Run it again to delete the rest.
    pub cancel: Cancel,
}

impl Default for DeleteOptions {
    fn default() -> Self {
        Self {
            parallel: 4,
            cancel: Cancel::new(),
        }
    }
}

/// The result of [`delete`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DeleteReport {
    /// The backup.
    pub name: BackupName,
    /// Number of objects that were removed.
    pub objects: u64,
    /// Bytes of these objects.
    pub bytes: u64,
}

/// Removes every object under `<name>/`, whatever its name, and `<name>.md5`. xbcloud leaves the
/// latter, and the name can't be used again until it is gone. Objects of another repository or
/// backup are not removed.
///
/// # Errors
/// In these cases nothing was removed:
///
/// - [`BackupFault::NotFound`](crate::store::BackupFault::NotFound).
/// - [`CloudError::Needed`]: objects exist under `<name>.incr/`, or an incremental backup of the
///   same chain has this backup as its base.
/// - [`DeletionFault::Unexplained`](crate::store::DeletionFault::Unexplained): another repository
///   or backup is in its directory.
/// - [`DeletionFault::BeingRead`](crate::store::DeletionFault::BeingRead).
///
/// [`StoreError::NotDeleted`] lists the remaining objects. After [`StoreError::Interrupted`], call
/// it again.
pub fn delete(
    repository: &Repository,
    name: &BackupName,
    options: &DeleteOptions,
    progress: &dyn Progress,
) -> Result<DeleteReport, CloudError> {
    progress.phase(Phase::Preparing, None);
    let bucket = repository.bucket();
    let (mut any, mut bytes, mut nested) = (false, 0u64, None);
    bucket.each(name.as_str(), |object, len| {
        any = true;
        bytes = bytes.saturating_add(len);
        if Belongs::of(object, len) == Belongs::Nested {
            nested = Some(format!("{name}/{object}"));
        }
        nested.is_none()
    })?;
    if let Some(key) = nested {
        let name = name.clone();
        return Err(StoreError::Deletion(DeletionFault::Unexplained { name, key }).into());
    }
    if !any {
        // an interrupted earlier deletion may have left `<name>.md5`
        let removed = remove_md5(repository, name)?;
        if removed.objects > 0 {
            return Ok(DeleteReport {
                name: name.clone(),
                objects: removed.objects,
                bytes: removed.bytes,
            });
        }
        return Err(StoreError::Backup(BackupFault::NotFound {
            name: name.to_string(),
            url: repository.url().to_owned(),
            hint: format!("there are no objects under {name}/"),
        })
        .into());
    }
    refuse_if_needed(repository, &bucket, name)?;
    let _noted = DeletionNotes::put(repository, std::slice::from_ref(name), false)?;
    progress.phase(Phase::Transfer, Some(bytes));
    let removal = Removal::new(repository, name, options.parallel)
        .cancelled_by(&options.cancel)
        .with_unknown();
    removal.strip(progress)?;
    let md5 = remove_md5(repository, name)?;
    let removed = removal.complete()?;
    Ok(DeleteReport {
        name: name.clone(),
        objects: removed.objects + md5.objects,
        bytes: removed.bytes.saturating_add(md5.bytes),
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
            l.summary()
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
