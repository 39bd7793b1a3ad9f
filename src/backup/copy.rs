//! The page workers: read ranges of files, verify the pages, filter them by LSN, frame them and
//! pass them to the store.
//!
//! The unit of work is a range, not a file, so that one very large table keeps every worker busy. A
//! range of a full backup is one object of its file; the pages of an incremental go through the
//! delta writer of their file. Memory is bounded by the buffer pool: the buffer of a range moves to
//! the store without a copy, and returns to the pool after the upload.

use super::copy_job::CopyJob;
use super::error::BackupError;
use super::open_file::{FileInCopy, changed_pages};
use super::ranges::{Cutter, Range};
use super::read_limiter;
use super::sink::Sink;
use super::spaces::{CopiedSpace, SpaceToCopy};
use super::wrap;
use crate::cancel::Cancel;
use crate::datadir::ReadReport;
use crate::innodb::PageNo;
use crate::mem::Buffer;
use crate::progress::Phase;
use std::sync::atomic::Ordering;

/// Copies every tablespace file. The results have the order of `spaces`.
pub(super) fn copy_all(
    job: &CopyJob<'_>,
    spaces: Vec<SpaceToCopy>,
) -> Result<Vec<CopiedSpace>, BackupError> {
    let files: Vec<_> = spaces.into_iter().map(FileInCopy::new).collect();
    let cutter = Cutter::new(job, &files);
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
            .apply()
            .and_then(|()| work(job, &cutter, &workers));
        if outcome.is_ok() {
            std::mem::forget(guard);
        }
        outcome
    });
    // The first cause is returned: workers that stop because of another worker return
    // `Interrupted`.
    let mut interrupted = Ok(());
    for outcome in outcomes {
        match outcome {
            Err(BackupError::Interrupted) => interrupted = Err(BackupError::Interrupted),
            outcome => outcome?,
        }
    }
    interrupted?;
    job.cancel.check()?;
    files.into_iter().map(FileInCopy::copied).collect()
}

/// Stops the other workers when a worker fails or panics: they could wait for its range forever.
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

fn work(job: &CopyJob<'_>, cutter: &Cutter<'_>, workers: &Cancel) -> Result<(), BackupError> {
    while !workers.is_cancelled() {
        // The buffer before the range: a worker that waits for memory must not hold a range.
        let buffer = job.pool.get();
        let Some(range) = cutter.next()? else { break };
        let report = copy_range(job, &range, buffer, workers)?;
        let read = (range.pages * range.file.page_bytes()) as u64;
        job.read.fetch_add(read, Ordering::Relaxed);
        job.progress.advance(Phase::Copy, range.hole + read);
        range.file.range_done(job.sink, &report)?;
    }
    Ok(())
}

fn copy_range(
    job: &CopyJob<'_>,
    range: &Range<'_>,
    mut buffer: Buffer,
    workers: &Cancel,
) -> Result<ReadReport, BackupError> {
    let file = &range.file;
    let page_bytes = file.page_bytes();
    let len = range.pages * page_bytes;
    let mut report = read_range(job, range, &mut buffer[..len], workers)?;
    report.zero += range.hole / page_bytes as u64;
    match &file.delta {
        Some(delta) => {
            let changed = changed_pages(&buffer[..len], page_bytes, delta.floor);
            file.put_changed(job.sink, delta, changed, range.first, &buffer[..len])?;
        }
        None => {
            let offset = u64::from(range.first.0) * page_bytes as u64;
            let piece = wrap::Piece {
                index: range.index,
                offset: offset - range.hole,
                hole: range.hole,
                data: buffer.freeze(len),
                last: range.last,
            };
            job.sink.put(&file.path, file.wrap_mode, piece)?;
        }
    }
    Ok(report)
}

/// Reads the pages of a range: in one call, or in pieces if there is a limiter.
fn read_range(
    job: &CopyJob<'_>,
    range: &Range<'_>,
    buffer: &mut [u8],
    workers: &Cancel,
) -> Result<ReadReport, BackupError> {
    let reader = &range.file.reader;
    let page_bytes = range.file.page_bytes();
    let mut report = ReadReport::default();
    let Some(limiter) = job.limiter else {
        if range.pages > 0 {
            report = reader.read(range.first, range.pages, buffer)?;
        }
        return Ok(report);
    };
    let mut at = range.first.0;
    for piece in buffer.chunks_mut(read_limiter::PIECE.next_multiple_of(page_bytes)) {
        let permit = limiter.enter(piece.len() as u64, &|| workers.is_cancelled());
        let permit = permit.ok_or(BackupError::Interrupted)?;
        let pages = piece.len() / page_bytes;
        report.merge(&reader.read(PageNo(at), pages, piece)?);
        drop(permit);
        at += pages as u32;
    }
    Ok(report)
}
