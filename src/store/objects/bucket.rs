//! Objects of a repository by their keys, whoever wrote them: for what speaks xbcloud's layout and has
//! no manifest to go by.
//!
//! Keys count from the repository's own place and are kept byte for byte ([`crate::store::objects::key`]). Nothing is
//! overwritten. Every call blocks its thread; the layer's runtime does the work, so that as many
//! requests are under way as threads call.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::{ObjectMeta, ObjectStoreExt, PutPayload};

use crate::counted::count;
use crate::manifest::Finding;
use crate::store::error::StoreError;
use crate::store::objects::key;
use crate::store::objects::repository::Repository;
use crate::store::objects::short::MAX_LOCAL_COMPONENT;
use crate::store::objects::single::{Got, create, exists, get};

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

/// One level of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Children {
    /// Keys of the objects.
    pub objects: Vec<String>,
    /// Keys of the directories, without a slash at the end.
    pub directories: Vec<String>,
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
    /// [`ManifestError::BadPath`](crate::manifest::ManifestError::BadPath) and [`StoreError::ObjectExists`]: certainly not stored by this call.
    /// After any other the object may be there.
    pub fn put_new(&self, key: &str, parts: Vec<Bytes>) -> Result<(), StoreError> {
        let location = self.location(key)?;
        let store = Arc::clone(self.repository.store()?);
        let runtime = self.repository.runtime();
        let result = runtime.wait("putting an object", async move {
            create(&*store, &location, PutPayload::from_iter(parts)).await
        })?;
        match result {
            Ok(()) => Ok(()),
            Err(error) if exists(&error) => Err(StoreError::ObjectExists {
                key: key.to_owned(),
            }),
            Err(error) => Err(StoreError::backend("putting", key, error)),
        }
    }

    /// Reads a whole object of at most `max` bytes; its length is looked at first.
    ///
    /// # Errors
    /// [`ManifestError::BadPath`](crate::manifest::ManifestError::BadPath), or the store's own error.
    pub fn get(&self, key: &str, max: u64) -> Result<Held, StoreError> {
        let location = self.repository.readable(self.location(key)?)?;
        let store = Arc::clone(self.repository.store()?);
        let runtime = self.repository.runtime();
        let got = runtime.wait("reading an object", async move {
            get(&*store, &location, Some(max), |found| found <= max).await
        })??;
        Ok(match got {
            Got::Bytes(bytes) => Held::Bytes(bytes),
            Got::Nothing => Held::Nothing,
            Got::Length(found) => Held::Longer(found),
        })
    }

    /// Reads `range` of an object, which must have all of it.
    ///
    /// # Errors
    /// [`ManifestError::BadPath`](crate::manifest::ManifestError::BadPath), [`StoreError::Missing`] when there is no such object,
    /// [`StoreError::Damaged`] when it is shorter, or the store's own error.
    pub fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let location = self.location(key)?;
        let store = Arc::clone(self.repository.store()?);
        let runtime = self.repository.runtime();
        let wanted = range.end - range.start;
        let got = runtime.wait("reading a range", {
            let range = range.clone();
            async move { store.get_range(&location, range).await }
        })?;
        match got {
            Ok(bytes) if bytes.len() as u64 == wanted => Ok(bytes),
            Ok(bytes) => Err(StoreError::Damaged {
                object: key.to_owned(),
                what: Finding::new(
                    format!("{} found at {}", count(bytes.len(), "byte"), range.start),
                    wanted,
                ),
            }),
            Err(object_store::Error::NotFound { .. }) => Err(StoreError::Missing {
                object: key.to_owned(),
                bytes: range.end,
            }),
            Err(error) => Err(StoreError::backend("reading", key, error)),
        }
    }

    /// Copies an object inside the store to a key that holds nothing yet.
    ///
    /// # Errors
    /// [`ManifestError::BadPath`](crate::manifest::ManifestError::BadPath), [`StoreError::Missing`] when there is nothing to copy and
    /// [`StoreError::ObjectExists`]: certainly not copied by this call. After any other the copy may be
    /// there. Unlike [`Self::put_new`] a copy whose answer was lost can't be told from another's:
    /// it is `ObjectExists` then.
    pub fn copy_new(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let (source, target) = (self.location(from)?, self.location(to)?);
        let store = Arc::clone(self.repository.store()?);
        let runtime = self.repository.runtime();
        let copied = runtime.wait("copying an object", async move {
            store.copy_if_not_exists(&source, &target).await
        })?;
        match copied {
            Ok(()) => Ok(()),
            Err(error) if exists(&error) => Err(StoreError::ObjectExists { key: to.to_owned() }),
            Err(object_store::Error::NotFound { .. }) => Err(StoreError::Missing {
                object: from.to_owned(),
                bytes: 0,
            }),
            Err(error) => Err(StoreError::backend("copying to", to, error)),
        }
    }

    /// What lies directly under `<directory>/` (at the top with `""`): keys of objects, and directories
    /// without a slash, each from the repository's own place, ascending.
    ///
    /// # Errors
    /// The listing failed.
    pub fn children(&self, directory: &str) -> Result<Children, StoreError> {
        let prefix = match directory {
            "" => None,
            directory => Some(key::prefix(directory)?),
        };
        let store = Arc::clone(self.repository.store()?);
        let runtime = self.repository.runtime();
        let listed = runtime.wait("listing", async move {
            store.list_with_delimiter(prefix.as_ref()).await
        })?;
        let listed = listed.map_err(|e| StoreError::backend("listing", directory, e))?;
        let sorted = |mut keys: Vec<String>| {
            keys.sort_unstable();
            keys
        };
        Ok(Children {
            objects: sorted(
                listed
                    .objects
                    .into_iter()
                    .map(|o| o.location.into())
                    .collect(),
            ),
            directories: sorted(listed.common_prefixes.into_iter().map(Into::into).collect()),
        })
    }

    /// The length in bytes of an object; `None` when there is none (nor, for all that the answer to a
    /// HEAD says, a bucket).
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn length(&self, key: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.head(key)?.map(|meta| meta.size))
    }

    fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        let location = self.location(key)?;
        let store = Arc::clone(self.repository.store()?);
        let runtime = self.repository.runtime();
        let found = runtime.wait("looking for an object", async move {
            store.head(&location).await
        })?;
        match found {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(StoreError::backend("looking for", key, error)),
        }
    }

    /// Calls `each` with the rest of the key and the length in bytes of every object under
    /// `<directory>/`, until it returns `false`. Whole components: `prod-full` is not `prod-full-2`. Objects
    /// without bytes that stand for directories (`<directory>/mysql/`) are passed over.
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

    /// The store's time of an object; `None` when there is none.
    pub(in crate::store) fn time(&self, key: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        Ok(self.head(key)?.map(|meta| meta.last_modified))
    }

    /// As [`Self::each`], directory markers included.
    pub(in crate::store) fn each_key(
        &self,
        directory: &str,
        mut each: impl FnMut(&str, u64) -> bool,
    ) -> Result<(), StoreError> {
        self.repository
            .each_key(directory, |rest, size, _| each(rest, size))
    }

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// [`ManifestError::BadPath`](crate::manifest::ManifestError::BadPath), or the store's own error: the object may be there still.
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
        key::raw(key, limit.map(|_| MAX_LOCAL_COMPONENT))
    }
}
