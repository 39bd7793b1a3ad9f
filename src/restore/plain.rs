//! Files that are copied unchanged, all from the newest member.

use super::binary_log::BinaryLog;
use super::error::{RestoreError, io};
use super::held::{Content, Placement, WorkDirectories};
use super::merge::stored;
use super::new_directory::DIRECTORY_MODE;
use super::plan::RestorePlan;
use super::sparse::FILE_MODE;
use super::{ApplierKind, RestoreOptions, data_files, finished, held, option_file};
use crate::reader::content::content;
use crate::reader::fetch::Fetcher;
use crate::reader::spaces::check_objects;
use crate::reader::stored::Stored;
use rayon::prelude::*;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Longest list of components that is read, in bytes.
const LONGEST_MANIFEST: u64 = 64 << 10;

/// Creates the parent directories of every file of the plan.
pub(crate) fn make_directories(plan: &RestorePlan, root: &Path) -> Result<(), RestoreError> {
    let paths = plan.files.iter().map(|file| &file.path);
    let plain = plan.plain.iter().map(|file| &file.path);
    let placed = plain.filter(|path| finished::class(path) == finished::Class::Data);
    for path in paths.chain(placed) {
        make_parent(&root.join(path))?;
    }
    Ok(())
}

/// Writes the plain files to their places during the run of the redo applier ([`held`]). Returns
/// the files that are not placed because of their content.
pub(super) fn copy(
    fetcher: &Fetcher<'_>,
    plan: &RestorePlan,
    directories: &WorkDirectories,
    log: Option<&BinaryLog>,
    options: &RestoreOptions,
) -> Result<Vec<String>, RestoreError> {
    let applier = plan.applier.kind;
    let trusted = finished::trusted(options);
    let written = plan.plain.par_iter().map(|file| {
        let stored = stored(plan, 0, file.entry)?;
        let placed =
            match held::placement(file, &stored.entry.role, applier, log, trusted, directories) {
                Placement::Skipped => true,
                Placement::Copied(path) => {
                    one(fetcher, stored, &path)?;
                    true
                }
                Placement::WarmPages(path) => {
                    one(fetcher, stored, &path)?;
                    kept(&path)?
                }
                Placement::Made(path, content) => match made(fetcher, stored, content, log)? {
                    Some(text) => {
                        make_parent(&path)?;
                        let mut file = create(&path)?;
                        file.write_all(text.as_bytes())
                            .map_err(io("write", &path))?;
                        true
                    }
                    None => false,
                },
            };
        Ok((!placed).then(|| file.path.clone()))
    });
    let left = written.collect::<Result<Vec<_>, RestoreError>>()?;
    if let Some(log) = log.filter(|_| applier == ApplierKind::Mysqld) {
        log.write_index(&directories.binlog)?;
    }
    Ok(left.into_iter().flatten().collect())
}

/// Removes a file that is not a list of warm pages; returns whether it is one.
fn kept(path: &Path) -> Result<bool, RestoreError> {
    let is = finished::is_warm_pages(path).map_err(io("read", path))?;
    if !is {
        std::fs::remove_file(path).map_err(io("remove", path))?;
    }
    Ok(is)
}

/// Creates the content of a file that is not the stored one; `None` if the stored one is not
/// suitable.
fn made(
    fetcher: &Fetcher<'_>,
    stored: Stored<'_>,
    made: Content,
    log: Option<&BinaryLog>,
) -> Result<Option<String>, RestoreError> {
    Ok(match made {
        Content::Index => Some(log.map(BinaryLog::own_index).unwrap_or_default()),
        Content::Components if stored.entry.bytes > LONGEST_MANIFEST => None,
        Content::Components => finished::components(&content(fetcher, stored)?),
        Content::Options => {
            let text = content(fetcher, stored)?;
            let files = data_files::base_names(&stored.manifest.server.data_file_path)
                .map_err(|what| stored.damaged(what))?;
            Some(option_file::safe(&String::from_utf8_lossy(&text), &files))
        }
    })
}

/// Creates the parent directories of a file.
fn make_parent(path: &Path) -> Result<(), RestoreError> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(parent)
        .map_err(io("create the directory", parent))
}

/// Writes one file from its objects, in order.
fn one(fetcher: &Fetcher<'_>, stored: Stored<'_>, path: &Path) -> Result<(), RestoreError> {
    check_objects(stored.manifest.name.as_str(), stored.entry)?;
    make_parent(path)?;
    let mut file = create(path)?;
    for index in 0..stored.entry.objects.len() {
        fetcher.each::<RestoreError>(stored, index, &mut |offset, data| {
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

/// Creates a file that only its owner and its group may read.
pub(crate) fn create(path: &Path) -> Result<std::fs::File, RestoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)
        .map_err(io("create", path))
}
