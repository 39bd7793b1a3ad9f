//! Fetched objects that later batches of a window need again.

use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// The source of a page: the number of the source, and the object in it. The image has the last
/// number.
pub(super) type Key = (usize, usize);
/// Pieces of an unwrapped object, with their offsets in its file.
pub(super) type Parts = Vec<(u64, Bytes)>;

/// Objects that later batches of the window need again.
#[derive(Default)]
pub(super) struct Cache {
    pub(super) parts: HashMap<Key, Parts>,
    pub(super) bytes: AtomicU64,
}

impl Cache {
    /// Reserves memory for so many bytes; returns false if there is not enough.
    pub(super) fn reserve(&self, bytes: u64, most: u64) -> bool {
        self.bytes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |held| {
                held.checked_add(bytes).filter(|sum| *sum <= most)
            })
            .is_ok()
    }
}

pub(super) fn bytes_of(parts: &Parts) -> u64 {
    parts.iter().map(|(_, data)| data.len() as u64).sum()
}
