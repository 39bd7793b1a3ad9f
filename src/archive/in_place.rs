//! Decompressing and decrypting the files of an extracted backup where they are, as
//! `xtrabackup --decompress` and `--decrypt` do (spec 3.10).
//!
//! Each file is written under a name of its own beside the original, brought to the disk, and only then
//! gets the name without the suffix, in one step that replaces nothing. So a run that was killed leaves
//! files of that private name at most, and the next run of the same kind goes on where it ended.

use super::error::{ArchiveError, io};
use super::sparse;
use crate::codec::xbcrypt::{self, Key};
use crate::codec::{CodecError, Decompressor, Format, suffixes};
use crate::progress::{Phase, Progress};
use rayon::prelude::*;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What the private names begin with.
const PRIVATE: &str = ".lsnap-unwrap-";

/// What is to be taken off.
#[derive(Debug, Clone)]
pub enum Layer {
    /// `.zst` and `.lz4`.
    Compression,
    /// `.xbcrypt`.
    Encryption(Key),
}

/// How files are unwrapped in place.
#[derive(Debug, Clone)]
pub struct InPlaceOptions {
    /// The directory; everything below it is looked at, symbolic links are not followed.
    pub directory: PathBuf,
    /// What is taken off.
    pub layer: Layer,
    /// Whether a file is removed when what it holds lies beside it.
    pub remove_original: bool,
    /// Files that are worked on at the same time.
    pub parallel: usize,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct InPlaceReport {
    /// Files written.
    pub files: u64,
    /// Files that were there already, with the same bytes.
    pub already: u64,
    /// Originals removed.
    pub removed: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Length of what was written, holes included, in bytes.
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

/// One file to unwrap.
struct Job {
    from: PathBuf,
    to: PathBuf,
    format: Option<Format>,
    bytes: u64,
}

/// Unwraps every file below a directory that has the suffix of the layer.
///
/// # Errors
/// Before anything is written: a file that cannot be unwrapped in this order or by lsnap at all. Then the
/// first failure, which names its file; what was done before stays.
pub fn unwrap_in_place(
    options: &InPlaceOptions,
    progress: &dyn Progress,
) -> Result<InPlaceReport, ArchiveError> {
    let mut jobs = Vec::new();
    find(&options.directory, &options.layer, &mut jobs)?;
    jobs.sort_by(|a, b| a.from.cmp(&b.from));
    progress.phase(
        Phase::Transfer,
        Some(jobs.iter().map(|job| job.bytes).sum()),
    );
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.parallel.max(1))
        .thread_name(|number| format!("unwrap-{number}"))
        .build()
        .map_err(|error| {
            io("start threads for", &options.directory)(std::io::Error::other(error))
        })?;
    pool.install(|| {
        jobs.par_iter()
            .map(|job| {
                let done = one(job, options)?;
                progress.advance(Phase::Transfer, job.bytes);
                Ok(done)
            })
            .try_reduce(InPlaceReport::default, |a, b| Ok(a.and(b)))
    })
}

/// Lists what is to be done below a directory.
fn find(directory: &Path, layer: &Layer, jobs: &mut Vec<Job>) -> Result<(), ArchiveError> {
    for entry in std::fs::read_dir(directory).map_err(io("list", directory))? {
        let entry = entry.map_err(io("list", directory))?;
        let path = entry.path();
        let meta = entry.metadata().map_err(io("look at", &path))?;
        if meta.is_dir() {
            find(&path, layer, jobs)?;
        } else if meta.is_file()
            && let Some(name) = entry.file_name().to_str()
            && let Some((inner, format)) = wanted(&path, name, layer)?
        {
            jobs.push(Job {
                to: path.with_file_name(inner),
                from: path,
                format,
                bytes: meta.len(),
            });
        }
    }
    Ok(())
}

/// The name of what a file holds, if the layer is to be taken off it.
fn wanted<'a>(
    path: &Path,
    name: &'a str,
    layer: &Layer,
) -> Result<Option<(&'a str, Option<Format>)>, ArchiveError> {
    let refuse = |what: &str| {
        Err(ArchiveError::Unsupported {
            path: path.display().to_string(),
            what: what.to_owned(),
        })
    };
    let found = suffixes(name);
    match layer {
        Layer::Encryption(_) if found.encrypted => {
            let inner = name.strip_suffix(".xbcrypt").unwrap_or(name);
            Ok(Some((inner, None)))
        }
        Layer::Encryption(_) => Ok(None),
        Layer::Compression if found.encrypted && (found.quicklz || found.compression.is_some()) => {
            refuse("it is encrypted: run `lsnap decrypt` on the directory first")
        }
        Layer::Compression if found.quicklz => refuse(
            "it is compressed with quicklz, which lsnap does not read: decompress it with the program qpress",
        ),
        Layer::Compression if found.encrypted => Ok(None),
        Layer::Compression => Ok(found.compression.map(|format| (found.inner, Some(format)))),
    }
}

