//! Decompresses and decrypts the files of an extracted backup in place, as
//! `xtrabackup --decompress` and `--decrypt` do (`docs/format/wrapping.md`).
//!
//! Each file is written under a private name next to the original, synced, and then renamed to the name
//! without the suffix, without replacing an existing file. A killed run leaves at most files with private
//! names. The next run removes them and continues: an existing file must have the content that would be
//! written.
//!
//! An original is removed only after its content is synced under its name. No symbolic link is followed, also
//! if directories are exchanged meanwhile.

mod private;
mod survey;
#[cfg(test)]
mod tests;

use super::error::{ArchiveError, io};
use super::{never_empty, sparse};
use crate::cancel::Cancel;
use crate::codec::xbcrypt::{self, Key};
use crate::codec::{CodecError, Decompressor};
use crate::locked::Locked;
use crate::progress::{Phase, Progress};
use private::Private;
use rayon::prelude::*;
use rustix::fs::{AtFlags, Mode, OFlags, Stat, fstat, fsync, openat, statat, unlinkat};
use rustix::io::Errno;
use serde::Serialize;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Mutex;
use survey::{Job, Tree};

/// The layer to remove.
#[derive(Debug, Clone)]
pub enum Layer {
    /// `.zst` and `.lz4`.
    Compression,
    /// `.xbcrypt`.
    Encryption(Key),
    /// All of them. A file that is compressed and encrypted is unwrapped at once: no file in between is
    /// written.
    All(Key),
}

impl Layer {
    const fn key(&self) -> Option<&Key> {
        match self {
            Self::Compression => None,
            Self::Encryption(key) | Self::All(key) => Some(key),
        }
    }
}

/// How files are unwrapped in place.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InPlaceOptions {
    /// The directory, with its subdirectories. Symbolic links are not followed.
    pub directory: PathBuf,
    /// The layer to remove.
    pub layer: Layer,
    /// Whether an original is removed after its content was written and synced.
    pub remove_original: bool,
    /// Number of files that are processed at the same time.
    pub parallel: usize,
    /// Cancels the job. Completed files stay, and the next run continues.
    pub cancel: Cancel,
}

impl InPlaceOptions {
    /// Creates options for every file below `directory` with a suffix of `layer`, processed one at a time. The
    /// originals are kept.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, layer: Layer) -> Self {
        Self {
            directory: directory.into(),
            layer,
            remove_original: false,
            parallel: 1,
            cancel: Cancel::new(),
        }
    }
}

/// The result of unwrapping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct InPlaceReport {
    /// Number of files written.
    pub files: u64,
    /// Number of files that existed with the same content.
    pub already: u64,
    /// Number of originals removed.
    pub removed: u64,
    /// Number of bytes read.
    pub read_bytes: u64,
    /// Length of the written files in bytes, including holes.
    pub bytes: u64,
}

impl InPlaceReport {
    fn and(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            already: self.already + other.already,
            removed: self.removed + other.removed,
            read_bytes: self.read_bytes + other.read_bytes,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// Removes a layer from every file below a directory that has its suffix.
///
/// # Errors
/// Before anything is written: a file that can't be unwrapped in this order, or whose format isn't supported.
/// Then the first failure, with its file, or [`ArchiveError::Interrupted`]. Completed files stay.
pub fn unwrap_in_place(
    options: &InPlaceOptions,
    progress: &dyn Progress,
) -> Result<InPlaceReport, ArchiveError> {
    let tree = Tree::open(&options.directory)?;
    let jobs = tree.survey(&options.layer)?;
    let bytes = jobs.iter().map(|job| job.bytes).sum();
    progress.phase(Phase::Transfer, Some(bytes));
    let work = Work {
        tree,
        options,
        progress,
        ended: options.cancel.child(),
        first: Mutex::new(None),
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.parallel.max(1))
        .thread_name(|number| format!("unwrap-{number}"))
        .build()
        .map_err(|error| {
            io("start threads for", &options.directory)(std::io::Error::other(error))
        })?;
    let done = pool.install(|| {
        jobs.par_iter()
            .map(|job| work.one(job).map_err(|error| work.fail(error)))
            .try_reduce(InPlaceReport::default, |a, b| Ok(a.and(b)))
    });
    match work.first.unlocked() {
        Some(error) => Err(error),
        None if done.is_err() => options.cancel.check().map_err(ArchiveError::from).and(done),
        None => done,
    }
}

/// State shared by all workers.
struct Work<'a> {
    tree: Tree,
    options: &'a InPlaceOptions,
    progress: &'a dyn Progress,
    /// Cancelled by the first failure, or with the job.
    ended: Cancel,
    first: Mutex<Option<ArchiveError>>,
}

impl Work<'_> {
    /// Stores the first error and stops all workers, also within a file.
    fn fail(&self, error: ArchiveError) -> ArchiveError {
        let mut first = self.first.locked();
        if !matches!(error, ArchiveError::Stopped) && first.is_none() {
            *first = Some(error);
        }
        self.ended.cancel();
        ArchiveError::Stopped
    }

