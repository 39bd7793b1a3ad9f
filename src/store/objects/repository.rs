//! A repository: its location and its store.

use crate::store::error::open::OpenFault;
use crate::store::objects::short::MAX_LOCAL_COMPONENT;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path as FsPath, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
use crate::store::listing::scope::LatestOf;
use crate::store::objects::key;
use crate::store::objects::short::short_key;
use crate::store::objects::windows::Windows;

/// A location of backups. It is cheap to clone. Every call blocks its thread and can be made on any
/// thread.
#[derive(Debug, Clone)]
pub struct Repository {
    shared: Arc<Shared>,
    /// What `latest` means for this value and its clones.
    pub(in crate::store) latest: LatestOf,
}

#[derive(Debug)]
struct Shared {
    url: String,
    /// The directory of a local repository.
    directory: Option<PathBuf>,
    store: OnceLock<Arc<dyn ObjectStore>>,
    /// The rate limit of a local repository (other stores have their own).
    pace: Option<Arc<Pace>>,
    runtime: Runtime,
    windows: Windows,
    /// Number of removed objects of which the bucket keeps a version.
    versions: Arc<AtomicU64>,
    /// Ends waits for the store.
    cancel: Cancel,
    /// Set when the marker was checked.
    format_known: OnceLock<()>,
    /// Set when the warning about readers without a record was logged.
    warned_unannounced: AtomicBool,
}

impl Repository {
    /// Opens a repository with the settings of the environment.
    ///
    /// # Errors
    /// As [`Self::open_with`].
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, &StoreOptions::default())
    }

    /// Opens `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `file:///path` or
    /// a plain path. A directory need not exist: [`Self::begin`] creates it; reading from it is an
    /// error until then. A bucket must exist, but no request is made yet.
    ///
    /// # Errors
    /// [`OpenFault::UnsupportedScheme`](crate::store::OpenFault::UnsupportedScheme),
    /// [`OpenFault::BadUrl`](crate::store::OpenFault::BadUrl),
    /// [`OpenFault::BadOption`](crate::store::OpenFault::BadOption),
    /// [`OpenFault::NoCredentials`](crate::store::OpenFault::NoCredentials), or the directory or
    /// the CA file can't be opened.
    pub fn open_with(url: &str, options: &StoreOptions) -> Result<Self, StoreError> {
        let cancel = Cancel::new();
        let pace = options.max_rate;
        let pace = pace.map(|rate| Arc::new(Pace::new(rate, cancel.clone())));
        let directory = match url::parse(url)? {
            Location::Directory(directory) => directory,
            Location::Bucket {
                cloud,
                bucket,
                prefix,
            } => {
                let place = (cloud, bucket.as_str(), &prefix);
                let versions = Arc::default();
                let store = clouds::open(url, place, options, pace.as_ref(), &versions, &cancel)?;
                let store = Paced::over(store, pace.as_ref());
                return Self::in_store(url, store, versions, cancel);
            }
        };
        let shared = Shared {
            url: url.to_owned(),
            directory: Some(directory),
            store: OnceLock::new(),
            pace,
            runtime: Runtime::new()?,
            windows: Windows::default(),
            versions: Arc::default(),
            cancel,
            format_known: OnceLock::new(),
            warned_unannounced: AtomicBool::new(false),
        };
        let repository = Self {
            shared: Arc::new(shared),
            latest: LatestOf::default(),
        };
        match repository.store() {
            Ok(_) | Err(StoreError::Open(OpenFault::NoRepository { .. })) => Ok(repository),
            Err(error) => Err(error),
        }
    }

    /// Opens a repository in any object store. `url` is its name in messages.
    ///
    /// # Errors
    /// [`StoreError::Io`] if threads can't be started.
    pub fn over(url: &str, store: Arc<dyn ObjectStore>) -> Result<Self, StoreError> {
        Self::in_store(url, store, Arc::default(), Cancel::new())
    }

    fn in_store(
        url: &str,
        store: Arc<dyn ObjectStore>,
        versions: Arc<AtomicU64>,
        cancel: Cancel,
    ) -> Result<Self, StoreError> {
        let shared = Shared {
            url: url.to_owned(),
            directory: None,
            store: OnceLock::from(store),
            pace: None,
            runtime: Runtime::new()?,
            windows: Windows::default(),
            versions,
            cancel,
            format_known: OnceLock::new(),
            warned_unannounced: AtomicBool::new(false),
        };
        Ok(Self {
            shared: Arc::new(shared),
            latest: LatestOf::default(),
        })
    }

    /// Ends waits for an unavailable store when `cancel` is cancelled; a request in progress may
    /// take a few seconds more. This has no effect on a directory.
    ///
    /// The repository can't be used after that. Pass the `Cancel` of the program, or of the only
    /// job that uses the repository.
    pub fn cancel_on(&self, cancel: &Cancel) {
        self.shared.cancel.follow(cancel);
    }

    /// Returns the URL that it was opened with.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Returns the number of objects that were removed with this value or its clones, and of which
    /// the bucket keeps a version: their bytes are not freed.
    #[must_use]
    pub fn kept_versions(&self) -> u64 {
        self.shared.versions.load(Ordering::Acquire)
    }

    pub(super) fn windows(&self) -> &Windows {
        &self.shared.windows
    }

    /// Returns whether the marker was checked.
    pub(super) fn is_format_known(&self) -> bool {
        self.shared.format_known.get().is_some()
    }

    pub(super) fn set_format_known(&self) {
        let _ = self.shared.format_known.set(());
    }

    /// Returns whether to log the warning about a reader without a record: true at the first call
    /// only.
    pub(in crate::store) fn is_first_unannounced(&self) -> bool {
        !self.shared.warned_unannounced.swap(true, Ordering::AcqRel)
    }

    pub(in crate::store) fn runtime(&self) -> &Runtime {
        &self.shared.runtime
    }

    /// Returns the directory of a local repository.
    pub(crate) fn directory(&self) -> Option<&FsPath> {
        self.shared.directory.as_deref()
    }

    /// Returns the store. A local store is opened when its directory exists.
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

    /// Returns the longest component of a key in bytes, if the store has a limit.
    pub(in crate::store) fn longest_component(&self) -> Option<usize> {
        let local = self.shared.directory.as_ref();
        local.map(|_| MAX_LOCAL_COMPONENT)
    }

    /// Returns the key of an object.
    pub(in crate::store) fn location(
        &self,
        name: &BackupName,
        object: &str,
    ) -> Result<Path, StoreError> {
        key::location(name, object, self.longest_component())
    }

    /// Returns the key of an object that was put at `location`. It differs if a directory was
    /// copied to an object store and the object has a short name
    /// ([`crate::store::objects::short`]).
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
