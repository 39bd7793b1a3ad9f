//! The record of the objects that a put has stored, so that exactly those can be removed again.
//!
//! It has one entry a file, and the failures. The objects of a file are counted, not listed.

use crate::cancel::Cancel;
use crate::counted::count;
use crate::locked::Locked;
use crate::manifest::ManifestError;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};

use super::budget::each_in_parallel;
use super::error::CloudError;
use super::whole::{self, Coverage};
use crate::manifest::object_name;
use crate::store::{Bucket, Held, StoreError};
use crate::xbstream::Chunk;

/// The state of a put, shared by its threads.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    state: Mutex<State>,
    /// Cancelled by the first failure, and when the job is cancelled. Ends blocked reads.
    ended: Cancel,
}

#[derive(Debug, Default)]
pub(super) struct State {
    files: HashMap<String, File>,
    /// Keys that were numbered, but certainly not stored by this put.
    not_put: HashSet<String>,
    /// Keys whose put failed with an unknown outcome, with the length and the hash of the bytes
    /// that were sent.
    unsure: Vec<(String, u64, blake3::Hash)>,
    /// Keys outside of the backup's directory that were stored.
    outside: Vec<String>,
    failure: Option<CloudError>,
    /// Number of objects that were certainly stored, and their bytes.
    pub(super) objects: u64,
    pub(super) bytes: u64,
    /// The lines `md5hex  path.index`.
    pub(super) md5: String,
}

#[derive(Debug)]
struct File {
    /// The stream that contains the file.
    stream: usize,
    /// Number of objects that were numbered.
    objects: u64,
    /// The ranges that arrived; `None` after the end chunk.
    open: Option<Coverage>,
}

