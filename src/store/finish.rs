//! How an upload ends: a manifest, or nothing left behind.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::StreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::store::document::{self, MANIFEST, SUMMARY};
use crate::store::manifest::{FileEntry, MANIFEST_FORMAT, digest_text};
use crate::store::repository::{AtMost, get};
use crate::store::upload::{FileState, Inner, Life, Upload, digest_of};
use crate::store::{Manifest, ObjectEntry, StoreError, Summary, key};

impl Upload {
    /// Waits for all puts, compares `manifest` with what was put and with what the store lists, and
    /// puts the manifest last. Every object was made durable by its own put (a local repository
    /// flushes file and directory). [`Manifest::digest`] of the argument is ignored.
    ///
    /// # Errors
    /// The first failure of the upload: then no manifest was put. [`StoreError::ManifestRefused`] when
    /// it contradicts itself or what was put; [`StoreError::MissingObject`] or
    /// [`StoreError::ObjectDamaged`] when the store does not hold what it took. After an error of the
    /// manifest's own put the backup may or may not be finished; [`Self::abort`] on a clone decides.
    pub fn finish(self, manifest: &Manifest) -> Result<(), StoreError> {
        let inner = &self.inner;
        let mut state = inner.lock();
        if state.life != Life::Open {
            return Err(inner.misuse("finish after finish or abort".to_owned()));
        }
        state.life = Life::Finishing;
        drop(state);
        let result = inner.finish(manifest);
        let state = inner.lock();
        match result {
            Ok(()) => {
                inner.set_life(state, Life::Finished);
                Ok(())
            }
            Err(error) => {
                let failed = inner.fail(state, error);
                inner.set_life(inner.lock(), Life::Open);
                failed
            }
        }
    }

    /// Gives up: waits for the puts under way, then removes the objects that this upload put, and
    /// only those. Later calls on clones return [`StoreError::Aborted`] or the first failure.
    ///
    /// # Errors
    /// [`StoreError::AbortIncomplete`] says what remains; [`StoreError::Misuse`] when the backup is
    /// finished.
    pub fn abort(self) -> Result<(), StoreError> {
        let inner = &self.inner;
        let mut state = inner.wait_while(|state| state.life == Life::Finishing);
        if state.life == Life::Finished {
            return Err(
                inner.misuse("abort after finish: the backup is complete and stays".to_owned())
            );
        }
        state.life = Life::Aborted;
        state.failure.get_or_insert(StoreError::Aborted {
            name: inner.name.clone(),
        });
        drop(state);
        inner.wake();
        drop(inner.drain());
        inner.remove()
    }
}

impl Inner {
    fn wake(&self) {
        let state = self.lock();
        let life = state.life;
        self.set_life(state, life);
    }

    fn finish(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let state = self.drain();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let refuse = |reason| StoreError::ManifestRefused {
            name: self.name.clone(),
            reason,
        };
        if manifest.name != self.name || manifest.format != MANIFEST_FORMAT {
            return Err(refuse(format!(
                "it names {} with format {}, expected {} with format {MANIFEST_FORMAT}",
                manifest.name, manifest.format, self.name
            )));
        }
        manifest.check().map_err(refuse)?;
        compare_with_puts(&manifest.files, &state.files).map_err(refuse)?;
        drop(state);
        self.compare_with_store(&manifest.files)?;
        let sealed = document::seal(&self.name, MANIFEST, manifest)?;
        let summary = Summary::of(manifest, sealed.digest.clone(), sealed.len());
        let summary = document::seal(&self.name, SUMMARY, &summary)?;
        self.put_document(SUMMARY, summary.parts)?;
        self.put_document(MANIFEST, sealed.parts)
    }

