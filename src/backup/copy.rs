//! The page workers: ranges of files, read, verified, filtered by LSN, framed, handed to the store.
//!
//! A range is the unit of work, not a file, so that one huge table keeps every worker busy. A range
//! of a full backup is one object of its file; the pages of an incremental go through the delta
//! writer of their file. Memory is what the buffer pool holds: a range's buffer travels to the store
//! without being copied and comes back when it is uploaded.

use super::RANGE_BYTES;
use super::changed::{ChangedPages, Pages};
use super::error::BackupError;
use super::priority::Priority;
use super::read_limiter::{self, ReadLimiter};
use super::sink::{self, Sink, Treat};
use super::waiting::Waiting;
use crate::cancel::Cancel;
use crate::datadir::{PageReader, ReadMode, ReadReport, Tablespace};
use crate::delta::{self, DeltaWriter};
use crate::innodb::{Lsn, PageNo, page};
use crate::locked::{Locked, Waited};
use crate::manifest::packed::SMALL;
use crate::mem::{Buffer, BufferPool};
use crate::progress::{Phase, Progress};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// Holes at least this long are sent as sparse chunks instead of zeros, in bytes. Shorter ones (the
/// preallocated tail of an ordinary table) stay zeros, because `mbstream` knows no sparse chunks.
const HOLE_MIN: u64 = 64 << 20;

/// What a job copies, and how.
pub(super) struct CopyJob<'a> {
    pub tablespaces: &'a [Tablespace],
    /// `Some`: an incremental; for each tablespace file the LSN from which pages go into its delta,
    /// 0 for one that the base doesn't know.
    pub floors: Option<Vec<Lsn>>,
    /// The pages to read, where the server said which changed.
    pub changed: Option<&'a ChangedPages>,
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

/// What was counted for one tablespace file.
#[derive(Debug, Clone, Default)]
pub struct CopyCounts {
    /// What the page checks saw.
    pub report: ReadReport,
    /// Pages written into the delta.
    pub delta_pages: u64,
    /// Length of the file as it was stored, in bytes.
    pub stored_bytes: u64,
}

impl CopyCounts {
    /// Whether the delta holds every page that was read and isn't zeros.
    pub(super) const fn left_none_out(&self) -> bool {
        let read = self.report.verified + self.report.unverifiable + self.report.skipped;
        self.delta_pages == read
    }
}

/// One tablespace file in the works.
struct OpenFile {
    space: usize,
    reader: PageReader,
    /// Length in whole pages, in bytes.
    bytes: u64,
    path: String,
    floor: Option<Lsn>,
    delta: Option<Mutex<DeltaWriter>>,
    /// Pieces of the delta, where they must be given on in order.
    waiting: Option<Mutex<Waiting>>,
    treat: Treat,
    /// Ranges handed out and not done, plus one while more will come.
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    ranges: u64,
    cut: bool,
    counts: CopyCounts,
}

/// A piece of work.
struct Range {
    file: Arc<OpenFile>,
    index: u64,
    /// A hole of this many bytes lies before the first page and belongs to this range.
    hole: u64,
    first: PageNo,
    pages: usize,
    last: bool,
}

/// Hands out ranges, file by file. Opening a file takes reads of it, so that is done outside of the lock: of
/// 100,000 small tables each worker opens its own.
struct Cutter<'a> {
    job: &'a CopyJob<'a>,
    state: Mutex<Cutting>,
    opened: Condvar,
}

#[derive(Default)]
struct Cutting {
    next_space: usize,
    /// How many files are being opened; their ranges come later.
    opening: usize,
    /// Files of which ranges are left, at most one a worker.
    current: VecDeque<Cursor>,
}

struct Cursor {
    file: Arc<OpenFile>,
    offset: u64,
    index: u64,
    /// Up to here the file is known to have data. The question where they end may walk through the whole
    /// file, so it is not asked for every range.
    data_end: u64,
}

