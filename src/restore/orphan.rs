//! The mysqld of a killed restore: it has recovered, or will soon, and waits forever for a client
//! that no longer exists, with the lock of the work directory. The next restore to the same target
//! removes its files, so it stops the server.
//!
//! A process is identified as such a server as follows: of all processes that have the marker open,
//! every one has it as its standard input, and works in the directory that is restored. Only
//! [`super::mysqld`] starts a process in this way; a restore that is still running has the marker
//! open with another descriptor.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::path::Path;

/// Kills the server of a killed restore; `marker` is a file in the work directory `work`. Returns
/// true if there was one and no other process has the marker open (as far as this user can see).
pub(super) fn stop(marker: &Path, work: &Path) -> bool {
    let (Ok(marker), Ok(work)) = (fs::canonicalize(marker), fs::canonicalize(work)) else {
        return false;
    };
    let Ok(processes) = fs::read_dir("/proc") else {
        return false;
    };
    let mut left = Vec::new();
    for process in processes.flatten() {
        let pid = process.file_name().to_str().and_then(|n| n.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else {
            continue;
        };
        if pid == rustix::process::getpid() {
            continue;
        }
        match holds(&process.path(), &marker, &work) {
            Holds::Not => {}
            Holds::AsInput => left.push((pid, process.path())),
            Holds::Otherwise => return false,
        }
    }
    let stopped = left.iter().map(|(pid, process)| {
        let Ok(handle) = pidfd_open(*pid, PidfdFlags::empty()) else {
            // The process has ended.
            return true;
        };
        // Checked again, because the pid may have been reused.
        if holds(process, &marker, &work) != Holds::AsInput {
            return true;
        }
        tracing::warn!(
            "stopping mysqld (pid {}) in {}: the restore that started it was killed",
            pid.as_raw_nonzero(),
            work.display()
        );
        pidfd_send_signal(handle, Signal::KILL).is_ok()
    });
    let all = stopped.fold(true, |all, one| all & one);
    all && !left.is_empty()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Not,
    /// As its standard input only, working below the work directory.
    AsInput,
    Otherwise,
}

fn holds(process: &Path, marker: &Path, work: &Path) -> Holds {
    let Ok(files) = fs::read_dir(process.join("fd")) else {
        return Holds::Not;
    };
    let mut found = Holds::Not;
    for file in files.flatten() {
        if fs::read_link(file.path()).is_ok_and(|to| to == marker) {
            if file.file_name() != "0" {
                return Holds::Otherwise;
            }
            found = Holds::AsInput;
        }
    }
    let inside = || fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(work));
    match found {
        Holds::AsInput if !inside() => Holds::Otherwise,
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn only_a_process_with_the_marker_as_input_in_the_directory_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        fs::create_dir_all(work.join("datadir")).unwrap();
        let marker = work.join("marker");
        fs::write(&marker, "x").unwrap();
        let start = |inside: bool| {
            let directory = if inside {
                work.join("datadir")
            } else {
                dir.path().to_owned()
            };
            Command::new("sleep")
                .arg("600")
                .current_dir(directory)
                .stdin(Stdio::from(fs::File::open(&marker).unwrap()))
                .spawn()
                .unwrap()
        };
        assert!(!stop(&marker, &work), "there was no process");
        let mut other = start(false);
        let mut orphan = start(true);
        assert!(!stop(&marker, &work));
        assert!(orphan.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(stop(&marker, &work));
        assert!(!orphan.wait().unwrap().success());
    }
}
