//! Windows over packs (see [`crate::manifest::packed`]). For a small file, the whole window of the
//! pack around it is fetched and cached, for the files next to it.
//!
//! Windows are used instead of whole packs, because a chain of many members reads from a pack of
//! each member at the same time; with windows, all of them fit into the memory that
//! [`reserved_bytes`] returns. If files are read in another order than they were stored in, a
//! window also limits the cost of one read.
//!
//! The cache is sufficient for workers that are close to each other: if they take the files of a
//! chain one after the other, in the order in which they were stored, they need one window of each
//! member, and a second one while some of them are past a border. Workers that each process a
//! separate part of the list need as many windows as there are workers and members; if the cache
//! has fewer, each small file costs a window of every member. Therefore a reader of a chain must
//! distribute its files one by one.
//!
//! The bytes in the store may have changed since they were cached: [`Reading`] limits for how long
//! they are cached.

use crate::locked::Locked;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use object_store::path::Path;

use crate::manifest::packed::SMALL;
use crate::manifest::{Manifest, packed};

/// Windows begin at multiples of this, in bytes.
pub(crate) const STEP: u64 = 512 << 10;

/// Length of a window in bytes. A file that begins in a step and is [`SMALL`] with its headers ends
/// within the window.
pub(crate) const WINDOW: u64 = STEP + SMALL as u64 + (4 << 10);

/// Number of cached windows for a chain of a few members, and outside of [`Reading`].
const KEPT: usize = 48;

/// Number of cached windows for each member of a long chain.
const EACH: usize = 2;

/// Returns the most memory that the windows use, in bytes, while these backups are read
/// ([`Repository::reading`](crate::store::Repository::reading)) by a caller who may use `memory`
/// bytes. The caller must leave this part to the windows.
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

/// Returns the number of windows to cache. For a long chain, they use at most a quarter of the
/// memory, because the workers need the rest. At least one, for which a worker waits.
fn kept(members: usize, memory: u64) -> usize {
    let fitting = |bytes: u64| usize::try_from(bytes / WINDOW).unwrap_or(usize::MAX);
    let chain = members.saturating_mul(EACH).min(fitting(memory / 4));
    chain.max(KEPT.min(fitting(memory / 2))).max(1)
}

/// A window. It is empty until the first worker has fetched it; the others wait.
type Slot = Arc<Mutex<Option<Bytes>>>;

/// The most recently used windows.
#[derive(Debug, Default)]
pub(super) struct Windows {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    most: usize,
    /// The most recently used first.
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

    pub(in crate::store) fn slot(&self, location: &Path, number: u64) -> Slot {
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

    /// Begins to read these backups. Until the result is dropped, the windows use the memory that
    /// [`reserved_bytes`] returns.
    pub(in crate::store) fn reading<'m>(
        &self,
        manifests: impl IntoIterator<Item = &'m Manifest>,
        memory: u64,
    ) -> Reading<'_> {
        self.begin(kept(packed_members(manifests), memory));
        Reading(self)
    }

    /// Clears the cache, and sets its size.
    fn begin(&self, most: usize) {
        *self.lock() = State {
            most,
            kept: VecDeque::new(),
        };
    }
}

/// A job that reads packs. It doesn't see windows that were read before it, and its windows are
/// dropped after it. A concurrent job with the same repository loses its windows too, and only has
/// to fetch them again.
#[must_use]
#[derive(Debug)]
pub(crate) struct Reading<'a>(&'a Windows);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.begin(KEPT);
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
