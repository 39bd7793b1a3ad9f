//! Reads streams and extracts them.
//!
//! Several threads read a stream in turn: a thread that has read a chunk releases the stream, then checks and
//! writes its chunk.
//!
//! Several streams often have the same writer, which blocks forever if one of them is no longer read. So after a
//! failure, blocked reads are ended and every stream is closed: the writer gets `EPIPE`.

use super::error::ArchiveError;
use super::extract::Extraction;
use super::input::{Chunks, Input};
use super::options::{ExtractOptions, ExtractReport};
use super::place::Destination;
use super::shared::Shared;
use crate::locked::Locked;
use crate::progress::{Phase, Progress};
use std::sync::{Arc, Mutex, MutexGuard};

/// Extracts all of `inputs`. The thread that reads a chunk also checks and writes it, so that its bytes are still
/// in the cache of its core. Only the reads are sequential.
///
/// # Errors
/// The first [`ArchiveError`]. Complete files stay, incomplete ones are removed.
/// [`ArchiveError::Empty`] if no input has a chunk; some of several may have none.
pub fn extract(
    inputs: Vec<Input>,
    options: ExtractOptions,
    progress: &dyn Progress,
) -> Result<ExtractReport, ArchiveError> {
    let extraction = Extraction::open(options)?;
    let report = run(extraction, inputs, progress)?;
    if report.chunks == 0 {
        return Err(ArchiveError::Empty);
    }
    Ok(report)
}

/// Passes all of `inputs` to an extraction.
pub(super) fn run(
    extraction: Extraction,
    inputs: Vec<Input>,
    progress: &dyn Progress,
) -> Result<ExtractReport, ArchiveError> {
    let shared = extraction.shared();
    let threads = shared.parallel().max(inputs.len());
    let sources = inputs
        .into_iter()
        .map(|input| Ok(Source(Mutex::new(Some(Chunks::of(input, shared.ended())?)))));
    let sources = sources.collect::<Result<Vec<Source>, ArchiveError>>()?;
    std::thread::scope(|scope| {
        let sources = sources.iter().cycle().take(threads);
        let spawned = sources.map(|source| {
            scope.spawn(move || {
                let reader = Reader { shared, source };
                if let Err(error) = reader.read(progress) {
                    reader.failed(error);
                }
            })
        });
        for thread in spawned.collect::<Vec<_>>() {
            // A panic was recorded by the drop of `Reader`.
            let _ = thread.join();
        }
    });
    extraction.finish()
}

/// A stream from which several threads read chunks; `None` when it is closed.
struct Source(Mutex<Option<Chunks>>);

impl Source {
    fn lock(&self) -> MutexGuard<'_, Option<Chunks>> {
        self.0.locked()
    }
}

/// A thread that reads a stream.
struct Reader<'a> {
    shared: &'a Arc<Shared>,
    source: &'a Source,
}

impl Reader<'_> {
    /// Reads and applies chunks until the stream ends or a thread fails.
    fn read(&self, progress: &dyn Progress) -> Result<(), ArchiveError> {
        let shared = self.shared;
        let mut buffer = Vec::new();
        loop {
            let mut turn = self.source.lock();
            let Some(chunks) = turn.as_mut().filter(|_| !shared.has_failed()) else {
                return Ok(());
            };
            let Some(found) = chunks.take()? else {
                return Ok(());
            };
            let (path, bytes) = (found.head().path().to_owned(), found.head().len());
            match shared.admit(&path, found)? {
                // Under the lock, so that the chunks reach that thread in order.
                Some((Destination::Thread(sender), task)) => {
                    sender.send(task).map_err(|_| ArchiveError::Stopped)?;
                }
                Some((Destination::Entry(entry), task)) => {
                    chunks.begin(&path);
                    drop(turn);
                    shared.apply(&entry, task, &mut buffer);
                    if let Some(chunks) = &mut *self.source.lock() {
                        chunks.done(&path);
                    }
                }
                None => {}
            }
            progress.advance(Phase::Transfer, bytes as u64);
        }
    }

    fn failed(&self, error: ArchiveError) {
        // A read that a failure ended returns an error of its stream.
        let is_consequence = self.shared.has_failed();
        let error = if is_consequence {
            ArchiveError::Stopped
        } else {
            error
        };
        self.shared.fail(error);
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failed(ArchiveError::Panicked("extracts the stream"));
        }
        if self.shared.has_failed() {
            *self.source.lock() = None;
        }
    }
}
