//! Objects become a stream again.
//!
//! Threads fetch and check objects in parallel; those of one file are handed on in order, files
//! interleave. What is on its way is bounded by `memory`: an object's share is taken before it is
//! fetched, in the order of the work, so that the one whose turn is next always has its own. The files
//! that make a backup look finished come last, when all others are out.

use crate::archive::{ArchiveError, ExtractOptions, Extraction};
use crate::cancel::Cancel;
use crate::locked::Locked;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::Serialize;

use super::budget::{Budget, Share, each_in_parallel};
use super::catalog::Catalog;
use super::error::CloudError;
use super::in_order::InOrder;
use super::{marks_finished, verify};
use crate::counted;
use crate::manifest::{BackupName, FileEntry, object_name, packed};
use crate::progress::{Phase, Progress};
use crate::store::{Held, Repository, windows};
use crate::xbstream::{self, Unchecked};

/// How a backup is got.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GetOptions {
    /// Objects that are fetched at the same time (at least 1).
    pub parallel: usize,
    /// Bytes that may be held; an object may not be larger.
    pub memory: u64,
    /// Paths of the files to get, as stored; empty: all.
    pub files: Vec<String>,
    /// Get what there is of a backup that was never finished.
    pub unfinished: bool,
    /// Ends the transfer early. The stream that was written until then is no whole one.
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

/// What the objects' bytes were compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Proof {
    /// The digests of lsnap's manifest: nothing is missing, nothing was changed.
    Manifest,
    /// The chunks' own checksums, their paths, offsets and end: a file that is missing altogether
    /// would not be noticed.
    Checksums,
}

/// What was got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GetReport {
    /// The backup.
    pub name: BackupName,
    /// Files.
    pub files: u64,
    /// Objects.
    pub objects: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// What they were compared with.
    pub proof: Proof,
    /// Objects under the name whose names are none of a backup's; they were left out.
    pub left_out: u64,
}

/// Writes a backup, or some of its files, as one xbstream.
///
/// # Errors
/// What was written before an error is no whole stream: files without their end chunk.
/// [`BackupFault::NotFound`](crate::store::BackupFault::NotFound)(crate::store::StoreError::NotFound), [`CloudError::Unfinished`],
/// [`CloudError::NoFile`], [`CloudError::MissingObject`], [`CloudError::BadObject`],
/// [`CloudError::TooLarge`], [`CloudError::Output`], or the store's own.
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

/// Extracts a backup, or some of its files, into a directory: what is fetched is not made a stream in between.
///
/// [`GetOptions::cancel`] ends the extraction, too.
///
/// # Errors
/// As [`get`]; [`CloudError::Archive`]. Files that were whole by then stay, others are removed.
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
    // Of two failures the one that made the other: what a disk says reaches the getting as a refusal.
    match (got, extraction.finish()) {
        (Ok(report), Ok(_)) => Ok(report),
        (Err(CloudError::Archive(ArchiveError::Stopped)) | Ok(_), Err(error)) => Err(error.into()),
        (Err(error), _) => Err(error),
    }
}

/// Takes a chunk.
pub(super) type EachChunk<'a> = dyn Fn(Unchecked) -> Result<(), ArchiveError> + Sync + 'a;

/// Hands a backup's chunks, or those of some of its files, to `each`: from several threads, but for one
/// file one after the other in the order of its objects, its end last.
///
/// # Errors
/// As [`get`]; [`CloudError::Archive`] when `each` fails. A file whose end was handed over is whole.
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

/// Takes a checked object; for one file in the order of the indices, never two at once.
type Sink<'a> = dyn Fn(Bytes) -> Result<(), CloudError> + Sync + 'a;

/// Fetches, checks and hands on.
fn transfer(
    repository: &Repository,
    name: &BackupName,
    options: &GetOptions,
    progress: &dyn Progress,
    sink: &Sink<'_>,
) -> Result<GetReport, CloudError> {
    progress.phase(Phase::Preparing, None);
    let mut catalog = Catalog::read(repository, name)?;
    // what is left of a deletion is read as it is
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
    if let Some(first) = &catalog.strange {
        progress.note(&format!(
            "{} object(s) are no part of the backup by their names and left out, the first is \
             {name}/{}",
            catalog.strangers,
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
    // What is kept of packs is held beside the objects on their way.
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
        turns: InOrder::new(),
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
        left_out: catalog.strangers,
    })
}

/// A file to get.
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
    turns: InOrder<Fetched>,
    failure: Mutex<Option<CloudError>>,
    /// Cancelled by the first failure, and with the job.
    ended: Cancel,
    objects: AtomicU64,
    bytes: AtomicU64,
}

/// A checked object that waits for its turn.
struct Fetched {
    bytes: Bytes,
    ranges: Vec<(u64, u64)>,
    _share: Share,
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

    /// Gets the files that do (`late`) or do not make a backup look finished.
    fn run(&self, files: &[Wanted<'_>], late: bool) -> Result<(), CloudError> {
        let jobs = files
            .iter()
            .enumerate()
            .filter(|(_, file)| marks_finished(file.path) == late)
            .flat_map(|(at, file)| (0..file.count).map(move |index| (at, file, index)))
            .take_while(|_| !self.ended.is_cancelled())
            // taken under the lock that gives out the work, hence in its order
            .map(|(at, file, index)| (at, file, index, self.budget.take(file.largest)));
        each_in_parallel(jobs, self.options.parallel, |(at, file, index, share)| {
            if let Err(error) = self.one(at, file, index, share) {
                let mut failure = self.failure.locked();
                failure.get_or_insert(error);
                drop(failure);
                self.ended.cancel();
                self.turns.give_up();
            }
        });
        // An interruption makes failures of all sorts.
        self.options.cancel.check()?;
        let mut failure = self.failure.locked();
        failure.take().map_or(Ok(()), Err)
    }

    fn one(
        &self,
        at: usize,
        file: &Wanted<'_>,
        index: u64,
        share: Share,
    ) -> Result<(), CloudError> {
        // An error, so that the memory of objects that wait for their turn is given back.
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
            _share: share,
        };
        self.turns.bring(
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

    /// The object's bytes; by the manifest where it has an entry, which checks length and digest.
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
                what: "it was listed a moment ago: somebody deletes this backup".to_owned(),
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
