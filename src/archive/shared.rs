//! What the threads of an extraction know of each other: what is open and whole, the memory that is taken, and the first
//! failure.

use super::entry::Entry;
use super::error::ArchiveError;
use super::input::{Found, PIECE};
use super::options::{ExtractOptions, ExtractReport};
use super::root::Root;
use super::unsynced::Unsynced;
use crate::cancel::Cancel;
use crate::codec::xbcrypt::Key;
use crate::locked::{Locked, Waited};
use crate::syncing::Syncing;
use crate::xbstream::Chunk;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};

/// What readers, workers and threads of single files share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) root: Root,
    pub(super) options: ExtractOptions,
    state: Mutex<State>,
    pub(super) changed: Condvar,
    ended: Cancel,
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

/// A chunk on its way to the thread that carries it out.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) chunk: Found,
    pub(super) permit: Permit,
}

impl Task {
    /// The chunk, checked, and what holds its memory.
    pub(super) fn open(self) -> Result<(Chunk, Permit), ArchiveError> {
        Ok((self.chunk.check()?, self.permit))
    }
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

impl Shared {
    /// Opens the directory; what is to be on the disk in the end goes through `sync`.
    ///
    /// # Errors
    /// [`ArchiveError::Io`].
    pub(super) fn open(
        options: ExtractOptions,
        sync: impl Fn(&Unsynced) -> Result<(), ArchiveError> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, ArchiveError> {
        let root = Root::open(&options.directory, options.absolute_names)?;
        let ended = options.cancel.child();
        let state = State {
            unseen: options.only.iter().flatten().cloned().collect(),
            ..State::default()
        };
        // The threads that sync must not keep alive what ends them.
        Ok(Arc::new_cyclic(|shared: &Weak<Shared>| Shared {
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
            ended,
            chunks: AtomicU64::new(0),
            ignored: AtomicU64::new(0),
        }))
    }

    /// Checks and writes a chunk.
    pub(super) fn apply(&self, entry: &Entry, task: Task, buffer: &mut Vec<u8>) {
        // The permit is given back when what the chunk did is known to all.
        let applied = match task.chunk {
            Found::There(chunk) if chunk.has_data() => {
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

    /// Whether something failed, or the job is cancelled.
    pub(super) fn has_failed(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }

    /// Threads that check and write.
    pub(super) fn parallel(&self) -> usize {
        self.options.parallel.max(1)
    }

    /// Cancelled by the first failure, and with the job.
    pub(super) const fn ended(&self) -> &Cancel {
        &self.ended
    }

    pub(super) fn key(&self) -> Option<Key> {
        self.options.key.clone()
    }

    /// Counts the calling thread's child.
    pub(super) fn working(self: &Arc<Self>) -> Working {
        self.lock().threads += 1;
        Working(Arc::clone(self))
    }

    /// Waits until there is memory for `bytes`.
    pub(super) fn permit(self: &Arc<Self>, bytes: usize) -> Result<Permit, ArchiveError> {
        let bytes = bytes.min(self.options.memory);
        let full =
            |state: &mut State| !self.has_failed() && state.in_flight + bytes > self.options.memory;
        let mut state = self.changed.waited_while(self.lock(), full);
        if self.has_failed() {
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
        // Whoever is woken must find that something has failed, and whoever waits must not miss it.
        self.ended.cancel();
        drop(state);
        self.changed.notify_all();
    }
}