    fn one(&self, job: &Job) -> Result<InPlaceReport, ArchiveError> {
        if self.ended.is_cancelled() {
            return Err(ArchiveError::Stopped);
        }
        let directory = self.tree.directory(&job.directory)?;
        let original = Original::open(self, &directory, job)?;
        let mut report = InPlaceReport {
            read_bytes: job.bytes,
            ..InPlaceReport::default()
        };
        match original.write()? {
            Some(bytes) => (report.files, report.bytes) = (1, bytes),
            None => {
                original.compare()?;
                report.already = 1;
            }
        }
        if self.options.remove_original {
            original.remove()?;
            report.removed = 1;
        }
        Ok(report)
    }
}

/// A wrapped file.
struct Original<'a> {
    work: &'a Work<'a>,
    job: &'a Job,
    directory: &'a OwnedFd,
    file: File,
    /// Its metadata before it was read.
    before: Stat,
}

impl<'a> Original<'a> {
    fn open(
        work: &'a Work<'a>,
        directory: &'a OwnedFd,
        job: &'a Job,
    ) -> Result<Self, ArchiveError> {
        let path = work.tree.shown(&job.directory, &job.from);
        let file = regular(directory, &job.from)
            .map_err(io("open", &path))?
            .ok_or_else(|| survey::refused(&path, survey::NOT_REGULAR))?;
        let before = fstat(&file).map_err(io("look at", &path))?;
        if job.format.is_some() {
            never_empty::check(&path.display().to_string(), &job.to, before.st_size as u64)?;
        }
        Ok(Self {
            work,
            job,
            directory,
            file,
            before,
        })
    }

    fn path(&self) -> PathBuf {
        self.work.tree.shown(&self.job.directory, &self.job.from)
    }

    fn target(&self) -> PathBuf {
        self.work.tree.shown(&self.job.directory, &self.job.to)
    }

    /// Calls `consume` with a reader of the unwrapped content.
    fn read<T>(
        &self,
        consume: impl FnOnce(&mut dyn Read) -> Result<T, Fault>,
    ) -> Result<T, ArchiveError> {
        let mut source = Source {
            original: self,
            fault: None,
        };
        let result = {
            let mut reader: Box<dyn Read + '_> = Box::new(&mut source);
            if let Some(key) = self.work.options.layer.key().filter(|_| self.job.encrypted) {
                reader = Box::new(xbcrypt::Reader::new(reader, key.clone()));
            }
            if let Some(format) = self.job.format {
                reader = Box::new(Decompressor::new(format, reader));
            }
            consume(&mut reader)
        };
        // An I/O error or a cancellation is not damage of the file.
        if let Some(fault) = source.fault.take() {
            return Err(fault);
        }
        match result {
            Ok(value) => self.unchanged().map(|()| value),
            Err(Fault::Other(error)) => Err(error),
            Err(Fault::Read(error)) => Err(match error.downcast::<CodecError>() {
                Ok(source) => ArchiveError::Codec {
                    path: self.path().display().to_string(),
                    source,
                },
                Err(error) => io("unwrap", &self.path())(error),
            }),
        }
    }

    fn unchanged(&self) -> Result<(), ArchiveError> {
        let after = fstat(&self.file).map_err(io("look at", &self.path()))?;
        let state = |s: &Stat| (s.st_size, s.st_mtime, s.st_mtime_nsec);
        if state(&after) != state(&self.before) {
            return Err(survey::refused(
                &self.path(),
                "it was written to while it was read: wait until it is complete",
            ));
        }
        Ok(())
    }

