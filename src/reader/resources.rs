//! The default resources of a job that reads backups.

/// A worker mostly waits for the store or for the disk; more workers than cores keep both busy.
const WORKERS: usize = 8;

/// Bytes of fetched objects in memory at the same time.
pub(crate) const MEMORY: usize = 256 << 20;

/// Returns the number of threads that fetch and check or write.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(WORKERS, |cores| cores.get().max(WORKERS))
}
