//! Out of streams into a directory.
//!
//! Threads that read streams ([`super::streams`]) do themselves what a chunk says. Chunks that come from
//! elsewhere ([`Extraction::chunk`]) go to workers through a queue. At most [`ExtractOptions::memory`] bytes of
//! chunks are held.

use super::entry::Entry;
use super::error::ArchiveError;
use super::input::Found;
use super::place::Destination;
use super::shared::Shared;
use super::task::{PendingChunk, Task};
use super::unsynced::Unsynced;
use crate::cancel::Cancel;
use crate::codec::xbcrypt::Key;
use crate::locked::Locked;
use crate::xbstream::{Chunk, Unchecked};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Chunks that may wait for a worker, whatever their size.
const QUEUE: usize = 1024;

/// How a stream is to be extracted.
#[derive(Debug, Clone)]
pub struct ExtractOptions {
    /// Where to; it must exist.
    pub directory: PathBuf,
    /// Threads that check and write.
    pub parallel: usize,
    /// Bytes of chunks on their way; a chunk that is larger comes alone.
    pub memory: usize,
    /// Take `.zst` and `.lz4` off.
    pub decompress: bool,
    /// Take `.xbcrypt` off.
    pub key: Option<Key>,
    /// Let absolute paths, `..` and symbolic links lead out of the directory.
    pub absolute_names: bool,
    /// Only these paths, as they stand in the stream, and all of them; `None`: what there is.
    pub only: Option<HashSet<String>>,
    /// Ends the extraction early. What is not whole is removed.
    pub cancel: Cancel,
}

impl ExtractOptions {
    /// All of the stream into `directory`, as it is.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            parallel: 1,
            memory: 256 << 20,
            decompress: false,
            key: None,
            absolute_names: false,
            only: None,
            cancel: Cancel::new(),
        }
    }
}

/// What was extracted.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct ExtractReport {
    /// Whole files.
    pub files: u64,
    /// Their lengths together, in bytes.
    pub bytes: u64,
    /// Chunks that were read.
    pub chunks: u64,
    /// Chunks of unknown types that said that they may be ignored.
    pub ignored_chunks: u64,
}

/// An extraction that is fed chunk by chunk, from any number of threads. The chunks of one file may
/// come in any order; those of one that is unwrapped in theirs.
#[derive(Debug)]
pub struct Extraction {
    shared: Arc<Shared>,
    queue: Option<SyncSender<(Arc<Entry>, Task)>>,
    workers: Vec<JoinHandle<()>>,
}

impl Extraction {
    /// Opens the directory and starts the workers.
    ///
    /// # Errors
    /// [`ArchiveError::Io`].
    pub fn new(options: ExtractOptions) -> Result<Self, ArchiveError> {
        let mut this = Self::without_workers(options, Unsynced::sync)?;
        let (queue, receiver) = sync_channel(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..this.shared.parallel() {
            let (shared, receiver) = (Arc::clone(&this.shared), Arc::clone(&receiver));
            let worker = std::thread::Builder::new()
                .name(format!("extract-{number}"))
                .spawn(move || work(&shared, &receiver))
                .map_err(super::error::io(
                    "start a thread for",
                    std::path::Path::new("the extraction"),
                ))?;
            this.workers.push(worker);
        }
        this.queue = Some(queue);
        Ok(this)
    }

    /// Opens the directory; what is to be on the disk in the end goes through `sync`.
    pub(super) fn without_workers(
        options: ExtractOptions,
        sync: impl Fn(&Unsynced) -> Result<(), ArchiveError> + Send + Sync + 'static,
    ) -> Result<Self, ArchiveError> {
        let shared = Shared::open(options, sync)?;
        Ok(Self {
            shared,
            queue: None,
            workers: Vec::new(),
        })
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Takes a chunk in, and returns when there is room for it.
    ///
    /// # Errors
    /// [`ArchiveError::Stopped`] when something failed before: [`Self::finish`] says what.
    pub fn chunk(&self, chunk: Chunk) -> Result<(), ArchiveError> {
        self.take(PendingChunk::Checked(chunk))
    }

    /// As [`Self::chunk`], for one whose checksum is still to be looked at.
    ///
    /// # Errors
    /// As [`Self::chunk`].
    pub fn unchecked(&self, chunk: Unchecked) -> Result<(), ArchiveError> {
        self.take(PendingChunk::Found(Found::Here(chunk)))
    }

    fn take(&self, parcel: PendingChunk) -> Result<(), ArchiveError> {
        let (kind, path, _) = parcel.described();
        let gone = |_| ArchiveError::Stopped;
        match self.shared.admit(&path, parcel, kind)? {
            Some((Destination::Worker(entry), task)) => {
                let queue = self.queue.as_ref().ok_or(ArchiveError::Stopped)?;
                queue.send((entry, task)).map_err(gone)
            }
            Some((Destination::Thread(sender), task)) => {
                sender.send(task).map_err(|_| ArchiveError::Stopped)
            }
            None => Ok(()),
        }
    }

    /// No more chunks will come, though files lack their end: [`Self::finish`] then removes them and
    /// says [`ArchiveError::Stopped`].
    pub fn abandon(&self) {
        self.shared.fail(ArchiveError::Stopped);
    }

    /// Waits until all is written and on the disk.
    ///
    /// # Errors
    /// The first failure, [`ArchiveError::Unsynced`] is one; [`ArchiveError::Incomplete`] when files lack
    /// their end. What is not whole is removed. [`ArchiveError::NotThere`] when something that was asked for
    /// never came; the rest is there.
    pub fn finish(mut self) -> Result<ExtractReport, ArchiveError> {
        self.queue = None;
        for worker in std::mem::take(&mut self.workers) {
            if worker.join().is_err() {
                self.shared.fail(ArchiveError::Panicked("writes files"));
            }
        }
        self.shared.finish()
    }
}

fn work(shared: &Arc<Shared>, queue: &Mutex<Receiver<(Arc<Entry>, Task)>>) {
    let mut buffer = Vec::new();
    loop {
        let next = queue.locked().recv();
        let Ok((entry, task)) = next else { return };
        if !shared.has_failed() {
            shared.apply(&entry, task, &mut buffer);
        }
    }
}
