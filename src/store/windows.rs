//! Reading packs (see [`super::packed`]): what is fetched is not one small file but the window of the
//! pack that it lies in, which is kept for its neighbours.
//!
//! A window and not the pack: a chain of many members reads from a pack of each at the same time, and a
//! window lets all of them stay within [`WINDOWS_BYTES`]. Where files are read in another order than they
//! were stored in, a window is also what one read costs at most.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};

use crate::store::manifest::digest_text;
use crate::store::packed::{PackPlace, SMALL};
use crate::store::{BackupName, ObjectEntry, Repository, StoreError};

/// Windows begin at multiples of it.
const STEP: u64 = 512 << 10;

/// Length of a window: whatever begins in a step and is [`SMALL`] with its headers ends in its window.
const WINDOW: u64 = STEP + SMALL as u64 + (4 << 10);

/// How many are kept.
const KEPT: usize = 48;

/// What the windows of a repository take at most, in bytes.
pub(crate) const WINDOWS_BYTES: u64 = KEPT as u64 * WINDOW;

/// A window, empty until who asked first has fetched it; the others wait.
type Slot = Arc<Mutex<Option<Bytes>>>;

/// The windows that were used last, newest first.
#[derive(Debug, Default)]
pub(super) struct Windows {
    kept: Mutex<VecDeque<(Path, u64, Slot)>>,
}

impl Windows {
    fn slot(&self, location: &Path, number: u64) -> Slot {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept
            .iter()
            .position(|(path, n, _)| *n == number && path == location);
        let (slot, found) = match at.and_then(|at| kept.remove(at)) {
            Some((_, _, slot)) => (slot, true),
            None => (Slot::default(), false),
        };
        kept.push_front((location.clone(), number, Arc::clone(&slot)));
        if !found {
            kept.truncate(KEPT);
        }
        slot
    }
}

impl Repository {
    /// Fetches a file that lies in a pack, and checks its digest.
    pub(super) fn fetch_packed(
        &self,
        name: &BackupName,
        path: &str,
        object: &ObjectEntry,
        place: &PackPlace,
    ) -> Result<Bytes, StoreError> {
        let location = self.location(name, &place.object)?;
        let named = format!("{location} (file {path} at byte {} of it)", place.from);
        let wanted = place.from..place.from.saturating_add(object.bytes);
        let number = place.from / STEP;
        let window = number * STEP..(number * STEP).saturating_add(WINDOW);
        if wanted.end <= window.end {
            let slot = self.windows().slot(&location, number);
            let mut held = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if held.is_none() {
                *held = self.range(&location, window.clone(), &wanted, &named)?;
            }
            let from = usize::try_from(wanted.start - window.start).unwrap_or(usize::MAX);
            let to = usize::try_from(wanted.end - window.start).unwrap_or(usize::MAX);
            // A copy: a window must not be kept by each of its files.
            let bytes = held.as_ref().and_then(|held| held.get(from..to));
            let bytes = bytes.map(Bytes::copy_from_slice);
            drop(held);
            if let Some(bytes) = bytes
                && digest_text(blake3::hash(&bytes)) == object.digest
            {
                return Ok(bytes);
            }
            // Kept bytes may be those of a backup that had this name before: the store has the last word.
        }
        let missing = || StoreError::Missing {
            object: named.clone(),
            bytes: object.bytes,
        };
        let bytes = self.range(&location, wanted.clone(), &wanted, &named)?;
        let bytes = bytes.ok_or_else(missing)?;
        let damaged = |what| StoreError::Damaged {
            object: named.clone(),
            what,
        };
        if bytes.len() as u64 != object.bytes {
            return Err(damaged(format!(
                "length found {}, expected {}",
                bytes.len(),
                object.bytes
            )));
        }
        let found = digest_text(blake3::hash(&bytes));
        if found != object.digest {
            return Err(damaged(format!(
                "digest found {found}, expected {}",
                object.digest
            )));
        }
        Ok(bytes)
    }

    /// The bytes of `range`, less where the object ends before; `None`: there is no object. An object
    /// that ends before `wanted` does is an error.
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
                    what: format!("length of the object found {size}, expected at least {end}"),
                };
                let options = GetOptions {
                    range: Some(GetRange::Bounded(range)),
                    ..GetOptions::default()
                };
                let got = match store.get_opts(&location, options).await {
                    Ok(got) if got.meta.size < end => return Err(short(got.meta.size)),
                    Ok(got) => got,
                    Err(object_store::Error::NotFound { .. }) => return Ok(None),
                    // A range that begins behind the end of the object is an error of no kind.
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
