//! What a job that reads backups uses, if its caller decides nothing.

/// Most of the time a worker waits, for the store or for the disk: more workers than cores keep both busy.
const WORKERS: usize = 8;

/// Bytes of fetched objects that are held at one time.
pub(crate) const MEMORY: usize = 256 << 20;

/// Threads that fetch and check or write.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(WORKERS, |cores| cores.get().max(WORKERS))
}
