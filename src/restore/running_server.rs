//! Finds a server that runs in a directory, so that its files are not moved.
//!
//! InnoDB locks each data file (`fcntl`) while it has it open, also in a container of the same
//! host. A server of another host (a shared file system) is found only by its socket, and only if
//! the socket is in the directory.

use super::error::{RestoreError, io, refuse};
use rustix::process::{Flock, FlockType, Pid, fcntl_getlk};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A server, and the sign by which it was found.
#[derive(Debug)]
pub(super) struct Found {
    /// Its process, if it is one of this host and visible.
    pub(super) pid: Option<u32>,
    /// The sign.
    pub(super) sign: String,
}

/// Finds a server that runs in `directory`.
///
/// # Errors
/// A file can't be opened, so whether it is locked is unknown.
pub(super) fn in_directory(directory: &Path) -> Result<Option<Found>, RestoreError> {
    if let Some(pid) = working_in(directory) {
        return Ok(Some(Found {
            pid: Some(pid),
            sign: "it is the working directory of mysqld".to_owned(),
        }));
    }
    for entry in std::fs::read_dir(directory).map_err(io("list", directory))? {
        let entry = entry.map_err(io("list", directory))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(io("look at", &path))?;
        let name = entry.file_name();
        let found = if kind.is_socket() {
            let server = UnixStream::connect(&path).is_ok();
            server.then(|| (None, format!("its socket {} answers", name.display())))
        } else if kind.is_file() && may_be_locked(&name.to_string_lossy()) {
            locked(&path)?.map(|pid| (pid, format!("{} is locked", name.display())))
        } else {
            None
        };
        if let Some((pid, sign)) = found {
            return Ok(Some(Found { pid, sign }));
        }
    }
    Ok(None)
}

/// Returns whether InnoDB may lock a file of the data directory. Others (keys) may be unreadable.
fn may_be_locked(name: &str) -> bool {
    let ends = [".ibd", ".ibu", ".ibt"];
    let begins = ["ib", "undo_"];
    ends.iter().any(|end| name.ends_with(end)) || begins.iter().any(|part| name.starts_with(part))
}

/// Returns whether a file is locked, and the process that has the lock.
fn locked(path: &Path) -> Result<Option<Option<u32>>, RestoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(refuse(
                path,
                format!(
                    "it can't be opened to find out if a server uses it: {error}. Run the restore as its owner or as root"
                ),
            ));
        }
    };
    let held = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock));
    let held = held.map_err(|error| io("ask for the locks of", path)(error.into()))?;
    let number = |pid: Pid| u32::try_from(pid.as_raw_nonzero().get()).ok();
    Ok(held.map(|lock| lock.pid.and_then(number)))
}

/// Returns a process `mysqld` whose working directory is `directory`: each server changes to its
/// data directory.
fn working_in(directory: &Path) -> Option<u32> {
    let own = std::fs::metadata(directory).ok()?;
    let is_server = |process: &Path| {
        let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
        let at = std::fs::metadata(process.join("cwd"));
        ["mysqld", "mariadbd"]
            .iter()
            .any(|server| name.starts_with(server))
            && at.is_ok_and(|at| (at.dev(), at.ino()) == (own.dev(), own.ino()))
    };
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut servers = processes.filter(|process| is_server(&process.path()));
    servers.find_map(|process| process.file_name().to_str()?.parse().ok())
}