    /// One listing of the backup: everything that the manifest names is there with its length.
    fn compare_with_store(&self, files: &[FileEntry]) -> Result<(), StoreError> {
        let mut missing: HashMap<&str, (&[ObjectEntry], Vec<bool>)> = files
            .iter()
            .map(|f| {
                (
                    f.path.as_str(),
                    (f.objects.as_slice(), vec![true; f.objects.len()]),
                )
            })
            .collect();
        let mut wrong = None;
        self.repository
            .each_object(self.name.as_str(), |object, bytes| {
                let Some((path, index)) = key::split_object_name(object) else {
                    return true;
                };
                let at = usize::try_from(index).unwrap_or(usize::MAX);
                if let Some((objects, missing)) = missing.get_mut(path)
                    && let (Some(entry), Some(missing)) = (objects.get(at), missing.get_mut(at))
                {
                    *missing = false;
                    if entry.bytes != bytes {
                        wrong = Some(StoreError::ObjectDamaged {
                            key: format!("{}/{object}", self.name),
                            what: "length",
                            found: bytes.to_string(),
                            expected: entry.bytes.to_string(),
                        });
                    }
                }
                wrong.is_none()
            })?;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        for file in files {
            let gone = missing
                .get(file.path.as_str())
                .and_then(|(_, m)| m.iter().position(|m| *m));
            if let Some(entry) = gone.and_then(|at| file.objects.get(at)) {
                return Err(StoreError::MissingObject {
                    key: format!(
                        "{}/{}",
                        self.name,
                        key::object_name(&file.path, entry.index)
                    ),
                    bytes: entry.bytes,
                });
            }
        }
        Ok(())
    }

    /// Removes what this upload put: documents and doubtful objects by their digest, the rest by name.
    pub(super) fn remove(&self) -> Result<(), StoreError> {
        let (mut surely, doubtful) = {
            let state = self.lock();
            (put_by_us(&state.files), state.doubtful.clone())
        };
        let mut reason = None;
        // newest first: the manifest before what it names, the claim after everything
        for (object, digest) in doubtful.iter().skip(1).rev() {
            if let Err(error) = self.remove_if_ours(object, digest) {
                reason.get_or_insert(error.to_string());
            }
        }
        let locations: Vec<Path> = surely
            .iter()
            .flat_map(|(path, indices)| indices.iter().map(move |i| key::object_name(path, *i)))
            .filter_map(|object| self.repository.location(&self.name, &object).ok())
            .collect();
        if let Some(error) = self.remove_all(locations)? {
            reason.get_or_insert(error.to_string());
        }
        let left = self.ours_left(&mut surely, &doubtful)?;
        if left.is_empty() {
            // the claim goes only when nothing of ours is left that it explains
            if let Some((object, digest)) = doubtful.first() {
                return self
                    .remove_if_ours(object, digest)
                    .map_err(|error| self.incomplete(1, object, error.to_string()));
            }
            return Ok(());
        }
        let (first, _) = left
            .first_key_value()
            .map_or(("", 0), |(k, v)| (k.as_str(), *v));
        let reason = reason.unwrap_or_else(|| "the store said that it was removed".to_owned());
        Err(self.incomplete(left.len() as u64, first, reason))
    }

    fn incomplete(&self, remaining: u64, object: &str, reason: String) -> StoreError {
        StoreError::AbortIncomplete {
            name: self.name.clone(),
            remaining,
            first: format!("{}/{object}", self.name),
            reason,
        }
    }

    fn remove_all(&self, locations: Vec<Path>) -> Result<Option<object_store::Error>, StoreError> {
        let store = Arc::clone(self.repository.store()?);
        self.repository
            .runtime()
            .wait("removing objects", async move {
                let wanted = futures::stream::iter(locations.into_iter().map(Ok)).boxed();
                let mut removed = store.delete_stream(wanted);
                let mut first = None;
                while let Some(result) = removed.next().await {
                    match result {
                        Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                        Err(error) => drop(first.get_or_insert(error)),
                    }
                }
                first
            })
    }

