//! The marker of a repository: one small object at its top, which says that here lies a repository of
//! lsnap's, in which format, and what every backup in it must be.
//!
//! ```text
//! lsnap_repository.json                   {"format":1,"id":"<UUID>","created_at":...,"lsnap_version":...}
//! lsnap_repository_encrypted_only.json    exists where only encrypted backups are taken
//! ```
//!
//! The first backup writes it, and so does the next one of a repository from before there were markers.
//! Like everything it is put create-only: of two agents that begin a repository at one time, the second
//! takes what the first wrote. Nothing is overwritten later, so that what is switched on in a repository
//! that exists is an object of its own.
//!
//! Both lie outside of every backup's directory. xbcloud and the Percona operator read below a backup's
//! name only, and lsnaps from before take only directories for backups.
//!
//! Readers need no right but to read: a marker that is not there, can't be read or is damaged never keeps
//! anybody from a restore. Only a format that is newer than this program does.

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

/// The key of the marker, counted from the repository's own place.
pub const MARKER: &str = "lsnap_repository.json";
/// The key of the object that makes a repository take encrypted backups only.
pub const ENCRYPTED_ONLY: &str = "lsnap_repository_encrypted_only.json";
/// The format of a repository's layout that this program writes, and the newest that it reads.
pub const REPOSITORY_FORMAT: u32 = 1;
/// Longest marker that is read, in bytes.
const MAX_MARKER: u64 = 64 << 10;

/// What a repository says of itself, as stored: JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// [`REPOSITORY_FORMAT`] of the program that wrote it.
    pub format: u32,
    /// A UUID: this repository and no other, wherever it is moved.
    pub id: String,
    /// When it was made, by the clock of the host that made it.
    pub created_at: DateTime<Utc>,
    /// The version of the lsnap that wrote it.
    pub lsnap_version: String,
    /// Only encrypted backups may be put here. Once true it stays so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encrypted_only: bool,
}

/// Read before the rest, which a newer format may have changed.
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
    /// Reads the marker; `None` when there is none (an empty place, or a repository of an older lsnap).
    /// [`Marker::encrypted_only`] is also true where [`Self::require_encryption`] made it so later.
    ///
    /// # Errors
    /// [`OpenFault::NewerRepository`](crate::store::OpenFault::NewerRepository), [`OpenFault::BadMarker`](crate::store::OpenFault::BadMarker), or the store's own error.
    pub fn marker(&self) -> Result<Option<Marker>, StoreError> {
        let Some(mut marker) = self.stored_marker()? else {
            return Ok(None);
        };
        marker.encrypted_only = marker.encrypted_only || self.holds_encrypted_only()?;
        Ok(Some(marker))
    }

    /// Whether only encrypted backups may be put here, also where the marker itself is gone.
    ///
    /// # Errors
    /// As [`Self::marker`]; a repository that isn't there yet is no error.
    pub fn is_encrypted_only(&self) -> Result<bool, StoreError> {
        match self.stored_marker() {
            Ok(Some(marker)) if marker.encrypted_only => Ok(true),
            Ok(_) => self.holds_encrypted_only(),
            Err(StoreError::Open(OpenFault::NoRepository { .. })) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes sure that there is a marker, and returns it. `encrypted_only` counts only for one that is
    /// made now. Creates the directory of a local repository.
    ///
    /// # Errors
    /// As [`Self::marker`]; [`OpenFault::BadUrl`](crate::store::OpenFault::BadUrl) when the place is itself a backup.
    pub fn mark(&self, encrypted_only: bool) -> Result<Marker, StoreError> {
        self.create()?;
        if let Some(marker) = self.marker()? {
            return Ok(marker);
        }
        self.refuse_if_a_backup()?;
        let marker = Marker::new(encrypted_only || self.holds_encrypted_only()?);
        self.put_once(MARKER, &marker)?;
        // what another wrote at the same time counts
        Ok(self.marker()?.unwrap_or(marker))
    }

    /// From now on only encrypted backups may be put here; this can't be undone.
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

    /// Marks the place for a backup that begins. That no marker can be put or read for lack of rights is
    /// no reason to take no backup.
    pub(crate) fn mark_for_backup(&self) -> Result<(), StoreError> {
        match self.mark(false) {
            Ok(_) => Ok(()),
            Err(
                error @ StoreError::Request {
                    kind: RequestFault::Denied,
                    ..
                },
            ) => {
                tracing::warn!("the repository gets no marker, or it can't be read: {error}");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses a repository of a newer format; asked of the store once for each [`Repository`].
    pub(in crate::store) fn check_format(&self) -> Result<(), StoreError> {
        if self.is_format_known() {
            return Ok(());
        }
        match self.stored_marker() {
            Ok(_) => {}
            Err(error @ StoreError::Open(OpenFault::BadMarker { .. })) => tracing::warn!("{error}"),
            // rights may end at the backups
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

    /// As [`Self::check_format`], for who is about to remove something: a damaged marker may be that of a
    /// newer format.
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
                    "{found} found, at most {MAX_MARKER} expected",
                    found = count(found, "byte")
                )));
            }
            Got::Bytes(bytes) => bytes,
        };
        let json = |e: serde_json::Error| bad(format!("its JSON is not as expected: {e}"));
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

    /// A URL one directory too deep would make a repository inside of a backup.
    fn refuse_if_a_backup(&self) -> Result<(), StoreError> {
        for document in [CLAIM, MANIFEST] {
            let object = object_name(document, 0);
            if self.bucket().length(&object)?.is_some() {
                return Err(StoreError::Open(OpenFault::BadUrl {
                    url: self.url().to_owned(),
                    reason: format!(
                        "it is a backup (it holds {object}), not a repository: give the place above it"
                    ),
                }));
            }
        }
        Ok(())
    }

    /// Puts a document of the repository's own, unless there is one.
    fn put_once(&self, key: &str, value: &Marker) -> Result<(), StoreError> {
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
