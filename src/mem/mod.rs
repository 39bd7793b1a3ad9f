//! Aligned, pooled buffers: the memory that pages are read into and sent from.
//!
//! Reads with `O_DIRECT` need memory aligned to the block size of the device, the first access to
//! fresh memory costs about a second for every 1.5 GB, and a backup must never use more than its
//! memory limit (`--memory`). So buffers are allocated once, when first needed, and return to their
//! pool when dropped. [`BufferPool::get`] blocks while all buffers are in use: this is the
//! back-pressure of the whole engine.
//!
//! A source that doesn't change (a stream in a local file) is mapped instead of copied:
//! [`Mapping`].
//!
//! This is the only module with `unsafe` code: the memory map of a file, and the call that releases
//! parts of it.
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

/// The alignment in bytes of every buffer, and the unit of its length: sufficient for `O_DIRECT` on
/// every block device in use (512 or 4096).
pub const ALIGNMENT: usize = 4096;

/// The memory of one buffer: an anonymous map, which is aligned to a page of the machine and
/// zeroed.
struct PageMap(MmapMut);

// The machine's pages are at least this long.
const _: () = assert!(ALIGNMENT <= 4096);

impl PageMap {
    fn zeroed(bytes: usize) -> Self {
        let Ok(map) = MmapMut::map_anon(bytes) else {
            // same as for any allocation that fails for lack of memory
            let layout = Layout::from_size_align(bytes, ALIGNMENT).unwrap_or(Layout::new::<u64>());
            handle_alloc_error(layout)
        };
        // For each direct read the kernel looks up every page of the buffer; with huge pages there
        // are 512 times fewer.
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
    /// A poisoned lock is ignored: the state is two numbers that are changed together under the
    /// lock, without code between that can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }
}

impl BufferPool {
    /// Creates a pool of as many buffers of `buffer_bytes` as fit into `total_bytes`, at least one.
    ///
    /// `buffer_bytes` is rounded up to a multiple of [`ALIGNMENT`]. No memory is allocated yet.
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

    /// Returns the length of each buffer, in bytes.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        self.shared.buffer_bytes
    }

    /// Returns the largest number of buffers that can exist at once.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.count
    }

    /// Returns a buffer; blocks until one is free.
    ///
    /// A thread that holds the last buffer and requests another one blocks forever: hold at most
    /// one buffer, or ensure that another thread returns one.
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

    /// Returns a buffer if one is free now.
    #[cfg(test)]
    fn try_get(&self) -> Option<Buffer> {
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

    /// Called without the lock: the first access to a large buffer takes milliseconds.
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
/// It is zeroed when it is allocated and not afterwards: a reused buffer contains its old content.
/// It returns to its pool when dropped, from any thread.
pub struct Buffer {
    /// `None` only while it is being dropped.
    map: Option<PageMap>,
    shared: Arc<Shared>,
}

impl Buffer {
    /// Returns the first `len` bytes as [`Bytes`], without copying; the memory returns to the pool
    /// when the last clone or slice is dropped.
    ///
    /// # Panics
    /// If `len` is more than the length of the buffer, which is a bug of the caller.
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
