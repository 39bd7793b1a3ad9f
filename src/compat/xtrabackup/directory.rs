//! A backup into a directory: the stream of the backup is extracted while it is made.

use super::Failure;
use super::backup::Notes;
use crate::archive::{ExtractOptions, Input, PART, extract};
use crate::backup::{BackupError, BackupOptions, BackupReport, Output, run_stream};
use crate::manifest::MANIFEST;
use crate::progress::Silent;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

/// The file by which the readers of xtrabackup recognise a backup.
pub(super) const CHECKPOINTS: &str = "xtrabackup_checkpoints";

/// Backs up into a directory, which is made if it is missing. Nothing in it is overwritten.
pub(super) fn run(
    target: &Path,
    options: &BackupOptions,
    threads: usize,
) -> Result<BackupReport, Failure> {
    make(target)?;
    let _locked = lock(target)?;
    for name in [CHECKPOINTS, MANIFEST] {
        if target.join(name).exists() {
            return Err(Failure(format!(
                "{} has a backup already ({name}); give another --target-dir",
                target.display()
            )));
        }
    }
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)
        .map_err(|error| Failure(format!("cannot make a pipe: {error}")))?;
    let mut extraction = ExtractOptions::new(target);
    extraction.parallel = threads;
    // Also after a kill or a crash, it is there only if the backup is complete.
    extraction.last = Some(CHECKPOINTS.to_owned());
    extraction.cancel = options.cancel.clone();
    let (written, backed_up) = std::thread::scope(|scope| {
        let writing = scope
            .spawn(move || extract(vec![Input::Pipe(File::from(reader))], extraction, &Silent));
        let outputs: Vec<Output> = vec![Box::new(File::from(writer))];
        let backed_up = run_stream(outputs, None, options, &Notes);
        (writing.join(), backed_up)
    });
    let written = written
        .unwrap_or(Err(crate::archive::ArchiveError::Panicked("write")))
        .map_err(|error| error.to_string());
    match (backed_up, written) {
        (Ok(report), Ok(_)) => Ok(report),
        // A failed write ends the backup with a broken pipe.
        (Err(BackupError::Stream(_)) | Ok(_), Err(error)) => Err(failed(target, error)),
        (Err(error), _) => Err(failed(target, error.to_string())),
    }
}

/// Makes a directory, one level; it may exist.
pub(super) fn make(target: &Path) -> Result<(), Failure> {
    match fs::create_dir(target) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && target.is_dir() => Ok(()),
        Err(error) => Err(Failure(format!(
            "cannot make the directory {}: {error}",
            target.display()
        ))),
    }
}

/// Locks the directory for this run: another one that collides with its files would remove them after its failure.
fn lock(target: &Path) -> Result<File, Failure> {
    let directory = File::open(target)
        .map_err(|error| Failure(format!("cannot open {}: {error}", target.display())))?;
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(Failure(format!(
            "another backup is written into {}; give another --target-dir",
            target.display()
        ))),
        // Some file systems have no locks.
        Ok(()) | Err(_) => Ok(directory),
    }
}

/// Returns the failure, after the files were removed by which the directory could be taken for a backup: by the readers
/// of xtrabackup, and by lsnap.
fn failed(target: &Path, error: String) -> Failure {
    for name in [CHECKPOINTS, &format!("{CHECKPOINTS}{PART}"), MANIFEST] {
        let marker = target.join(name);
        match fs::remove_file(&marker) {
            Err(left) if left.kind() != ErrorKind::NotFound => {
                return Failure(format!(
                    "{error}; and {} can't be removed: {left}; don't use this directory",
                    marker.display()
                ));
            }
            _ => {}
        }
    }
    Failure(error)
}
