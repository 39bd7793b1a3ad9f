//! The mysqld that a killed restore left: it has recovered, or is about to, and waits for a client that is
//! gone, for ever, with the lock of the work directory. What it works on is thrown away by the next
//! restore to the same place, so that stops it.
//!
//! Proof that it is one: of all processes that have the marker open, every one has it as its standard
//! input, and works in the directory being restored. That is how [`super::mysqld`] starts it, and
//! nothing else does; a restore that still runs has the marker open by another number.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::path::Path;

/// Kills what was left behind with `marker`, a file in the work directory `work`. Returns whether there
/// was anything, and nothing else has the marker open (as far as this user may look).
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
            // gone by itself
            return true;
        };
        // looked at again: by now the number may be another process's
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
    /// As its standard input alone, working below the work directory.
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
    fn only_what_has_the_marker_as_its_input_and_works_there_is_stopped() {
        let room = tempfile::tempdir().unwrap();
        let work = room.path().join("work");
        fs::create_dir_all(work.join("datadir")).unwrap();
        let marker = work.join("marker");
        fs::write(&marker, "x").unwrap();
        let start = |inside: bool| {
            let directory = if inside {
                work.join("datadir")
            } else {
                room.path().to_owned()
            };
            Command::new("sleep")
                .arg("600")
                .current_dir(directory)
                .stdin(Stdio::from(fs::File::open(&marker).unwrap()))
                .spawn()
                .unwrap()
        };
        assert!(!stop(&marker, &work), "nobody was there");
        let mut stranger = start(false);
        let mut orphan = start(true);
        assert!(!stop(&marker, &work));
        assert!(orphan.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        assert!(stop(&marker, &work));
        assert!(!orphan.wait().unwrap().success());
    }
}
