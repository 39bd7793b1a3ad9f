//! How the page workers copy: the resources and limits of one job.

use super::priority::Priority;
use super::read_limiter::ReadLimiter;
use super::sink::Sink;
use crate::cancel::Cancel;
use crate::datadir::ReadMode;
use crate::mem::BufferPool;
use crate::progress::Progress;
use std::path::Path;

/// How a job copies.
pub(super) struct CopyJob<'a> {
    pub mode: ReadMode,
    pub pool: &'a BufferPool,
    pub threads: usize,
    /// Of the threads.
    pub priority: Priority,
    /// Where they wait before they read.
    pub limiter: Option<&'a ReadLimiter>,
    pub sink: &'a Sink,
    /// Where pieces of deltas wait for the ones before them.
    pub spool_dir: &'a Path,
    pub progress: &'a dyn Progress,
    /// Cancelled with the backup, and when a thread that copies something else at the same time failed.
    pub cancel: &'a Cancel,
}
