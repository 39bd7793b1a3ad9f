//! `--extra-lsndir`: copies of `xtrabackup_checkpoints` and `xtrabackup_info`, for callers that send the backup away.

use super::Failure;
use super::directory::{self, CHECKPOINTS};
use crate::backup::BackupReport;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const INFO: &str = "xtrabackup_info";

/// A directory in which files can be made.
pub(super) struct ExtraLsndir(PathBuf);

impl ExtraLsndir {
    /// Makes the directory if it is missing, and tries to write to it: a failure must not come only after the backup.
    pub(super) fn open(path: PathBuf) -> Result<Self, Failure> {
        directory::make(&path)?;
        let this = Self(path);
        let probe = this.0.join(format!(".lsnap-{}", std::process::id()));
        File::create_new(&probe)
            .and_then(|_| fs::remove_file(&probe))
            .map_err(|error| this.failed(&error))?;
        Ok(this)
    }

    /// Writes the files of a finished backup; those of an earlier backup are replaced, `xtrabackup_checkpoints` last.
    pub(super) fn write(&self, report: &BackupReport) -> Result<(), Failure> {
        for (name, text) in [(INFO, &report.info), (CHECKPOINTS, &report.checkpoints)] {
            self.replace(name, text)
                .map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Copies the files of a directory that was prepared.
    pub(super) fn copy(&self, from: &Path) -> Result<(), Failure> {
        for name in [INFO, CHECKPOINTS] {
            let text = match fs::read_to_string(from.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other,
            };
            text.and_then(|text| self.replace(name, &text))
                .map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Replaces a file, so that readers find the old one or the new one, even after a crash.
    fn replace(&self, name: &str, text: &str) -> io::Result<()> {
        let new = self.0.join(format!(".{name}.lsnap-{}", std::process::id()));
        let written = File::create_new(&new)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&new, self.0.join(name)))
            .and_then(|()| File::open(&self.0)?.sync_all());
        if written.is_err() {
            // It may not exist.
            let _ = fs::remove_file(&new);
        }
        written
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure(format!(
            "--extra-lsndir: cannot write to {}: {error}",
            self.0.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_cannot_be_written_to_is_found_before_the_backup() {
        let room = tempfile::tempdir().unwrap();
        let file = room.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(ExtraLsndir::open(file).is_err());
        // One level is made, as by xtrabackup.
        assert!(ExtraLsndir::open(room.path().join("a/b")).is_err());
        let made = room.path().join("made");
        ExtraLsndir::open(made.clone()).unwrap();
        assert_eq!(fs::read_dir(&made).unwrap().count(), 0);
    }
}
