//! Writing packs (see [`crate::manifest::packed`]): small files are collected and sent as one object.
//!
//! Bounds: one pack is being collected, with copies of its files' bytes, so that no buffer of the page
//! workers waits for a pack to fill; one that is sent takes one of the upload's places. Who asks for a
//! file of the pack that is being collected ([`Upload::finish_file`]) sends it: nobody waits for files
//! that may not come.

use crate::manifest::packed::{PACK_BYTES, SMALL};
use crate::manifest::{Digest, ObjectEntry, document, object_name};
use crate::store::error::StoreError;
use crate::store::upload::packer::Packer;
use crate::store::upload::send::{Outcome, put_object};
use crate::store::upload::state::{FileState, Inner, Upload};
use bytes::Bytes;
use std::sync::Arc;

impl Upload {
    /// Puts a whole file, of one object (index 0, offset 0), that may share an object with others: the
    /// concatenation of `parts`, which are copied. One of more than 128 KiB becomes an object of its own.
    /// A pack is sent when it is full, or when [`Self::finish_file`] asks for one of its files, which
    /// should thus be called when all are put. Blocks and fails as [`Self::put`] does.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn put_packed(&self, path: &str, parts: Vec<Bytes>) -> Result<(), StoreError> {
        let inner = &self.inner;
        let bytes: usize = parts.iter().map(Bytes::len).sum();
        if bytes > SMALL || bytes == 0 || document::is_document(path) {
            return self.put(path, 0, 0, parts);
        }
        let object = object_name(path, 0);
        inner.keep(inner.repository.location(&inner.name, &object))?;
        inner.keep_lease()?;
        inner.begin_packed(path)?;
        let mut hasher = blake3::Hasher::new();
        for part in &parts {
            hasher.update(part);
        }
        let digest = Digest::from(hasher.finalize());
        let full = {
            let mut packer = inner.packer();
            packer.add(path, &parts, digest);
            (packer.bytes.len() >= PACK_BYTES).then(|| packer.take())
        };
        full.map_or(Ok(()), |pack| send(inner, pack))
    }
}

/// Sends the pack that is being collected if `path` is in it.
pub(in crate::store) fn send_pack_of(inner: &Arc<Inner>, path: &str) -> Result<(), StoreError> {
    let pack = {
        let mut packer = inner.packer();
        packer.has(path).then(|| packer.take())
    };
    pack.map_or(Ok(()), |pack| send(inner, pack))
}

/// Puts a pack when one of the upload's places is free; returns before it is stored.
fn send(inner: &Arc<Inner>, mut pack: Packer) -> Result<(), StoreError> {
    let Some(first) = pack.members.first() else {
        return Ok(());
    };
    let path = first.path.clone();
    let object = object_name(&path, 0);
    let location = inner.keep(inner.repository.location(&inner.name, &object))?;
    inner.keep_lease()?;
    let store = Arc::clone(inner.keep(inner.repository.store())?);
    inner.take_room(&path)?.in_flight += 1;
    let bytes = std::mem::take(&mut pack.bytes).freeze();
    let mut sent = Sent {
        inner: Arc::clone(inner),
        path,
        entries: pack.entries(&object),
        outcome: Outcome::Lost,
    };
    inner.repository.runtime().spawn(async move {
        // All of it moves into the task: see `UploadSlot::give_back`.
        let sent = &mut sent;
        sent.outcome = put_object(&*store, &location, object, (0, 0), vec![bytes]).await;
    });
    Ok(())
}

/// A pack under way; settled when its task ends, also when it panics.
struct Sent {
    inner: Arc<Inner>,
    path: String,
    entries: Vec<(String, ObjectEntry)>,
    outcome: Outcome,
}

impl Drop for Sent {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Outcome::Lost);
        let stored = matches!(outcome, Outcome::Stored(_));
        let entries = std::mem::take(&mut self.entries);
        let mut state = self.inner.lock();
        state.in_flight -= 1;
        if stored && entries.len() > 1 {
            state.packs.push(std::mem::take(&mut self.path));
        }
        for (path, entry) in entries {
            if let Some(FileState::Open {
                in_flight, entries, ..
            }) = state.files.get_mut(&path)
            {
                *in_flight -= 1;
                entries.extend(stored.then_some(entry));
            }
        }
        self.inner.settle_failure(state, outcome);
    }
}

impl Inner {
    /// Enters a file that will be in a pack.
    fn begin_packed(&self, path: &str) -> Result<(), StoreError> {
        let mut state = self.lock();
        self.check_open(&state, path)?;
        if state.files.contains_key(path) {
            return self.fail(
                state,
                self.misuse(format!(
                    "{path} was put whole, but something was put to it before"
                )),
            );
        }
        let file = FileState::Open {
            in_flight: 1,
            entries: Vec::new(),
            packed: true,
        };
        state.files.insert(path.to_owned(), file);
        Ok(())
    }
}
