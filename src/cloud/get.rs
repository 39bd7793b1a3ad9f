//! Turns the objects of a backup into a stream.
//!
//! Threads fetch and check objects in parallel. The objects of one file are passed on in order;
//! those of different files interleave. `memory` limits the bytes in flight: an object's bytes are
//! reserved before it is fetched, in the order of the work, so the next object in order always has
//! its reservation. The files that mark a backup as finished come last, after all others were
//! written.

use crate::archive::{ArchiveError, ExtractOptions, Extraction};
use crate::cancel::Cancel;
use crate::locked::Locked;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::Serialize;

use super::budget::{Budget, Reservation, each_in_parallel};
use super::catalog::Catalog;
use super::error::CloudError;
use super::in_order::InOrder;
use super::{marks_finished, verify};
use crate::counted;
use crate::manifest::{BackupName, FileEntry, object_name, packed};
use crate::progress::{Phase, Progress};
use crate::store::{Held, Repository, windows};
use crate::xbstream::{self, Unchecked};

/// How to get a backup.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GetOptions {
    /// Number of objects that are fetched concurrently (at least 1).
    pub parallel: usize,
    /// Bytes that may be held in memory. A larger object is an error.
    pub memory: u64,
    /// Paths of the files to get, as stored. Empty: all files.
    pub files: Vec<String>,
    /// Gets the existing objects of a backup that was never finished.
    pub unfinished: bool,
    /// Ends the transfer early. The stream that was written until then is incomplete.
    pub cancel: Cancel,
}

impl Default for GetOptions {
    fn default() -> Self {
        Self {
            parallel: 4,
            memory: 256 << 20,
            files: Vec::new(),
            unfinished: false,
            cancel: Cancel::new(),
        }
    }
}

/// The reference that the objects' bytes were compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Proof {
    /// The digests in lsnap's manifest: no object is missing or changed.
    Manifest,
    /// The chunks' own checksums, paths, offsets and end chunks. A file of which every object is
    /// missing is not detected.
    Checksums,
}

/// The result of [`get`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct GetReport {
    /// The backup.
    pub name: BackupName,
    /// Number of files.
    pub files: u64,
    /// Number of objects.
    pub objects: u64,
    /// Bytes of these objects.
    pub bytes: u64,
    /// The reference that they were compared with.
    pub proof: Proof,
    /// Number of objects under the name that are not part of a backup by their names. They were
    /// left out.
    pub left_out: u64,
}

/// Writes a backup, or some of its files, as one xbstream.
///
/// # Errors
/// If this fails, the stream that was written until then is incomplete: it has files without an end
/// chunk.
/// [`BackupFault::NotFound`](crate::store::BackupFault::NotFound), [`CloudError::Unfinished`],
/// [`CloudError::NoFile`], [`CloudError::MissingObject`], [`CloudError::BadObject`],
/// [`CloudError::TooLarge`], [`CloudError::Output`], or an error of the store.
pub fn get(
    repository: &Repository,
    name: &BackupName,
    out: &mut (dyn Write + Send),
    options: &GetOptions,
    progress: &dyn Progress,
) -> Result<GetReport, CloudError> {
    let out = Mutex::new(out);
    let report = transfer(repository, name, options, progress, &|bytes: Bytes| {
        let mut out = out.locked();
        out.write_all(&bytes)
            .map_err(|source| CloudError::Output { source })
    })?;
    let mut out = out.locked();
    out.flush()
        .map_err(|source| CloudError::Output { source })?;
    drop(out);
    Ok(report)
}

/// Writes a backup, or some of its files, as several xbstreams. All chunks of a file are in one of
/// them, which its path decides.
///
/// # Errors
/// As [`get`].
///
/// # Panics
/// If `outs` is empty.
pub fn get_streams(
    repository: &Repository,
    name: &BackupName,
    outs: Vec<Box<dyn Write + Send>>,
    options: &GetOptions,
    progress: &dyn Progress,
) -> Result<GetReport, CloudError> {
    assert!(!outs.is_empty(), "at least one stream");
    let failed = |source| CloudError::Output { source };
    let outs: Vec<_> = outs.into_iter().map(Mutex::new).collect();
    let report = transfer(repository, name, options, progress, &|bytes: Bytes| {
        let out = match stream_of(&bytes, outs.len())? {
            Some(stream) => &outs[stream],
            None => return Ok(()),
        };
        out.locked().write_all(&bytes).map_err(failed)
    })?;
    for out in outs {
        out.unlocked().flush().map_err(failed)?;
    }
    Ok(report)
}

/// Returns the index of the stream for the file of an object: the sum of the bytes of its path,
/// modulo the number of streams. Nothing for an object without a chunk.
fn stream_of(object: &Bytes, streams: usize) -> Result<Option<usize>, CloudError> {
    let mut chunks = xbstream::chunks(object.clone());
    let first = chunks
        .next_unchecked()
        .map_err(|source| CloudError::Stream {
            input: "an object".to_owned(),
            source,
        })?;
    let sum = |path: &str| path.bytes().map(usize::from).sum::<usize>();
    Ok(first.map(|chunk| sum(chunk.path()) % streams))
}

