//! The state of an upload, which its puts share.

use crate::locked::{Locked, Waited};
use crate::manifest::{BackupName, ObjectEntry, object_name};
use crate::store::error::StoreError;
use crate::store::error::upload::UploadFault;
use crate::store::lease::chain_lease::Lease;
use crate::store::objects::repository::Repository;
use crate::store::slots::SlotClaim;
use crate::store::upload::packer::Packer;
use crate::store::upload::send::{Outcome, put_object};
use crate::store::upload::staging::StagingBuffer;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use tokio::sync::Semaphore;

/// A backup that is being written. Clones write to the same backup. Calls block and may come from
/// any number of threads. If it is dropped without [`Self::finish`] or [`Self::abort`], its objects
/// stay, and the backup is listed as unfinished.
#[derive(Debug, Clone)]
pub struct Upload {
    pub(in crate::store) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(in crate::store) struct Inner {
    pub repository: Repository,
    pub name: BackupName,
    pub(super) parallel: usize,
    /// Slots of buffered puts, as many as `parallel`.
    pub(super) staged_slots: Semaphore,
    /// For an incremental: the lease on its chain.
    pub lease: OnceLock<Lease>,
    /// The slot of a schedule that the backup is made for.
    pub slot: OnceLock<SlotClaim>,
    /// Whether the manifest of a backup with a slot was sent.
    pub sent_for_slot: AtomicBool,
    state: Mutex<State>,
    pub changed: Condvar,
    /// Small files that will share an object. Never locked while `state` is locked.
    pub(super) packer: Mutex<Packer>,
}

#[derive(Debug, Default)]
pub(in crate::store) struct State {
    /// Number of objects whose bytes are held.
    pub in_flight: usize,
    /// The first failure; every later call returns it.
    pub failure: Option<StoreError>,
    pub phase: UploadPhase,
    pub files: HashMap<String, FileState>,
    /// The stored packs: the path of the first file of each.
    pub packs: Vec<String>,
    /// Objects that may or may not exist, or are documents: `(object name, digest of its bytes)`.
    /// An abort removes each only if it has that digest.
    pub doubtful: Vec<(String, String)>,
    pub staging: StagingBuffer,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum UploadPhase {
    #[default]
    Open,
    Finishing,
    Finished,
    Aborted,
}

#[derive(Debug)]
pub(in crate::store) enum FileState {
    Open {
        in_flight: usize,
        entries: Vec<ObjectEntry>,
        /// Put as a whole file, possibly into a pack.
        packed: bool,
    },
    /// The entries were returned to the caller; these fields are enough to recognise them.
    Done {
        count: u64,
        digest: blake3::Hash,
        /// Whether it doesn't have an object of its own.
        packed: bool,
    },
}

impl Upload {
    /// Returns the backup's name.
    #[must_use]
    pub fn name(&self) -> &BackupName {
        &self.inner.name
    }

    /// Returns the directory of a local repository.
    pub(crate) fn directory(&self) -> Option<&std::path::Path> {
        self.inner.repository.directory()
    }
}

impl Inner {
    /// Creates the state. At most `parallel` (at least 1) objects are in flight.
    pub fn new(repository: Repository, name: BackupName, parallel: usize) -> Self {
        Self {
            repository,
            name,
            parallel: parallel.max(1),
            staged_slots: Semaphore::new(parallel.clamp(1, Semaphore::MAX_PERMITS)),
            lease: OnceLock::new(),
            slot: OnceLock::new(),
            sent_for_slot: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
            packer: Mutex::default(),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }

    pub fn wait_while(&self, blocked: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.changed
            .waited_while(self.lock(), |state| blocked(state))
    }

    /// Waits until no object is in flight.
    pub fn drain(&self) -> MutexGuard<'_, State> {
        self.wait_while(|state| state.in_flight > 0)
    }

    pub fn set_phase(&self, mut state: MutexGuard<'_, State>, phase: UploadPhase) {
        state.phase = phase;
        self.changed.notify_all();
    }

    /// Records a failure, unless there was one before, and returns the first.
    pub fn fail<T>(
        &self,
        mut state: MutexGuard<'_, State>,
        error: StoreError,
    ) -> Result<T, StoreError> {
        let first = state.failure.get_or_insert(error).clone();
        self.changed.notify_all();
        Err(first)
    }

    pub fn misuse(&self, reason: String) -> StoreError {
        StoreError::Upload(UploadFault::Misuse {
            name: self.name.clone(),
            reason,
        })
    }

    /// Puts one of lsnap's documents and waits for it.
    pub fn put_document(&self, path: &str, parts: Vec<Bytes>) -> Result<(), StoreError> {
        let object = object_name(path, 0);
        let location = self.repository.location(&self.name, &object)?;
        let store = Arc::clone(self.repository.store()?);
        let outcome = self
            .repository
            .runtime()
            .wait("putting a document", async move {
                put_object(&*store, &location, object, (0, 0), parts).await
            })?;
        match outcome {
            Outcome::Stored(entry) => {
                let object = object_name(path, 0);
                self.lock().doubtful.push((object, entry.digest_text()));
                Ok(())
            }
            Outcome::Refused(error) => Err(error),
            Outcome::Unsure(object, digest, error) => {
                self.lock().doubtful.push((object, digest));
                Err(error)
            }
            Outcome::Lost => Err(self.lost()),
        }
    }

