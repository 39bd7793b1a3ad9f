//! The procedure of xtrabackup, for chains that only xtrabackup can merge
//! (`docs/design.md#stepwise`): the full backup is prepared with `--apply-log-only`, each
//! incremental is applied to it in turn, and with the last one uncommitted transactions are rolled
//! back.
//!
//! `--prepare` changes the directories that it works on, including those of incrementals. So all of
//! them are first copied into the work directory; the originals are not changed.
//!
//! This was not run against a real xtrabackup: the tests use a replacement that checks
//! `docs/format/checkpoints.md#contract-of-prepare`.

use super::applier::ApplierPlan;
use super::error::{RestoreError, io};
use super::finished::Class;
use super::new_directory::make_directory;
use super::plan::{MergeMethod, RestorePlan};
use super::target::Target;
use super::xtrabackup::Step;
use super::{RestoreOptions, data_files, finished, held, option_file, plain, xtrabackup};
use crate::manifest::Manifest;
use crate::reader::ReadError;
use crate::reader::fetch::Fetcher;
use crate::reader::stored::Stored;
use rayon::prelude::*;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Creates the plan for `chain` in `directories`, both newest first.
pub(super) fn plan(
    chain: Vec<Manifest>,
    directories: &[PathBuf],
    applier: ApplierPlan,
    options: &RestoreOptions,
) -> Result<RestorePlan, RestoreError> {
    for member in &chain {
        if let Some(file) = member.files.iter().find(|file| file.wrapping.is_some()) {
            return Err(RestoreError::Read(ReadError::damaged(
                &member.name,
                &file.path,
                "xtrabackup cannot prepare compressed or encrypted files: decrypt and decompress the files of the \
                 directory first",
            )));
        }
    }
    let mut bytes = 0;
    for directory in directories {
        each(directory, Path::new(""), &mut |_, length| {
            bytes += length.unwrap_or(0);
            Ok(())
        })?;
    }
    let mut plan = super::assembled::assemble(
        chain,
        crate::reader::layout::Layout::default(),
        applier,
        options,
    );
    plan.way = MergeMethod::Stepwise;
    plan.fetch_bytes = bytes;
    plan.write_bytes += bytes;
    Ok(plan)
}

/// Copies all members and prepares them.
pub(super) fn run(
    fetcher: &Fetcher<'_>,
    plan: &RestorePlan,
    options: &RestoreOptions,
    target: &Target,
) -> Result<(), RestoreError> {
    let last = plan.directories.len().saturating_sub(1);
    let (Some(newest), Some(newest_directory)) = (plan.chain.first(), plan.directories.first())
    else {
        return Ok(());
    };
    let data_file_path = data_files::of(newest)?;
    // Oldest first: each is needed only for its step.
    for (number, directory) in plan.directories.iter().rev().enumerate() {
        let member = last - number;
        prove(fetcher, plan, member)?;
        let scratch = target.work().join(format!("incremental-{number}"));
        let into = if number == 0 {
            target.root()
        } else {
            make_directory(&scratch)?;
            scratch.clone()
        };
        copy(fetcher, directory, &into, newest, &data_file_path)?;
        if let Some(config) = options.keyring_config.as_deref().filter(|_| number == 0) {
            held::copy_keyring(config, &into)?;
        }
        let step = Step {
            incremental: (number > 0).then_some(scratch.as_path()),
            last: member == 0,
        };
        xtrabackup::prepare(target, plan, options, &step)?;
        if number > 0 {
            std::fs::remove_dir_all(&scratch).map_err(io("remove", &scratch))?;
        }
    }
    configuration(fetcher, newest_directory, &target.root(), options)
}