/// Extracts a backup, or some of its files, into a directory, without building a stream in between.
///
/// [`GetOptions::cancel`] ends the extraction too.
///
/// # Errors
/// As [`get`], and [`CloudError::Archive`]. Files that were complete by then stay; other files are
/// removed.
pub fn get_into(
    repository: &Repository,
    name: &BackupName,
    into: ExtractOptions,
    options: &GetOptions,
    progress: &dyn Progress,
) -> Result<GetReport, CloudError> {
    let extraction = Extraction::open(ExtractOptions {
        cancel: options.cancel.clone(),
        ..into
    })?;
    let take = |chunk| extraction.chunk(chunk);
    let got = get_chunks(repository, name, &take, options, progress);
    if got.is_err() {
        extraction.abandon();
    }
    // If both failed, the error of the extraction is the cause: the transfer then only reports that
    // its chunk was refused.
    match (got, extraction.finish()) {
        (Ok(report), Ok(_)) => Ok(report),
        (Err(CloudError::Archive(ArchiveError::Stopped)) | Ok(_), Err(error)) => Err(error.into()),
        (Err(error), _) => Err(error),
    }
}

/// A function that processes a chunk.
pub(super) type EachChunk<'a> = dyn Fn(Unchecked) -> Result<(), ArchiveError> + Sync + 'a;

/// Passes the chunks of a backup, or of some of its files, to `each`, from several threads. The
/// chunks of one file come one at a time, in the order of its objects, the end chunk last.
///
/// # Errors
/// As [`get`], and [`CloudError::Archive`] if `each` fails. A file whose end chunk was passed on is
/// complete.
pub(super) fn get_chunks(
    repository: &Repository,
    name: &BackupName,
    each: &EachChunk<'_>,
    options: &GetOptions,
    progress: &dyn Progress,
) -> Result<GetReport, CloudError> {
    transfer(repository, name, options, progress, &|bytes: Bytes| {
        let mut chunks = xbstream::chunks(bytes);
        let wrong = |source| CloudError::Stream {
            input: "an object".to_owned(),
            source,
        };
        while let Some(chunk) = chunks.next_unchecked().map_err(wrong)? {
            each(chunk)?;
        }
        Ok(())
    })
}

/// A function that processes a checked object. For one file it is called in the order of the
/// indices, never concurrently.
type Sink<'a> = dyn Fn(Bytes) -> Result<(), CloudError> + Sync + 'a;

/// Fetches the objects, checks them and passes them to `sink`.
fn transfer(
    repository: &Repository,
    name: &BackupName,
    options: &GetOptions,
    progress: &dyn Progress,
    sink: &Sink<'_>,
) -> Result<GetReport, CloudError> {
    progress.phase(Phase::Preparing, None);
    let mut catalog = Catalog::read(repository, name)?;
    // the remains of a deleted backup are read without a lease
    let _reading = if catalog.finished {
        let has_manifest = catalog.manifest.is_some();
        let names = std::slice::from_ref(name);
        Some(repository.announce_reading_some("cloud get", names, &|_| has_manifest)?)
    } else if options.unfinished {
        progress.note("the backup was never finished: files may be missing");
        None
    } else {
        return Err(CloudError::Unfinished { name: name.clone() });
    };
    if let Some(first) = &catalog.first_unknown {
        progress.note(&format!(
            "{} left out: their names are not object names of a backup, the first is \
             {name}/{}",
            counted::count(catalog.unknown, "object"),
            first.escape_debug()
        ));
    }
    catalog.pick(name, &options.files)?;
    catalog.check_dense(repository, name)?;
    catalog.compare_with_manifest(name)?;
    let entries = catalog.entries();
    let files: Vec<Wanted<'_>> = catalog
        .files
        .iter()
        .map(|(path, objects)| Wanted {
            path,
            count: objects.count,
            largest: objects.largest,
            entry: entries.get(path.as_str()).copied(),
        })
        .collect();
    // The cached parts of packs need memory in addition to the objects in flight.
    let (manifest, memory) = (&catalog.manifest, options.memory);
    let _windows = repository.reading(manifest, memory);
    let room = memory.saturating_sub(windows::reserved_bytes(manifest, memory));
    let get = Get {
        repository,
        name,
        options,
        progress,
        sink,
        budget: Budget::new(room),
        in_order: InOrder::new(),
        failure: Mutex::default(),
        ended: options.cancel.child(),
        objects: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    };
    for file in &files {
        get.check_size(file)?;
    }
    let total = catalog
        .files
        .values()
        .map(|o| o.bytes)
        .fold(0, u64::saturating_add);
    progress.phase(Phase::Transfer, Some(total));
    for late in [false, true] {
        get.run(&files, late)?;
    }
    Ok(GetReport {
        name: name.clone(),
        files: files.len() as u64,
        objects: get.objects.into_inner(),
        bytes: get.bytes.into_inner(),
        proof: if catalog.manifest.is_some() {
            Proof::Manifest
        } else {
            Proof::Checksums
        },
        left_out: catalog.unknown,
    })
}

