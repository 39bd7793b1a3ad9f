//! The resources and limits of one copy job.

use super::priority::Priority;
use super::read_limiter::ReadLimiter;
use super::sink::Sink;
use crate::cancel::Cancel;
use crate::datadir::ReadMode;
use crate::mem::BufferPool;
use crate::progress::Progress;
use std::path::Path;
use std::sync::atomic::AtomicU64;

/// A copy job.
pub(super) struct CopyJob<'a> {
    pub mode: ReadMode,
    pub pool: &'a BufferPool,
    pub threads: usize,
    /// The priority of the threads.
    pub priority: Priority,
    /// Limits the rate of reads.
    pub limiter: Option<&'a ReadLimiter>,
    pub sink: &'a Sink,
    /// Directory for pieces of deltas that wait for earlier pieces.
    pub spool_dir: &'a Path,
    pub progress: &'a dyn Progress,
    /// Counts the bytes that are read.
    pub read: &'a AtomicU64,
    /// Cancelled with the backup, and when a thread that copies other files concurrently fails.
    pub cancel: &'a Cancel,
}
