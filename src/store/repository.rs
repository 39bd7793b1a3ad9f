//! Opening a repository, and reading from it.

use super::manifest::{BYTES_MAX, digest_text};
use super::{BackupName, MANIFEST, Manifest, ObjectEntry, StoreError, key};
use crate::xbstream::{self, Chunk};
use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::runtime::Runtime;

/// A place where backups lie. Clones share it.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub url: String,
    pub runtime: Runtime,
    place: Place,
}

/// Where the objects are.
#[derive(Debug)]
enum Place {
    /// A directory; it need not be there before the first backup.
    Directory {
        root: PathBuf,
        store: OnceLock<Arc<dyn ObjectStore>>,
    },
    /// A store that is always there.
    Store(Arc<dyn ObjectStore>),
}

impl Repository {
    /// Opens `file:///path`, or a path. A directory that isn't there is made by the first backup.
    ///
    /// # Errors
    /// [`StoreError::Url`].
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let wrong = |why: &str| StoreError::Url {
            url: url.to_owned(),
            why: why.to_owned(),
        };
        let root = match url.split_once("://") {
            Some(("file", _)) => url::Url::parse(url)
                .ok()
                .and_then(|u| u.to_file_path().ok())
                .ok_or_else(|| wrong("it is no absolute path of this machine"))?,
            Some(("s3" | "gs" | "az", _)) => {
                return Err(wrong("this build has no cloud stores yet"));
            }
            Some(_) => return Err(wrong("its scheme is unknown")),
            None if url.is_empty() => return Err(wrong("it is empty")),
            None => std::path::absolute(url).map_err(|e| wrong(&e.to_string()))?,
        };
        Self::at(
            url,
            Place::Directory {
                root,
                store: OnceLock::new(),
            },
        )
    }

    /// A repository in any object store; `url` is what messages call it.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when no thread can be started.
    pub fn over(url: &str, store: Arc<dyn ObjectStore>) -> Result<Self, StoreError> {
        Self::at(url, Place::Store(store))
    }

    fn at(url: &str, place: Place) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("store")
            .enable_all()
            .build()
            .map_err(|e| StoreError::Failed {
                action: "start the threads for",
                object: url.to_owned(),
                reason: e.to_string(),
            })?;
        Ok(Self {
            inner: Arc::new(Inner {
                url: url.to_owned(),
                runtime,
                place,
            }),
        })
    }

    /// As it was opened.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// The manifest of a finished backup.
    ///
    /// # Errors
    /// [`StoreError::NotFinished`] and [`StoreError::NotFound`] tell apart what is not there; damage.
    pub fn manifest(&self, name: &BackupName) -> Result<Manifest, StoreError> {
        self.inner.runtime.block_on(self.inner.manifest(name))
    }

    /// Reads an object and checks its length and digest.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], or what the store says.
    pub fn fetch(
        &self,
        name: &BackupName,
        path: &str,
        object: &ObjectEntry,
    ) -> Result<Bytes, StoreError> {
        let key = key::object(name, path, object.index)?;
        let bytes = self.inner.runtime.block_on(self.inner.get(&key))?;
        let damaged = |what| {
            Err(StoreError::Damaged {
                object: key.to_string(),
                what,
            })
        };
        if bytes.len() as u64 != object.bytes {
            return damaged(format!(
                "it has {} bytes, the manifest says {}",
                bytes.len(),
                object.bytes
            ));
        }
        let found = digest_text(&blake3::hash(&bytes));
        if found != object.digest {
            return damaged(format!(
                "its digest is {found}, the manifest says {}",
                object.digest
            ));
        }
        Ok(bytes)
    }
}

impl Inner {
    /// The store, when it is there.
    pub(super) fn existing(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        match &self.place {
            Place::Store(store) => Ok(Arc::clone(store)),
            Place::Directory { root, .. } if !root.is_dir() => Err(StoreError::NoRepository {
                url: self.url.clone(),
            }),
            Place::Directory { root, store } => self.directory(root, store),
        }
    }

    /// The store, made when it isn't there.
    pub(super) fn made(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        if let Place::Directory { root, .. } = &self.place {
            std::fs::create_dir_all(root).map_err(|e| StoreError::Failed {
                action: "make the repository",
                object: root.display().to_string(),
                reason: e.to_string(),
            })?;
        }
        self.existing()
    }

