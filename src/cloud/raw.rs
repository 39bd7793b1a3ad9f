//! Reads chunks together with their encoded bytes: an object is a chunk verbatim.

use crate::locked::Locked;
use std::io::Read;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::xbstream::{Chunk, Reader, XbstreamError};

/// A stream reader that keeps the encoded bytes of each chunk.
pub(super) struct RawReader<R> {
    reader: Reader<Kept<R>>,
    kept: Arc<Mutex<Vec<u8>>>,
}

impl<R: Read> RawReader<R> {
    /// Creates a reader of chunks whose payload has at most `payload_max` bytes.
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

    /// Returns the next chunk, with its checksum verified, and its bytes.
    pub(super) fn next(&mut self) -> Option<Result<(Chunk, Bytes), XbstreamError>> {
        let chunk = self.reader.next()?;
        let mut raw = std::mem::take(&mut *self.kept.locked());
        // it grew by doubling, and may wait in the queue
        raw.shrink_to_fit();
        Some(chunk.map(|chunk| (chunk, Bytes::from(raw))))
    }
}

/// Records the bytes that are read. The reader reads exactly one chunk at a time, so they are the
/// chunk.
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
