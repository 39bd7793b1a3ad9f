//! Writing packs (see [`crate::manifest::packed`]): small files are collected and sent as one
//! object.
//!
//! Limits: one pack is collected at a time, with copies of its files' bytes, so that buffers of the
//! page workers don't wait for a pack to fill; a pack that is sent uses one of the upload's slots.
//! [`Upload::finish_file`] for a file in the current pack sends the pack, so that a caller never
//! waits for files that may not come.

use crate::manifest::packed::{PACK_BYTES, SMALL};
use crate::manifest::{Digest, ObjectEntry, document, object_name};
use crate::store::error::StoreError;
use crate::store::upload::packer::Packer;
use crate::store::upload::send::{Outcome, put_object};
use crate::store::upload::state::{FileState, Inner, Upload};
use bytes::Bytes;
use std::sync::Arc;

impl Upload {
    /// Puts a whole file of one object (index 0, offset 0) that may share an object with others:
    /// the concatenation of `parts`, which are copied. A file of more than 128 KiB becomes an
    /// object of its own. A pack is sent when it is full, or when [`Self::finish_file`] is called
    /// for one of its files; call that only after all files are put. Blocks and fails as
    /// [`Self::put`] does.
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

/// Sends the current pack if `path` is in it.
pub(super) fn send_pack_of(inner: &Arc<Inner>, path: &str) -> Result<(), StoreError> {
    let pack = {
        let mut packer = inner.packer();
        packer.has(path).then(|| packer.take())
    };
    pack.map_or(Ok(()), |pack| send(inner, pack))
}

/// Puts a pack when one of the upload's slots is free. Returns before the pack is stored.
fn send(inner: &Arc<Inner>, mut pack: Packer) -> Result<(), StoreError> {
    let Some(first) = pack.members.first() else {
        return Ok(());
    };
    let path = first.path.clone();
    let object = object_name(&path, 0);
    let location = inner.keep(inner.repository.location(&inner.name, &object))?;
    inner.keep_lease()?;
    let store = Arc::clone(inner.keep(inner.repository.store())?);
    inner.wait_for_slot(&path)?.in_flight += 1;
    let bytes = std::mem::take(&mut pack.bytes).freeze();
    let mut sent = Sent {
        inner: Arc::clone(inner),
        path,
        entries: pack.entries(&object),
        outcome: Outcome::Lost,
    };
    inner.repository.runtime().spawn(async move {
        // All of it moves into the task: see `UploadSlot::release`.
        let sent = &mut sent;
        sent.outcome = put_object(&*store, &location, object, (0, 0), vec![bytes]).await;
    });
    Ok(())
}

/// A pack in flight. Its outcome is recorded when its task ends, also by a panic.
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
    /// Registers a file that will be in a pack.
    fn begin_packed(&self, path: &str) -> Result<(), StoreError> {
        let mut state = self.lock();
        self.check_open(&state, path)?;
        if state.files.contains_key(path) {
            return self.fail(
                state,
                self.misuse(format!(
                    "{path} was put as a whole file, but an object was put for it before"
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
