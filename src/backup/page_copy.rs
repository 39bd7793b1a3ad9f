//! The copy of the pages: the number of workers, their memory, the size of objects.

use super::copy_job::CopyJob;
use super::error::BackupError;
use super::session::Session;
use super::spaces::{CopiedSpace, SpaceToCopy};
use super::throttle::ThrottleReport;
use super::workers::Plan;
use super::{RANGE_BYTES, copy, object_size, throttled};
use crate::cancel::Cancel;
use crate::manifest::Layout;
use crate::mem::BufferPool;

impl Session<'_> {
    pub(super) fn pack_where_it_pays(&self, spaces: &[SpaceToCopy]) {
        let choice = self.options.pack_small_files;
        if choice.packs(spaces.len()) && self.sink.layout() == Layout::Objects {
            self.sink.pack_small_files();
        }
    }

    pub(super) fn copy_pages(
        &self,
        spaces: Vec<SpaceToCopy>,
        parts: &Cancel,
    ) -> Result<(Vec<CopiedSpace>, Option<ThrottleReport>), BackupError> {
        let object_bytes = self.object_bytes(&spaces)?;
        let workers = Plan {
            threads: self.options.threads,
            uploads: self.options.uploads,
            memory: self.options.memory,
            object_bytes,
            incremental: self.base.is_some(),
            ordered: self.sink.ordered(),
            packs: self.sink.packs(),
            // A throttled backup needs no concurrent reads.
            scattered: spaces.iter().any(|space| space.pages.is_some())
                && self.options.throttle.is_none(),
        };
        let workers = workers.workers();
        tracing::debug!(?workers, "page workers");
        throttled::with_limiter(self, |limiter| {
            let job = CopyJob {
                mode: self.options.mode,
                pool: &BufferPool::new(workers.pool_bytes, workers.buffer_bytes),
                threads: workers.threads,
                priority: self.options.priority,
                limiter,
                sink: &self.sink,
                spool_dir: &self.options.spool_dir,
                progress: self.progress,
                read: &self.read_bytes,
                cancel: parts,
            };
            copy::copy_all(&job, spaces)
        })
    }

    /// Returns the object size in bytes. For a full backup in a repository it grows with the
    /// database. A delta is small, and readers of a stream expect pieces of the usual size.
    fn object_bytes(&self, spaces: &[SpaceToCopy]) -> Result<usize, BackupError> {
        if self.base.is_some() || self.sink.layout() == Layout::Stream {
            return Ok(RANGE_BYTES);
        }
        let total = spaces.iter().map(|file| file.space.bytes).sum();
        let held = object_size::held(self.options);
        object_size::choose(total, self.options.object_size, self.options.memory, held)
    }
}
