//! The marker of a repository: one small object at its top level, which identifies a repository of
//! lsnap, its format, and requirements for all its backups.
//!
//! ```text
//! lsnap_repository.json
//! {"format":1,"id":"<UUID>","created_at":...,"lsnap_version":...}
//! lsnap_repository_encrypted_only.json    exists if only encrypted backups are accepted
//! ```
//!
//! The first backup writes it; in a repository from before there were markers, the next backup
//! does. It is put create-only: if two agents create a repository at the same time, the second uses
//! the marker of the first. Nothing is overwritten later, so a setting that is enabled in an
//! existing repository is an object of its own.
//!
//! Both objects are outside every backup's directory. xbcloud and the Percona operator read below a
//! backup's name only, and earlier versions of lsnap consider only directories as backups.
//!
//! Readers need only the permission to read: a marker that is missing, can't be read or is damaged
//! never prevents a restore. Only a format newer than this program does.

use crate::counted::count;
use crate::manifest::document::{CLAIM, MANIFEST};
use crate::manifest::object_name;
use crate::store::error::StoreError;
use crate::store::error::open::OpenFault;
use crate::store::error::request::RequestFault;
use crate::store::objects::key;
use crate::store::objects::repository::Repository;
use crate::store::objects::single::create;
use crate::store::objects::single::exists;
use crate::store::objects::single::{Got, get};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The key of the marker, relative to the repository.
pub const MARKER: &str = "lsnap_repository.json";
/// The key of the object that makes a repository accept encrypted backups only.
pub const ENCRYPTED_ONLY: &str = "lsnap_repository_encrypted_only.json";
/// The repository format that this program writes, and the newest that it reads.
pub const REPOSITORY_FORMAT: u32 = 1;
/// Longest marker that is read, in bytes.
const MAX_MARKER: u64 = 64 << 10;

/// The stored marker: JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// [`REPOSITORY_FORMAT`] of the program that wrote it.
    pub format: u32,
    /// A UUID that identifies the repository, also after it was moved.
    pub id: String,
    /// When it was created, by the clock of the host that created it.
    pub created_at: DateTime<Utc>,
    /// The version of the lsnap that wrote it.
    pub lsnap_version: String,
    /// Only encrypted backups are accepted. This can't be disabled again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encrypted_only: bool,
}

/// The format field, which is read before the other fields, because a newer format may have changed
/// them.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Marker {
    fn new(encrypted_only: bool) -> Self {
        Self {
            format: REPOSITORY_FORMAT,
            id: uuid::Uuid::new_v4().to_string(),
            created_at: Utc::now(),
            lsnap_version: env!("CARGO_PKG_VERSION").to_owned(),
            encrypted_only,
        }
    }
}

impl Repository {
    /// Reads the marker, or returns `None` if there is none (a new repository, or one of an older
    /// lsnap). [`Marker::encrypted_only`] is also true if [`Self::require_encryption`] was called
    /// later.
    ///
    /// # Errors
    /// [`OpenFault::NewerRepository`](crate::store::OpenFault::NewerRepository),
    /// [`OpenFault::BadMarker`](crate::store::OpenFault::BadMarker), or an error of the store.
    pub fn marker(&self) -> Result<Option<Marker>, StoreError> {
        let Some(mut marker) = self.stored_marker()? else {
            return Ok(None);
        };
        marker.encrypted_only = marker.encrypted_only || self.holds_encrypted_only()?;
        Ok(Some(marker))
    }

