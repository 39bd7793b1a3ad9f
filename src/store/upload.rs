//! Putting a backup: objects in any order, as many at once as allowed, the manifest last.

use super::manifest::digest_text;
use super::repository::{Inner, failed};
use super::{BackupName, MANIFEST, Manifest, ObjectEntry, Repository, StoreError, key};
use crate::xbstream;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The largest payload of a chunk of the manifest, in bytes.
const MANIFEST_CHUNK: usize = 8 << 20;

/// A backup on its way into a repository. Clones share it.
#[derive(Debug, Clone)]
pub struct Upload {
    inner: Arc<Inner>,
    store: Arc<dyn ObjectStore>,
    name: BackupName,
    parallel: usize,
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    files: HashMap<String, FileState>,
    failed: Option<StoreError>,
}

#[derive(Debug, Default)]
struct FileState {
    pending: usize,
    objects: Vec<ObjectEntry>,
}

impl Repository {
    /// Begins a backup under a name under which nothing lies. At most `parallel` objects are put at
    /// the same time.
    ///
    /// # Errors
    /// [`StoreError::Exists`].
    pub fn begin(&self, name: &BackupName, parallel: usize) -> Result<Upload, StoreError> {
        let inner = &self.inner;
        let store = inner.made()?;
        if inner.runtime.block_on(inner.anything_under(name))? {
            return Err(StoreError::Exists {
                url: inner.url.clone(),
                name: name.to_string(),
            });
        }
        Ok(Upload {
            inner: Arc::clone(inner),
            store,
            name: name.clone(),
            parallel: parallel.max(1),
            shared: Arc::default(),
        })
    }
}

