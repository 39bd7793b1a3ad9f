//! The file for the textfile collector of node_exporter.
//!
//! Several jobs can have one file: of several commands, clusters and profiles. A job reads the file, replaces its own
//! values, and renames a new file over it, so that a collector never reads half a file. Concurrent jobs wait for each
//! other: the directory is locked meanwhile.

use crate::metrics::{FILE_HEAD, Sample, format, parse};
use crate::shown::shown_path;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Time to wait for another job that writes the file.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest file, in bytes.
const MAX: u64 = 16 << 20;

/// Changes the samples in a file, which is created if it doesn't exist.
///
/// # Errors
/// The file can't be read or written, or has metrics that are not lsnap's. It is unchanged then.
pub(super) fn change(path: &Path, change: impl FnOnce(&mut Vec<Sample>)) -> Result<(), String> {
    // The rename would replace a device (/dev/null), and a FIFO would be waited for.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(format!("{}: it is not a regular file", shown_path(path)));
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let directory = parent.unwrap_or_else(|| Path::new("."));
    let at = |path: &Path| {
        let path = shown_path(path).to_string();
        move |e: std::io::Error| format!("{path}: {e}")
    };
    let lock = File::open(directory).map_err(at(directory))?;
    wait_for(&lock).map_err(at(directory))?;
    let mut samples = match read(path) {
        Ok(text) => parse(&text).map_err(|why| {
            format!(
                "{}: {why}; remove the file, or choose another one",
                shown_path(path)
            )
        })?,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(at(path)(error)),
    };
    change(&mut samples);
    write(directory, path, &format(FILE_HEAD, &samples)).map_err(at(path))?;
    // The lock ends when the directory is closed.
    lock.sync_all().map_err(at(directory))
}

fn wait_for(directory: &File) -> std::io::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        match flock(directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(Errno::WOULDBLOCK) => {
                let why = "another program has locked the directory";
                return Err(std::io::Error::other(why));
            }
            other => return Ok(other?),
        }
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    if file.take(MAX + 1).read_to_string(&mut text)? as u64 > MAX {
        return Err(std::io::Error::other("the file is longer than 16MiB"));
    }
    Ok(text)
}

/// Writes a file that every user can read: node_exporter has an account of its own.
fn write(directory: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    // The collector reads every file with the extension `prom`.
    let mut file = tempfile::Builder::new()
        .prefix(".lsnap-metrics-")
        .suffix(".tmp")
        .tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::families::{RUN_SUCCESS, RUNS};

    fn sample(command: &str) -> Sample {
        Sample::new(&RUN_SUCCESS, &[("command", command)], 1.0)
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_readable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lsnap.prom");
        change(&path, |samples| samples.push(sample("backup"))).unwrap();
        let before = File::open(&path).unwrap();
        change(&path, |samples| samples.push(sample("verify"))).unwrap();
        assert_eq!(parse(&read(&path).unwrap()).unwrap().len(), 2);
        let mut old = String::new();
        before.take(MAX).read_to_string(&mut old).unwrap();
        assert_eq!(parse(&old).unwrap().len(), 1, "an open file is not changed");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }

    #[test]
    fn a_file_of_another_program_is_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other.prom");
        std::fs::write(&path, "node_x 1\n").unwrap();
        let error = change(&path, Vec::clear).unwrap_err();
        assert!(error.contains("line 1 is not a metric of lsnap"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "node_x 1\n");
        assert!(change(&dir.path().join("no/x.prom"), Vec::clear).is_err());
    }

    #[test]
    fn concurrent_jobs_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lsnap.prom");
        std::thread::scope(|scope| {
            for n in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    let command = n.to_string();
                    let new = Sample::new(&RUNS, &[("command", &command)], 1.0);
                    change(path, |samples| samples.push(new)).unwrap();
                });
            }
        });
        assert_eq!(parse(&read(&path).unwrap()).unwrap().len(), 8);
    }
}
