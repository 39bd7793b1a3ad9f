//! A backup as one xbstream, or as several beside each other (`docs/format/xbstream.md#fifos`).
//!
//! A file belongs to one of the streams, the one that was next when its first piece came. What is
//! computed over the bytes is computed before the lock: under it there is only the write.

use super::error::BackupError;
use crate::locked::Locked;
use crate::manifest::Manifest;
use crate::xbstream;
use bytes::Bytes;
use std::io::{IoSlice, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// A place for a stream.
pub type Output = Box<dyn Write + Send>;

/// The streams of one backup.
pub(super) struct Streams {
    pipes: Vec<Mutex<Pipe>>,
    next: AtomicUsize,
}

/// One stream.
struct Pipe {
    output: Output,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It stands between two chunks, and more may follow.
    Good,
    /// It will not be continued.
    Spoiled,
}

/// The payload of a chunk.
pub(super) struct Chunk {
    pub at: u64,
    pub crc: u32,
    pub data: Bytes,
}

impl Streams {
    pub(super) fn new(outputs: Vec<Output>) -> Self {
        let pipe = |output| {
            Mutex::new(Pipe {
                output,
                state: State::Good,
            })
        };
        Self {
            pipes: outputs.into_iter().map(pipe).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// The stream of a new file.
    pub(super) fn assign(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.pipes.len().max(1)
    }

    fn lock(&self, stream: usize) -> Result<MutexGuard<'_, Pipe>, BackupError> {
        let pipe = self.pipes.get(stream);
        let pipe = pipe.ok_or(BackupError::Panicked("stream"))?;
        Ok(pipe.locked())
    }

    /// Writes a chunk, if it holds anything, and the end of its file, if it is the last.
    pub(super) fn write(
        &self,
        stream: usize,
        path: &str,
        chunk: &Chunk,
        last: bool,
    ) -> Result<(), BackupError> {
        let empty = Bytes::new();
        let length = chunk.data.len() as u64;
        let head = match length {
            0 => empty.clone(),
            _ => xbstream::payload_head(path, chunk.at, length, chunk.crc)?,
        };
        let end = if last {
            xbstream::end_chunk(path)?
        } else {
            empty
        };
        let data: [&[u8]; 2] = [&head, &chunk.data];
        self.lock(stream)?.write(&[&data, &[&end]])
    }

    /// Writes the manifest, the last file, into the first stream, when all others are written.
    pub(super) fn finish(&self, manifest: &Manifest) -> Result<(), BackupError> {
        let parts =
            crate::manifest::manifest_chunks(manifest).map_err(crate::store::StoreError::from)?;
        for stream in 1..self.pipes.len() {
            self.lock(stream)?.flush()?;
        }
        let parts: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
        // Heads with their payloads, and the end.
        let chunks: Vec<&[&[u8]]> = parts.chunks(2).collect();
        let mut first = self.lock(0)?;
        first.write(&chunks)?;
        first.flush()
    }

    /// Ends every stream within a chunk: a reader that sees it stop at the end of one would take it
    /// for whole. That the reader is gone already is no news.
    pub(super) fn spoil(&self) {
        for pipe in &self.pipes {
            let mut pipe = pipe.locked();
            if pipe.state == State::Good {
                pipe.spoil();
            }
        }
    }
}

impl Pipe {
    /// Writes whole chunks, each of them in parts, with as few calls as it takes. After a failure
    /// nothing follows but what [`Self::spoil`] writes, whoever asks: the rest of one chunk and another
    /// one could be taken for something.
    fn write(&mut self, chunks: &[&[&[u8]]]) -> Result<(), BackupError> {
        if self.state == State::Spoiled {
            return Err(BackupError::Interrupted);
        }
        let parts = chunks.iter().copied().flatten();
        let mut slices: Vec<IoSlice<'_>> = parts.map(|part| IoSlice::new(part)).collect();
        let (written, result) = write_all(&mut *self.output, &mut slices);
        let Err(error) = result else {
            return Ok(());
        };
        self.state = State::Spoiled;
        let mut end = 0;
        let ends = chunks.iter().map(|chunk| {
            end += chunk.iter().map(|part| part.len()).sum::<usize>();
            end
        });
        // Within a chunk nothing is added, which could make it whole.
        if written == 0 || ends.into_iter().any(|end| end == written) {
            self.spoil();
        }
        Err(BackupError::Stream(error))
    }

    fn flush(&mut self) -> Result<(), BackupError> {
        self.output.flush().map_err(BackupError::Stream)
    }

    /// Begins a chunk that will not end.
    fn spoil(&mut self) {
        self.state = State::Spoiled;
        let _ = self.output.write_all(&xbstream::MAGIC[..4]);
        let _ = self.output.flush();
    }
}

/// Writes all slices, and tells how many bytes that were.
fn write_all(output: &mut dyn Write, mut left: &mut [IoSlice<'_>]) -> (usize, std::io::Result<()>) {
    let mut total = 0;
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match output.write_vectored(left) {
            Ok(0) => return (total, Err(std::io::ErrorKind::WriteZero.into())),
            Ok(written) => {
                total += written;
                IoSlice::advance_slices(&mut left, written);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return (total, Err(error)),
        }
    }
    (total, Ok(()))
}
