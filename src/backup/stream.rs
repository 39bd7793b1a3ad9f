//! A backup as one xbstream, or as several beside each other (spec 8.5).
//!
//! A file belongs to one of the streams, the one that was next when its first piece came. What is
//! computed over the bytes is computed before the lock: under it there is only the write.

use super::error::BackupError;
use crate::store::{self, Manifest};
use crate::xbstream;
use bytes::Bytes;
use std::io::{IoSlice, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// A place for a stream.
pub type Output = Box<dyn Write + Send>;

/// The streams of one backup.
pub(super) struct Streams {
    outputs: Vec<Mutex<Output>>,
    next: AtomicUsize,
}

/// The payload of a chunk.
pub(super) struct Chunk {
    pub at: u64,
    pub crc: u32,
    pub data: Bytes,
}

impl Streams {
    pub(super) fn new(outputs: Vec<Output>) -> Self {
        Self {
            outputs: outputs.into_iter().map(Mutex::new).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// The stream of a new file.
    pub(super) fn assign(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.outputs.len().max(1)
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
        let Some(output) = self.outputs.get(stream) else {
            return Err(BackupError::Panicked("stream"));
        };
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        write_all(&mut *output, &[&head, &chunk.data, &end]).map_err(BackupError::Stream)
    }

    /// Writes the manifest, the last file, into the first stream, and flushes all.
    pub(super) fn finish(&self, manifest: &Manifest) -> Result<(), BackupError> {
        let parts = store::manifest_chunks(manifest)?;
        let mut first = true;
        for output in &self.outputs {
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            if std::mem::take(&mut first) {
                for part in &parts {
                    output.write_all(part).map_err(BackupError::Stream)?;
                }
            }
            output.flush().map_err(BackupError::Stream)?;
        }
        Ok(())
    }

    /// Ends every stream within a chunk: a reader that sees it stop at the end of one would take it
    /// for whole. That the reader is gone already is no news.
    pub(super) fn spoil(&self) {
        for output in &self.outputs {
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = output.write_all(&xbstream::MAGIC[..4]);
            let _ = output.flush();
        }
    }
}

/// Writes all slices with as few calls as it takes.
fn write_all(output: &mut dyn Write, parts: &[&[u8]]) -> std::io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut left: &mut [IoSlice<'_>] = &mut slices;
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match output.write_vectored(left) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
