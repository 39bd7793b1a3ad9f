//! Writing a backup's objects.
//!
//! ```text
//! begin:  nothing under <name>/  ->  claim (lsnap_upload.json, never overwrites: of two uploads with
//!         one name the second fails here)
//! put:    many, in any order, bounded by `parallel`
//! finish: wait, compare manifest with what was put and with what the store lists, then
//!         lsnap_summary.json, then lsnap_manifest.json
//! ```
//! Memory: the bytes of at most `parallel` objects and of the pack that is being collected, and one small entry for each object of the files
//! that are still open. The claim stays in the finished backup: deleting is a right that a writer need
//! not have.

use crate::locked::{Locked, Waited};
use crate::manifest::object_name;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{ObjectStore, PutMode, PutOptions, PutPayload};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::manifest::document::CLAIM;
use crate::manifest::{BackupName, Digest, MANIFEST_FORMAT, ObjectEntry, check_objects, document};
use crate::store::lease::Lease;
use crate::store::packer::{self, Packer};
use crate::store::runtime::compute;
use crate::store::staged::{self, Staging};
use crate::store::{Repository, StoreError};

/// A backup that is being written. Clones write to the same backup; calls block and may come from
/// any number of threads. Dropped without [`Self::finish`] or [`Self::abort`], what was put stays and
/// is listed as unfinished.
#[derive(Debug, Clone)]
pub struct Upload {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub repository: Repository,
    pub name: BackupName,
    parallel: usize,
    /// As many as `parallel`, for what was taken aside.
    turns: Semaphore,
    /// Of an incremental: what lets it into its chain.
    pub lease: OnceLock<Lease>,
    state: Mutex<State>,
    pub changed: Condvar,
    /// Small files that will share an object. Never locked while `state` is.
    pub packer: Mutex<Packer>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Objects whose bytes are held.
    pub in_flight: usize,
    /// The first failure; every later call returns it.
    pub failure: Option<StoreError>,
    pub life: Life,
    pub files: HashMap<String, FileState>,
    /// Packs that were stored: the path of the first file of each.
    pub packs: Vec<String>,
    /// Objects that may or may not be there, or are documents: `(object name, digest of its bytes)`.
    /// An abort removes each only if it has that digest.
    pub doubtful: Vec<(String, String)>,
    pub staging: Staging,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    #[default]
    Open,
    Finishing,
    Finished,
    Aborted,
}

#[derive(Debug)]
pub(super) enum FileState {
    Open {
        in_flight: usize,
        entries: Vec<ObjectEntry>,
        /// Put whole, perhaps into a pack.
        packed: bool,
    },
    /// Entries were handed to the engine; these are enough to know them again.
    Done {
        count: u64,
        digest: blake3::Hash,
        /// It has no object of its own.
        packed: bool,
    },
}

/// Says who writes here, and makes the name taken.
#[derive(Serialize)]
struct Claim<'a> {
    format: u32,
    lsnap_version: &'static str,
    upload_id: String,
    name: &'a BackupName,
    claimed_at: DateTime<Utc>,
}

impl Repository {
    /// Begins a backup: takes its name, so that nobody else can write under it. At most `parallel`
    /// (at least 1) objects are in flight.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when any object lies under `<name>/`, those of [`Self::mark`], or the store's
    /// own error.
    pub fn begin(&self, name: &BackupName, parallel: usize) -> Result<Upload, StoreError> {
        self.mark_for_backup()?;
        let taken = |found: String| StoreError::Exists {
            name: name.clone(),
            found,
        };
        let mut found = None;
        self.each_object(name.as_str(), |object, _| {
            found = Some(format!("{name}/{object}"));
            false
        })?;
        if let Some(found) = found {
            return Err(taken(found));
        }
        let inner = Inner {
            repository: self.clone(),
            name: name.clone(),
            parallel: parallel.max(1),
            turns: Semaphore::new(parallel.clamp(1, Semaphore::MAX_PERMITS)),
            lease: OnceLock::new(),
            state: Mutex::default(),
            changed: Condvar::new(),
            packer: Mutex::default(),
        };
        let claim = Claim {
            format: MANIFEST_FORMAT,
            lsnap_version: env!("CARGO_PKG_VERSION"),
            upload_id: uuid::Uuid::new_v4().to_string(),
            name,
            claimed_at: Utc::now(),
        };
        let sealed = document::seal(name, CLAIM, &claim)?;
        if let Err(error) = inner.put_document(CLAIM, sealed.parts) {
            return Err(match error {
                StoreError::ObjectExists { key } => taken(key),
                // it may have arrived: then the name would stay taken by nobody
                other => inner.remove().err().unwrap_or(other),
            });
        }
        Ok(Upload {
            inner: Arc::new(inner),
        })
    }
}

