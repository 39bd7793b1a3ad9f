//! Chunks together with the very bytes that they came as: an object is a chunk verbatim.

use crate::locked::Locked;
use std::io::Read;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::xbstream::{Chunk, Reader, XbstreamError};

/// Reads a stream, keeping each chunk's bytes.
pub(super) struct RawReader<R> {
    reader: Reader<Kept<R>>,
    kept: Arc<Mutex<Vec<u8>>>,
}

impl<R: Read> RawReader<R> {
    /// Chunks whose payload has up to `payload_max` bytes.
    pub(super) fn new(input: R, payload_max: u64) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let input = Kept {
            input,
            kept: Arc::clone(&kept),
        };
        Self {
            reader: Reader::with_limit(input, payload_max),
            kept,
        }
    }

    /// The next chunk, its checksum checked, and its bytes.
    pub(super) fn next(&mut self) -> Option<Result<(Chunk, Bytes), XbstreamError>> {
        let chunk = self.reader.next()?;
        let mut raw = std::mem::take(&mut *self.kept.locked());
        // it grew by doubling, and may wait for its turn to be stored
        raw.shrink_to_fit();
        Some(chunk.map(|chunk| (chunk, Bytes::from(raw))))
    }
}

/// The reader takes exactly a chunk's bytes at a time, so what went through is the chunk.
struct Kept<R> {
    input: R,
    kept: Arc<Mutex<Vec<u8>>>,
}

impl<R: Read> Read for Kept<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.input.read(buffer)?;
        if let Some(read) = buffer.get(..n) {
            let mut kept = self.kept.locked();
            kept.extend_from_slice(read);
        }
        Ok(n)
    }
}
