//! What a put has stored, so that it can be taken back: exactly that and nothing else.
//!
//! Kept is one entry a file, and what went wrong; the objects of a file are counted, not listed.

use crate::cancel::Cancel;
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
    /// Cancelled by the first failure, and with the job: ends reads that wait.
    ended: Cancel,
}

#[derive(Debug, Default)]
pub(super) struct State {
    files: HashMap<String, File>,
    /// Keys that were numbered, but certainly not stored by us.
    not_put: HashSet<String>,
    /// Keys whose put failed without a clear answer, with the hash of what was sent.
    unsure: Vec<(String, u64, blake3::Hash)>,
    /// Keys outside of the backup's directory that were stored.
    beside: Vec<String>,
    failure: Option<CloudError>,
    /// Objects that were stored for certain, and their bytes.
    pub(super) objects: u64,
    pub(super) bytes: u64,
    /// `md5hex  path.index` lines.
    pub(super) md5: String,
}

#[derive(Debug)]
struct File {
    /// Which of the streams it comes in.
    stream: usize,
    /// Objects that were numbered.
    objects: u64,
    /// What came of it; `None` after its E chunk.
    open: Option<Coverage>,
}

impl Ledger {
    /// Of a job that `cancel` ends.
    pub(super) fn of(cancel: &Cancel) -> Self {
        Self {
            ended: cancel.child(),
            ..Self::default()
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }

    /// Whether anything went wrong, or the job is cancelled: then nothing more is begun.
    pub(super) fn failed(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Cancelled when nothing more is to be begun.
    pub(super) const fn ended(&self) -> &Cancel {
        &self.ended
    }

    /// Records a failure; the first counts.
    pub(super) fn fail(&self, error: CloudError) {
        self.lock().failure.get_or_insert(error);
        // Whoever is woken must find that something has failed.
        self.ended.cancel();
    }

    pub(super) fn take_failure(&self) -> Option<CloudError> {
        self.lock().failure.take()
    }

    /// Numbers a chunk. The error says why it can't belong to a backup.
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
                "{path} comes in stream {} too: a file belongs to one stream",
                file.stream
            ));
        }
        if chunk.is_order() {
            return Err(format!(
                "{path}: a chunk of MariaDB's that renames, removes or changes a file which was sent before; \
                 a repository's objects can't be changed. Extract the stream and make a new one of the files"
            ));
        }
        let Some(coverage) = &mut file.open else {
            return Err(format!("{path} goes on after its end chunk"));
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

    /// What is missing from a whole backup; `None`: nothing.
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
                "{} file(s) have no end chunk, the first is {first}",
                open.len()
            ));
        }
        let marked = state.files.keys().any(|path| path.starts_with(marker));
        (!marked).then(|| format!("it holds no file {marker}, which xtrabackup writes last"))
    }

    pub(super) fn files(&self) -> u64 {
        self.lock().files.len() as u64
    }

    pub(super) fn stored(&self, bytes: u64) {
        let mut state = self.lock();
        state.objects += 1;
        state.bytes += bytes;
    }

    /// Notes an object that was stored outside of the backup's directory.
    pub(super) fn stored_beside(&self, key: String) {
        self.lock().beside.push(key);
    }

    /// Notes an object that was numbered but never sent.
    pub(super) fn skipped(&self, key: String) {
        self.lock().not_put.insert(key);
    }

    /// Notes an object whose put failed; `bytes` and `hash` are of what was sent.
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

    /// Removes what was stored under `prefix`, those files first that make a backup look finished.
    /// Returns the keys of what may be left, sorted, and the first reason.
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
        std::mem::take(&mut state.beside)
            .into_iter()
            .for_each(remove);
        for (key, bytes, hash) in std::mem::take(&mut state.unsure) {
            if let Err(error) = remove_if_ours(bucket, &key, bytes, hash) {
                remains(key, error);
            }
        }
        let (mut keys, reason) = left.unlocked();
        keys.sort_unstable();
        (keys, reason)
    }
}

/// Removes an object when it has the bytes that were sent.
fn remove_if_ours(
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
