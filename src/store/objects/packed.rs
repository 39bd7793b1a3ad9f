//! Fetches files in packs, using the cached windows ([`super::windows`]).

use crate::locked::Locked;
use crate::manifest::{BackupName, Finding, Manifest, ObjectEntry, PackPlace};
use crate::store::error::StoreError;
use crate::store::objects::checked::check;
use crate::store::objects::repository::Repository;
use crate::store::objects::windows::{Reading, STEP, WINDOW};
use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStoreExt};
use std::ops::Range;
use std::sync::Arc;

impl Repository {
    /// Begins to read these backups. Until the result is dropped, the windows use the memory that
    /// [`reserved_bytes`](super::windows::reserved_bytes) returns.
    pub(crate) fn reading<'m>(
        &self,
        manifests: impl IntoIterator<Item = &'m Manifest>,
        memory: u64,
    ) -> Reading<'_> {
        self.windows().reading(manifests, memory)
    }

    /// Fetches a file in a pack, and checks its digest.
    pub(super) fn fetch_packed(
        &self,
        name: &BackupName,
        path: &str,
        object: &ObjectEntry,
        place: &PackPlace,
    ) -> Result<Bytes, StoreError> {
        let location = self.readable(self.location(name, &place.object)?)?;
        let named = place.named(location.as_ref(), path);
        let wanted = place.from..place.from.saturating_add(object.bytes);
        if let Some(bytes) = self.in_window(&location, object, &wanted, &named)? {
            return Ok(bytes);
        }
        // The window was missing or wrong: read from the store itself.
        let bytes = self.range(&location, wanted.clone(), &wanted, &named)?;
        check(&named, object, bytes)
    }

    /// Returns the bytes of a file from their window; `None` if they are missing or wrong.
    fn in_window(
        &self,
        location: &Path,
        object: &ObjectEntry,
        wanted: &Range<u64>,
        named: &str,
    ) -> Result<Option<Bytes>, StoreError> {
        let number = wanted.start / STEP;
        let window = number * STEP..(number * STEP).saturating_add(WINDOW);
        if wanted.end > window.end {
            return Ok(None);
        }
        let slot = self.windows().slot(location, number);
        let mut held = slot.locked();
        if held.is_none() {
            *held = self.range(location, window.clone(), wanted, named)?;
        }
        let from = usize::try_from(wanted.start - window.start).unwrap_or(usize::MAX);
        let to = usize::try_from(wanted.end - window.start).unwrap_or(usize::MAX);
        // A copy, so that a single file doesn't keep its whole window in memory.
        let bytes = held.as_ref().and_then(|held| held.get(from..to));
        let bytes = bytes.map(Bytes::copy_from_slice);
        drop(held);
        let right = check(named, object, bytes).ok();
        if right.is_none() {
            // The window may be of an earlier backup of this name, so it is dropped.
            *slot.locked() = None;
        }
        Ok(right)
    }

    /// Reads `range`, or the part of it that the object has; `None` if there is no object. If the
    /// object ends before `wanted` does, this is an error.
    fn range(
        &self,
        location: &Path,
        range: Range<u64>,
        wanted: &Range<u64>,
        named: &str,
    ) -> Result<Option<Bytes>, StoreError> {
        let store = Arc::clone(self.store()?);
        let (location, end, named) = (location.clone(), wanted.end, named.to_owned());
        self.runtime()
            .wait("fetching a part of an object", async move {
                let failed = |e| StoreError::backend("reading", location.to_string(), e);
                let short = |size: u64| StoreError::Damaged {
                    object: named.clone(),
                    what: Finding::new(
                        format!("length of the object found {size}"),
                        format!("at least {end}"),
                    ),
                };
                let options = GetOptions {
                    range: Some(GetRange::Bounded(range)),
                    ..GetOptions::default()
                };
                let got = match store.get_opts(&location, options).await {
                    Ok(got) if got.meta.size < end => return Err(short(got.meta.size)),
                    Ok(got) => got,
                    Err(object_store::Error::NotFound { .. }) => return Ok(None),
                    // A range that begins after the end of the object gives an unspecific error.
                    Err(error) => {
                        return Err(match store.head(&location).await {
                            Ok(meta) if meta.size < end => short(meta.size),
                            _ => failed(error),
                        });
                    }
                };
                got.bytes().await.map(Some).map_err(failed)
            })?
    }
}
