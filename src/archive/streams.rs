//! Streams that are read to be extracted.
//!
//! Threads take turns at a stream: who has read a chunk lets the next one read, and checks and writes
//! what it has.

use super::error::ArchiveError;
use super::extract::{ExtractOptions, ExtractReport, Extraction, Place};
use super::input::{Chunks, Input};
use super::parcel::Parcel;
use super::unsynced::Unsynced;
use crate::progress::{Phase, Progress};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A stream that several threads read, each of them whole chunks.
type Source = Mutex<Chunks>;

/// Extracts all of `inputs`. Whoever reads a chunk also checks and writes it, so that its bytes stay
/// where they are needed next; only reading is one after the other.
///
/// # Errors
/// [`ArchiveError`]: the first one. Files that were whole by then stay, others are removed.
pub fn extract(
    inputs: Vec<Input>,
    options: ExtractOptions,
    progress: &dyn Progress,
) -> Result<ExtractReport, ArchiveError> {
    run(
        Extraction::without_workers(options, Unsynced::sync)?,
        inputs,
        progress,
    )
}

/// Has an extraction without workers do all of `inputs`.
pub(super) fn run(
    extraction: Extraction,
    inputs: Vec<Input>,
    progress: &dyn Progress,
) -> Result<ExtractReport, ArchiveError> {
    let threads = extraction.shared().parallel().max(inputs.len());
    let sources = inputs
        .into_iter()
        .map(|input| Ok(Mutex::new(Chunks::of(input)?)));
    let sources = sources.collect::<Result<Vec<Source>, ArchiveError>>()?;
    std::thread::scope(|scope| {
        let (extraction, sources) = (&extraction, &sources);
        let read = |number: usize| {
            let source = sources.get(number % sources.len().max(1));
            source.map_or(Ok(()), |source| read(extraction, source, progress))
        };
        let threads: Vec<_> = (0..threads).map(|n| scope.spawn(move || read(n))).collect();
        for thread in threads {
            let ended = thread.join();
            if let Err(error) = ended.unwrap_or(Err(ArchiveError::Panicked("extracts the stream")))
            {
                extraction.shared().fail(error);
            }
        }
    });
    extraction.finish()
}

/// Reads chunks and does what they say, until the stream ends or something fails.
fn read(
    extraction: &Extraction,
    source: &Source,
    progress: &dyn Progress,
) -> Result<(), ArchiveError> {
    let shared = extraction.shared();
    let mut buffer = Vec::new();
    while !shared.has_failed() {
        let mut chunks = lock(source);
        let Some(found) = chunks.take()? else {
            return Ok(());
        };
        let parcel = Parcel::Found(found);
        let (kind, path, bytes) = parcel.described();
        match shared.admit(&path, parcel, kind)? {
            // Its chunks must reach that thread in their order.
            Some((Place::Thread(sender), task)) => {
                sender.send(task).map_err(|_| ArchiveError::Stopped)?;
            }
            Some((Place::Worker(entry), task)) => {
                chunks.begin(&path);
                drop(chunks);
                shared.apply(&entry, task, &mut buffer);
                lock(source).done(&path);
            }
            None => {}
        }
        progress.advance(Phase::Copy, bytes as u64);
    }
    Ok(())
}

fn lock(source: &Source) -> MutexGuard<'_, Chunks> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}