    /// Returns whether only encrypted backups are accepted, also if the marker itself is missing.
    ///
    /// # Errors
    /// As [`Self::marker`]. A repository that doesn't exist yet is not an error.
    pub fn is_encrypted_only(&self) -> Result<bool, StoreError> {
        match self.stored_marker() {
            Ok(Some(marker)) if marker.encrypted_only => Ok(true),
            Ok(_) => self.holds_encrypted_only(),
            Err(StoreError::Open(OpenFault::NoRepository { .. })) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ensures that there is a marker, and returns it. `encrypted_only` is used only for a new
    /// marker. Creates the directory of a local repository.
    ///
    /// # Errors
    /// As [`Self::marker`], and [`OpenFault::BadUrl`](crate::store::OpenFault::BadUrl) if the
    /// location is itself a backup.
    pub fn mark(&self, encrypted_only: bool) -> Result<Marker, StoreError> {
        self.create()?;
        if let Some(marker) = self.marker()? {
            return Ok(marker);
        }
        self.refuse_if_a_backup()?;
        let marker = Marker::new(encrypted_only || self.holds_encrypted_only()?);
        self.put_once(MARKER, &marker)?;
        // a marker that another process wrote at the same time has priority
        Ok(self.marker()?.unwrap_or(marker))
    }

    /// Makes the repository accept encrypted backups only. This can't be undone.
    ///
    /// # Errors
    /// As [`Self::mark`].
    pub fn require_encryption(&self) -> Result<Marker, StoreError> {
        let marker = self.mark(true)?;
        if marker.encrypted_only {
            return Ok(marker);
        }
        self.put_once(ENCRYPTED_ONLY, &Marker::new(true))?;
        Ok(Marker {
            encrypted_only: true,
            ..marker
        })
    }

    /// Ensures that there is a marker for a backup that begins. If permissions are missing to put
    /// or read it, the backup continues without it.
    pub(crate) fn mark_for_backup(&self) -> Result<(), StoreError> {
        self.mark_if_permitted(false)
    }

    /// As [`Self::mark`]. Missing permissions for the marker are logged, and not an error.
    pub(in crate::store) fn mark_if_permitted(
        &self,
        encrypted_only: bool,
    ) -> Result<(), StoreError> {
        match self.mark(encrypted_only) {
            Ok(_) => Ok(()),
            Err(
                error @ StoreError::Request {
                    kind: RequestFault::Denied,
                    ..
                },
            ) => {
                tracing::warn!("the repository's marker can't be written or read: {error}");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses a repository of a newer format. Each [`Repository`] checks this once.
    pub(in crate::store) fn check_format(&self) -> Result<(), StoreError> {
        if self.is_format_known() {
            return Ok(());
        }
        match self.stored_marker() {
            Ok(_) => {}
            Err(error @ StoreError::Open(OpenFault::BadMarker { .. })) => tracing::warn!("{error}"),
            // permissions may be limited to the backups
            Err(
                error @ StoreError::Request {
                    kind: RequestFault::Denied,
                    ..
                },
            ) => tracing::debug!("{error}"),
            Err(error) => return Err(error),
        }
        self.set_format_known();
        Ok(())
    }

    /// As [`Self::check_format`], for removals: a damaged marker is refused, because it may be that
    /// of a newer format.
    pub(in crate::store) fn check_format_to_change(&self) -> Result<(), StoreError> {
        match self.stored_marker() {
            Ok(_)
            | Err(StoreError::Request {
                kind: RequestFault::Denied,
                ..
            }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn stored_marker(&self) -> Result<Option<Marker>, StoreError> {
        let location = key::raw(MARKER, None)?;
        let store = Arc::clone(self.store()?);
        let got = self.runtime().wait("reading the marker", async move {
            get(&*store, &location, Some(MAX_MARKER), |n| n <= MAX_MARKER).await
        })??;
        let bad = |what: String| {
            StoreError::Open(OpenFault::BadMarker {
                url: self.url().to_owned(),
                key: MARKER,
                what,
            })
        };
        let bytes = match got {
            Got::Nothing => return Ok(None),
            Got::Length(found) => {
                return Err(bad(format!(
                    "{found} found, expected at most {MAX_MARKER}",
                    found = count(found, "byte")
                )));
            }
            Got::Bytes(bytes) => bytes,
        };
        let json = |e: serde_json::Error| bad(format!("its JSON is not valid: {e}"));
        let Format { format } = serde_json::from_slice(&bytes).map_err(json)?;
        if format > REPOSITORY_FORMAT {
            return Err(StoreError::Open(OpenFault::NewerRepository {
                url: self.url().to_owned(),
                found: format,
                expected: REPOSITORY_FORMAT,
            }));
        }
        serde_json::from_slice(&bytes).map(Some).map_err(json)
    }

    fn holds_encrypted_only(&self) -> Result<bool, StoreError> {
        Ok(self.bucket().length(ENCRYPTED_ONLY)?.is_some())
    }

    /// Refuses a location that is a backup. A URL with one directory too many would create a
    /// repository inside it.
    fn refuse_if_a_backup(&self) -> Result<(), StoreError> {
        for document in [CLAIM, MANIFEST] {
            let object = object_name(document, 0);
            if self.bucket().length(&object)?.is_some() {
                return Err(StoreError::Open(OpenFault::BadUrl {
                    url: self.url().to_owned(),
                    reason: format!(
                        "it is a backup (it has {object}), not a repository: use the URL of the directory above it"
                    ),
                }));
            }
        }
        Ok(())
    }

    /// Puts a document of the repository, unless it exists.
    pub(super) fn put_once(&self, key: &str, value: &impl Serialize) -> Result<(), StoreError> {
        let json = serde_json::to_vec(value).map_err(|e| StoreError::TaskDied {
            what: format!("writing {key} as JSON ({e})"),
        })?;
        let location = key::raw(key, None)?;
        let store = Arc::clone(self.store()?);
        let put = self.runtime().wait("putting the marker", async move {
            create(&*store, &location, json.into()).await
        })?;
        match put {
            Ok(_) => Ok(()),
            Err(error) if exists(&error) => Ok(()),
            Err(error) => Err(StoreError::backend("putting", key, error)),
        }
    }
}
