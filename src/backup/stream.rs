//! A backup as one xbstream, or as several parallel ones (`docs/format/xbstream.md#fifos`).
//!
//! Each file belongs to one stream: the next one when its first piece arrives. Checksums are
//! computed before the lock of the stream, under which only the write happens.

use super::error::BackupError;
use crate::locked::Locked;
use crate::manifest::Manifest;
use crate::xbstream;
use bytes::Bytes;
use std::io::{IoSlice, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// The output of a stream.
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
    /// The stream ends at a chunk boundary, and more may follow.
    Good,
    /// The stream will not be continued.
    CutOff,
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

    /// Returns the index of the stream for a new file.
    pub(super) fn assign(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.pipes.len().max(1)
    }

    fn lock(&self, stream: usize) -> Result<MutexGuard<'_, Pipe>, BackupError> {
        let pipe = self.pipes.get(stream);
        let pipe = pipe.ok_or(BackupError::Panicked("stream"))?;
        Ok(pipe.locked())
    }

    /// Writes a chunk, if it has a payload, and the end of its file, if it is the last.
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

    /// Writes the manifest, if there is one, which is the last file, into the first stream after all
    /// others are flushed.
    pub(super) fn finish(&self, manifest: Option<&Manifest>) -> Result<(), BackupError> {
        let parts = manifest.map(crate::manifest::manifest_chunks).transpose();
        let parts = parts
            .map_err(crate::store::StoreError::from)?
            .unwrap_or_default();
        for stream in 1..self.pipes.len() {
            self.lock(stream)?.flush()?;
        }
        let parts: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
        // Heads with their payloads, and the end chunk.
        let chunks: Vec<&[&[u8]]> = parts.chunks(2).collect();
        let mut first = self.lock(0)?;
        first.write(&chunks)?;
        first.flush()
    }

    /// Ends every stream within a chunk: a stream that ends at a chunk boundary looks complete.
    /// Errors are ignored, because the reader may have ended already.
    pub(super) fn cut_off(&self) {
        for pipe in &self.pipes {
            let mut pipe = pipe.locked();
            if pipe.state == State::Good {
                pipe.cut_off();
            }
        }
    }
}

impl Pipe {
    /// Writes whole chunks, each of them in parts, with as few calls as possible. After a failure
    /// only [`Self::cut_off`] may write: the rest of one chunk followed by another chunk could look
    /// valid.
    fn write(&mut self, chunks: &[&[&[u8]]]) -> Result<(), BackupError> {
        if self.state == State::CutOff {
            return Err(BackupError::Interrupted);
        }
        let parts = chunks.iter().copied().flatten();
        let mut slices: Vec<IoSlice<'_>> = parts.map(|part| IoSlice::new(part)).collect();
        let (written, result) = write_all(&mut *self.output, &mut slices);
        let Err(error) = result else {
            return Ok(());
        };
        self.state = State::CutOff;
        let mut end = 0;
        let ends = chunks.iter().map(|chunk| {
            end += chunk.iter().map(|part| part.len()).sum::<usize>();
            end
        });
        // Within a chunk nothing is added: it could complete the chunk.
        if written == 0 || ends.into_iter().any(|end| end == written) {
            self.cut_off();
        }
        Err(BackupError::Stream(error))
    }

    fn flush(&mut self) -> Result<(), BackupError> {
        self.output.flush().map_err(BackupError::Stream)
    }

    /// Writes the start of a chunk that will not be completed.
    fn cut_off(&mut self) {
        self.state = State::CutOff;
        let _ = self.output.write_all(&xbstream::MAGIC[..4]);
        let _ = self.output.flush();
    }
}

/// Writes all slices, and returns the number of written bytes.
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
