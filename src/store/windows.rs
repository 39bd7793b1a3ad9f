//! Reading packs (see [`crate::manifest::packed`]): what is fetched is not one small file but the window of the
//! pack that it lies in, which is kept for its neighbours.
//!
//! A window and not the pack: a chain of many members reads from a pack of each at the same time, and a
//! window lets all of them stay within what [`reserved_bytes`] says. Where files are read in another order than they
//! were stored in, a window is also what one read costs at most.
//!
//! What is kept is enough for those who stand close together: workers that take the files of a chain one
//! after the other, in the order in which they were stored, need a window of each member, and a second one
//! where some of them are past a border already. Workers that each go through a part of the list of their
//! own need as many windows as there are workers and members, and beyond what is kept each small file costs
//! a window of every member. So whoever reads a chain hands its files out one by one.
//!
//! Kept bytes stand for the store, whose bytes may have changed since: [`Reading`] bounds for how long.

use crate::locked::Locked;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};

use crate::manifest::packed::SMALL;
use crate::manifest::{BackupName, Finding, Manifest, ObjectEntry, PackPlace, packed};
use crate::store::checked::check;
use crate::store::{Repository, StoreError};

/// Windows begin at multiples of it.
pub(crate) const STEP: u64 = 512 << 10;

/// Length of a window: whatever begins in a step and is [`SMALL`] with its headers ends in its window.
pub(crate) const WINDOW: u64 = STEP + SMALL as u64 + (4 << 10);

/// How many are kept of a chain of a few members, and of nobody knows what.
const KEPT: usize = 48;

/// How many are kept of each member of a long chain.
const EACH: usize = 2;

/// What the windows take at most, in bytes, while these backups are read ([`Repository::reading`]) by
/// somebody who may hold `memory` bytes; it is to be left to them.
pub(crate) fn reserved_bytes<'m>(
    manifests: impl IntoIterator<Item = &'m Manifest>,
    memory: u64,
) -> u64 {
    match packed_members(manifests) {
        0 => 0,
        members => (kept(members, memory) as u64 * WINDOW).min(memory / 2),
    }
}

fn packed_members<'m>(manifests: impl IntoIterator<Item = &'m Manifest>) -> usize {
    let packed = |manifest: &&Manifest| packed::any(&manifest.files);
    manifests.into_iter().filter(packed).count()
}

/// Of a long chain as many as a quarter of the memory holds: it is the workers that need the rest. At least
/// one, which is what a worker waits for.
fn kept(members: usize, memory: u64) -> usize {
    let fitting = |bytes: u64| usize::try_from(bytes / WINDOW).unwrap_or(usize::MAX);
    let chain = members.saturating_mul(EACH).min(fitting(memory / 4));
    chain.max(KEPT.min(fitting(memory / 2))).max(1)
}

/// A window, empty until who asked first has fetched it; the others wait.
type Slot = Arc<Mutex<Option<Bytes>>>;

/// The windows that were used last.
#[derive(Debug, Default)]
pub(super) struct Windows {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    most: usize,
    /// Newest first.
    kept: VecDeque<(Path, u64, Slot)>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            most: KEPT,
            kept: VecDeque::new(),
        }
    }
}

impl Windows {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }

    fn slot(&self, location: &Path, number: u64) -> Slot {
        let mut state = self.lock();
        let at = state
            .kept
            .iter()
            .position(|(path, n, _)| *n == number && path == location);
        let (slot, found) = match at.and_then(|at| state.kept.remove(at)) {
            Some((_, _, slot)) => (slot, true),
            None => (Slot::default(), false),
        };
        let newest = (location.clone(), number, Arc::clone(&slot));
        state.kept.push_front(newest);
        if !found {
            let most = state.most;
            state.kept.truncate(most);
        }
        slot
    }

    /// Forgets all, and keeps so many from now on.
    fn begin(&self, most: usize) {
        *self.lock() = State {
            most,
            kept: VecDeque::new(),
        };
    }
}

/// A piece of work that reads packs: it sees nothing that was read before it, and leaves nothing behind.
/// Another one that goes on beside it with the same repository has to fetch again what it loses by that, no
/// more.
#[must_use]
#[derive(Debug)]
pub(crate) struct Reading<'a>(&'a Windows);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.begin(KEPT);
    }
}

impl Repository {
    /// Begins to read these backups; until that ends the windows take what [`reserved_bytes`] says.
    pub(crate) fn reading<'m>(
        &self,
        manifests: impl IntoIterator<Item = &'m Manifest>,
        memory: u64,
    ) -> Reading<'_> {
        let windows = self.windows();
        windows.begin(kept(packed_members(manifests), memory));
        Reading(windows)
    }

    /// Fetches a file that lies in a pack, and checks its digest.
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
        // The store has the last word.
        let bytes = self.range(&location, wanted.clone(), &wanted, &named)?;
        check(&named, object, bytes)
    }

    /// The bytes out of their window; `None` when they are not there, or not right.
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
        // A copy: a window must not be kept by each of its files.
        let bytes = held.as_ref().and_then(|held| held.get(from..to));
        let bytes = bytes.map(Bytes::copy_from_slice);
        drop(held);
        let right = check(named, object, bytes).ok();
        if right.is_none() {
            // Perhaps bytes of a backup that had this name before: then the neighbours' are too.
            *slot.locked() = None;
        }
        Ok(right)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_the_members_within_the_memory() {
        const LARGE: u64 = 1 << 40;
        assert_eq!(kept(1, LARGE), KEPT);
        assert_eq!(kept(24, LARGE), KEPT);
        assert_eq!(kept(100, LARGE), 200);
        assert_eq!(kept(100, 400 * WINDOW), 100);
        assert_eq!(kept(100, 40 * WINDOW), 20);
        assert_eq!(kept(100, 0), 1);
        assert_eq!(reserved_bytes([], LARGE), 0);
    }
}