impl Ledger {
    /// Creates the ledger of a job that `cancel` ends.
    pub(super) fn of(cancel: &Cancel) -> Self {
        Self {
            ended: cancel.child(),
            ..Self::default()
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }

    /// Returns whether the put failed or was cancelled. No new transfer may begin then.
    pub(super) fn failed(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Returns the token that is cancelled when no new transfer may begin.
    pub(super) const fn ended(&self) -> &Cancel {
        &self.ended
    }

    /// Records a failure. Only the first is kept.
    pub(super) fn fail(&self, error: CloudError) {
        self.lock().failure.get_or_insert(error);
        // A thread that this wakes must find the failure, so this comes second.
        self.ended.cancel();
    }

    pub(super) fn take_failure(&self) -> Option<CloudError> {
        self.lock().failure.take()
    }

    /// Assigns the next index of its file to a chunk. The error says why the chunk can't belong to
    /// a backup.
    pub(super) fn admit(&self, stream: usize, chunk: &Chunk) -> Result<u64, String> {
        let mut state = self.lock();
        let path = chunk.path();
        let file = match state.files.get_mut(path) {
            Some(file) => file,
            None => state.files.entry(path.to_owned()).or_insert(File {
                stream,
                objects: 0,
                open: Some(Coverage::default()),
            }),
        };
        if file.stream != stream {
            return Err(format!(
                "{path} is in stream {} too: a file must be in one stream only",
                file.stream
            ));
        }
        if chunk.is_order() {
            return Err(format!(
                "{path}: a MariaDB chunk that renames, removes or changes an earlier file; \
                 objects of a repository can't be changed. Extract the stream and create a new one from the files"
            ));
        }
        let Some(coverage) = &mut file.open else {
            return Err(format!("{path} has a chunk after its end chunk"));
        };
        if let Some((offset, len)) = whole::range(chunk) {
            coverage
                .add(offset, len)
                .map_err(|e| format!("{path}: {e}"))?;
        }
        if matches!(chunk, Chunk::End { .. }) {
            coverage.finish().map_err(|e| format!("{path}: {e}"))?;
            file.open = None;
        }
        let index = file.objects;
        file.objects += 1;
        Ok(index)
    }

    /// Returns what the backup lacks to be complete, or `None`.
    pub(super) fn missing(&self, marker: &str) -> Option<String> {
        let state = self.lock();
        let mut open: Vec<&str> = state
            .files
            .iter()
            .filter_map(|(path, file)| file.open.is_some().then_some(path.as_str()))
            .collect();
        open.sort_unstable();
        if let Some(first) = open.first() {
            return Some(format!(
                "{} without an end chunk, the first is {first}",
                count(open.len(), "file")
            ));
        }
        let marked = state.files.keys().any(|path| path.starts_with(marker));
        (!marked).then(|| format!("it has no file {marker}, which xtrabackup writes last"))
    }

    pub(super) fn files(&self) -> u64 {
        self.lock().files.len() as u64
    }

    pub(super) fn stored(&self, bytes: u64) {
        let mut state = self.lock();
        state.objects += 1;
        state.bytes += bytes;
    }

    /// Records an object that was stored outside of the backup's directory.
    pub(super) fn stored_outside(&self, key: String) {
        self.lock().outside.push(key);
    }

    /// Records an object that was numbered but never sent.
    pub(super) fn skipped(&self, key: String) {
        self.lock().not_put.insert(key);
    }

    /// Records an object whose put failed. `bytes` and `hash` describe the bytes that were sent.
    pub(super) fn put_failed(&self, key: &str, bytes: u64, hash: blake3::Hash, error: StoreError) {
        let mut state = self.lock();
        match &error {
            StoreError::ObjectExists { .. }
            | StoreError::Manifest(ManifestError::BadPath { .. }) => {
                state.not_put.insert(key.to_owned());
            }
            _ => state.unsure.push((key.to_owned(), bytes, hash)),
        }
        drop(state);
        self.fail(error.into());
    }

    /// Removes the objects that were stored under `prefix`, first those of files that mark a backup
    /// as finished. Returns the keys that may be left, sorted, and the first reason.
    pub(super) fn take_back(
        &self,
        bucket: &Bucket,
        prefix: &str,
        threads: usize,
        marks: fn(&str) -> bool,
    ) -> (Vec<String>, String) {
        let mut state = std::mem::take(&mut *self.lock());
        let left: Mutex<(Vec<String>, String)> = Mutex::default();
        let remains = |key: String, error: StoreError| {
            let mut left = left.locked();
            if left.0.is_empty() {
                left.1 = error.to_string();
            }
            left.0.push(key);
        };
        let unsure: HashSet<&str> = state.unsure.iter().map(|(key, ..)| key.as_str()).collect();
        let remove = |key: String| {
            if let Err(error) = bucket.delete(&key) {
                remains(key, error);
            }
        };
        for first in [true, false] {
            let files = state.files.iter().filter(|(path, _)| marks(path) == first);
            let keys = files
                .flat_map(|(path, file)| (0..file.objects).map(move |i| object_name(path, i)))
                .map(|object| format!("{prefix}/{object}"))
                .filter(|key| !state.not_put.contains(key) && !unsure.contains(key.as_str()));
            each_in_parallel(keys, threads, remove);
        }
        drop(unsure);
        std::mem::take(&mut state.outside)
            .into_iter()
            .for_each(remove);
        for (key, bytes, hash) in std::mem::take(&mut state.unsure) {
            if let Err(error) = remove_if_sent(bucket, &key, bytes, hash) {
                remains(key, error);
            }
        }
        let (mut keys, reason) = left.unlocked();
        keys.sort_unstable();
        (keys, reason)
    }
}

/// Removes an object if it has the bytes that were sent.
fn remove_if_sent(
    bucket: &Bucket,
    key: &str,
    bytes: u64,
    hash: blake3::Hash,
) -> Result<(), StoreError> {
    match bucket.get(key, bytes)? {
        Held::Bytes(found) if blake3::hash(&found) == hash => bucket.delete(key),
        _ => Ok(()),
    }
}
