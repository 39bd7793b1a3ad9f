//! Aborting an upload: the objects that it put are removed, and no others.

use crate::manifest::{object_name, split_object_name};
use crate::store::error::upload::UploadFault;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::StreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::manifest::digest_text;
use crate::manifest::document::{MANIFEST, MAX_OBJECT};
use crate::store::error::StoreError;
use crate::store::lease::chain_lease::Lease;
use crate::store::lease::holder::LeaseHolder;
use crate::store::lease::record::End;
use crate::store::objects::manifest_key;
use crate::store::objects::manifest_key::ManifestKey;
use crate::store::objects::short::ShortNames;
use crate::store::objects::single::{Got, get};
use crate::store::upload::state::{FileState, Inner, State, Upload, UploadPhase};

/// The indices of the objects of each path whose put succeeded, ascending.
type Put = HashMap<String, Vec<u64>>;

impl Upload {
    /// Aborts the upload: waits for the puts in progress, then removes the objects that this upload
    /// put, and no others. An object whose put failed with an unknown outcome is removed if it has
    /// the bytes that were sent. Later calls on clones return
    /// [`UploadFault::Aborted`](crate::store::UploadFault::Aborted) or the first failure. `abort`
    /// may be called again on a clone to retry.
    ///
    /// # Errors
    /// [`UploadFault::AbortIncomplete`](crate::store::UploadFault::AbortIncomplete) if objects
    /// remain; [`UploadFault::Misuse`](crate::store::UploadFault::Misuse) if the backup is
    /// finished.
    pub fn abort(self) -> Result<(), StoreError> {
        let inner = &self.inner;
        let mut state = inner.wait_while(|state| state.phase == UploadPhase::Finishing);
        if state.phase == UploadPhase::Finished {
            let reason = "abort after finish: the backup is complete and stays";
            return Err(inner.misuse(reason.to_owned()));
        }
        state
            .failure
            .get_or_insert(StoreError::Upload(UploadFault::Aborted {
                name: inner.name.clone(),
            }));
        inner.set_phase(state, UploadPhase::Aborted);
        inner.packer().clear();
        drop(inner.drain());
        let lease = inner.lease.get();
        // without a lease or a slot, no other process depends on this backup yet
        let sent =
            lease.is_some_and(Lease::was_sent) || inner.sent_for_slot.load(Ordering::Acquire);
        if sent && inner.was_finished()? {
            if let Some(lease) = lease {
                lease.end(End::Done);
            }
            inner.set_phase(inner.lock(), UploadPhase::Finished);
            let reason =
                "abort after finish: the manifest was stored, the backup is complete and stays";
            return Err(inner.misuse(reason.to_owned()));
        }
        let removed = inner.remove();
        if let Some(lease) = lease {
            lease.end(if sent { End::Unsure } else { End::Unsent });
        }
        removed
    }
}

impl Inner {
    /// Removes the objects that this upload put: the manifest before the objects in it, the claim
    /// last.
    pub(in crate::store) fn remove(&self) -> Result<(), StoreError> {
        let (put, doubtful) = {
            let state = self.lock();
            (put_by_us(&state), state.doubtful.clone())
        };
        // the claim was put first
        let Some((claim, rest)) = doubtful.split_first() else {
            return Ok(());
        };
        let mut reason = None;
        for (object, digest) in rest.iter().rev() {
            if let Err(error) = self.remove_if_sent(object, digest) {
                reason.get_or_insert(error.to_string());
            }
        }
        if let Some(error) = self.remove_all(&put)? {
            reason.get_or_insert(error.to_string());
        }
        let left = self.left(&put, rest)?;
        if let Some(first) = left.first() {
            // the claim stays too: it identifies the owner of the leftovers
            let reason = reason.unwrap_or_else(|| {
                "the store reported it as removed, but it still exists".to_owned()
            });
            return Err(self.incomplete(left.len() as u64 + 1, first, reason));
        }
        let (object, digest) = claim;
        self.remove_if_sent(object, digest)
            .map_err(|error| self.incomplete(1, object, error.to_string()))
    }

