//! Files that are copied as they are, all from the newest member.

use super::error::{RestoreError, io};
use super::fetch::{Fetcher, Stored};
use super::layout::{KEPT_METADATA, check_objects};
use super::merge::stored;
use super::plan::RestorePlan;
use super::sparse::FILE_MODE;
use rayon::prelude::*;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Mode of restored directories, as `mysqld` makes them.
pub(crate) const DIRECTORY_MODE: u32 = 0o750;

/// Makes the directories above every file of the plan.
pub(crate) fn make_directories(plan: &RestorePlan, root: &Path) -> Result<(), RestoreError> {
    let paths = plan.files.iter().map(|file| &file.path);
    for path in paths.chain(plan.plain.iter().map(|file| &file.path)) {
        if let Some(parent) = Path::new(path).parent() {
            let directory = root.join(parent);
            DirBuilder::new()
                .recursive(true)
                .mode(DIRECTORY_MODE)
                .create(&directory)
                .map_err(io("create the directory", &directory))?;
        }
    }
    Ok(())
}

/// Writes the plain files; of the backup's own files `all_metadata`, or those that stay.
pub(crate) fn copy(
    fetcher: &Fetcher<'_>,
    plan: &RestorePlan,
    root: &Path,
    all_metadata: bool,
) -> Result<(), RestoreError> {
    plan.plain.par_iter().try_for_each(|file| {
        let keep = !file.metadata || all_metadata || KEPT_METADATA.contains(&file.path.as_str());
        // A server gets an identity of its own; an empty db.opt only says that its schema exists.
        let nothing =
            file.path == "auto.cnf" || (file.bytes == 0 && file.path.ends_with("/db.opt"));
        if !keep || nothing {
            return Ok(());
        }
        let stored = stored(plan, 0, file.entry)?;
        one(fetcher, stored, &root.join(&file.path))
    })
}

/// Writes one file from its objects, in order.
fn one(fetcher: &Fetcher<'_>, stored: Stored<'_>, path: &Path) -> Result<(), RestoreError> {
    check_objects(stored.manifest.name.as_str(), stored.entry)?;
    let mut file = create(path)?;
    for index in 0..stored.entry.objects.len() {
        fetcher.each(stored, index, &mut |offset, data| {
            use std::os::unix::fs::FileExt;
            file.write_all_at(&data, offset)
                .map_err(io("write", path))?;
            fetcher.counters.wrote(data.len() as u64);
            Ok(())
        })?;
    }
    file.set_len(stored.entry.bytes)
        .map_err(io("set the length of", path))?;
    file.flush().map_err(io("write", path))?;
    file.sync_all().map_err(io("sync", path))
}

/// A new file that only its owner's group may read.
pub(crate) fn create(path: &Path) -> Result<std::fs::File, RestoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)
        .map_err(io("create", path))
}

/// The content of a small stored file.
pub(crate) fn content(fetcher: &Fetcher<'_>, stored: Stored<'_>) -> Result<Vec<u8>, RestoreError> {
    check_objects(stored.manifest.name.as_str(), stored.entry)?;
    let mut content = Vec::new();
    for index in 0..stored.entry.objects.len() {
        fetcher.each(stored, index, &mut |_, data| {
            content.extend_from_slice(&data);
            Ok(())
        })?;
    }
    Ok(content)
}