    fn lost(&self) -> StoreError {
        StoreError::TaskDied {
            what: format!("a put to {}", self.name),
        }
    }

    pub fn keep<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.or_else(|error| self.fail(self.lock(), error))
    }

    /// Returns an error if no more objects can be put.
    pub fn check_open(&self, state: &State, path: &str) -> Result<(), StoreError> {
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        if state.phase != UploadPhase::Open {
            return Err(self.misuse(format!("{path} was put after finish or abort began")));
        }
        Ok(())
    }

    /// Waits until one of the slots is free. The caller takes it before it releases the lock. While
    /// puts are staged, the wait ends at once.
    pub fn wait_for_slot(&self, path: &str) -> Result<MutexGuard<'_, State>, StoreError> {
        let open = |state: &State| state.failure.is_none() && state.phase == UploadPhase::Open;
        let full = |state: &State| state.in_flight >= self.parallel && !state.staging.is_on();
        let state = self.wait_while(|state| open(state) && full(state));
        self.check_open(&state, path)?;
        Ok(state)
    }

    /// Takes a slot for an object of a file. Returns whether it is one of the `parallel` slots, and
    /// not an extra one for staging.
    pub fn take_slot(&self, path: &str) -> Result<bool, StoreError> {
        let mut state = self.wait_for_slot(path)?;
        let free = state.in_flight < self.parallel;
        if !state.files.contains_key(path) {
            let entries = Vec::new();
            state.files.insert(
                path.to_owned(),
                FileState::Open {
                    in_flight: 0,
                    entries,
                    packed: false,
                },
            );
        }
        match state.files.get_mut(path) {
            Some(FileState::Open {
                in_flight,
                packed: false,
                ..
            }) => *in_flight += 1,
            _ => {
                return self.fail(
                    state,
                    self.misuse(format!(
                        "an object was put for {path} after finish_file, or {path} was put as a whole file"
                    )),
                );
            }
        }
        state.in_flight += 1;
        Ok(free)
    }

    fn settle(&self, path: &str, outcome: Outcome) {
        let mut state = self.lock();
        state.in_flight -= 1;
        if let Some(FileState::Open {
            in_flight, entries, ..
        }) = state.files.get_mut(path)
        {
            *in_flight -= 1;
            if let Outcome::Stored(entry) = &outcome {
                entries.push(entry.clone());
            }
        }
        self.settle_failure(state, outcome);
    }

    /// Records the failure of a put, and wakes all waiting threads.
    pub fn settle_failure(&self, mut state: MutexGuard<'_, State>, outcome: Outcome) {
        let error = match outcome {
            Outcome::Stored(_) => None,
            Outcome::Refused(error) => Some(error),
            Outcome::Unsure(object, digest, error) => {
                state.doubtful.push((object, digest));
                Some(error)
            }
            Outcome::Lost => Some(self.lost()),
        };
        if let Some(error) = error {
            state.failure.get_or_insert(error);
        }
        self.changed.notify_all();
    }

    pub(super) fn packer(&self) -> MutexGuard<'_, Packer> {
        self.packer.locked()
    }

    /// Returns an error if the lease on the chain was lost.
    pub(super) fn keep_lease(&self) -> Result<(), StoreError> {
        match self.lease.get().and_then(Lease::lost) {
            Some(lost) => self.fail(self.lock(), lost),
            None => Ok(()),
        }
    }
}

/// One of the `parallel` slots. It is released when the task ends, also by a panic.
pub(super) struct UploadSlot {
    inner: Arc<Inner>,
    path: String,
    outcome: Outcome,
}

impl UploadSlot {
    /// Creates a slot that [`Inner::take_slot`] has taken.
    pub fn new(inner: &Arc<Inner>, path: &str) -> Self {
        Self {
            inner: Arc::clone(inner),
            path: path.to_owned(),
            outcome: Outcome::Lost,
        }
    }

    /// Releases the slot with an outcome. It takes `self` as a whole: assigning to a field would
    /// capture only that field in the task, and the slot would be released before the put began.
    pub fn release(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for UploadSlot {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Outcome::Lost);
        self.inner.settle(&self.path, outcome);
    }
}

/// Returns a digest by which a file's entries are recognised without holding them.
pub(super) fn digest_of(entries: &[ObjectEntry]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for entry in entries {
        for number in [entry.index, entry.offset, entry.bytes] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(entry.digest_text().as_bytes());
        if let Some(place) = &entry.pack {
            hasher.update(place.object.as_bytes());
            hasher.update(&place.from.to_le_bytes());
        }
    }
    hasher.finalize()
}