/// Copies the configuration if the backup is trusted; existing files stay.
fn configuration(
    fetcher: &Fetcher<'_>,
    from: &Path,
    to: &Path,
    options: &RestoreOptions,
) -> Result<(), RestoreError> {
    let trusted = finished::trusted(options);
    for path in paths(from)? {
        let class = finished::class(&path);
        let (source, into) = (from.join(&path), to.join(&path));
        if std::fs::symlink_metadata(&into).is_ok() {
            continue;
        }
        match class {
            Class::Components | Class::Configuration if trusted => {
                copy_file(fetcher, &source, &into)?;
            }
            Class::Components => {
                if let Some(text) = components(&source)? {
                    std::fs::write(&into, text).map_err(io("write", &into))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns the list of components in a directory in the form in which it is placed.
fn components(path: &Path) -> Result<Option<String>, RestoreError> {
    let text = std::fs::read(path).map_err(io("read", path))?;
    Ok(finished::components(&text))
}

/// Returns the files of a directory, without lsnap's own.
fn paths(directory: &Path) -> Result<Vec<String>, RestoreError> {
    let mut paths = Vec::new();
    each(directory, Path::new(""), &mut |path, length| {
        if length.is_some() {
            paths.push(path.to_string_lossy().into_owned());
        }
        Ok(())
    })?;
    Ok(paths)
}

/// Returns the files of the newest directory that are not placed.
pub(super) fn not_placed(
    plan: &RestorePlan,
    options: &RestoreOptions,
) -> Result<Vec<String>, RestoreError> {
    let (Some(newest), Some(directory)) = (plan.chain.first(), plan.directories.first()) else {
        return Ok(Vec::new());
    };
    let mut left = Vec::new();
    for path in paths(directory)? {
        let is_omitted = match finished::class(&path) {
            Class::Components if !finished::trusted(options) => {
                components(&directory.join(&path))?.is_none()
            }
            _ if is_copied(directory, &path, newest)? => false,
            Class::Unknown => true,
            _ => finished::is_omitted(&path, options),
        };
        if is_omitted {
            left.push(path);
        }
    }
    Ok(left)
}

/// Returns whether a file of a member is passed to `--prepare`.
fn is_copied(directory: &Path, path: &str, newest: &Manifest) -> Result<bool, RestoreError> {
    if finished::is_for_prepare(path, newest) {
        return Ok(true);
    }
    let at = directory.join(path);
    let unknown = finished::class(path) == Class::Unknown;
    Ok(unknown && finished::is_warm_pages(&at).map_err(io("read", &at))?)
}

/// Checks the digests of all files that have them, before the files are used.
fn prove(fetcher: &Fetcher<'_>, plan: &RestorePlan, member: usize) -> Result<(), RestoreError> {
    let Some(manifest) = plan.chain.get(member) else {
        return Ok(());
    };
    let read: Result<(), ReadError> = manifest.files.par_iter().try_for_each(|entry| {
        let stored = Stored {
            member,
            manifest,
            entry,
        };
        if !stored.is_proven() {
            return Ok(());
        }
        (0..entry.objects.len()).try_for_each(|index| fetcher.source.read(stored, index).map(drop))
    });
    Ok(read?)
}

/// Bytes that are copied between two checks for a cancellation.
const PIECE: u64 = 64 << 20;

/// Copies the files of a backup that `--prepare` needs, and its directories.
fn copy(
    fetcher: &Fetcher<'_>,
    from: &Path,
    to: &Path,
    newest: &Manifest,
    data_file_path: &str,
) -> Result<(), RestoreError> {
    let mut files = Vec::new();
    each(from, Path::new(""), &mut |path, length| {
        match length {
            None => make_directory(&to.join(path))?,
            Some(_) if is_copied(from, &path.to_string_lossy(), newest)? => {
                files.push(path.to_path_buf());
            }
            Some(_) => {}
        }
        Ok(())
    })?;
    files.par_iter().try_for_each(|path| {
        let into = to.join(path);
        if path.as_os_str() == option_file::NAME {
            let from = from.join(path);
            let text = std::fs::read(&from).map_err(io("read", &from))?;
            let text = option_file::safe(&String::from_utf8_lossy(&text), data_file_path);
            return std::fs::write(&into, text).map_err(io("write", &into));
        }
        copy_file(fetcher, &from.join(path), &into)
    })
}

/// Copies one file in pieces; between them, the restore can be cancelled.
fn copy_file(fetcher: &Fetcher<'_>, from: &Path, into: &Path) -> Result<(), RestoreError> {
    let mut source = File::open(from).map_err(io("open", from))?;
    let mut out = plain::create(into)?;
    loop {
        fetcher.cancel.check()?;
        // The kernel copies the data, if the file systems support it.
        let written =
            std::io::copy(&mut (&mut source).take(PIECE), &mut out).map_err(io("copy to", into))?;
        if written == 0 {
            return Ok(());
        }
        fetcher.counters.wrote(written);
        fetcher.progress.advance(fetcher.phase, written);
    }
}

/// Receives a path, with its length in bytes if it is a file.
type Act<'a> = dyn FnMut(&Path, Option<u64>) -> Result<(), RestoreError> + 'a;

/// Calls `act` for all files (with their lengths) and directories (without) below `below`.
fn each(directory: &Path, below: &Path, act: &mut Act<'_>) -> Result<(), RestoreError> {
    let at = directory.join(below);
    for found in std::fs::read_dir(&at).map_err(io("list", &at))? {
        let found = found.map_err(io("list", &at))?;
        let path = below.join(found.file_name());
        let kind = found.metadata().map_err(io("look at", &found.path()))?;
        let name = found.file_name();
        if kind.is_dir() {
            // Names of a server's own directories begin with these characters, among them the redo
            // files of a prepare that was already begun here; no schema's name does.
            if !name.to_string_lossy().starts_with(['#', '.']) {
                act(&path, None)?;
                each(directory, &path, act)?;
            }
        } else if !kind.is_file() {
            return Err(RestoreError::Read(ReadError::NoBackup {
                path: directory.to_path_buf(),
                why: format!("{} is neither a file nor a directory", path.display()),
            }));
        } else if !name.to_string_lossy().starts_with("lsnap_") {
            act(&path, Some(kind.len()))?;
        }
    }
    Ok(())
}