impl Upload {
    /// The backup's name.
    #[must_use]
    pub fn name(&self) -> &BackupName {
        &self.inner.name
    }

    /// The directory of a local repository.
    pub(crate) fn directory(&self) -> Option<&std::path::Path> {
        self.inner.repository.directory()
    }

    /// Puts the object `<name>/<path>.<20 digits of index>`: the concatenation of `parts`, which are
    /// not copied. `offset` is the logical offset in the file of its first payload byte. Returns when
    /// one of the `parallel` places was free; a failure of the put itself is returned by a later call.
    /// Nothing is ever overwritten.
    ///
    /// # Errors
    /// The first failure of the upload; [`ManifestError::BadPath`](crate::manifest::ManifestError::BadPath); [`StoreError::Misuse`] for an empty
    /// object, one of lsnap's own documents or a file that was finished.
    pub fn put(
        &self,
        path: &str,
        index: u64,
        offset: u64,
        parts: Vec<Bytes>,
    ) -> Result<(), StoreError> {
        let inner = &self.inner;
        let object = object_name(path, index);
        let checked = inner
            .repository
            .location(&inner.name, &object)
            .and_then(|location| {
                if parts.iter().all(Bytes::is_empty) || document::is_document(path) {
                    return Err(inner.misuse(format!(
                        "object {object} is empty or one of lsnap's own documents"
                    )));
                }
                Ok(location)
            });
        let location = inner.keep(checked)?;
        inner.keep_lease()?;
        let store = Arc::clone(inner.repository.store()?);
        let free = inner.take_slot(path)?;
        let place = UploadSlot::new(inner, path);
        let at = (index, offset);
        if free {
            inner.repository.runtime().spawn(async move {
                let outcome = put_object(&*store, &location, object, at, parts).await;
                place.give_back(outcome);
            });
            return Ok(());
        }
        let (staged, inner) = (staged::take_aside(inner, parts), Arc::clone(inner));
        self.inner.repository.runtime().spawn(async move {
            // never closed
            let _turn = inner.turns.acquire().await;
            let outcome = match staged.bytes().await {
                Ok((parts, _room)) => put_object(&*store, &location, object, at, parts).await,
                Err(error) => Outcome::Refused(error),
            };
            place.give_back(outcome);
        });
        Ok(())
    }

    /// Waits for the puts of `path` and gives its objects, sorted by index. No more can be put to it.
    ///
    /// # Errors
    /// The first failure of the upload; [`StoreError::Misuse`] when nothing was put to `path`, its
    /// indices are not dense from 0, or its offsets do not ascend from 0.
    pub fn finish_file(&self, path: &str) -> Result<Vec<ObjectEntry>, StoreError> {
        let inner = &self.inner;
        packer::send_pack_of(inner, path)?;
        let busy = |state: &State| matches!(state.files.get(path), Some(FileState::Open { in_flight, .. }) if *in_flight > 0);
        let mut state = inner.wait_while(|state| state.failure.is_none() && busy(state));
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let Some(FileState::Open { entries, .. }) = state.files.get_mut(path) else {
            return inner.fail(
                state,
                inner.misuse(format!(
                    "{path} was finished already, or nothing was put to it"
                )),
            );
        };
        let mut entries = std::mem::take(entries);
        entries.sort_unstable_by_key(|e| e.index);
        let done = FileState::Done {
            count: entries.len() as u64,
            digest: digest_of(&entries),
            packed: entries.iter().any(|entry| entry.pack.is_some()),
        };
        state.files.insert(path.to_owned(), done);
        if let Err(reason) = check_objects(path, &entries) {
            // an abort removes 0..count of a finished file: the sparse indices are named one by one
            let doubtful = entries
                .iter()
                .map(|e| (object_name(path, e.index), e.digest_text()));
            state.doubtful.extend(doubtful);
            state.files.remove(path);
            return inner.fail(state, inner.misuse(reason.to_string()));
        }
        Ok(entries)
    }
}

