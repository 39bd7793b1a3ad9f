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
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use object_store::path::Path;

use crate::manifest::packed::SMALL;
use crate::manifest::{Manifest, packed};

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
pub(in crate::store) struct Windows {
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

    /// Begins to read these backups; until that ends the windows take what [`reserved_bytes`] says.
    pub(in crate::store) fn reading<'m>(
        &self,
        manifests: impl IntoIterator<Item = &'m Manifest>,
        memory: u64,
    ) -> Reading<'_> {
        self.begin(kept(packed_members(manifests), memory));
        Reading(self)
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