    /// Removes an object when it has the bytes that this upload meant to put there.
    fn remove_if_ours(&self, object: &str, digest: &str) -> Result<(), StoreError> {
        let location = self.repository.location(&self.name, object)?;
        let store = Arc::clone(self.repository.store()?);
        let digest = digest.to_owned();
        self.repository
            .runtime()
            .wait("removing an object", async move {
                let found = match get(&*store, &location, document::MAX_DOCUMENT, AtMost).await {
                    // too long to be ours
                    Err(StoreError::ObjectDamaged { .. }) => None,
                    other => other?,
                };
                match found {
                    Some(bytes) if digest_text(blake3::hash(&bytes)) == digest => {}
                    _ => return Ok(()),
                }
                match store.delete(&location).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(StoreError::backend("removing", location.to_string(), error)),
                }
            })?
    }

    /// Which of the objects that were to be removed are still listed, with their length.
    fn ours_left(
        &self,
        surely: &mut [(String, Vec<u64>)],
        doubtful: &[(String, String)],
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        for (_, indices) in surely.iter_mut() {
            indices.sort_unstable();
        }
        let surely: HashMap<&str, &[u64]> = surely
            .iter()
            .map(|(p, i)| (p.as_str(), i.as_slice()))
            .collect();
        let mut left = BTreeMap::new();
        self.repository
            .each_object(self.name.as_str(), |object, bytes| {
                let Some((path, index)) = key::split_object_name(object) else {
                    return true;
                };
                let put = surely
                    .get(path)
                    .is_some_and(|i| i.binary_search(&index).is_ok());
                if put {
                    left.insert(object.to_owned(), bytes);
                }
                true
            })?;
        // the rest are few: those that still have our bytes are left
        for (object, digest) in doubtful.iter().skip(1) {
            if self.is_ours(object, digest)? {
                left.insert(object.clone(), 0);
            }
        }
        Ok(left)
    }

    fn is_ours(&self, object: &str, digest: &str) -> Result<bool, StoreError> {
        let location = self.repository.location(&self.name, object)?;
        let store = Arc::clone(self.repository.store()?);
        let found = self
            .repository
            .runtime()
            .wait("reading an object", async move {
                get(&*store, &location, document::MAX_DOCUMENT, AtMost).await
            })?;
        match found {
            Err(StoreError::ObjectDamaged { .. }) => Ok(false),
            other => Ok(other?.is_some_and(|bytes| digest_text(blake3::hash(&bytes)) == digest)),
        }
    }
}

/// Paths and indices of the objects whose put succeeded.
fn put_by_us(files: &HashMap<String, FileState>) -> Vec<(String, Vec<u64>)> {
    let indices = |state: &FileState| match state {
        FileState::Open { entries, .. } => entries.iter().map(|e| e.index).collect(),
        FileState::Done { count, .. } => (0..*count).collect(),
    };
    files
        .iter()
        .map(|(path, state)| (path.clone(), indices(state)))
        .collect()
}

fn compare_with_puts(files: &[FileEntry], put: &HashMap<String, FileState>) -> Result<(), String> {
    for file in files {
        let path = &file.path;
        match put.get(path) {
            None => return Err(format!("file {path} was not put")),
            Some(FileState::Open { .. }) => return Err(format!("file {path} was not finished")),
            Some(FileState::Done { count, digest }) => {
                if *count != file.objects.len() as u64 || *digest != digest_of(&file.objects) {
                    return Err(format!(
                        "file {path}: its {} objects are not the {count} that were put",
                        file.objects.len()
                    ));
                }
            }
        }
    }
    // `check` has seen that no path is there twice
    if files.len() != put.len() {
        let listed: std::collections::HashSet<_> = files.iter().map(|f| f.path.as_str()).collect();
        let extra = put.keys().find(|path| !listed.contains(path.as_str()));
        return Err(format!(
            "file {} was put, but is not listed",
            extra.map_or("?", |p| p)
        ));
    }
    Ok(())
}
