//! A repository: where it is, and reading single things from it.

use crate::manifest::{object_name, split_object_name};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path as FsPath, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{SinkExt, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cancel::Cancel;
use crate::counted::count;
use crate::manifest::document::{CLAIM, MANIFEST, MAX_OBJECT};
use crate::manifest::{
    BackupName, Finding, Layout, MANIFEST_FORMAT, Manifest, ObjectEntry, PACKED_FORMAT, document,
};
use crate::store::bounded_list::Repeats;
use crate::store::checked::get_checked;
use crate::store::dropped::Dropped;
use crate::store::own::Belongs;
use crate::store::pace::Pace;
use crate::store::paced::{Expected, Paced};
use crate::store::runtime::Runtime;
use crate::store::short::short_key;
use crate::store::url::Location;
use crate::store::windows::Windows;
use crate::store::{StoreError, StoreOptions, clouds, key, local_read, manifest_key, url};

/// Keys that a listing may run ahead of its reader.
const LISTED_AHEAD: usize = 1024;

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
    /// [`StoreError::UnsupportedScheme`], [`StoreError::BadUrl`], [`StoreError::BadOption`],
    /// [`StoreError::NoCredentials`], or the directory or the CA file can't be opened.
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
            Ok(_) | Err(StoreError::NoRepository { .. }) => Ok(repository),
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

    /// Waits until the store answers. Of a directory it does nothing.
    ///
    /// # Errors
    /// The store's own error.
    pub fn reach(&self) -> Result<(), StoreError> {
        if self.directory().is_some() {
            return Ok(());
        }
        self.each_object(".lsnap", |_, _| false)
    }

    /// The URL that it was opened with.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Reads a backup's manifest.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::NotFinished`] and [`StoreError::Foreign`] when there
    /// is none; [`StoreError::Damaged`] when it is not what was written or contradicts itself;
    /// [`StoreError::UnknownFormat`].
    pub fn manifest(&self, name: &BackupName) -> Result<Manifest, StoreError> {
        let read = match self.text(name, MANIFEST) {
            // One that lsnap stores is a single object; in a stream each chunk is one.
            Err(StoreError::Damaged { .. }) if self.has_second_object(name)? => {
                return Err(StoreError::Streamed { name: name.clone() });
            }
            read => read?,
        };
        let Some((json, digest, key)) = read else {
            return Err(self.why_no_manifest(name)?);
        };
        let damaged = |what| StoreError::Damaged {
            object: key.clone(),
            what,
        };
        let mut manifest: Manifest = document::parse(&json).map_err(damaged)?;
        manifest.read_from(&json);
        if manifest.layout == Layout::Stream {
            return Err(StoreError::Streamed { name: name.clone() });
        }
        if manifest.name != *name {
            return Err(damaged(Finding::new(
                format!("it is the manifest of {}", manifest.name),
                format!("{name}: the directory was renamed or copied, give it its name back"),
            )));
        }
        manifest.check().map_err(damaged)?;
        manifest.digest = digest;
        Ok(manifest)
    }

    /// Fetches a whole object of the file `path`, or what the file has of a pack, and checks its length
    /// and digest.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], or the store's own error.
    pub fn fetch(
        &self,
        name: &BackupName,
        path: &str,
        object: &ObjectEntry,
    ) -> Result<Bytes, StoreError> {
        if let Some(place) = &object.pack {
            return self.fetch_packed(name, path, object, place);
        }
        let location = self.location(name, &object_name(path, object.index))?;
        let location = self.readable(location)?;
        let (store, object) = (Arc::clone(self.store()?), object.clone());
        self.runtime().wait("fetching an object", async move {
            get_checked(&*store, &location, &object).await
        })?
    }

    pub(super) fn windows(&self) -> &Windows {
        &self.shared.windows
    }

    /// Whether the marker was looked at.
    pub(super) fn is_format_known(&self) -> bool {
        self.shared.format_known.get().is_some()
    }

    pub(super) fn set_format_known(&self) {
        let _ = self.shared.format_known.set(());
    }

    /// Whether it is to be said that readers can't announce themselves: once.
    pub(super) fn says_unannounced(&self) -> bool {
        !self.shared.said_unannounced.swap(true, Ordering::AcqRel)
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.shared.runtime
    }

    /// The directory of a local repository.
    pub(crate) fn directory(&self) -> Option<&FsPath> {
        self.shared.directory.as_deref()
    }

    /// The store, opened when its directory has come to exist.
    pub(super) fn store(&self) -> Result<&Arc<dyn ObjectStore>, StoreError> {
        if let Some(store) = self.shared.store.get() {
            return Ok(store);
        }
        let directory = self.shared.directory.as_deref().unwrap_or(FsPath::new("/"));
        match std::fs::metadata(directory) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => {
                return Err(StoreError::BadUrl {
                    url: self.shared.url.clone(),
                    reason: "it is a file, not a directory".to_owned(),
                });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(StoreError::NoRepository {
                    path: directory.display().to_string(),
                });
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
    pub(super) fn create(&self) -> Result<(), StoreError> {
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
    pub(super) fn longest_component(&self) -> Option<usize> {
        let local = self.shared.directory.as_ref();
        local.map(|_| key::MAX_LOCAL_COMPONENT)
    }

    /// The key of an object.
    pub(super) fn location(&self, name: &BackupName, object: &str) -> Result<Path, StoreError> {
        key::location(name, object, self.longest_component())
    }

    /// Where an object is that was put at `location`: elsewhere, when a directory was copied to an object
    /// store, and the object has a short name ([`super::short`]).
    pub(super) fn readable(&self, location: Path) -> Result<Path, StoreError> {
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

    /// Calls `each` with the key after `<directory>/` and the length of every object below it, until
    /// it returns `false`.
    pub(super) fn each_object(
        &self,
        directory: &str,
        mut each: impl FnMut(&str, u64) -> bool,
    ) -> Result<(), StoreError> {
        self.each_entry(directory, |rest, size, _| each(rest, size))
    }

    /// As [`Self::each_object`], with the store's time of the object too. Directory markers are passed
    /// over ([`Belongs::DirectoryMarker`]).
    pub(super) fn each_entry(
        &self,
        directory: &str,
        mut each: impl FnMut(&str, u64, DateTime<Utc>) -> bool,
    ) -> Result<(), StoreError> {
        self.each_key(directory, |rest, size, time| {
            Belongs::is_directory_marker(rest, size) || each(rest, size, time)
        })
    }

    /// As [`Self::each_entry`], of every key.
    pub(super) fn each_key(
        &self,
        directory: &str,
        mut each: impl FnMut(&str, u64, DateTime<Utc>) -> bool,
    ) -> Result<(), StoreError> {
        self.check_format()?;
        let prefix = key::prefix(directory)?;
        let start = format!("{prefix}/");
        let store = Arc::clone(self.store()?);
        let (mut sender, receiver) = futures::channel::mpsc::channel(LISTED_AHEAD);
        self.runtime().spawn(async move {
            let mut listing = store.list(Some(&prefix));
            let mut repeats = Repeats::default();
            while let Some(item) = listing.next().await {
                let item =
                    item.and_then(|m| repeats.next(&m.location).map(|()| m).map_err(Into::into));
                let step = Step::Item(item.map(|m| (m.location, m.size, m.last_modified)));
                // the reader has seen enough
                if sender.send(step).await.is_err() {
                    return;
                }
            }
            let _ = sender.send(Step::End).await;
        });
        for step in futures::executor::block_on_stream(receiver) {
            let (location, size, time) = match step {
                Step::Item(item) => item.map_err(|e| StoreError::backend("listing", &start, e))?,
                Step::End => return Ok(()),
            };
            let rest = location.as_ref().strip_prefix(&start);
            if let Some(rest) = rest
                && !each(rest, size, time)
            {
                return Ok(());
            }
        }
        Err(StoreError::TaskDied {
            what: format!("listing {start}"),
        })
    }

    /// Reads and checks one of lsnap's documents: the value, its digest and its key; `None` when
    /// there is none.
    pub(super) fn document<T: DeserializeOwned>(
        &self,
        name: &BackupName,
        path: &str,
    ) -> Result<Option<(T, String, String)>, StoreError> {
        let Some((json, digest, key)) = self.text(name, path)? else {
            return Ok(None);
        };
        let value = document::parse(&json).map_err(|what| StoreError::Damaged {
            object: key.clone(),
            what,
        })?;
        Ok(Some((value, digest, key)))
    }

    /// As [`Self::document`], with the JSON text instead of the value.
    fn text(
        &self,
        name: &BackupName,
        path: &str,
    ) -> Result<Option<(Bytes, String, String)>, StoreError> {
        self.check_format()?;
        let location = self.location(name, &object_name(path, 0))?;
        let key = location.to_string();
        let store = Arc::clone(self.store()?);
        let got = self.runtime().wait("reading a document", async move {
            get(&*store, &location, None, |n| n <= MAX_OBJECT).await
        })??;
        let damaged = |what| StoreError::Damaged {
            object: key.clone(),
            what,
        };
        let object = match got {
            Got::Bytes(object) => object,
            Got::Nothing => return Ok(None),
            Got::Length(found) => {
                return Err(damaged(
                    format!(
                        "{found} found, at most {MAX_OBJECT} expected",
                        found = count(found, "byte")
                    )
                    .into(),
                ));
            }
        };
        let (json, digest) = document::open(path, &object).map_err(damaged)?;
        if path == MANIFEST && manifest_key::is_void(&json) {
            return Ok(None);
        }
        let Format { format } = document::parse(&json).map_err(damaged)?;
        if !(MANIFEST_FORMAT..=PACKED_FORMAT).contains(&format) {
            return Err(StoreError::UnknownFormat {
                key,
                found: format,
                expected: PACKED_FORMAT,
            });
        }
        Ok(Some((json, digest, key)))
    }

    fn has_second_object(&self, name: &BackupName) -> Result<bool, StoreError> {
        let second = format!("{name}/{}", object_name(MANIFEST, 1));
        Ok(self.bucket().length(&second)?.is_some())
    }

    fn why_no_manifest(&self, name: &BackupName) -> Result<StoreError, StoreError> {
        let (mut any, mut ours, mut theirs) = (false, false, false);
        self.each_object(name.as_str(), |object, _| {
            any = true;
            ours |=
                split_object_name(object).is_some_and(|(path, _)| matches!(path, CLAIM | MANIFEST));
            theirs |= is_xtrabackups(object);
            !ours
        })?;
        Ok(if !any {
            StoreError::NotFound {
                name: name.to_string(),
                url: self.url().to_owned(),
                hint: format!("nothing lies under {name}/"),
            }
        } else if theirs && !ours {
            StoreError::Foreign { name: name.clone() }
        } else {
            StoreError::NotFinished {
                name: name.clone(),
                manifest: MANIFEST,
            }
        })
    }
}

/// What the task that lists sends. The end is told, because a task that died would otherwise look
/// like one: a listing cut short is a silent loss.
enum Step {
    Item(Result<(Path, u64, DateTime<Utc>), object_store::Error>),
    End,
}

/// Read before the rest of a document, which an unknown format may have changed.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Whether an object, named after its backup, is one that every backup of xtrabackup's has (whatever
/// suffix compression gave it).
pub(super) fn is_xtrabackups(object: &str) -> bool {
    object.starts_with("xtrabackup_info.") || object.starts_with("xtrabackup_checkpoints.")
}

/// What a key holds.
pub(super) enum Got {
    Bytes(Bytes),
    /// No such object.
    Nothing,
    /// An object of a length that was not wanted; its bytes were not kept.
    Length(u64),
}

/// Reads a whole object when `wanted` accepts its length in bytes, which is looked at first.
/// `expected` is what it will be, or at most, where the caller knows that.
pub(super) async fn get(
    store: &dyn ObjectStore,
    location: &Path,
    expected: Option<u64>,
    wanted: impl Fn(u64) -> bool + Send,
) -> Result<Got, StoreError> {
    let failed = |e| StoreError::backend("reading", location.to_string(), e);
    let mut options = GetOptions::default();
    if let Some(expected) = expected {
        options.extensions.insert(Expected(expected));
    }
    let result = match store.get_opts(location, options).await {
        Ok(result) => result,
        Err(object_store::Error::NotFound { .. }) => return Ok(Got::Nothing),
        Err(error) => return Err(failed(error)),
    };
    if !wanted(result.meta.size) {
        return Ok(Got::Length(result.meta.size));
    }
    let bytes = local_read::collect(result).await.map_err(failed)?;
    Ok(match bytes.len() as u64 {
        found if wanted(found) => Got::Bytes(bytes),
        found => Got::Length(found),
    })
}
