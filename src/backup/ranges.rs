//! The ranges of files that the page workers copy, assigned file by file.

use super::RANGE_BYTES;
use super::copy_job::CopyJob;
use super::error::BackupError;
use super::open_file::{FileInCopy, OpenFile};
use super::page_set::Pages;
use super::sink::Sink;
use crate::datadir::ReadMode;
use crate::innodb::PageNo;
use crate::locked::{Locked, Waited};
use crate::mem::BufferPool;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// Minimum length in bytes of a hole that is sent as a sparse chunk instead of zeros. Shorter holes
/// (the preallocated tail of an ordinary table) are sent as zeros, because `mbstream` doesn't
/// support sparse chunks.
const HOLE_MIN: u64 = 64 << 20;

/// A unit of work.
pub(super) struct Range<'a> {
    pub file: Arc<OpenFile<'a>>,
    pub index: u64,
    /// Length in bytes of the hole before the first page that belongs to this range.
    pub hole: u64,
    pub first: PageNo,
    pub pages: usize,
    pub last: bool,
}

/// Assigns ranges, file by file. Opening a file reads from it, so it is done without the lock: of
/// 100,000 small tables each worker opens its own.
pub(super) struct Cutter<'a> {
    pool: &'a BufferPool,
    sink: &'a Sink,
    spool_dir: &'a Path,
    mode: ReadMode,
    files: &'a [FileInCopy],
    state: Mutex<Cutting<'a>>,
    opened: Condvar,
}

#[derive(Default)]
struct Cutting<'a> {
    /// Number of files assigned so far.
    next: usize,
    /// Number of files that are being opened; their ranges will follow.
    opening: usize,
    /// Files with remaining ranges, at most one a worker.
    current: VecDeque<Cursor<'a>>,
}

struct Cursor<'a> {
    file: Arc<OpenFile<'a>>,
    offset: u64,
    index: u64,
    /// The file has data up to this offset. Finding the end of data may scan the whole file, so it
    /// isn't done for every range.
    data_end: u64,
}

impl<'a> Cutter<'a> {
    pub(super) fn new(job: &CopyJob<'a>, files: &'a [FileInCopy]) -> Self {
        Self {
            pool: job.pool,
            sink: job.sink,
            spool_dir: job.spool_dir,
            mode: job.mode,
            files,
            state: Mutex::default(),
            opened: Condvar::new(),
        }
    }

    /// Returns the next range of any file. Waits for files that other workers are opening, because
    /// they may have more than one range. `None`: all ranges are assigned.
    pub(super) fn next(&self) -> Result<Option<Range<'a>>, BackupError> {
        let mut state = self.lock();
        loop {
            if let Some(cursor) = state.current.front_mut() {
                let range = cursor.cut(self.pool.buffer_bytes(), self.sink.takes_holes())?;
                if range.last {
                    state.current.pop_front();
                }
                return Ok(Some(range));
            }
            if let Some(file) = self.files.get(state.next) {
                state.next += 1;
                state.opening += 1;
                drop(state);
                let opening = Opening(self);
                let file = OpenFile::open(file, self.mode, self.sink, self.spool_dir)?;
                state = self.lock();
                state.current.push_back(Cursor {
                    file: Arc::new(file),
                    offset: 0,
                    index: 0,
                    data_end: 0,
                });
                drop(state);
                drop(opening);
                state = self.lock();
            } else if state.opening > 0 {
                state = self.opened.waited(state);
            } else {
                return Ok(None);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Cutting<'a>> {
        self.state.locked()
    }
}

/// A file that is being opened. The drop wakes waiting threads, also after an error or a panic.
struct Opening<'c, 'a>(&'c Cutter<'a>);

impl Drop for Opening<'_, '_> {
    fn drop(&mut self) {
        self.0.lock().opening -= 1;
        self.0.opened.notify_all();
    }
}

impl<'a> Cursor<'a> {
    /// Returns the next run of changed pages; if there is none, an empty range that ends the file.
    fn cut_run(&mut self, buffer_bytes: usize, changed: &Pages) -> Range<'a> {
        let page_bytes = self.file.page_bytes();
        let most = buffer_bytes.min(RANGE_BYTES) / page_bytes;
        let at = (self.offset / page_bytes as u64) as u32;
        let run = changed.run(at, most as u32).unwrap_or(at..at);
        self.offset = u64::from(run.end) * page_bytes as u64;
        let last = changed.run(run.end, 1).is_none();
        self.hand_out(0, PageNo(run.start), run.len(), last)
    }

    fn hand_out(&mut self, hole: u64, first: PageNo, pages: usize, last: bool) -> Range<'a> {
        self.file.range_begins(last);
        self.index += 1;
        Range {
            file: Arc::clone(&self.file),
            index: self.index - 1,
            hole,
            first,
            pages,
            last,
        }
    }

    /// Returns the next range, with the hole before it.
    fn cut(&mut self, buffer_bytes: usize, takes_holes: bool) -> Result<Range<'a>, BackupError> {
        if let Some(changed) = self.file.pages_to_read() {
            return Ok(self.cut_run(buffer_bytes, changed));
        }
        let file = &self.file;
        let page_bytes = file.page_bytes();
        let most = buffer_bytes as u64;
        let start = self.offset;
        let mut data_from = start;
        if takes_holes && start >= self.data_end {
            let data = file.data_after(start)?;
            if data.start - start >= HOLE_MIN {
                data_from = data.start;
            }
            self.data_end = data.end;
        }
        let mut data_to = file.bytes.min(data_from + most);
        // A short hole is read as data; a long one ends the range.
        while takes_holes && self.data_end < data_to {
            let data = file.data_after(self.data_end)?;
            if data.start - self.data_end >= HOLE_MIN {
                data_to = self.data_end;
            } else {
                self.data_end = data.end;
            }
        }
        let pages = ((data_to - data_from) as usize).div_euclid(page_bytes);
        self.offset = data_from + (pages * page_bytes) as u64;
        let last = self.offset >= file.bytes;
        let first = PageNo((data_from / page_bytes as u64) as u32);
        Ok(self.hand_out(data_from - start, first, pages, last))
    }
}
