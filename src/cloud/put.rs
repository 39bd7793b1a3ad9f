//! Stores a stream as objects.
//!
//! ```text
//! reader (one a stream) -> numbers each chunk, checks its CRC -> queue -> uploaders (`parallel`)
//! ```
//! The queue is limited by its length and by bytes (half of `memory`; the readers use the other
//! half for the chunks that they are reading). The objects that mark a backup as finished, for
//! xbcloud and for lsnap, are stored after all others: a put that is killed doesn't leave a backup
//! that looks finished.

use crate::cancel::Cancel;
use crate::locked::Locked;
use crate::store::UploadFault;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use md5::{Digest as _, Md5};
use serde::Serialize;

use super::budget::{Budget, Reservation, each_in_parallel};
use super::error::CloudError;
use super::ledger::Ledger;
use super::raw::RawReader;
use super::{TABLESPACES, marks_finished, md5_key, sealed};
use crate::archive::Input;
use crate::counted::count;
use crate::manifest::{BackupName, object_name};
use crate::progress::{Phase, Progress};
use crate::store::{Bucket, Repository, StoreError};
use crate::xbstream::{Chunk, XbstreamError};

/// How to store a stream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PutOptions {
    /// Number of objects that are stored concurrently (at least 1).
    pub parallel: usize,
    /// Bytes that may be held in memory. A chunk may have at most a quarter of it, divided by the
    /// number of streams.
    pub memory: u64,
    /// Stores `<name>.md5` too, with one line an object.
    pub md5: bool,
    /// What happens around the stream, and to the objects of a put that fails.
    pub manner: PutManner,
    /// Ends the put early. The objects that it stored are removed, or stay with
    /// [`PutManner::Xbcloud`].
    pub cancel: Cancel,
}

/// The behaviour of a put beyond the objects of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PutManner {
    /// The repository gets its marker. After a failure, the stored objects are removed.
    #[default]
    Lsnap,
    /// As xbcloud does it: nothing but the stream's objects and `<name>.md5` is stored. After a
    /// failure, the stored objects stay, except that those which mark a backup as finished are not
    /// stored; the MD5 digests of an incomplete stream are stored too. A `<name>.md5` of which no
    /// object exists any more is replaced.
    Xbcloud,
}

impl PutOptions {
    /// Returns the default memory in bytes for `streams` streams. It permits chunks of 16 MiB in
    /// each stream; xtrabackup's usual chunks have 10 MiB.
    #[must_use]
    pub const fn memory_for(streams: u64) -> u64 {
        let each = 64 << 20;
        match streams {
            0..=4 => 4 * each,
            _ => streams.saturating_mul(each),
        }
    }
}

impl Default for PutOptions {
    fn default() -> Self {
        Self {
            parallel: 4,
            memory: Self::memory_for(1),
            md5: false,
            manner: PutManner::default(),
            cancel: Cancel::new(),
        }
    }
}

/// The result of [`put`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PutReport {
    /// The backup.
    pub name: BackupName,
    /// Number of its files.
    pub files: u64,
    /// Number of their objects.
    pub objects: u64,
    /// Bytes of these objects.
    pub bytes: u64,
    /// The key of the object with their MD5 digests.
    pub md5: Option<String>,
}

/// Stores the backup in `inputs` under `name`, byte for byte as xbcloud does: `<name>/<path>.<20
/// digits>` is one chunk. The inputs are xbstreams; each file must be in one of them.
///
/// # Errors
/// [`UploadFault::Exists`](crate::store::UploadFault::Exists) if objects exist under the name;
/// nothing was written then. After any other error, the stored objects are removed:
/// [`CloudError::TakenBack`]. [`CloudError::Left`] lists the objects that could not be removed. The
/// cause of both is an error of a stream or of the store, or [`CloudError::Incomplete`] if a file
/// has no end chunk or the backup has no `xtrabackup_tablespaces`. With [`PutManner::Xbcloud`], the
/// objects stay, and the error is the cause itself.
pub fn put(
    repository: &Repository,
    name: &BackupName,
    inputs: Vec<Input>,
    options: &PutOptions,
    progress: &dyn Progress,
) -> Result<PutReport, CloudError> {
    let bucket = repository.bucket();
    bucket.create()?;
    let as_xbcloud = options.manner == PutManner::Xbcloud;
    refuse_if_taken(&bucket, name, options.md5 && !as_xbcloud)?;
    if !as_xbcloud {
        repository.mark_for_backup()?;
    }
    let sealed_only = repository.is_encrypted_only()?;
    progress.phase(Phase::Transfer, None);
    let put = Put {
        bucket,
        name,
        options,
        progress,
        sealed_only,
        chunk_max: options.memory / 4 / (inputs.len().max(1) as u64),
        budget: Budget::new(options.memory / 2),
        ledger: Ledger::of(&options.cancel),
        late: Mutex::default(),
    };
    put.store_all(inputs);
    match put.finish() {
        Ok(report) => Ok(report),
        Err(cause) if as_xbcloud => Err(cause),
        Err(cause) => Err(put.take_back(cause)),
    }
}