fn one(job: &Job, options: &InPlaceOptions) -> Result<InPlaceReport, ArchiveError> {
    let (files, already, bytes) = match std::fs::symlink_metadata(&job.to) {
        Ok(_) => {
            same(job, options)?;
            (0, 1, 0)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => (1, 0, write(job, options)?),
        Err(error) => return Err(io("look at", &job.to)(error)),
    };
    let mut removed = 0;
    if options.remove_original {
        std::fs::remove_file(&job.from).map_err(io("remove", &job.from))?;
        removed = 1;
    }
    Ok(InPlaceReport {
        files,
        already,
        removed,
        read_bytes: job.bytes,
        bytes,
    })
}

/// What a file holds.
fn open(job: &Job, options: &InPlaceOptions) -> Result<Box<dyn Read>, ArchiveError> {
    let file = File::open(&job.from).map_err(io("open", &job.from))?;
    Ok(match (&options.layer, job.format) {
        (Layer::Encryption(key), _) => Box::new(xbcrypt::Reader::new(file, key.clone())),
        (_, Some(format)) => Box::new(Decompressor::new(format, file)),
        (_, None) => Box::new(file),
    })
}

/// An error out of [`open`]'s reader.
fn read_error(job: &Job, error: std::io::Error) -> ArchiveError {
    match error.downcast::<CodecError>() {
        Ok(source) => ArchiveError::Codec {
            path: job.from.display().to_string(),
            source,
        },
        Err(error) => io("read", &job.from)(error),
    }
}

/// Writes what the file holds beside it.
fn write(job: &Job, options: &InPlaceOptions) -> Result<u64, ArchiveError> {
    let name = job.to.file_name().unwrap_or_default().as_encoded_bytes();
    let private = format!("{PRIVATE}{}", &blake3::hash(name).to_hex()[..16]);
    let private = job.from.with_file_name(private);
    // What a run that was killed left; nobody else has such names.
    match std::fs::remove_file(&private) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(io("remove the left-over", &private)(error));
        }
        _ => {}
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(&private)
        .map_err(io("create", &private))?;
    let written = fill(job, options, &file, &private).and_then(|bytes| {
        rename(&private, &job.to)?;
        Ok(bytes)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&private);
    }
    written
}

fn fill(
    job: &Job,
    options: &InPlaceOptions,
    file: &File,
    private: &Path,
) -> Result<u64, ArchiveError> {
    let mut reader = open(job, options)?;
    let bytes = sparse::copy(&mut reader, file).map_err(|error| match error {
        sparse::Fault::Read(error) => read_error(job, error),
        sparse::Fault::Write(error) => io("write", private)(error),
    })?;
    file.sync_all().map_err(io("flush", private))?;
    Ok(bytes)
}

/// Gives the finished file its name, which must be free, durably.
fn rename(private: &Path, to: &Path) -> Result<(), ArchiveError> {
    let renamed = match renameat_with(CWD, private, CWD, to, RenameFlags::NOREPLACE) {
        // A file system without that: a second name replaces nothing either.
        Err(Errno::INVAL | Errno::NOSYS) => {
            std::fs::hard_link(private, to).and_then(|()| std::fs::remove_file(private))
        }
        renamed => renamed.map_err(Into::into),
    };
    renamed.map_err(io("create", to))?;
    let directory = to.parent().unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(io("flush", directory))
}

/// Whether the file that is there is what would be written; anything else is somebody's own.
fn same(job: &Job, options: &InPlaceOptions) -> Result<(), ArchiveError> {
    let exists = || ArchiveError::Exists {
        path: job.to.clone(),
    };
    if !std::fs::symlink_metadata(&job.to).is_ok_and(|meta| meta.is_file()) {
        return Err(exists());
    }
    let mut there = File::open(&job.to).map_err(io("open", &job.to))?;
    let mut held = open(job, options)?;
    let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let read = sparse::fill(&mut held, &mut a).map_err(|error| read_error(job, error))?;
        let found = sparse::fill(&mut there, &mut b).map_err(io("read", &job.to))?;
        if a[..read] != b[..found] {
            return Err(exists());
        }
        if read < a.len() {
            return Ok(());
        }
    }
}
