//! Putting the objects of a file.

use crate::manifest::{document, object_name};
use crate::store::error::StoreError;
use crate::store::upload::send::{Outcome, put_object};
use crate::store::upload::staged;
use crate::store::upload::state::{Upload, UploadSlot};
use bytes::Bytes;
use std::sync::Arc;

impl Upload {
    /// Puts the object `<name>/<path>.<20 digits of index>`: the concatenation of `parts`, which
    /// are not copied. `offset` is the logical offset in the file of its first payload byte.
    /// Returns when one of the `parallel` slots was free; a later call returns a failure of the put
    /// itself. Existing objects are never overwritten.
    ///
    /// # Errors
    /// The first failure of the upload;
    /// [`ManifestError::BadPath`](crate::manifest::ManifestError::BadPath);
    /// [`UploadFault::Misuse`](crate::store::UploadFault::Misuse) for an empty object, one of
    /// lsnap's own documents or a file that was finished.
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
        let slot = UploadSlot::new(inner, path);
        let at = (index, offset);
        if free {
            inner.repository.runtime().spawn(async move {
                let outcome = put_object(&*store, &location, object, at, parts).await;
                slot.release(outcome);
            });
            return Ok(());
        }
        let (staged, inner) = (staged::buffer(inner, parts), Arc::clone(inner));
        self.inner.repository.runtime().spawn(async move {
            // the semaphore is never closed
            let _permit = inner.staged_slots.acquire().await;
            let outcome = match staged.bytes().await {
                Ok((parts, _reservation)) => {
                    put_object(&*store, &location, object, at, parts).await
                }
                Err(error) => Outcome::Refused(error),
            };
            slot.release(outcome);
        });
        Ok(())
    }
}