impl Upload {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while `busy`, unless something failed.
    fn wait_while(
        &self,
        busy: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'_, State>, StoreError> {
        let mut state = self.lock();
        while state.failed.is_none() && busy(&state) {
            state = self
                .shared
                .1
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        match &state.failed {
            Some(error) => Err(error.clone()),
            None => Ok(state),
        }
    }

    /// Puts object `index` of the file `path`; `parts` are its bytes, `offset` the place of its first
    /// chunk in the file. Waits while as many objects as allowed are on their way.
    ///
    /// # Errors
    /// The first failure of any object, also of an earlier one.
    pub fn put(
        &self,
        path: &str,
        index: u64,
        offset: u64,
        parts: Vec<Bytes>,
    ) -> Result<(), StoreError> {
        let key = key::object(&self.name, path, index)?;
        let mut state = self.wait_while(|state| state.in_flight >= self.parallel)?;
        state.in_flight += 1;
        state.files.entry(path.to_owned()).or_default().pending += 1;
        drop(state);
        let (upload, path) = (self.clone(), path.to_owned());
        self.inner.runtime.spawn(async move {
            let result = put_object(&upload.store, &key, parts).await;
            upload.done(&path, index, offset, result);
        });
        Ok(())
    }

    fn done(&self, path: &str, index: u64, offset: u64, result: Result<(u64, String), StoreError>) {
        let mut state = self.lock();
        state.in_flight -= 1;
        let file = state.files.entry(path.to_owned()).or_default();
        file.pending -= 1;
        match result {
            Ok((bytes, digest)) => file.objects.push(ObjectEntry {
                index,
                offset,
                bytes,
                digest,
            }),
            Err(error) => {
                state.failed.get_or_insert(error);
            }
        }
        drop(state);
        self.shared.1.notify_all();
    }

    /// Waits for the objects of `path` and gives them, by index.
    ///
    /// # Errors
    /// The first failure of any object; an index that is missing or was put twice.
    pub fn finish_file(&self, path: &str) -> Result<Vec<ObjectEntry>, StoreError> {
        let state =
            self.wait_while(|state| state.files.get(path).is_some_and(|f| f.pending > 0))?;
        let mut objects = state
            .files
            .get(path)
            .map(|f| f.objects.clone())
            .unwrap_or_default();
        drop(state);
        objects.sort_by_key(|object| object.index);
        let dense = objects
            .iter()
            .zip(0..)
            .all(|(object, index)| object.index == index);
        if dense && !objects.is_empty() {
            return Ok(objects);
        }
        Err(StoreError::Failed {
            action: "finish",
            object: format!("{}/{path}", self.name),
            reason: format!(
                "{} objects were put, and their indices have gaps",
                objects.len()
            ),
        })
    }

    /// Ends the backup: waits for everything, brings it to stable storage, puts the manifest last.
    ///
    /// # Errors
    /// The first failure; the backup is then not finished.
    pub fn finish(self, manifest: &Manifest) -> Result<(), StoreError> {
        drop(self.wait_while(|state| state.in_flight > 0)?);
        self.inner.sync()?;
        let text = Bytes::from(manifest.encode()?);
        let wrong = |e: xbstream::XbstreamError| StoreError::Failed {
            action: "encode",
            object: format!("{}/{MANIFEST}", self.name),
            reason: e.to_string(),
        };
        let count = text.len().div_ceil(MANIFEST_CHUNK);
        // Backwards: the first object is what a reader looks for, so it must be the last one put.
        for index in (0..count).rev() {
            let from = index * MANIFEST_CHUNK;
            let data = text.slice(from..text.len().min(from + MANIFEST_CHUNK));
            let crc = xbstream::crc(&data);
            let head = xbstream::payload_head(MANIFEST, from as u64, data.len() as u64, crc);
            let mut parts = vec![head.map_err(wrong)?, data];
            if index + 1 == count {
                parts.push(xbstream::end_chunk(MANIFEST).map_err(wrong)?);
            }
            self.put(MANIFEST, index as u64, from as u64, parts)?;
            drop(self.wait_while(|state| state.in_flight > 0)?);
        }
        self.inner.sync()
    }

    /// Gives the backup up: removes what this upload has put, and nothing else.
    ///
    /// # Errors
    /// [`StoreError::LeftBehind`] when something could not be removed.
    pub fn abort(self) -> Result<(), StoreError> {
        let mut state = self.lock();
        while state.in_flight > 0 {
            state = self
                .shared
                .1
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.failed.get_or_insert(StoreError::NotFinished {
            name: self.name.to_string(),
        });
        let files = std::mem::take(&mut state.files);
        drop(state);
        let (mut left, mut reason) = (0, String::new());
        for (path, file) in &files {
            for object in &file.objects {
                let removed = key::object(&self.name, path, object.index)
                    .and_then(|key| self.inner.runtime.block_on(remove(&self.store, &key)));
                if let Err(error) = removed {
                    left += 1;
                    reason = error.to_string();
                }
            }
        }
        if left == 0 {
            return Ok(());
        }
        Err(StoreError::LeftBehind {
            name: self.name.to_string(),
            left,
            reason,
        })
    }
}

async fn remove(store: &Arc<dyn ObjectStore>, key: &Path) -> Result<(), StoreError> {
    store
        .delete(key)
        .await
        .map_err(|e| failed("remove", key.as_ref(), &e))
}

/// Hashes and stores one object; gives its length and digest.
async fn put_object(
    store: &Arc<dyn ObjectStore>,
    key: &Path,
    parts: Vec<Bytes>,
) -> Result<(u64, String), StoreError> {
    let to_hash = parts.clone();
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hasher = blake3::Hasher::new();
        let mut bytes = 0;
        for part in &to_hash {
            hasher.update(part);
            bytes += part.len() as u64;
        }
        (bytes, digest_text(&hasher.finalize()))
    });
    let hashed = hashed.await.map_err(|e| StoreError::Failed {
        action: "hash",
        object: key.to_string(),
        reason: e.to_string(),
    })?;
    let options = PutOptions {
        mode: PutMode::Create,
        ..PutOptions::default()
    };
    let payload: PutPayload = parts.into_iter().collect();
    match store.put_opts(key, payload, options).await {
        Ok(_) => Ok(hashed),
        Err(object_store::Error::AlreadyExists { .. }) => Err(StoreError::Failed {
            action: "put",
            object: key.to_string(),
            reason: "it is there already, and nothing is ever overwritten".to_owned(),
        }),
        Err(error) => Err(failed("put", key.as_ref(), &error)),
    }
}
