//! Permissions of the files that this program creates. They are set only here.
//!
//! The server's files have mode 0640. A copy of them, or a part of one in a temporary file, must not be
//! readable for more users, for example because the umask of a cron job is 022. So the program sets its
//! own umask before it creates a file, which also applies to files that a dependency creates:
//!
//! | created by | files | directories |
//! |---|---|---|
//! | every command | 0600 | 0700 |
//! | `restore`: as `mysqld` creates them | 0640 | 0750 |
//! | a command with a repository whose directory has the set-group-ID bit | 0640 | 0750 and that bit |
//!
//! With the set-group-ID bit, an administrator lets a group share the repository.

use rustix::fs::Mode;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Users that may read, besides root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// The owner.
    Owner,
    /// The owner and the group.
    Group,
}

/// Limits the modes of all files and directories that are created from now on.
pub(super) fn limit(readers: Readers) {
    let taken = match readers {
        Readers::Owner => 0o077,
        Readers::Group => 0o027,
    };
    rustix::process::umask(Mode::from_raw_mode(taken));
}

/// Lets the group read if the directory of the repository has the set-group-ID bit.
pub(super) fn follow(directory: Option<&Path>) {
    const SET_GROUP_ID: u32 = 0o2000;
    let metadata = directory.and_then(|directory| std::fs::metadata(directory).ok());
    if metadata.is_some_and(|found| found.mode() & SET_GROUP_ID != 0) {
        limit(Readers::Group);
    }
}
