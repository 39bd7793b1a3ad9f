//! Decisions before anything is read: the new backup's name, and its compression and encryption.

use super::{Compress, ConsolidateError, ConsolidateOptions};
use crate::codec::Compression;
use crate::manifest::{BackupName, Manifest, Wrap};
use crate::store::UploadFault;
use crate::store::{Repository, StoreError, Upload};
use chrono::{NaiveDateTime, Utc};
use std::time::Duration;

pub(super) fn refused(backup: &BackupName, why: impl Into<String>) -> ConsolidateError {
    ConsolidateError::Refused {
        backup: backup.to_string(),
        why: why.into(),
    }
}

/// Begins the upload under the new name. Names have a resolution of one second.
pub(super) fn begin(
    repo: &Repository,
    newest: &Manifest,
    options: &ConsolidateOptions,
) -> Result<Upload, ConsolidateError> {
    if let Some(name) = &options.name {
        if name.is_incremental() {
            return Err(refused(
                name,
                "a full backup is outside of .incr directories: set ConsolidateOptions::name to a name without `/`",
            ));
        }
        return Ok(repo.begin(name, options.uploads)?);
    }
    let cluster = cluster_of(&newest.name.base()).ok_or_else(|| {
        refused(
            &newest.name,
            "the name of its chain is not <cluster>-YYYY-MM-DD-HH:MM:SS-full: set ConsolidateOptions::name",
        )
    })?;
    let mut tries = 0;
    loop {
        let now = Utc::now();
        match repo.begin(
            &BackupName::full(&cluster, now).map_err(StoreError::from)?,
            options.uploads,
        ) {
            Err(StoreError::Upload(UploadFault::Exists { .. })) if tries < 3 => tries += 1,
            other => return Ok(other?),
        }
        let rest = 1001 - u64::from(now.timestamp_subsec_millis().min(1000));
        std::thread::sleep(Duration::from_millis(rest));
    }
}

/// Returns the cluster in a full backup's name.
fn cluster_of(full: &BackupName) -> Option<String> {
    let rest = full.as_str().strip_suffix("-full")?;
    let at = rest.len().checked_sub("-YYYY-MM-DD-HH:MM:SS".len())?;
    let (cluster, stamp) = rest.split_at_checked(at)?;
    NaiveDateTime::parse_from_str(stamp, "-%Y-%m-%d-%H:%M:%S").ok()?;
    Some(cluster.to_owned())
}

/// Returns how the new backup is compressed and encrypted.
pub(super) fn wrap_of<'a>(
    newest: &Manifest,
    options: &'a ConsolidateOptions,
) -> Result<Wrap<'a>, ConsolidateError> {
    let compression = match options.compress {
        Compress::Not => None,
        Compress::With(how) => Some(how),
        Compress::Keep => {
            let name = newest.compression();
            let parsed = name.map(str::parse::<Compression>).transpose();
            parsed.map_err(|source| ConsolidateError::Codec {
                path: newest.name.to_string(),
                source,
            })?
        }
    };
    Ok(Wrap {
        compression,
        // If a key is given, the new backup must not be plain.
        key: options.key.as_ref(),
    })
}
