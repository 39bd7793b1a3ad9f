//! A backup into a directory: the stream of the backup is extracted while it is made.

use super::Failure;
use crate::archive::{ExtractOptions, Input, extract};
use crate::backup::{BackupError, BackupOptions, BackupReport, Output, run_stream};
use crate::progress::Silent;
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

/// The file by which readers recognise a backup. It is removed if the backup fails.
const CHECKPOINTS: &str = "xtrabackup_checkpoints";

/// Backs up into a directory, which is made if it is missing. Nothing in it is overwritten.
pub(super) fn run(
    target: &Path,
    options: &BackupOptions,
    threads: usize,
) -> Result<BackupReport, Failure> {
    make(target)?;
    if target.join(CHECKPOINTS).exists() {
        return Err(Failure(format!(
            "{} has a backup already ({CHECKPOINTS}); give another --target-dir",
            target.display()
        )));
    }
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)
        .map_err(|error| Failure(format!("cannot make a pipe: {error}")))?;
    let mut extraction = ExtractOptions::new(target);
    extraction.parallel = threads;
    extraction.cancel = options.cancel.clone();
    let (written, backed_up) = std::thread::scope(|scope| {
        let writing = scope
            .spawn(move || extract(vec![Input::Pipe(File::from(reader))], extraction, &Silent));
        let outputs: Vec<Output> = vec![Box::new(File::from(writer))];
        let backed_up = run_stream(outputs, None, options, &Silent);
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

fn make(target: &Path) -> Result<(), Failure> {
    match fs::create_dir(target) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && target.is_dir() => Ok(()),
        Err(error) => Err(Failure(format!(
            "cannot make the directory {}: {error}",
            target.display()
        ))),
    }
}

/// Returns the failure, after the file was removed by which the directory could be taken for a backup.
fn failed(target: &Path, error: String) -> Failure {
    let marker = target.join(CHECKPOINTS);
    match fs::remove_file(&marker) {
        Err(left) if left.kind() != ErrorKind::NotFound => Failure(format!(
            "{error}; and {} can't be removed: {left}; don't use this directory",
            marker.display()
        )),
        _ => Failure(error),
    }
}
