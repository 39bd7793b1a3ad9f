//! Out of streams into a directory.
//!
//! Threads that read streams ([`super::streams`]) do themselves what a chunk says. Chunks that come from
//! elsewhere ([`Extraction::chunk`]) go to workers through a queue. At most [`ExtractOptions::memory`] bytes of chunks are held.

use super::entry::Entry;
use super::error::ArchiveError;
use super::input::Found;
use super::parcel::{Kind, Parcel, Task};
use super::root::Root;
use super::stop::Stop;
use super::unsynced::Unsynced;
use super::unwrapped::{self, Layers};
use crate::codec::suffixes;
use crate::codec::xbcrypt::Key;
use crate::syncing::Syncing;
use crate::xbstream::{Chunk, Unchecked};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;

/// Chunks that may wait for a worker, whatever their size.
const QUEUE: usize = 1024;
/// Files that may be unwrapped at the same time.
const UNWRAPPED_MAX: usize = 1024;

/// Bytes of a stream in a file that a thread reads, checks and writes at once: it fits into the cache
/// of its core, so that memory sees them once on their way in and once on their way out.
pub(super) const PIECE: usize = 256 << 10;

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

/// What readers, workers and threads of single files share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) root: Root,
    options: ExtractOptions,
    state: Mutex<State>,
    pub(super) changed: Condvar,
    failed: AtomicBool,
    stop: Arc<Stop>,
    pub(super) syncing: Syncing<Unsynced>,
    pub(super) chunks: AtomicU64,
    pub(super) ignored: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Files that have begun and are not whole.
    pub(super) open: HashMap<String, File>,
    /// Files that are whole, by the name that they have on disk.
    pub(super) whole: HashSet<String>,
    /// Of the paths that are wanted those of which nothing came.
    pub(super) unseen: BTreeSet<String>,
    in_flight: usize,
    /// Chunks on their way.
    pub(super) tasks: usize,
    /// Threads of single files.
    pub(super) threads: usize,
    pub(super) failure: Option<ArchiveError>,
    pub(super) report: ExtractReport,
}

#[derive(Debug)]
pub(super) enum File {
    Placed(Arc<Entry>),
    /// With the name it gets, once it is made, and the way to its thread until its end was sent.
    Unwrapped {
        made: Option<String>,
        sender: Option<SyncSender<Task>>,
    },
}

/// Memory that is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.in_flight -= self.bytes;
        state.tasks -= 1;
        drop(state);
        self.shared.changed.notify_all();
    }
}

/// A thread of a single file; counted until it is dropped.
#[derive(Debug)]
pub(super) struct Working(Arc<Shared>);

