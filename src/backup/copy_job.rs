//! How the page workers copy: the resources and limits of one job.

use super::priority::Priority;
use super::read_limiter::ReadLimiter;
use super::sink::Sink;
use crate::datadir::ReadMode;
use crate::mem::BufferPool;
use crate::progress::Progress;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

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
    pub stop: &'a AtomicBool,
    /// Set by another thread of the backup that copies something else and failed.
    pub give_up: &'a AtomicBool,
}

impl CopyJob<'_> {
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire) || self.give_up.load(Ordering::Acquire)
    }
}
