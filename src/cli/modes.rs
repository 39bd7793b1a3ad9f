//! Who may read the files that this program makes: the one place where it is decided.
//!
//! The server's files have mode 0640. A copy of them, also a part of one in a temporary file, must not be open to
//! more people because the umask of a cron job is 022. So the program sets its own umask before it makes a file,
//! and whatever makes one, also a library, can only make it with fewer rights:
//!
//! | made by | files | directories |
//! |---|---|---|
//! | every command | 0600 | 0700 |
//! | `restore`: as `mysqld` makes them | 0640 | 0750 |
//! | a command with a repository whose directory has the set-group-ID bit | 0640 | 0750 and that bit |
//!
//! The last is how an administrator says that a group shares the repository.

use rustix::fs::Mode;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Who besides root may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// The owner alone.
    Owner,
    /// Its group, too.
    Group,
}

/// Limits the modes of all files and directories that are made from now on.
pub(super) fn limit(readers: Readers) {
    let taken = match readers {
        Readers::Owner => 0o077,
        Readers::Group => 0o027,
    };
    rustix::process::umask(Mode::from_raw_mode(taken));
}

/// Lets the group read if the directory of a repository says so.
pub(super) fn follow(directory: Option<&Path>) {
    const SET_GROUP_ID: u32 = 0o2000;
    let metadata = directory.and_then(|directory| std::fs::metadata(directory).ok());
    if metadata.is_some_and(|found| found.mode() & SET_GROUP_ID != 0) {
        limit(Readers::Group);
    }
}