/// Copies every tablespace file; the counts come back in the order of `tablespaces`.
pub(super) fn copy_all(job: &CopyJob<'_>) -> Result<Vec<CopyCounts>, BackupError> {
    let results = Mutex::new(vec![CopyCounts::default(); job.tablespaces.len()]);
    let cutter = Cutter {
        job,
        state: Mutex::default(),
        opened: Condvar::new(),
    };
    // Cancelled with the job, and when a worker fails.
    let workers = job.cancel.child();
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(job.threads)
        .thread_name(|i| format!("pages-{i}"))
        .build()
        .map_err(|_| BackupError::Panicked("page worker"))?;
    let outcomes = threads.broadcast(|_| {
        let guard = HaltOnFailure {
            sink: job.sink,
            workers: &workers,
        };
        let outcome = job
            .priority
            .take()
            .and_then(|()| work(job, &cutter, &workers, &results));
        if outcome.is_ok() {
            std::mem::forget(guard);
        }
        outcome
    });
    // The first real reason counts; a worker that only stopped because of another has none.
    let mut interrupted = Ok(());
    for outcome in outcomes {
        match outcome {
            Err(BackupError::Interrupted) => interrupted = Err(BackupError::Interrupted),
            outcome => outcome?,
        }
    }
    interrupted?;
    job.cancel.check()?;
    Ok(results.unlocked())
}

/// A worker that fails, or panics, must not leave others waiting for its range.
struct HaltOnFailure<'a> {
    sink: &'a Sink,
    workers: &'a Cancel,
}

impl Drop for HaltOnFailure<'_> {
    fn drop(&mut self) {
        self.workers.cancel();
        self.sink.halt();
    }
}

fn work(
    job: &CopyJob<'_>,
    cutter: &Cutter<'_>,
    workers: &Cancel,
    results: &Mutex<Vec<CopyCounts>>,
) -> Result<(), BackupError> {
    while !workers.is_cancelled() {
        // The buffer first, the range second: a worker that waits for memory holds no work back.
        let buffer = job.pool.get();
        let Some(range) = cutter.next()? else { break };
        let report = copy_range(job, &range, buffer, workers)?;
        let bytes = range.hole + (range.pages * range.file.page_bytes(job)) as u64;
        job.progress.advance(Phase::Copy, bytes);
        if let Some(counts) = range.file.range_done(job, &report)? {
            let mut results = results.locked();
            results[range.file.space] = counts;
        }
    }
    Ok(())
}

impl Cutter<'_> {
    /// The next range of any file; waits for files that others are opening, for there may be more than one
    /// range in them. `None`: there are no more.
    fn next(&self) -> Result<Option<Range>, BackupError> {
        let mut state = self.lock();
        loop {
            if let Some(cursor) = state.current.front_mut() {
                let range = cursor.cut(self.job)?;
                if range.last {
                    state.current.pop_front();
                }
                return Ok(Some(range));
            }
            let number = state.next_space;
            if let Some(space) = self.job.tablespaces.get(number) {
                state.next_space += 1;
                state.opening += 1;
                drop(state);
                let opening = Opening(self);
                let file = OpenFile::open(self.job, number, space)?;
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

    fn lock(&self) -> MutexGuard<'_, Cutting> {
        self.state.locked()
    }
}

/// A file that is being opened: whether that succeeds, fails or panics, nobody waits for it afterwards.
struct Opening<'a>(&'a Cutter<'a>);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.lock().opening -= 1;
        self.0.opened.notify_all();
    }
}

impl Cursor {
    /// The next run of changed pages; without any, an empty range that ends the file.
    fn cut_run(&mut self, job: &CopyJob<'_>, changed: &Pages) -> Range {
        let page_bytes = self.file.page_bytes(job);
        let most = job.pool.buffer_bytes().min(RANGE_BYTES) / page_bytes;
        let at = (self.offset / page_bytes as u64) as u32;
        let run = changed.run(at, most as u32).unwrap_or(at..at);
        self.offset = u64::from(run.end) * page_bytes as u64;
        let last = changed.run(run.end, 1).is_none();
        self.hand_out(0, PageNo(run.start), run.len(), last)
    }

