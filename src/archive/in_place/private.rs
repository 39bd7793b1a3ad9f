//! Files that have no name of their own yet.
//!
//! Such a file is locked as long as the run that makes it lives. One that nobody has locked was left by
//! a run that was killed. Its name says nothing of its content, so two runs, or two originals of one
//! name, never write into the same one.

use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, RenameFlags, fchmod, flock, fstat, linkat, openat,
    renameat_with, unlinkat,
};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;

const PREFIX: &str = ".lsnap-unwrap-";
/// Hexadecimal digits behind it.
const DIGITS: usize = 16;
/// Encrypted backups may lie open to everybody, what they hold may not.
const MODE: Mode = Mode::from_raw_mode(0o600);

/// Whether a file of this name is one of these.
pub(super) fn is_private(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|digits| {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        digits.len() == DIGITS && digits.bytes().all(digit)
    })
}

/// Removes such a file unless it is being written, or is no regular file.
pub(super) fn remove_stale(directory: &OwnedFd, name: &str) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match openat(directory, name, flags, Mode::empty()) {
        // Its run has just ended, or it is not ours.
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

/// A new file, which is removed unless it gets its name.
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
            // Between these two steps another run may have taken it for left over.
            // Where there are no locks, nobody can lock it, and so nobody removes it.
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

    /// Lets the group read it where the group may read `original`.
    pub(super) fn share_as(&self, original: &rustix::fs::Stat) -> Result<(), Errno> {
        let group = Mode::from_raw_mode(original.st_mode) & Mode::RGRP;
        fchmod(&self.file, MODE | group)
    }

    /// Gives it the name `to`; `false` if that is taken.
    pub(super) fn rename(mut self, to: &str) -> Result<bool, Errno> {
        let (directory, name) = (self.directory, &*self.name);
        let named = match renameat_with(directory, name, directory, to, RenameFlags::NOREPLACE) {
            // A file system without that: a second name replaces nothing either.
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
            // What cannot be removed now is removed by the next run.
            let _ = unlinkat(self.directory, &*self.name, AtFlags::empty());
        }
    }
}