impl Working {
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(ArchiveError::Panicked("unwraps a file"));
        }
        self.0.lock().threads -= 1;
        self.0.changed.notify_all();
    }
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
        let root = Root::open(&options.directory, options.absolute_names)?;
        let stop = Stop::new()?;
        let state = State {
            unseen: options.only.iter().flatten().cloned().collect(),
            ..State::default()
        };
        // The threads that sync must not keep alive what ends them.
        let shared = Arc::new_cyclic(|shared: &Weak<Shared>| Shared {
            syncing: Syncing::start({
                let shared = Weak::clone(shared);
                move |file: Unsynced| {
                    // After a failure nobody is told that anything is there.
                    if let Some(shared) = shared.upgrade().filter(|shared| !shared.has_failed())
                        && let Err(error) = sync(&file)
                    {
                        shared.fail(error);
                    }
                }
            }),
            root,
            options,
            state: Mutex::new(state),
            changed: Condvar::new(),
            failed: AtomicBool::new(false),
            stop,
            chunks: AtomicU64::new(0),
            ignored: AtomicU64::new(0),
        });
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
        self.take(Parcel::Checked(chunk))
    }

    /// As [`Self::chunk`], for one whose checksum is still to be looked at.
    ///
    /// # Errors
    /// As [`Self::chunk`].
    pub fn unchecked(&self, chunk: Unchecked) -> Result<(), ArchiveError> {
        self.take(Parcel::Found(Found::Here(chunk)))
    }

    fn take(&self, parcel: Parcel) -> Result<(), ArchiveError> {
        let (kind, path, _) = parcel.described();
        let gone = |_| ArchiveError::Stopped;
        match self.shared.admit(&path, parcel, kind)? {
            Some((Place::Worker(entry), task)) => {
                let queue = self.queue.as_ref().ok_or(ArchiveError::Stopped)?;
                queue.send((entry, task)).map_err(gone)
            }
            Some((Place::Thread(sender), task)) => {
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
    /// The first failure, [`ArchiveError::Unsynced`] is one; [`ArchiveError::Incomplete`] when files lack their end. What is not whole is
    /// removed. [`ArchiveError::NotThere`] when something that was asked for never came; the rest is there.
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

/// Where a chunk goes.
#[derive(Debug)]
pub(super) enum Place {
    Worker(Arc<Entry>),
    Thread(SyncSender<Task>),
}

fn work(shared: &Arc<Shared>, queue: &Mutex<Receiver<(Arc<Entry>, Task)>>) {
    let mut buffer = Vec::new();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((entry, task)) = next else { return };
        if !shared.has_failed() {
            shared.apply(&entry, task, &mut buffer);
        }
    }
}

impl Shared {
    /// Checks and writes a chunk.
    pub(super) fn apply(&self, entry: &Entry, task: Task, buffer: &mut Vec<u8>) {
        // The permit is given back when what the chunk did is known to all.
        let applied = match task.chunk {
            Parcel::Found(Found::There(chunk)) if chunk.has_data() => {
                buffer.resize(PIECE, 0);
                let done = entry.copy(&self.root, &chunk, buffer);
                done.map(|whole| (whole, task.permit))
            }
            _ => task
                .open()
                .and_then(|(chunk, permit)| Ok((entry.apply(&self.root, chunk)?, permit))),
        };
        match applied {
            Ok((Some(whole), _permit)) => self.finished(entry.name(), entry.name(), whole),
            Ok((None, _permit)) => {}
            Err(error) => self.fail(error),
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Threads that check and write.
    pub(super) fn parallel(&self) -> usize {
        self.options.parallel.max(1)
    }

    /// What ends reads of pipes when something fails.
    pub(super) const fn stop(&self) -> &Arc<Stop> {
        &self.stop
    }

    pub(super) fn key(&self) -> Option<Key> {
        self.options.key.clone()
    }

    /// Counts the calling thread's child.
    pub(super) fn working(self: &Arc<Self>) -> Working {
        self.lock().threads += 1;
        Working(Arc::clone(self))
    }

    /// Waits until there is room for a chunk, and says where it goes; nowhere if it is not wanted, or
    /// was carried out at once.
    pub(super) fn admit(
        self: &Arc<Self>,
        path: &str,
        chunk: Parcel,
        kind: Kind,
    ) -> Result<Option<(Place, Task)>, ArchiveError> {
        self.chunks.fetch_add(1, Ordering::Relaxed);
        if kind.unknown {
            self.ignored.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        let wanted = self.options.only.as_ref();
        if wanted.is_some_and(|only| !only.contains(path)) {
            return Ok(None);
        }
        if kind.order {
            return self.order(chunk.check()?).map(|()| None);
        }
        if wanted.is_some() {
            self.lock().unseen.remove(path);
        }
        if kind.rewrite {
            self.begin_anew(path)?;
        }
        let unwraps = self.options.decompress || self.options.key.is_some();
        let permit = self.permit(chunk.held(unwraps))?;
        let place = self.place_of(path, kind)?;
        Ok(Some((place, Task { chunk, permit })))
    }

    /// Waits until there is memory for `bytes`.
    fn permit(self: &Arc<Self>, bytes: usize) -> Result<Permit, ArchiveError> {
        let bytes = bytes.min(self.options.memory);
        let full = |state: &mut State| {
            state.failure.is_none() && state.in_flight + bytes > self.options.memory
        };
        let mut state = self
            .changed
            .wait_while(self.lock(), full)
            .unwrap_or_else(PoisonError::into_inner);
        if state.failure.is_some() {
            return Err(ArchiveError::Stopped);
        }
        state.in_flight += bytes;
        state.tasks += 1;
        drop(state);
        Ok(Permit {
            shared: Arc::clone(self),
            bytes,
        })
    }

    /// Remembers the first failure.
    pub(super) fn fail(&self, error: ArchiveError) {
        let mut state = self.lock();
        match (&state.failure, &error) {
            (None, _) => state.failure = Some(error),
            // Whoever was stopped knows nothing; whoever stopped him comes later.
            (Some(ArchiveError::Stopped), _) => state.failure = Some(error),
            _ => {}
        }
        self.failed.store(true, Ordering::Release);
        drop(state);
        // Whoever is woken must find that something has failed.
        self.stop.stop();
        self.changed.notify_all();
    }

    /// What of a file's wrapping is to be taken off.
    fn layers<'a>(&self, path: &'a str) -> Result<(&'a str, Layers), ArchiveError> {
        let found = suffixes(path);
        let decrypt = found.encrypted && self.options.key.is_some();
        let open = decrypt || !found.encrypted;
        if found.quicklz && open && self.options.decompress {
            return Err(ArchiveError::Unsupported {
                path: path.to_owned(),
                what: "quicklz is not read here: extract without --decompress, then `qpress -d` it"
                    .to_owned(),
            });
        }
        let layers = Layers {
            encrypted: decrypt,
            compression: found
                .compression
                .filter(|_| open && self.options.decompress),
        };
        let mut name = path;
        if layers.encrypted {
            name = name.strip_suffix(".xbcrypt").unwrap_or(name);
        }
        if layers.compression.is_some() {
            name = found.inner;
        }
        Ok((name, layers))
    }

    /// Where the next chunk of a file goes; a file that is new is begun.
    fn place_of(self: &Arc<Self>, path: &str, kind: Kind) -> Result<Place, ArchiveError> {
        let Kind { end, range, .. } = kind;
        let mut state = self.lock();
        match state.open.get_mut(path) {
            Some(File::Placed(entry)) if entry.expect(end, range)? => {
                return Ok(Place::Worker(Arc::clone(entry)));
            }
            Some(File::Unwrapped { sender, .. }) => {
                let to = if end { sender.take() } else { sender.clone() };
                return to.map(Place::Thread).ok_or_else(|| ArchiveError::File {
                    path: path.to_owned(),
                    what: "it goes on after its end".to_owned(),
                });
            }
            _ => {}
        }
        let (name, layers) = self.layers(path)?;
        if state.whole.contains(name) {
            let path = path.to_owned();
            return Err(ArchiveError::Ended { path });
        }
        if !layers.any() {
            let entry = Arc::new(Entry::new(path));
            entry.expect(end, range)?;
            state
                .open
                .insert(path.to_owned(), File::Placed(Arc::clone(&entry)));
            return Ok(Place::Worker(entry));
        }
        if state.threads >= UNWRAPPED_MAX {
            return Err(ArchiveError::Unsupported {
                path: path.to_owned(),
                what: format!(
                    "more than {UNWRAPPED_MAX} files are open in the stream at once: extract without --decompress and \
                     --decrypt, then run `lsnap decrypt` and `lsnap decompress`"
                ),
            });
        }
        drop(state);
        let sender = unwrapped::start(self, path, name, layers)?;
        let mut state = self.lock();
        let kept = (!end).then(|| sender.clone());
        // The thread may have come here first.
        match state.open.get_mut(path) {
            Some(File::Unwrapped { sender, .. }) => *sender = kept,
            _ => {
                let file = File::Unwrapped {
                    made: None,
                    sender: kept,
                };
                state.open.insert(path.to_owned(), file);
            }
        }
        Ok(Place::Thread(sender))
    }

    /// The thread of a file has made it, under `name`.
    pub(super) fn made(&self, path: &str, name: &str) {
        let mut state = self.lock();
        match state.open.get_mut(path) {
            Some(File::Unwrapped { made, .. }) => *made = Some(name.to_owned()),
            _ => {
                let file = File::Unwrapped {
                    made: Some(name.to_owned()),
                    sender: None,
                };
                state.open.insert(path.to_owned(), file);
            }
        }
    }
}