impl Inner {
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

    pub fn set_life(&self, mut state: MutexGuard<'_, State>, life: Life) {
        state.life = life;
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
        StoreError::Misuse {
            name: self.name.clone(),
            reason,
        }
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

    /// An error when nothing can be put any more.
    pub fn check_open(&self, state: &State, path: &str) -> Result<(), StoreError> {
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        if state.life != Life::Open {
            return Err(self.misuse(format!("{path} was put after finish or abort began")));
        }
        Ok(())
    }

    /// Waits until one of the places is free, which the caller takes before it gives the lock back. While puts
    /// are staged there is always one.
    pub fn take_room(&self, path: &str) -> Result<MutexGuard<'_, State>, StoreError> {
        let open = |state: &State| state.failure.is_none() && state.life == Life::Open;
        let full = |state: &State| state.in_flight >= self.parallel && !state.staging.is_on();
        let state = self.wait_while(|state| open(state) && full(state));
        self.check_open(&state, path)?;
        Ok(state)
    }

    /// Takes a place for an object of a file; whether it is one of the `parallel`, and not one beyond.
    pub fn take_slot(&self, path: &str) -> Result<bool, StoreError> {
        let mut state = self.take_room(path)?;
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
                        "{path} was put to after finish_file, or was put whole"
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

    /// Records what went wrong with a put, and wakes everybody.
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
}

/// One of the `parallel` places; given back when the task ends, also when it panics.
pub(super) struct UploadSlot {
    inner: Arc<Inner>,
    path: String,
    outcome: Outcome,
}

impl UploadSlot {
    /// One that [`Inner::take_slot`] gave.
    pub fn new(inner: &Arc<Inner>, path: &str) -> Self {
        Self {
            inner: Arc::clone(inner),
            path: path.to_owned(),
            outcome: Outcome::Lost,
        }
    }

    /// Takes `self` whole: assigning to a field would capture only that field in the task, and the
    /// place would be given back before the put began.
    pub fn give_back(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for UploadSlot {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Outcome::Lost);
        self.inner.settle(&self.path, outcome);
    }
}

pub(super) enum Outcome {
    Stored(ObjectEntry),
    /// Certainly not stored by us.
    Refused(StoreError),
    /// The request failed, the object may be there: its name and digest.
    Unsure(String, String, StoreError),
    /// The task died.
    Lost,
}

pub(super) async fn put_object(
    store: &dyn ObjectStore,
    location: &Path,
    object: String,
    (index, offset): (u64, u64),
    parts: Vec<Bytes>,
) -> Outcome {
    let hashing = parts.clone();
    let hashed = compute("digest", move || {
        let mut hasher = blake3::Hasher::new();
        for part in &hashing {
            hasher.update(part);
        }
        (hasher.count(), Digest::from(hasher.finalize()))
    });
    let (bytes, digest) = match hashed.await {
        Ok(hashed) => hashed,
        Err(error) => return Outcome::Refused(error),
    };
    let options = PutOptions {
        mode: PutMode::Create,
        ..PutOptions::default()
    };
    match store
        .put_opts(location, PutPayload::from_iter(pieces(parts)), options)
        .await
    {
        Ok(_) => Outcome::Stored(ObjectEntry {
            at: None,
            index,
            offset,
            bytes,
            digest: Some(digest),
            pack: None,
        }),
        Err(
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. },
        ) => Outcome::Refused(StoreError::ObjectExists {
            key: location.to_string(),
        }),
        Err(error) => Outcome::Unsure(
            object,
            digest.to_string(),
            StoreError::backend("putting", location.to_string(), error),
        ),
    }
}

/// Knows a file's entries again without holding them.
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

/// The same bytes in parts of at most 1 MiB, nothing copied. A local store writes each part with one call, and
/// large writes cost Linux more than small ones (see `restore::sparse`).
fn pieces(parts: Vec<Bytes>) -> impl Iterator<Item = Bytes> {
    const PIECE: usize = 1 << 20;
    parts.into_iter().flat_map(|part| {
        let starts = (0..part.len()).step_by(PIECE);
        starts.map(move |at| part.slice(at..part.len().min(at + PIECE)))
    })
}
