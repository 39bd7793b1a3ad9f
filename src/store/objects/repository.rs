//! A repository: where it is, and reading single things from it.

use crate::store::error::open::OpenFault;
use crate::store::objects::short::MAX_LOCAL_COMPONENT;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path as FsPath, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::cancel::Cancel;
use crate::manifest::BackupName;
use crate::store::backend::dropped::Dropped;
use crate::store::backend::options::StoreOptions;
use crate::store::backend::pace::Pace;
use crate::store::backend::paced::Paced;
use crate::store::backend::runtime::Runtime;
use crate::store::backend::url::Location;
use crate::store::backend::{clouds, url};
use crate::store::error::StoreError;
use crate::store::objects::key;
use crate::store::objects::short::short_key;
use crate::store::objects::windows::Windows;

/// A place that holds backups. Cheap to clone; every call blocks its thread and may be made from any
/// thread.
#[derive(Debug, Clone)]
pub struct Repository {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    url: String,
    /// The directory of a local repository.
    directory: Option<PathBuf>,
    store: OnceLock<Arc<dyn ObjectStore>>,
    /// The limit of a local repository (elsewhere the store holds it).
    pace: Option<Arc<Pace>>,
    runtime: Runtime,
    windows: Windows,
    /// Ends waits for the store.
    cancel: Cancel,
    /// Set when the marker was looked at.
    format_known: OnceLock<()>,
    /// Set when it was said that readers can't announce themselves.
    said_unannounced: AtomicBool,
}