    fn directory(
        &self,
        root: &PathBuf,
        store: &OnceLock<Arc<dyn ObjectStore>>,
    ) -> Result<Arc<dyn ObjectStore>, StoreError> {
        if let Some(store) = store.get() {
            return Ok(Arc::clone(store));
        }
        let opened = LocalFileSystem::new_with_prefix(root)
            .map_err(|e| failed("open", &self.url, &e))?
            .with_automatic_cleanup(true);
        Ok(Arc::clone(store.get_or_init(|| Arc::new(opened))))
    }

    /// Brings everything that was written to stable storage, where that isn't the store's own affair.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        match &self.place {
            Place::Store(_) => Ok(()),
            Place::Directory { root, .. } => std::fs::File::open(root)
                .and_then(|dir| Ok(rustix::fs::syncfs(&dir)?))
                .map_err(|e| StoreError::Failed {
                    action: "sync",
                    object: root.display().to_string(),
                    reason: e.to_string(),
                }),
        }
    }

    pub(super) async fn get(&self, key: &Path) -> Result<Bytes, StoreError> {
        let result = match self.existing()?.get(key).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        result.map_err(|error| match error {
            object_store::Error::NotFound { .. } => StoreError::Missing {
                object: key.to_string(),
            },
            error => failed("read", key.as_ref(), &error),
        })
    }

    pub(super) async fn manifest(&self, name: &BackupName) -> Result<Manifest, StoreError> {
        let mut text = Vec::new();
        for index in 0.. {
            let key = key::object(name, MANIFEST, index)?;
            let object = match self.get(&key).await {
                Ok(object) => object,
                Err(StoreError::Missing { .. }) if index == 0 => {
                    return Err(self.absent(name).await);
                }
                Err(error) => return Err(error),
            };
            if append(&mut text, object, &key)? {
                break;
            }
        }
        Manifest::decode(&text, name)
    }

    /// Why a backup has no manifest.
    async fn absent(&self, name: &BackupName) -> StoreError {
        match self.anything_under(name).await {
            Ok(true) => StoreError::NotFinished {
                name: name.to_string(),
            },
            Ok(false) => StoreError::NotFound {
                name: name.to_string(),
                url: self.url.clone(),
            },
            Err(error) => error,
        }
    }

    /// Whether any object lies under `<name>/`: a neighbour whose name only begins alike doesn't count.
    pub(super) async fn anything_under(&self, name: &BackupName) -> Result<bool, StoreError> {
        use futures::TryStreamExt as _;
        let prefix = Path::parse(name.as_ref()).map_err(|e| StoreError::Failed {
            action: "list",
            object: name.to_string(),
            reason: e.to_string(),
        })?;
        let first = self.existing()?.list(Some(&prefix)).try_next().await;
        first
            .map(|found| found.is_some())
            .map_err(|e| failed("list", name.as_ref(), &e))
    }
}

/// Adds an object of the manifest to its text; true when the file ends with it.
fn append(text: &mut Vec<u8>, object: Bytes, key: &Path) -> Result<bool, StoreError> {
    let damaged = |what: String| StoreError::Damaged {
        object: key.to_string(),
        what,
    };
    let mut ended = false;
    for chunk in xbstream::chunks(object) {
        match chunk.map_err(|e| damaged(e.to_string()))? {
            Chunk::Payload {
                path, offset, data, ..
            } if path == MANIFEST && offset == text.len() as u64 && !ended => {
                if text.len() as u64 + data.len() as u64 > BYTES_MAX {
                    return Err(damaged(format!(
                        "the manifest is larger than {BYTES_MAX} bytes"
                    )));
                }
                text.extend_from_slice(&data);
            }
            Chunk::End { path } if path == MANIFEST => ended = true,
            other => {
                return Err(damaged(format!(
                    "a chunk of {} that doesn't belong here",
                    other.path()
                )));
            }
        }
    }
    Ok(ended)
}

/// What the store said, in one line.
pub(super) fn failed(
    action: &'static str,
    object: &str,
    error: &object_store::Error,
) -> StoreError {
    use std::error::Error as _;
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        source = inner.source();
    }
    StoreError::Failed {
        action,
        object: object.to_owned(),
        reason,
    }
}