/// A file to fetch.
struct Wanted<'a> {
    path: &'a str,
    count: u64,
    largest: u64,
    entry: Option<&'a FileEntry>,
}

struct Get<'a> {
    repository: &'a Repository,
    name: &'a BackupName,
    options: &'a GetOptions,
    progress: &'a dyn Progress,
    sink: &'a Sink<'a>,
    budget: Budget,
    in_order: InOrder<Fetched>,
    failure: Mutex<Option<CloudError>>,
    /// Cancelled by the first failure, and when the job is cancelled.
    ended: Cancel,
    objects: AtomicU64,
    bytes: AtomicU64,
}

/// A checked object that waits until all earlier objects of its file were passed on.
struct Fetched {
    bytes: Bytes,
    ranges: Vec<(u64, u64)>,
    _reservation: Reservation,
}

impl Get<'_> {
    fn key(&self, file: &Wanted<'_>, index: u64) -> String {
        match file.entry {
            Some(entry) => packed::named(self.name, entry, index),
            None => format!("{}/{}", self.name, object_name(file.path, index)),
        }
    }

    fn check_size(&self, file: &Wanted<'_>) -> Result<(), CloudError> {
        if file.largest <= self.options.memory {
            return Ok(());
        }
        Err(CloudError::TooLarge {
            object: format!("{}/{}.*", self.name, file.path),
            bytes: file.largest,
            limit: self.options.memory,
        })
    }

    /// Fetches the files that mark a backup as finished (`late`), or the other ones.
    fn run(&self, files: &[Wanted<'_>], late: bool) -> Result<(), CloudError> {
        let jobs = files
            .iter()
            .enumerate()
            .filter(|(_, file)| marks_finished(file.path) == late)
            .flat_map(|(at, file)| (0..file.count).map(move |index| (at, file, index)))
            .take_while(|_| !self.ended.is_cancelled())
            // evaluated under the lock that distributes the jobs, so reservations are made in their
            // order
            .map(|(at, file, index)| (at, file, index, self.budget.reserve(file.largest)));
        each_in_parallel(
            jobs,
            self.options.parallel,
            |(at, file, index, reservation)| {
                if let Err(error) = self.one(at, file, index, reservation) {
                    let mut failure = self.failure.locked();
                    failure.get_or_insert(error);
                    drop(failure);
                    self.ended.cancel();
                    self.in_order.give_up();
                }
            },
        );
        // After a cancellation, the first failure may be any consequence of it.
        self.options.cancel.check()?;
        let mut failure = self.failure.locked();
        failure.take().map_or(Ok(()), Err)
    }

    fn one(
        &self,
        at: usize,
        file: &Wanted<'_>,
        index: u64,
        reservation: Reservation,
    ) -> Result<(), CloudError> {
        // Must be an error, so that the memory of waiting objects is released.
        self.options.cancel.check()?;
        if self.ended.is_cancelled() {
            return Ok(());
        }
        let bytes = self.fetch(file, index)?;
        let bad = |index, what| CloudError::BadObject {
            object: self.key(file, index),
            what,
        };
        let is_last = |index: u64| index + 1 == file.count;
        let ranges =
            verify::verify(&bytes, file.path, is_last(index)).map_err(|what| bad(index, what))?;
        let fetched = Fetched {
            bytes,
            ranges,
            _reservation: reservation,
        };
        self.in_order.bring(
            at,
            (index, file.count),
            fetched,
            |object, index, coverage| {
                verify::join(coverage, &object.ranges, is_last(index))
                    .map_err(|what| bad(index, what))?;
                let bytes = object.bytes.len() as u64;
                (self.sink)(object.bytes)?;
                self.objects.fetch_add(1, Ordering::Relaxed);
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
                self.progress.advance(Phase::Transfer, bytes);
                Ok(())
            },
        )
    }

    /// Fetches an object. If the manifest has an entry for its file, the length and the digest are
    /// checked.
    fn fetch(&self, file: &Wanted<'_>, index: u64) -> Result<Bytes, CloudError> {
        if let Some(entry) = file.entry {
            let object = usize::try_from(index)
                .ok()
                .and_then(|i| entry.objects.get(i));
            let object = object.ok_or_else(|| CloudError::BadObject {
                object: self.key(file, index),
                what: "it is not in the manifest".to_owned(),
            })?;
            return Ok(self.repository.fetch(self.name, file.path, object)?);
        }
        let key = self.key(file, index);
        match self.repository.bucket().get(&key, file.largest)? {
            Held::Bytes(bytes) => Ok(bytes),
            Held::Nothing => Err(CloudError::MissingObject {
                object: key,
                what: "it was listed before: another process is deleting this backup".to_owned(),
            }),
            Held::Longer(found) => Err(CloudError::BadObject {
                object: key,
                what: format!(
                    "it grew to {found} since it was listed",
                    found = counted::count(found, "byte")
                ),
            }),
        }
    }
}
