//! State shared by the threads of an extraction: open and complete files, memory in use, the first failure.

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

/// State shared by readers, workers and threads of single files.
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
    /// Incomplete files, by their path in the stream.
    pub(super) open: HashMap<String, File>,
    /// Complete files, by their name on disk.
    pub(super) whole: HashSet<String>,
    /// Requested paths without a chunk so far.
    pub(super) unseen: BTreeSet<String>,
    in_flight: usize,
    /// Number of chunks in flight.
    pub(super) tasks: usize,
    /// Number of threads of single files.
    pub(super) threads: usize,
    pub(super) failure: Option<ArchiveError>,
    pub(super) report: ExtractReport,
}

#[derive(Debug)]
pub(super) enum File {
    Placed(Arc<Entry>),
    /// `made`: its name on disk, once it is created. `sender`: passes chunks to its thread, until its end.
    Unwrapped {
        made: Option<String>,
        sender: Option<SyncSender<Task>>,
    },
}

/// A chunk in flight to the thread that writes it.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) chunk: Found,
    pub(super) permit: Permit,
}

impl Task {
    /// Returns the checked chunk, and its memory permit.
    pub(super) fn open(self) -> Result<(Chunk, Permit), ArchiveError> {
        Ok((self.chunk.check()?, self.permit))
    }
}

/// A share of the memory limit, which is released on drop.
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

/// Counts a thread of a single file until it is dropped.
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
    /// Opens the directory. Files and directories are synced with `sync`.
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
        // The syncing threads must not keep alive the value whose drop ends them.
        Ok(Arc::new_cyclic(|shared: &Weak<Shared>| Shared {
            syncing: Syncing::start({
                let shared = Weak::clone(shared);
                move |file: Unsynced| {
                    // Unnecessary after a failure.
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
        // The permit is released after the effect of the chunk is recorded.
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
            Ok((Some(whole), _permit)) => self.finished(entry.path(), entry.name(), whole),
            Ok((None, _permit)) => {}
            Err(error) => self.fail(error),
        }
    }

    /// Returns whether a thread failed, or the job is cancelled.
    pub(super) fn has_failed(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }

    /// Returns the number of threads that check and write.
    pub(super) fn parallel(&self) -> usize {
        self.options.parallel.max(1)
    }

    /// Returns the `Cancel` that is cancelled by the first failure, or with the job.
    pub(super) const fn ended(&self) -> &Cancel {
        &self.ended
    }

    pub(super) fn key(&self) -> Option<Key> {
        self.options.key.clone()
    }

    /// Counts a thread that the caller is about to start.
    pub(super) fn working(self: &Arc<Self>) -> Working {
        self.lock().threads += 1;
        Working(Arc::clone(self))
    }

    /// Waits until there is memory for `bytes` bytes.
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

    /// Stores the first failure and stops all threads.
    pub(super) fn fail(&self, error: ArchiveError) {
        let mut state = self.lock();
        match (&state.failure, &error) {
            (None, _) => state.failure = Some(error),
            // `Stopped` is a consequence of a failure that is stored later.
            (Some(ArchiveError::Stopped), _) => state.failure = Some(error),
            _ => {}
        }
        // Cancelled under the lock and before the notification, so that no waiter misses the failure.
        self.ended.cancel();
        drop(state);
        self.changed.notify_all();
    }
}