    fn hand_out(&mut self, hole: u64, first: PageNo, pages: usize, last: bool) -> Range {
        let mut pending = self.file.pending.locked();
        pending.ranges += 1;
        pending.cut = last;
        drop(pending);
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

    /// The next range, with the hole before it.
    fn cut(&mut self, job: &CopyJob<'_>) -> Result<Range, BackupError> {
        let file = &self.file;
        if let Some(changed) = job.changed.and_then(|changed| changed.of(file.space)) {
            return Ok(self.cut_run(job, changed));
        }
        let page_bytes = file.page_bytes(job);
        let most = job.pool.buffer_bytes() as u64;
        let start = self.offset;
        let mut data_from = start;
        let takes_holes = job.sink.takes_holes();
        if takes_holes && start >= self.data_end {
            let data = file.data_after(start)?;
            if data.start - start >= HOLE_MIN {
                data_from = data.start;
            }
            self.data_end = data.end;
        }
        let mut data_to = file.bytes.min(data_from + most);
        // A short hole belongs to the data around it; at a long one the range ends.
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

impl OpenFile {
    fn open(job: &CopyJob<'_>, space: usize, ts: &Tablespace) -> Result<Self, BackupError> {
        let reader = PageReader::open(ts, job.mode)?;
        let page = ts.page_size.bytes() as u64;
        let floor = job.floors.as_ref().map(|floors| floors[space]);
        let delta = floor.map(|_| Mutex::new(DeltaWriter::new(ts.page_size, RANGE_BYTES)));
        Ok(Self {
            space,
            reader,
            bytes: ts.bytes / page * page,
            path: if delta.is_some() {
                format!("{}.delta", ts.name)
            } else {
                ts.name.clone()
            },
            floor,
            waiting: (delta.is_some() && job.sink.ordered())
                .then(|| Mutex::new(Waiting::new(RANGE_BYTES, job.spool_dir.to_owned()))),
            delta,
            treat: treat(ts),
            pending: Mutex::default(),
        })
    }

    /// The next run of data, or an empty one at the end of the file.
    fn data_after(&self, offset: u64) -> Result<std::ops::Range<u64>, BackupError> {
        let data = self.reader.next_data(offset)?;
        Ok(data.unwrap_or(self.bytes..self.bytes))
    }

    fn page_bytes(&self, job: &CopyJob<'_>) -> usize {
        job.tablespaces[self.space].page_size.bytes()
    }

    /// Counts a range as done; the last one of the file ends the file and gives its counts.
    fn range_done(
        &self,
        job: &CopyJob<'_>,
        report: &ReadReport,
    ) -> Result<Option<CopyCounts>, BackupError> {
        let mut pending = self.pending.locked();
        pending.counts.report.merge(report);
        pending.ranges -= 1;
        if pending.ranges > 0 || !pending.cut {
            return Ok(None);
        }
        let mut counts = pending.counts.clone();
        drop(pending);
        counts.stored_bytes = self.bytes;
        if let Some(delta) = &self.delta {
            let fresh = DeltaWriter::new(job.tablespaces[self.space].page_size, RANGE_BYTES);
            let writer = std::mem::replace(&mut *delta.locked(), fresh);
            let mut pieces = Vec::new();
            // In a pack lies what is one piece.
            let most = if job.sink.packs() { SMALL } else { 0 };
            let stats = writer.finish_whole(most, &mut |piece| pieces.push(piece));
            self.put_pieces(job, pieces)?;
            counts.delta_pages = stats.pages;
            counts.stored_bytes = stats.bytes;
        }
        Ok(Some(counts))
    }

    /// Stores pieces of the delta, in order where that is wanted.
    fn put_pieces(&self, job: &CopyJob<'_>, pieces: Vec<delta::Piece>) -> Result<(), BackupError> {
        for piece in pieces {
            let piece = sink::Piece {
                index: piece.index,
                offset: piece.offset,
                hole: 0,
                data: piece.data,
                last: piece.last,
            };
            let Some(waiting) = &self.waiting else {
                job.sink.put(&self.path, self.treat, piece)?;
                continue;
            };
            let wrapped = job.sink.wrap(self.treat, piece)?;
            let mut waiting = waiting.locked();
            waiting.hold(wrapped)?;
            while let Some(piece) = waiting.next()? {
                job.sink.put_wrapped(&self.path, self.treat, piece)?;
            }
        }
        Ok(())
    }
}

/// The pages of an encrypted tablespace are ciphertext; mysqld says which are by the flags.
pub(super) const fn treat(ts: &Tablespace) -> Treat {
    if ts.flags.is_encrypted() {
        Treat::Ciphertext
    } else {
        Treat::All
    }
}

fn copy_range(
    job: &CopyJob<'_>,
    range: &Range,
    mut buffer: Buffer,
    workers: &Cancel,
) -> Result<ReadReport, BackupError> {
    let file = &range.file;
    let page_bytes = file.page_bytes(job);
    let len = range.pages * page_bytes;
    let mut report = read_range(job, range, &mut buffer[..len], workers)?;
    report.zero += range.hole / page_bytes as u64;
    match (file.floor, &file.delta) {
        (Some(floor), Some(delta)) => {
            filter_into(job, file, delta, floor, range.first, &buffer[..len])?;
        }
        _ => {
            let offset = u64::from(range.first.0) * page_bytes as u64;
            let piece = sink::Piece {
                index: range.index,
                offset: offset - range.hole,
                hole: range.hole,
                data: buffer.freeze(len),
                last: range.last,
            };
            job.sink.put(&file.path, file.treat, piece)?;
        }
    }
    Ok(report)
}

/// Reads the pages of a range: at once, or piece by piece through the limiter.
fn read_range(
    job: &CopyJob<'_>,
    range: &Range,
    buffer: &mut [u8],
    workers: &Cancel,
) -> Result<ReadReport, BackupError> {
    let reader = &range.file.reader;
    let page_bytes = range.file.page_bytes(job);
    let mut report = ReadReport::default();
    let Some(limiter) = job.limiter else {
        if range.pages > 0 {
            report = reader.read(range.first, range.pages, buffer)?;
        }
        return Ok(report);
    };
    let mut at = range.first.0;
    for piece in buffer.chunks_mut(read_limiter::PIECE.next_multiple_of(page_bytes)) {
        let turn = limiter.enter(piece.len() as u64, &|| workers.is_cancelled());
        let turn = turn.ok_or(BackupError::Interrupted)?;
        let pages = piece.len() / page_bytes;
        report.merge(&reader.read(PageNo(at), pages, piece)?);
        drop(turn);
        at += pages as u32;
    }
    Ok(report)
}

/// Gives the pages that changed since `floor` to the delta of their file.
fn filter_into(
    job: &CopyJob<'_>,
    file: &OpenFile,
    delta: &Mutex<DeltaWriter>,
    floor: Lsn,
    first: PageNo,
    bytes: &[u8],
) -> Result<(), BackupError> {
    let page_bytes = file.page_bytes(job);
    let changed = changed_pages(bytes, page_bytes, floor);
    if changed.is_empty() {
        return Ok(());
    }
    let mut pieces = Vec::new();
    let mut writer = delta.locked();
    for index in changed {
        let (at, number) = (index as usize * page_bytes, PageNo(first.0 + index));
        writer.push(number, &bytes[at..at + page_bytes], &mut |piece| {
            pieces.push(piece);
        });
    }
    // A store that is slow must not keep the others from the file's delta.
    drop(writer);
    file.put_pieces(job, pieces)
}

/// Which pages of a run belong into a delta, counted from its first.
pub(crate) fn changed_pages(run: &[u8], page_bytes: usize, floor: Lsn) -> Vec<u32> {
    (0..)
        .zip(run.chunks_exact(page_bytes))
        .filter(|(_, page)| changed(page, floor))
        .map(|(index, _)| index)
        .collect()
}

/// Whether a page belongs into a delta. The server writes the first page of a new file with LSN 0 and
/// stamps it when it is next flushed; its redo can be applied only to a page that is there. A page of
/// zeros needs only the length of the file.
fn changed(page: &[u8], floor: Lsn) -> bool {
    let lsn = page::lsn(page);
    if lsn == Lsn(0) {
        return !page::is_zero(page);
    }
    lsn >= floor
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(lsn: u64) -> Vec<u8> {
        let mut page = vec![0; 1024];
        page[16..24].copy_from_slice(&lsn.to_be_bytes());
        page
    }

    #[test]
    fn pages_from_the_floor_on_are_changed_and_zeros_never_are() {
        let floor = Lsn(100);
        assert!(!changed(&page(99), floor));
        assert!(changed(&page(100), floor));
        assert!(!changed(&page(0), floor));
        assert!(!changed(&page(0), Lsn(0)));
        assert!(changed(&page(1), Lsn(0)));
        let mut first = page(0);
        first[38] = 1;
        assert!(
            changed(&first, floor),
            "a first page that was not stamped yet"
        );
    }
}
