//! How many page workers there are, and how much memory their buffers may take.
//!
//! A scan reads whole extents: a thread a core keeps the disk's queue full. The pages that the server says
//! changed lie apart, each is a read of its own, and a disk answers many of those at once hardly later than
//! one: so there are as many threads for them as the memory has room for, up to [`DEEP`].

use super::RANGE_BYTES;
use crate::manifest::packed::PACK_BYTES;

/// Threads that read scattered pages: what the measured disks reward (`benches/PROFILES.md`).
const DEEP: usize = 16;
/// The longest read of such a thread, in bytes: files that must be read whole are among the others.
const DEEP_READ: usize = 1 << 20;

/// What a backup's workers depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// `--parallel`.
    pub threads: usize,
    /// `--uploads`.
    pub uploads: usize,
    /// `--memory`, in bytes.
    pub memory: usize,
    /// Bytes of an object, or of a piece of a stream.
    pub object_bytes: usize,
    pub incremental: bool,
    /// Whether pieces are held until the ones before them have come, and wrapped (a stream).
    pub ordered: bool,
    /// Whether small files share objects.
    pub packs: bool,
    /// Whether only pages here and there are read, at full speed.
    pub scattered: bool,
}

/// The workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Workers {
    pub threads: usize,
    /// Bytes of a buffer, which is the most that is read at once.
    pub buffer_bytes: usize,
    /// Bytes of all buffers together.
    pub pool_bytes: usize,
}

impl Plan {
    pub(super) fn workers(&self) -> Workers {
        let deep = if self.scattered { DEEP } else { 0 };
        // More of them only as long as buffers for all fit beside what they hold.
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

    /// What of the memory is not buffers. Of an incremental a piece of a delta for each upload and each
    /// open file, and what is wrapped or waits for its turn, once more; and packs: one that is collected,
    /// those of workers that wait for a place, those under way (of an incremental in the place of pieces).
    fn outside(&self, threads: usize) -> usize {
        let copies = if self.ordered { 3 } else { 1 };
        let large = !self.incremental && self.object_bytes > RANGE_BYTES;
        let pieces = match (large, self.ordered) {
            // the buffers themselves are sent
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

    /// What `lsnap backup` takes on two cores.
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
    fn scattered_pages_are_read_many_at_once() {
        let workers = USUAL.workers();
        assert_eq!((workers.threads, workers.buffer_bytes), (DEEP, MIB));
        assert_eq!(workers.pool_bytes, (256 - 8 * (4 + 16)) * MIB);
        // each piece of a stream is there three times
        let stream = Plan {
            ordered: true,
            ..USUAL
        };
        assert_eq!(stream.workers().threads, 8);
    }

    #[test]
    fn a_scan_has_the_threads_that_were_asked_for_and_whole_objects() {
        let scan = Plan {
            scattered: false,
            ..USUAL
        };
        let workers = scan.workers();
        assert_eq!((workers.threads, workers.buffer_bytes), (2, RANGE_BYTES));
        assert_eq!(workers.pool_bytes, (256 - 8 * (4 + 2)) * MIB);
    }

    #[test]
    fn memory_comes_before_depth() {
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
                // nobody waits for a buffer that another one needs to go on
                assert!(workers.pool_bytes >= 2 * workers.buffer_bytes);
            }
        }
    }
}
