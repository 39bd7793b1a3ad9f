//! A stream becomes objects.
//!
//! ```text
//! reader (one a stream) -> numbers each chunk, checks its CRC -> queue -> uploaders (`parallel`)
//! ```
//! Both ends are bounded: by the queue's length, and by bytes (half of `memory`; the other half is what
//! the readers are just reading). The objects that make a backup look finished, to xbcloud and to
//! lsnap, wait until all others are stored: a put that is killed leaves nothing that looks whole.

use crate::cancel::Cancel;
use crate::locked::Locked;
use crate::store::UploadFault;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use md5::{Digest as _, Md5};
use serde::Serialize;

use super::budget::{Budget, Share, each_in_parallel};
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

/// How a stream is put.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PutOptions {
    /// Objects that are stored at the same time (at least 1).
    pub parallel: usize,
    /// Bytes that may be held. A chunk may have a quarter of it, divided by the number of streams.
    pub memory: u64,
    /// Whether to store `<name>.md5` too, one line an object.
    pub md5: bool,
    /// Ends the put early; what was stored is removed then.
    pub cancel: Cancel,
}

impl PutOptions {
    /// Memory in bytes for so many streams: each may have chunks of 16 MiB, which is more than
    /// xtrabackup's usual 10 MiB.
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
            cancel: Cancel::new(),
        }
    }
}

/// What was put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PutReport {
    /// The backup.
    pub name: BackupName,
    /// Its files.
    pub files: u64,
    /// Their objects.
    pub objects: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// The object with their MD5 digests.
    pub md5: Option<String>,
}

/// Stores the backup that `inputs` (xbstreams; each of its files lies in one of them) are, under
/// `name`, byte for byte as xbcloud does: `<name>/<path>.<20 digits>` is one chunk.
///
/// # Errors
/// [`UploadFault::Exists`](crate::store::UploadFault::Exists) when anything lies under the name, then nothing was written. Whatever else
/// goes wrong, what was stored is removed: [`CloudError::TakenBack`]; [`CloudError::Left`] names what
/// could not be. Their cause is an error of a stream, of the store, or [`CloudError::Incomplete`] when
/// a file has no end or the backup no `xtrabackup_tablespaces`.
pub fn put(
    repository: &Repository,
    name: &BackupName,
    inputs: Vec<Input>,
    options: &PutOptions,
    progress: &dyn Progress,
) -> Result<PutReport, CloudError> {
    let bucket = repository.bucket();
    bucket.create()?;
    refuse_if_taken(&bucket, name, options.md5)?;
    repository.mark_for_backup()?;
    progress.phase(Phase::Transfer, None);
    let put = Put {
        bucket,
        name,
        options,
        progress,
        sealed_only: repository.is_encrypted_only()?,
        chunk_max: options.memory / 4 / (inputs.len().max(1) as u64),
        budget: Budget::new(options.memory / 2),
        ledger: Ledger::of(&options.cancel),
        late: Mutex::default(),
    };
    put.store_all(inputs);
    match put.finish() {
        Ok(report) => Ok(report),
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
    /// The repository takes encrypted backups only.
    sealed_only: bool,
    /// Payload of a chunk, in bytes.
    chunk_max: u64,
    budget: Budget,
    ledger: Ledger,
    /// Objects that are stored after all others.
    late: Mutex<Vec<Object>>,
}

/// One chunk on its way.
struct Object {
    key: String,
    bytes: Bytes,
    /// Given back when the object is.
    _share: Share,
}

impl Put<'_> {
    /// Reads the streams to their ends and stores everything but the late objects, unless something
    /// fails.
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
            let share = self.budget.take(bytes.len() as u64);
            let object = Object {
                key: format!("{}/{object}", self.name),
                bytes,
                _share: share,
            };
            self.hand_over(&chunk, object, sender)?;
        }
        Ok(())
    }

    /// Why a stream could not be read on: where the reading was woken for that, because of the interruption.
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

    /// Late objects may take half of the budget, which any chunk fits beside.
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

    /// Stores one object, unless something failed before.
    fn store(&self, object: Object) {
        let Object { key, bytes, _share } = object;
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
        // Then objects may have been skipped without a failure.
        self.options.cancel.check()?;
        self.ledger.take_failure().map_or(Ok(()), Err)
    }

    /// Everything else is stored: the digests, then what makes it a finished backup.
    fn finish(&self) -> Result<PutReport, CloudError> {
        let late = std::mem::take(&mut *self.late.locked());
        let early = self.outcome().and_then(|()| {
            let missing = self.ledger.missing(TABLESPACES);
            missing.map_or(Ok(()), |what| Err(self.incomplete(what)))
        });
        if let Err(error) = early {
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
        if let Err(error) = self.bucket.put_new(&key, vec![text.clone()]) {
            let hash = blake3::hash(&text);
            self.ledger
                .put_failed(&key, text.len() as u64, hash, error.clone());
            return Err(error.into());
        }
        self.ledger.stored_beside(key.clone());
        Ok(Some(key))
    }

    /// One listing: as many objects and bytes as were put.
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
            "stored: {} of {}, but the repository lists {objects} of {bytes}: it lost some, or somebody else writes there",
            count(state.objects, "object"),
            count(state.bytes, "byte")
        )))
    }

    fn take_back(&self, cause: CloudError) -> CloudError {
        self.progress
            .note("the put failed, what it stored is being removed");
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
