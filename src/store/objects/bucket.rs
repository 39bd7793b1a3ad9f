//! Access to objects of a repository by their keys, whatever program wrote them: for xbcloud's
//! layout without a manifest.
//!
//! Keys are relative to the repository and kept byte for byte ([`crate::store::objects::key`]).
//! Objects are never overwritten. Every call blocks its thread; the runtime of the module does the
//! work, so the number of concurrent requests is that of the calling threads.

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

/// The result of reading a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// The whole object.
    Bytes(Bytes),
    /// There is no such object.
    Nothing,
    /// The object has this many bytes, more than the limit. They were not kept.
    Longer(u64),
}

/// One level of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Children {
    /// Keys of the objects.
    pub objects: Vec<String>,
    /// Keys of the directories, without a trailing slash.
    pub directories: Vec<String>,
}

impl Repository {
    /// Returns access to the objects of the repository.
    #[must_use]
    pub fn bucket(&self) -> Bucket {
        Bucket {
            repository: self.clone(),
        }
    }
}

impl Bucket {
    /// Creates the directory of a local repository. Does nothing for other stores.
    ///
    /// # Errors
    /// The directory can't be created.
    pub fn create(&self) -> Result<(), StoreError> {
        self.repository.create()
    }

    /// Puts the concatenation of `parts` under an unused key, and waits until it is durable.
    ///
    /// # Errors
    /// [`ManifestError::BadPath`](crate::manifest::ManifestError::BadPath) and
    /// [`StoreError::ObjectExists`]: certainly not stored by this call. After any other error the
    /// object may exist.
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

    /// Reads a whole object of at most `max` bytes. Its length is checked first.
    ///
    /// # Errors
    /// [`ManifestError::BadPath`](crate::manifest::ManifestError::BadPath), or an error of the
    /// store.
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

    /// Reads `range` of an object, which must contain all of it.
    ///
    /// # Errors
    /// [`ManifestError::BadPath`](crate::manifest::ManifestError::BadPath), [`StoreError::Missing`]
    /// if there is no such object, [`StoreError::Damaged`] if it is shorter, or an error of the
    /// store.
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

    /// Copies an object within the store to an unused key.
    ///
    /// # Errors
    /// [`ManifestError::BadPath`](crate::manifest::ManifestError::BadPath), [`StoreError::Missing`]
    /// if the source doesn't exist, and [`StoreError::ObjectExists`]: certainly not copied by this
    /// call. After any other error the copy may exist. Unlike with [`Self::put_new`], a copy whose
    /// response was lost can't be distinguished from one of another process; the result is
    /// `ObjectExists` then.
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

    /// Lists one level under `<directory>/` (the top level for `""`): keys of objects, and of
    /// directories without a slash, all relative to the repository, in ascending order.
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

    /// Returns the length in bytes of an object, or `None` if it doesn't exist. A missing bucket
    /// also gives `None`, because the response to a HEAD request doesn't distinguish it.
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
    /// `<directory>/`, until it returns `false`. Only whole components match: `prod-full` doesn't
    /// match `prod-full-2`. Empty objects that represent directories (`<directory>/mysql/`) are
    /// skipped.
    ///
    /// # Errors
    /// The listing failed or broke off: `each` may not have seen all objects.
    pub fn each(
        &self,
        directory: &str,
        each: impl FnMut(&str, u64) -> bool,
    ) -> Result<(), StoreError> {
        self.repository.each_object(directory, each)
    }

    /// Returns the store's time of an object, or `None` if it doesn't exist.
    pub(in crate::store) fn time(&self, key: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        Ok(self.head(key)?.map(|meta| meta.last_modified))
    }

    /// As [`Self::each`], but with directory markers.
    pub(in crate::store) fn each_key(
        &self,
        directory: &str,
        mut each: impl FnMut(&str, u64) -> bool,
    ) -> Result<(), StoreError> {
        self.repository
            .each_key(directory, |rest, size, _| each(rest, size))
    }

    /// Removes an object. A missing object is not an error.
    ///
    /// # Errors
    /// [`ManifestError::BadPath`](crate::manifest::ManifestError::BadPath), or an error of the
    /// store: the object may still exist.
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