fn refuse_if_taken(bucket: &Bucket, name: &BackupName, md5: bool) -> Result<(), CloudError> {
    let mut found = None;
    bucket.each(name.as_str(), |object, _| {
        found = Some(format!("{name}/{object}"));
        false
    })?;
    if found.is_none() && md5 && bucket.length(&md5_key(name))?.is_some() {
        found = Some(md5_key(name));
    }
    match found {
        None => Ok(()),
        Some(found) => Err(StoreError::Upload(UploadFault::Exists {
            name: name.clone(),
            found,
        })
        .into()),
    }
}

struct Put<'a> {
    bucket: Bucket,
    name: &'a BackupName,
    options: &'a PutOptions,
    progress: &'a dyn Progress,
    /// Whether the repository accepts encrypted backups only.
    sealed_only: bool,
    /// Largest payload of a chunk, in bytes.
    chunk_max: u64,
    budget: Budget,
    ledger: Ledger,
    /// Objects that are stored after all others.
    late: Mutex<Vec<Object>>,
}

/// A chunk that is to be stored.
struct Object {
    key: String,
    bytes: Bytes,
    /// Released when the object is dropped.
    _reservation: Reservation,
}

impl Put<'_> {
    /// Reads the streams to their ends and stores all objects except the late ones. Stops at the
    /// first failure.
    fn store_all(&self, inputs: Vec<Input>) {
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(self.options.parallel.max(1));
            let receiver = Arc::new(Mutex::new(receiver));
            let several = inputs.len() > 1;
            for _ in 0..self.options.parallel.max(1) {
                let receiver = Arc::clone(&receiver);
                scope.spawn(move || self.upload(&receiver));
            }
            for (stream, input) in inputs.into_iter().enumerate() {
                let sender = sender.clone();
                scope.spawn(move || {
                    let called = if several {
                        format!("stream {stream}")
                    } else {
                        "the stream".to_owned()
                    };
                    if let Err(error) = self.read(stream, &called, input, &sender) {
                        self.ledger.fail(error);
                    }
                });
            }
        });
    }

    fn read(
        &self,
        stream: usize,
        called: &str,
        input: Input,
        sender: &SyncSender<Object>,
    ) -> Result<(), CloudError> {
        let input = input.bytes(self.ledger.ended());
        let mut reader = RawReader::new(input, self.chunk_max);
        while let Some(next) = reader.next() {
            self.options.cancel.check()?;
            if self.ledger.failed() {
                return Ok(());
            }
            let (chunk, bytes) = next.map_err(|source| self.unread(called, source))?;
            let refused = |what| CloudError::Refused {
                input: called.to_owned(),
                what,
            };
            crate::manifest::check_path(chunk.path()).map_err(StoreError::from)?;
            if self.sealed_only {
                sealed::check(&chunk).map_err(refused)?;
            }
            let index = self.ledger.admit(stream, &chunk).map_err(refused)?;
            let object = object_name(chunk.path(), index);
            self.note_md5(&bytes, &object);
            let reservation = self.budget.reserve(bytes.len() as u64);
            let object = Object {
                key: format!("{}/{object}", self.name),
                bytes,
                _reservation: reservation,
            };
            self.hand_over(&chunk, object, sender)?;
        }
        Ok(())
    }

    /// Returns the error for a stream that can't be read. A cancelled job ends the read, so the
    /// error is then the cancellation.
    fn unread(&self, called: &str, source: XbstreamError) -> CloudError {
        if self.options.cancel.is_cancelled() {
            return CloudError::Interrupted;
        }
        CloudError::Stream {
            input: called.to_owned(),
            source,
        }
    }

    fn note_md5(&self, bytes: &[u8], object: &str) {
        if self.options.md5 {
            let digest = Md5::digest(bytes);
            let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
            self.ledger.lock().md5 += &format!("{hex}  {object}\n");
        }
    }

    /// Puts an object into the queue, or keeps it in memory if it must be stored last. Late objects
    /// may use half of the budget, so that any chunk still fits.
    fn hand_over(
        &self,
        chunk: &Chunk,
        object: Object,
        sender: &SyncSender<Object>,
    ) -> Result<(), CloudError> {
        if marks_finished(chunk.path()) {
            let mut late = self.late.locked();
            let held: u64 = late.iter().map(|o| o.bytes.len() as u64).sum();
            if held + object.bytes.len() as u64 <= self.options.memory / 8 {
                late.push(object);
                return Ok(());
            }
        }
        sender.send(object).map_err(|_| CloudError::Lost {
            what: "the threads that upload",
        })
    }

    fn upload(&self, receiver: &Mutex<Receiver<Object>>) {
        let next = || receiver.locked().recv();
        while let Ok(object) = next() {
            self.store(object);
        }
    }

    /// Stores one object, unless a failure occurred before.
    fn store(&self, object: Object) {
        let Object {
            key,
            bytes,
            _reservation,
        } = object;
        if self.ledger.failed() {
            return self.ledger.skipped(key);
        }
        match self.bucket.put_new(&key, vec![bytes.clone()]) {
            Ok(()) => {
                self.ledger.stored(bytes.len() as u64);
                self.progress.advance(Phase::Transfer, bytes.len() as u64);
            }
            Err(error) => {
                let hash = blake3::hash(&bytes);
                self.ledger
                    .put_failed(&key, bytes.len() as u64, hash, error);
            }
        }
    }

    fn outcome(&self) -> Result<(), CloudError> {
        // After a cancellation, objects may have been skipped without a failure.
        self.options.cancel.check()?;
        self.ledger.take_failure().map_or(Ok(()), Err)
    }

    /// Stores the MD5 digests, then the objects that mark the backup as finished.
    fn finish(&self) -> Result<PutReport, CloudError> {
        let late = std::mem::take(&mut *self.late.locked());
        let early = self.outcome().and_then(|()| {
            let missing = self.ledger.missing(TABLESPACES);
            missing.map_or(Ok(()), |what| Err(self.incomplete(what)))
        });
        if let Err(error) = early {
            self.note_incomplete(&error, &late);
            late.into_iter().for_each(|o| self.ledger.skipped(o.key));
            return Err(error);
        }
        let md5 = self.store_md5();
        if md5.is_err() {
            late.into_iter().for_each(|o| self.ledger.skipped(o.key));
        } else {
            each_in_parallel(late.into_iter(), self.options.parallel, |o| self.store(o));
        }
        self.outcome()?;
        let md5 = md5?;
        self.compare_with_store()?;
        let (objects, bytes) = {
            let state = self.ledger.lock();
            (state.objects, state.bytes)
        };
        Ok(PutReport {
            name: self.name.clone(),
            files: self.ledger.files(),
            objects,
            bytes,
            md5,
        })
    }

    /// Stores the MD5 digests of an incomplete stream whose objects stay. `late`: the objects that
    /// are not stored.
    fn note_incomplete(&self, error: &CloudError, late: &[Object]) {
        let is_incomplete = matches!(error, CloudError::Incomplete { .. });
        if self.options.manner != PutManner::Xbcloud || !is_incomplete {
            return;
        }
        let skipped = |line: &&str| {
            let object = line.split_once("  ").map_or("", |(_, object)| object);
            let key = format!("{}/{object}", self.name);
            late.iter().any(|object| object.key == key)
        };
        let mut state = self.ledger.lock();
        let kept = state.md5.lines().filter(|line| !skipped(line));
        let kept: String = kept.map(|line| format!("{line}\n")).collect();
        state.md5 = kept;
        drop(state);
        if let Err(error) = self.store_md5() {
            self.progress
                .note(&format!("the MD5 digests were not stored: {error}"));
        }
    }

    fn incomplete(&self, what: String) -> CloudError {
        CloudError::Incomplete {
            name: self.name.clone(),
            what,
        }
    }

    fn store_md5(&self) -> Result<Option<String>, CloudError> {
        if !self.options.md5 {
            return Ok(None);
        }
        let key = md5_key(self.name);
        let text = Bytes::from(std::mem::take(&mut self.ledger.lock().md5));
        if self.options.manner == PutManner::Xbcloud {
            // That of an earlier upload; without any object of this one it stays.
            if text.is_empty() {
                return Ok(None);
            }
            self.bucket.delete(&key)?;
        }
        if let Err(error) = self.bucket.put_new(&key, vec![text.clone()]) {
            let hash = blake3::hash(&text);
            self.ledger
                .put_failed(&key, text.len() as u64, hash, error.clone());
            return Err(error.into());
        }
        self.ledger.stored_outside(key.clone());
        Ok(Some(key))
    }

    /// Checks that a listing has as many objects and bytes as were put.
    fn compare_with_store(&self) -> Result<(), CloudError> {
        let (mut objects, mut bytes) = (0, 0u64);
        self.bucket.each(self.name.as_str(), |_, len| {
            objects += 1;
            bytes = bytes.saturating_add(len);
            true
        })?;
        let state = self.ledger.lock();
        if (objects, bytes) == (state.objects, state.bytes) {
            return Ok(());
        }
        Err(self.incomplete(format!(
            "{} with {} were stored, but the repository lists {objects} with {bytes}: it lost some, or another process writes there",
            count(state.objects, "object"),
            count(state.bytes, "byte")
        )))
    }

    fn take_back(&self, cause: CloudError) -> CloudError {
        self.progress
            .note("the put failed, the objects that it stored are being removed");
        let threads = self.options.parallel;
        let (left, reason) =
            self.ledger
                .take_back(&self.bucket, self.name.as_str(), threads, marks_finished);
        let cause = Box::new(cause);
        if left.is_empty() {
            CloudError::TakenBack { cause }
        } else {
            CloudError::Left {
                cause,
                left,
                reason,
            }
        }
    }
}
