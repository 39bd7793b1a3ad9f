//! Objects of a repository by their keys, whoever wrote them: for what speaks xbcloud's layout and has
//! no manifest to go by.
//!
//! Keys count from the repository's own place and are kept byte for byte ([`super::key`]). Nothing is
//! overwritten. Every call blocks its thread; the room's runtime does the work, so that as many
//! requests are under way as threads call.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::store::repository::{Got, get};
use crate::store::{Repository, StoreError, key};

/// The objects of a repository. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bucket {
    repository: Repository,
}

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// The whole object.
    Bytes(Bytes),
    /// No such object.
    Nothing,
    /// An object of this many bytes, more than was asked for; they were not kept.
    Longer(u64),
}

impl Repository {
    /// The repository's objects as they are.
    #[must_use]
    pub fn bucket(&self) -> Bucket {
        Bucket {
            repository: self.clone(),
        }
    }
}

impl Bucket {
    /// Makes the place where a local repository lies; elsewhere nothing.
    ///
    /// # Errors
    /// The directory can't be created.
    pub fn create(&self) -> Result<(), StoreError> {
        self.repository.create()
    }

    /// Puts the concatenation of `parts` under a key that holds nothing yet, and waits until it is
    /// durable.
    ///
    /// # Errors
    /// [`StoreError::BadPath`] and [`StoreError::ObjectExists`]: certainly not stored by this call.
    /// After any other the object may be there.
    pub fn put_new(&self, key: &str, parts: Vec<Bytes>) -> Result<(), StoreError> {
        let location = self.location(key)?;
        let store = Arc::clone(self.repository.store()?);
        let runtime = self.repository.runtime();
        let result = runtime.wait("putting an object", async move {
            let options = PutOptions {
                mode: PutMode::Create,
                ..PutOptions::default()
            };
            let payload = PutPayload::from_iter(parts);
            store.put_opts(&location, payload, options).await
        })?;
        match result {
            Ok(_) => Ok(()),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Err(StoreError::ObjectExists {
                key: key.to_owned(),
            }),
            Err(error) => Err(StoreError::backend("putting", key, error)),
        }
    }

    /// Reads a whole object of at most `max` bytes; its length is looked at first.
    ///
    /// # Errors
    /// [`StoreError::BadPath`], or the store's own error.
    pub fn get(&self, key: &str, max: u64) -> Result<Held, StoreError> {
        let location = self.location(key)?;
        let store = Arc::clone(self.repository.store()?);
        let runtime = self.repository.runtime();
        let got = runtime.wait("reading an object", async move {
            get(&*store, &location, |found| found <= max).await
        })??;
        Ok(match got {
            Got::Bytes(bytes) => Held::Bytes(bytes),
            Got::Nothing => Held::Nothing,
            Got::Length(found) => Held::Longer(found),
        })
    }

    /// The length in bytes of an object; `None` when there is none.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn length(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let location = self.location(key)?;
        let store = Arc::clone(self.repository.store()?);
        let runtime = self.repository.runtime();
        let found = runtime.wait("looking for an object", async move {
            store.head(&location).await
        })?;
        match found {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(StoreError::backend("looking for", key, error)),
        }
    }

    /// Calls `each` with the rest of the key and the length in bytes of every object under
    /// `<directory>/`, until it returns `false`. Whole components: `prod-full` is not `prod-full-2`.
    ///
    /// # Errors
    /// The listing failed or broke off: what `each` saw may not be everything.
    pub fn each(
        &self,
        directory: &str,
        each: impl FnMut(&str, u64) -> bool,
    ) -> Result<(), StoreError> {
        self.repository.each_object(directory, each)
    }

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// [`StoreError::BadPath`], or the store's own error: the object may be there still.
    pub fn delete(&self, key: &str) -> Result<(), StoreError> {
        let location = self.location(key)?;
        let store = Arc::clone(self.repository.store()?);
        let runtime = self.repository.runtime();
        let removed = runtime.wait("removing an object", async move {
            store.delete(&location).await
        })?;
        match removed {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StoreError::backend("removing", key, error)),
        }
    }

    fn location(&self, key: &str) -> Result<object_store::path::Path, StoreError> {
        let limit = self.repository.directory();
        key::raw(key, limit.map(|_| key::MAX_LOCAL_COMPONENT))
    }
}