    /// Writes the content next to the original, and returns its length; `None` if a file of that name exists.
    fn write(&self) -> Result<Option<u64>, ArchiveError> {
        let target = self.target();
        match statat(self.directory, &self.job.to, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => return Ok(None),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(io("look at", &target)(error)),
        }
        let private = Private::create(self.directory).map_err(io("create a file for", &target))?;
        let write = |error| Fault::Other(io("write", &target)(error));
        let bytes = self.read(|reader| {
            sparse::copy(reader, private.file()).map_err(|error| match error {
                sparse::Fault::Read(error) => Fault::Read(error),
                sparse::Fault::Write(error) => write(error),
            })
        })?;
        private
            .share_as(&self.before)
            .map_err(io("set the mode of", &target))?;
        private.file().sync_all().map_err(io("flush", &target))?;
        let named = private.rename(&self.job.to);
        if !named.map_err(io("give its name to", &target))? {
            return Ok(None);
        }
        self.flush_directory()?;
        Ok(Some(bytes))
    }

    fn flush_directory(&self) -> Result<(), ArchiveError> {
        fsync(self.directory).map_err(io("flush the directory of", &self.target()))
    }

    /// Checks that the existing file has the content that would be written, and syncs it. Another content is an
    /// error.
    fn compare(&self) -> Result<(), ArchiveError> {
        let target = self.target();
        let occupied = || ArchiveError::Occupied {
            path: target.clone(),
            original: self.path(),
        };
        let there = match regular(self.directory, &self.job.to) {
            Ok(Some(file)) => file,
            Ok(None) => return Err(occupied()),
            Err(error) => return Err(io("open", &target)(error)),
        };
        let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        self.read(|held| {
            loop {
                let read = sparse::fill(held, &mut a).map_err(Fault::Read)?;
                let found = sparse::fill(&mut &there, &mut b)
                    .map_err(|error| Fault::Other(io("read", &target)(error)))?;
                if a[..read] != b[..found] {
                    return Err(Fault::Other(occupied()));
                }
                if read < a.len() {
                    return Ok(());
                }
            }
        })?;
        there.sync_all().map_err(io("flush", &target))?;
        self.flush_directory()
    }

    /// Removes the original if it is still the file that was read.
    fn remove(&self) -> Result<(), ArchiveError> {
        let (path, name) = (self.path(), &self.job.from);
        let now = statat(self.directory, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(io("look at", &path))?;
        if (now.st_dev, now.st_ino) != (self.before.st_dev, self.before.st_ino) {
            return Err(survey::refused(
                &path,
                "it was replaced by another file while it was read; it was not removed",
            ));
        }
        self.unchanged()?;
        unlinkat(self.directory, name, AtFlags::empty()).map_err(io("remove", &path))
    }
}

/// Opens a regular file for reading; `None` if it is something else.
fn regular(directory: &OwnedFd, name: &str) -> Result<Option<File>, Errno> {
    // Without NONBLOCK, opening a FIFO waits for its other side.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match openat(directory, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::LOOP | Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error),
    };
    let kind = rustix::fs::FileType::from_raw_mode(fstat(&file)?.st_mode);
    Ok(kind.is_file().then(|| File::from(file)))
}

/// The reason why the content of a file could not be copied.
enum Fault {
    /// The reader of the content failed.
    Read(std::io::Error),
    Other(ArchiveError),
}

/// Reads the wrapped bytes. I/O errors and cancellation are stored separately, because the decoders would
/// report them as damage.
struct Source<'a> {
    original: &'a Original<'a>,
    fault: Option<ArchiveError>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let work = self.original.work;
        if work.ended.is_cancelled() {
            self.fault = Some(ArchiveError::Stopped);
            return Err(std::io::Error::other("stopped"));
        }
        match (&self.original.file).read(buffer) {
            Ok(read) => {
                work.progress.advance(Phase::Transfer, read as u64);
                Ok(read)
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.fault = Some(io("read", &self.original.path())(error));
                Err(std::io::Error::other("cannot be read"))
            }
        }
    }
}
