//! Aligned, pooled buffers: the memory that pages are read into and sent from.
//!
//! What it is for: reading with `O_DIRECT` needs memory aligned to the device's block, touching
//! fresh memory for the first time costs about a second for every 1.5 GB, and a backup must never
//! hold more than its `--memory`. So buffers are allocated once, when first needed, go back to
//! their pool when dropped, and [`BufferPool::get`] makes its caller wait when all are in use:
//! that wait is the back-pressure of the whole engine.
//!
//! What stands still (a stream in a local file) is not copied at all but mapped: [`Mapping`].
//!
//! This is the only module with `unsafe` code: the map of a file, and what gives parts of it back.
#![allow(unsafe_code)]

use crate::locked::{Locked, Waited};
use bytes::Bytes;
use memmap2::{Advice, MmapMut};
use std::alloc::{Layout, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::counted;

mod mapping;
mod reading;
#[cfg(test)]
mod tests;

pub use mapping::Mapping;
pub use reading::read_until;

/// The alignment in bytes of every buffer, and the granule of its length: enough for `O_DIRECT` on
/// every block device in use (512 or 4096).
pub const ALIGNMENT: usize = 4096;

/// The memory of one buffer: an anonymous map, which begins at a page of the machine and comes as zeros.
struct PageMap(MmapMut);

// The machine's pages are at least this long.
const _: () = assert!(ALIGNMENT <= 4096);

impl PageMap {
    fn zeroed(bytes: usize) -> Self {
        let Ok(map) = MmapMut::map_anon(bytes) else {
            // as every allocation that finds no memory
            let layout = Layout::from_size_align(bytes, ALIGNMENT).unwrap_or(Layout::new::<u64>());
            handle_alloc_error(layout)
        };
        // For each direct read the kernel looks up where every page of the buffer is: of huge ones there are
        // 512 times fewer.
        let _ = map.advise(Advice::HugePage);
        Self(map)
    }
}

/// A bounded set of equal buffers. Clones share it.
#[derive(Clone)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

struct Shared {
    buffer_bytes: usize,
    count: usize,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    free: Vec<PageMap>,
    allocated: usize,
}

impl Shared {
    /// The state is two numbers that are changed together under the lock without anything that
    /// can panic between, so a poisoned lock guards a sound state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }
}

impl BufferPool {
    /// A pool of as many buffers of `buffer_bytes` as fit into `total_bytes`, at least one.
    ///
    /// `buffer_bytes` is rounded up to a multiple of [`ALIGNMENT`]. Nothing is allocated yet.
    #[must_use]
    pub fn new(total_bytes: usize, buffer_bytes: usize) -> Self {
        let buffer_bytes = buffer_bytes.div_ceil(ALIGNMENT).max(1) * ALIGNMENT;
        Self {
            shared: Arc::new(Shared {
                buffer_bytes,
                count: (total_bytes / buffer_bytes).max(1),
                state: Mutex::default(),
                returned: Condvar::new(),
            }),
        }
    }

    /// The length in bytes of each buffer.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        self.shared.buffer_bytes
    }

    /// How many buffers may exist at once.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.count
    }

    /// A buffer; waits until one is free.
    ///
    /// A thread that holds the last buffer and asks for another one waits for ever: take at most
    /// one, or see to it that somebody else gives theirs back.
    #[must_use]
    pub fn get(&self) -> Buffer {
        let state = self.shared.lock();
        let mut state = self.shared.returned.waited_while(state, |s| {
            s.free.is_empty() && s.allocated == self.shared.count
        });
        match state.free.pop() {
            Some(map) => self.wrap(map),
            None => {
                state.allocated += 1;
                drop(state);
                self.allocate()
            }
        }
    }

    /// A buffer if one is free now.
    #[must_use]
    pub fn try_get(&self) -> Option<Buffer> {
        let mut state = self.shared.lock();
        if let Some(map) = state.free.pop() {
            return Some(self.wrap(map));
        }
        if state.allocated == self.shared.count {
            return None;
        }
        state.allocated += 1;
        drop(state);
        Some(self.allocate())
    }

    /// Outside of the lock: the first touch of a large buffer takes milliseconds.
    fn allocate(&self) -> Buffer {
        self.wrap(PageMap::zeroed(self.shared.buffer_bytes))
    }

    fn wrap(&self, map: PageMap) -> Buffer {
        Buffer {
            map: Some(map),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool")
            .field("buffer_bytes", &self.shared.buffer_bytes)
            .field("count", &self.shared.count)
            .finish_non_exhaustive()
    }
}

/// Memory of [`BufferPool::buffer_bytes`] bytes at an address that is a multiple of [`ALIGNMENT`].
///
/// It is zeroed when it is allocated and never again: a buffer that was used before holds what was
/// left in it. It goes back to its pool when dropped, from any thread.
pub struct Buffer {
    /// `None` only while it is being dropped.
    map: Option<PageMap>,
    shared: Arc<Shared>,
}

impl Buffer {
    /// The first `len` bytes as [`Bytes`], without copying; the memory goes back to the pool when
    /// the last clone or slice of them is dropped.
    ///
    /// # Panics
    /// When `len` is more than the buffer's length: a bug of the caller.
    #[must_use]
    pub fn freeze(self, len: usize) -> Bytes {
        assert!(
            len <= self.len(),
            "freeze({len}) of a buffer of {}",
            counted::count(self.len(), "byte")
        );
        if len == 0 {
            return Bytes::new();
        }
        Bytes::from_owner(Frozen { buffer: self, len })
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.map.as_ref().map_or(&[], |map| &map.0)
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.map.as_mut().map_or(&mut [], |map| &mut map.0)
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({})", counted::count(self.len(), "byte"))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(map) = self.map.take() {
            self.shared.lock().free.push(map);
            self.shared.returned.notify_one();
        }
    }
}

struct Frozen {
    buffer: Buffer,
    len: usize,
}

impl AsRef<[u8]> for Frozen {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}