    /// Returns whether a manifest that was sent with an unknown outcome was stored; another backup
    /// may then be based on it already. If it was not, the void ensures that it never will be.
    fn was_finished(&self) -> Result<bool, StoreError> {
        let object = object_name(MANIFEST, 0);
        let location = self.repository.location(&self.name, &object)?;
        let store = Arc::clone(self.repository.store()?);
        let (name, runtime) = (self.name.clone(), self.repository.runtime());
        let decided = runtime.wait("voiding a backup", async move {
            manifest_key::void(&*store, &name, &location, &LeaseHolder::this()).await
        })?;
        match decided {
            Ok(ManifestKey::Void | ManifestKey::Empty) => Ok(false),
            // only this upload puts a manifest under a name that it claimed
            Ok(ManifestKey::Manifest { .. }) => Ok(true),
            Err(error) => Err(self.incomplete(1, &object, error.to_string())),
        }
    }

    fn incomplete(&self, remaining: u64, object: &str, reason: String) -> StoreError {
        StoreError::Upload(UploadFault::AbortIncomplete {
            name: self.name.clone(),
            remaining,
            first: format!("{}/{object}", self.name),
            reason,
        })
    }

    /// Removes all objects that can be removed. Returns the first failure.
    fn remove_all(&self, put: &Put) -> Result<Option<object_store::Error>, StoreError> {
        let store = Arc::clone(self.repository.store()?);
        let locations: Vec<_> = put
            .iter()
            .flat_map(|(path, indices)| indices.iter().map(move |i| object_name(path, *i)))
            .filter_map(|object| self.repository.location(&self.name, &object).ok())
            .collect();
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

    /// Removes an object if it has the bytes that this upload sent.
    fn remove_if_sent(&self, object: &str, digest: &str) -> Result<(), StoreError> {
        let Some(location) = self.location_if_sent(object, digest)? else {
            return Ok(());
        };
        let store = Arc::clone(self.repository.store()?);
        let removed = self.repository.runtime().wait("removing an object", {
            let location = location.clone();
            async move { store.delete(&location).await }
        })?;
        match removed {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StoreError::backend("removing", location.to_string(), error)),
        }
    }

    /// Returns the location of an object if it has the bytes that this upload sent.
    fn location_if_sent(&self, object: &str, digest: &str) -> Result<Option<Path>, StoreError> {
        let location = self.repository.location(&self.name, object)?;
        let store = Arc::clone(self.repository.store()?);
        let got = self.repository.runtime().wait("reading an object", {
            let location = location.clone();
            async move { get(&*store, &location, None, |n| n <= MAX_OBJECT).await }
        })??;
        let ours = matches!(&got, Got::Bytes(bytes) if digest_text(blake3::hash(bytes)) == digest);
        Ok(ours.then_some(location))
    }

    /// Returns the names of objects that this upload put and that still exist.
    fn left(
        &self,
        put: &Put,
        doubtful: &[(String, String)],
    ) -> Result<BTreeSet<String>, StoreError> {
        let mut left = BTreeSet::new();
        let short = ShortNames::of(put.keys().map(String::as_str));
        self.repository
            .each_object(self.name.as_str(), |object, _| {
                let split = split_object_name(object);
                let indices =
                    split.and_then(|(path, index)| Some((put.get(short.path(path))?, index)));
                if indices.is_some_and(|(put, index)| put.binary_search(&index).is_ok()) {
                    left.insert(object.to_owned());
                }
                true
            })?;
        for (object, digest) in doubtful {
            if self.location_if_sent(object, digest)?.is_some() {
                left.insert(object.clone());
            }
        }
        Ok(left)
    }
}

fn put_by_us(state: &State) -> Put {
    let indices = |state: &FileState| match state {
        FileState::Open { entries, .. } => {
            let own = entries.iter().filter(|e| e.pack.is_none());
            let mut indices: Vec<u64> = own.map(|e| e.index).collect();
            indices.sort_unstable();
            indices
        }
        FileState::Done { packed: true, .. } => Vec::new(),
        FileState::Done { count, .. } => (0..*count).collect(),
    };
    let files = state.files.iter();
    let mut put: Put = files
        .map(|(path, state)| (path.clone(), indices(state)))
        .filter(|(_, indices)| !indices.is_empty())
        .collect();
    put.extend(state.packs.iter().map(|path| (path.clone(), vec![0])));
    put
}
