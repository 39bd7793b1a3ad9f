//! The number of page workers, and the memory of their buffers.
//!
//! A scan reads whole extents: one thread a core keeps the disk's queue full. Pages from page
//! tracking are scattered, each is a separate read, and a disk serves many such reads concurrently
//! with little additional latency. So for them there are as many threads as the memory permits, up
//! to [`DEEP`].

use super::RANGE_BYTES;
use crate::manifest::packed::PACK_BYTES;

/// Maximum number of threads that read scattered pages: measured on disks (`benches/PROFILES.md`).
const DEEP: usize = 16;
/// Maximum read length of such a thread, in bytes: some files are read as a whole.
const DEEP_READ: usize = 1 << 20;

/// The inputs for the number of workers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// `BackupOptions::threads`.
    pub threads: usize,
    /// `BackupOptions::uploads`.
    pub uploads: usize,
    /// `BackupOptions::memory`, in bytes.
    pub memory: usize,
    /// Bytes of an object, or of a piece of a stream.
    pub object_bytes: usize,
    pub incremental: bool,
    /// Whether pieces are wrapped or in a stream, and so wait for earlier ones.
    pub ordered: bool,
    /// Whether small files share objects.
    pub packs: bool,
    /// Whether scattered pages are read, without a throttle.
    pub scattered: bool,
}

/// The result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Workers {
    pub threads: usize,
    /// Length of a buffer in bytes, which is the maximum length of a read.
    pub buffer_bytes: usize,
    /// Length of all buffers together, in bytes.
    pub pool_bytes: usize,
}

impl Plan {
    pub(super) fn workers(&self) -> Workers {
        let deep = if self.scattered { DEEP } else { 0 };
        // More threads only if buffers for all fit into memory, next to everything else.
        let fits = |threads: &usize| {
            self.outside(*threads) + threads * DEEP_READ <= self.memory || *threads <= self.threads
        };
        let threads = (self.threads..=deep).rev().find(fits);
        let threads = threads.unwrap_or(self.threads);
        let buffer_bytes = match threads > self.threads {
            true => DEEP_READ,
            false => self.object_bytes,
        };
        let least = (2 * buffer_bytes.min(RANGE_BYTES)).max(buffer_bytes);
        let inside = self.memory.saturating_sub(self.outside(threads));
        Workers {
            threads,
            buffer_bytes,
            pool_bytes: inside.max(least),
        }
    }

    /// Returns the memory that isn't buffers, in bytes. For an incremental: a piece of a delta for
    /// each upload and each open file, and wrapped or waiting copies of them. For packs: the one
    /// that is being filled, those of workers that wait for an upload slot, and those being
    /// uploaded (for an incremental they replace pieces).
    fn outside(&self, threads: usize) -> usize {
        let copies = if self.ordered { 3 } else { 1 };
        let large = !self.incremental && self.object_bytes > RANGE_BYTES;
        let pieces = match (large, self.ordered) {
            // The buffers themselves are sent.
            (true, false) => 0,
            (true, true) => self.object_bytes * (self.uploads + (copies - 1) * threads),
            (false, _) => RANGE_BYTES * (self.uploads + copies * threads),
        };
        let packs = match (self.packs, self.incremental) {
            (false, _) => 0,
            (true, true) => PACK_BYTES,
            (true, false) => PACK_BYTES * (self.uploads + threads + 1),
        };
        pieces + packs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// The defaults of `lsnap backup` on two cores.
    const USUAL: Plan = Plan {
        threads: 2,
        uploads: 4,
        memory: 256 * MIB,
        object_bytes: RANGE_BYTES,
        incremental: true,
        ordered: false,
        packs: false,
        scattered: true,
    };

    #[test]
    fn scattered_pages_are_read_concurrently() {
        let workers = USUAL.workers();
        assert_eq!((workers.threads, workers.buffer_bytes), (DEEP, MIB));
        assert_eq!(workers.pool_bytes, (256 - 8 * (4 + 16)) * MIB);
        // There are three copies of each piece of a stream.
        let stream = Plan {
            ordered: true,
            ..USUAL
        };
        assert_eq!(stream.workers().threads, 8);
    }

    #[test]
    fn a_scan_has_the_given_threads_and_reads_whole_objects() {
        let scan = Plan {
            scattered: false,
            ..USUAL
        };
        let workers = scan.workers();
        assert_eq!((workers.threads, workers.buffer_bytes), (2, RANGE_BYTES));
        assert_eq!(workers.pool_bytes, (256 - 8 * (4 + 2)) * MIB);
    }

    #[test]
    fn the_memory_limit_bounds_the_number_of_threads() {
        for memory in 1..600 {
            for (threads, ordered) in [(1, false), (2, true), (8, false), (40, false), (40, true)] {
                let plan = Plan {
                    threads,
                    memory: memory * MIB,
                    ordered,
                    ..USUAL
                };
                let workers = plan.workers();
                assert!(workers.threads >= threads && workers.threads <= threads.max(DEEP));
                let all = plan.outside(workers.threads) + workers.pool_bytes;
                let asked = plan.outside(threads) + 2 * RANGE_BYTES;
                assert!(all <= plan.memory.max(asked), "{plan:?} {workers:?}");
                // No worker waits for a buffer that another one needs to continue.
                assert!(workers.pool_bytes >= 2 * workers.buffer_bytes);
            }
        }
    }
}