impl Repository {
    /// [`Self::open_with`] what the environment says.
    ///
    /// # Errors
    /// As [`Self::open_with`].
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, &StoreOptions::default())
    }

    /// Opens `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `file:///path` or a
    /// plain path. A directory need not exist: [`Self::begin`] creates it, reading from it is an error
    /// until then. A bucket must, but is not asked yet.
    ///
    /// # Errors
    /// [`OpenFault::UnsupportedScheme`](crate::store::OpenFault::UnsupportedScheme), [`OpenFault::BadUrl`](crate::store::OpenFault::BadUrl), [`OpenFault::BadOption`](crate::store::OpenFault::BadOption),
    /// [`OpenFault::NoCredentials`](crate::store::OpenFault::NoCredentials), or the directory or the CA file can't be opened.
    pub fn open_with(url: &str, options: &StoreOptions) -> Result<Self, StoreError> {
        let cancel = Cancel::new();
        let pace = options.max_rate;
        let pace = pace.map(|rate| Arc::new(Pace::new(rate, cancel.clone())));
        let directory = match url::place(url)? {
            Location::Directory(directory) => directory,
            Location::Bucket {
                cloud,
                bucket,
                prefix,
            } => {
                let place = (cloud, bucket.as_str(), &prefix);
                let store = clouds::open(url, place, options, pace.as_ref(), &cancel)?;
                return Self::in_store(url, Paced::over(store, pace.as_ref()), cancel);
            }
        };
        let shared = Shared {
            url: url.to_owned(),
            directory: Some(directory),
            store: OnceLock::new(),
            pace,
            runtime: Runtime::new()?,
            windows: Windows::default(),
            cancel,
            format_known: OnceLock::new(),
            said_unannounced: AtomicBool::new(false),
        };
        let repository = Self {
            shared: Arc::new(shared),
        };
        match repository.store() {
            Ok(_) | Err(StoreError::Open(OpenFault::NoRepository { .. })) => Ok(repository),
            Err(error) => Err(error),
        }
    }

    /// A repository in any object store; `url` is what messages call it.
    ///
    /// # Errors
    /// [`StoreError::Io`] when no thread can be started.
    pub fn over(url: &str, store: Arc<dyn ObjectStore>) -> Result<Self, StoreError> {
        Self::in_store(url, store, Cancel::new())
    }

    fn in_store(
        url: &str,
        store: Arc<dyn ObjectStore>,
        cancel: Cancel,
    ) -> Result<Self, StoreError> {
        let shared = Shared {
            url: url.to_owned(),
            directory: None,
            store: OnceLock::from(store),
            pace: None,
            runtime: Runtime::new()?,
            windows: Windows::default(),
            cancel,
            format_known: OnceLock::new(),
            said_unannounced: AtomicBool::new(false),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Ends waits for a store that is away when `cancel` is cancelled; a request that is under way then has a few
    /// seconds. Of a directory it has no effect.
    ///
    /// The repository is of no use after that. So give it the `Cancel` of the program, or of the only job that it is
    /// opened for.
    pub fn cancel_on(&self, cancel: &Cancel) {
        self.shared.cancel.follow(cancel);
    }

    /// The URL that it was opened with.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    pub(in crate::store) fn windows(&self) -> &Windows {
        &self.shared.windows
    }

    /// Whether the marker was looked at.
    pub(in crate::store) fn is_format_known(&self) -> bool {
        self.shared.format_known.get().is_some()
    }

    pub(in crate::store) fn set_format_known(&self) {
        let _ = self.shared.format_known.set(());
    }

    /// Whether it is to be said that readers can't announce themselves: once.
    pub(in crate::store) fn says_unannounced(&self) -> bool {
        !self.shared.said_unannounced.swap(true, Ordering::AcqRel)
    }

    pub(in crate::store) fn runtime(&self) -> &Runtime {
        &self.shared.runtime
    }

    /// The directory of a local repository.
    pub(crate) fn directory(&self) -> Option<&FsPath> {
        self.shared.directory.as_deref()
    }

    /// The store, opened when its directory has come to exist.
    pub(in crate::store) fn store(&self) -> Result<&Arc<dyn ObjectStore>, StoreError> {
        if let Some(store) = self.shared.store.get() {
            return Ok(store);
        }
        let directory = self.shared.directory.as_deref().unwrap_or(FsPath::new("/"));
        match std::fs::metadata(directory) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => {
                return Err(StoreError::Open(OpenFault::BadUrl {
                    url: self.shared.url.clone(),
                    reason: "it is a file, not a directory".to_owned(),
                }));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(StoreError::Open(OpenFault::NoRepository {
                    path: directory.display().to_string(),
                }));
            }
            Err(error) => return Err(StoreError::io("opening", directory, error)),
        }
        let local = LocalFileSystem::new_with_prefix(directory)
            .map_err(|e| StoreError::backend("opening", directory.display().to_string(), e))?
            // off by default: without it a power failure may leave a manifest without its objects
            .with_fsync(true)
            .with_automatic_cleanup(true);
        Ok(self
            .shared
            .store
            .get_or_init(|| Paced::over(Arc::new(Dropped(local)), self.shared.pace.as_ref())))
    }

    /// Creates the directory of a local repository, durably.
    pub(in crate::store) fn create(&self) -> Result<(), StoreError> {
        let Some(directory) = self.shared.directory.as_deref() else {
            return Ok(());
        };
        let mut missing = Vec::new();
        let mut at = Some(directory);
        while let Some(path) = at.filter(|path| !path.exists()) {
            missing.push(path);
            at = path.parent();
        }
        std::fs::create_dir_all(directory).map_err(|e| StoreError::io("creating", directory, e))?;
        for parent in missing.iter().filter_map(|path| path.parent()) {
            File::open(parent)
                .and_then(|dir| dir.sync_all())
                .map_err(|e| StoreError::io("flushing", parent, e))?;
        }
        Ok(())
    }

    /// The longest component of a key in bytes, where the store has a limit.
    pub(in crate::store) fn longest_component(&self) -> Option<usize> {
        let local = self.shared.directory.as_ref();
        local.map(|_| MAX_LOCAL_COMPONENT)
    }

    /// The key of an object.
    pub(in crate::store) fn location(
        &self,
        name: &BackupName,
        object: &str,
    ) -> Result<Path, StoreError> {
        key::location(name, object, self.longest_component())
    }

    /// Where an object is that was put at `location`: elsewhere, when a directory was copied to an object
    /// store, and the object has a short name ([`crate::store::objects::short`]).
    pub(in crate::store) fn readable(&self, location: Path) -> Result<Path, StoreError> {
        if self.directory().is_some() {
            return Ok(location);
        }
        let short = short_key(location.as_ref()).and_then(|short| Path::parse(short).ok());
        let Some(short) = short else {
            return Ok(location);
        };
        let store = Arc::clone(self.store()?);
        self.runtime().wait("looking for an object", async move {
            match (store.head(&location).await, store.head(&short).await) {
                (Err(object_store::Error::NotFound { .. }), Ok(_)) => short,
                _ => location,
            }
        })
    }
}
