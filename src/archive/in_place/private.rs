//! Files with a private, temporary name.
//!
//! Such a file is locked while the run that created it is alive. An unlocked one was left by a killed run. The
//! names are random, so two runs, or two originals with the same target, never write into the same file.

use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, RenameFlags, fchmod, flock, fstat, linkat, openat,
    renameat_with, unlinkat,
};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;

const PREFIX: &str = ".lsnap-unwrap-";
/// Number of hexadecimal digits after it.
const DIGITS: usize = 16;
/// Encrypted backups may be readable by everybody, their content must not be.
const MODE: Mode = Mode::from_raw_mode(0o600);

/// Returns whether this is a private name.
pub(super) fn is_private(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|digits| {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        digits.len() == DIGITS && digits.bytes().all(digit)
    })
}

/// Removes such a file unless it is locked, or is not a regular file.
pub(super) fn remove_stale(directory: &OwnedFd, name: &str) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match openat(directory, name, flags, Mode::empty()) {
        // Its run has just ended, or it is another kind of file.
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(()),
        opened => opened?,
    };
    let kind = rustix::fs::FileType::from_raw_mode(fstat(&file)?.st_mode);
    if !kind.is_file() || flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    match unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

/// A new file, which is removed on drop unless it was renamed.
pub(super) struct Private<'a> {
    directory: &'a OwnedFd,
    name: String,
    file: File,
    named: bool,
}

impl<'a> Private<'a> {
    pub(super) fn create(directory: &'a OwnedFd) -> Result<Self, std::io::Error> {
        loop {
            let mut random = [0; DIGITS / 2];
            getrandom::fill(&mut random).map_err(std::io::Error::other)?;
            let name = format!("{PREFIX}{:0DIGITS$x}", u64::from_ne_bytes(random));
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = match openat(directory, &*name, flags, MODE) {
                Err(Errno::EXIST) => continue,
                opened => opened?,
            };
            // Before the file is locked, another run can remove it as left over. On a file system without
            // locks, no run can lock it, so no run removes it.
            let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
            if locked == Err(Errno::WOULDBLOCK) {
                continue;
            }
            if fstat(&file)?.st_nlink > 0 {
                let file = File::from(file);
                return Ok(Self {
                    directory,
                    name,
                    file,
                    named: false,
                });
            }
        }
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Lets the group read it if the group may read `original`.
    pub(super) fn share_as(&self, original: &rustix::fs::Stat) -> Result<(), Errno> {
        let group = Mode::from_raw_mode(original.st_mode) & Mode::RGRP;
        fchmod(&self.file, MODE | group)
    }

    /// Renames it to `to`; returns `false` if that exists.
    pub(super) fn rename(mut self, to: &str) -> Result<bool, Errno> {
        let (directory, name) = (self.directory, &*self.name);
        let named = match renameat_with(directory, name, directory, to, RenameFlags::NOREPLACE) {
            // For file systems without this flag: a hard link doesn't replace a file either.
            Err(Errno::INVAL | Errno::NOSYS) => {
                linkat(directory, name, directory, to, AtFlags::empty())
                    .and_then(|()| unlinkat(directory, name, AtFlags::empty()))
            }
            renamed => renamed,
        };
        match named {
            Ok(()) => self.named = true,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        Ok(self.named)
    }
}

impl Drop for Private<'_> {
    fn drop(&mut self) {
        if !self.named {
            // On failure, the next run removes it.
            let _ = unlinkat(self.directory, &*self.name, AtFlags::empty());
        }
    }
}
