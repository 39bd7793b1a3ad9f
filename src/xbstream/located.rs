//! Chunks of a stream that is read at arbitrary offsets: the heads are read in order, and any
//! thread reads a payload at its offset, in pieces through a small buffer.
//!
//! A memory map of the file would save no significant copy: its pages must be faulted in, they
//! count as memory of this process, and if the file is truncated, the process ends by SIGBUS. With
//! positioned reads, a truncated file is an error like any other early end of a stream.

use super::chunk::{Layout, Unchecked};
use super::{Reader, XbstreamError};
use crate::counted::count;
use bytes::Bytes;
use std::fmt::Debug;
use std::io::{BufReader, Read, Seek};
use std::sync::Arc;

/// The largest payload that [`Located::load`] takes into memory, in bytes.
const PAYLOAD_MAX: u64 = 1 << 30;

/// A source that any number of threads can read at any offset, such as a file.
pub trait ReadAt: Debug + Send + Sync {
    /// Fills `buffer` with the bytes at offset `at`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the source ends before the buffer is full; else the error of the
    /// operating system.
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<()>;

    /// Returns the current length in bytes.
    ///
    /// # Errors
    /// The error of the operating system.
    fn length(&self) -> std::io::Result<u64>;
}

/// Iterates over the chunks of a stream.
#[derive(Debug)]
pub struct LocatedChunks<R: Read + Seek> {
    heads: Reader<BufReader<R>>,
    payloads: Arc<dyn ReadAt>,
    /// Offset of the start of the stream in the file, in bytes.
    base: u64,
}

impl<R: Read + Seek> LocatedChunks<R> {
    /// Iterates over the chunks of the stream that begins at byte `base` of `payloads`. `heads`
    /// reads the same bytes from `base` on.
    #[must_use]
    pub fn new(heads: BufReader<R>, payloads: Arc<dyn ReadAt>, base: u64) -> Self {
        Self {
            heads: Reader::with_limit(heads, u64::MAX),
            payloads,
            base,
        }
    }

    /// Returns the next chunk; its payload was not read. The first error ends the stream.
    ///
    /// # Errors
    /// [`XbstreamError`].
    pub fn next_located(&mut self) -> Result<Option<Located>, XbstreamError> {
        let chunk = self.heads.next_passing_payload()?;
        Ok(chunk.map(|(chunk, from)| Located {
            chunk,
            payloads: Arc::clone(&self.payloads),
            from: self.base.saturating_add(from),
        }))
    }
}

/// A chunk whose payload is still in its file.
#[derive(Debug)]
pub struct Located {
    /// The chunk, without data.
    chunk: Unchecked,
    payloads: Arc<dyn ReadAt>,
    /// File offset of the payload, in bytes.
    from: u64,
}

impl Located {
    /// Returns the chunk without its payload, whose length it contains.
    #[must_use]
    pub const fn head(&self) -> &Unchecked {
        &self.chunk
    }

    /// Returns whether the chunk is a payload or a sparse chunk, so that [`Self::copy`] applies.
    #[must_use]
    pub fn has_data(&self) -> bool {
        matches!(self.chunk.head.layout, Layout::Payload | Layout::Sparse)
    }

    fn truncated(&self) -> XbstreamError {
        XbstreamError::Truncated {
            at: self.chunk.at,
            part: "the payload",
            path: Some(self.chunk.path.clone()),
        }
    }

    /// Fills `buffer` with the bytes at offset `at` of the payload.
    fn read(&self, buffer: &mut [u8], at: u64) -> Result<(), XbstreamError> {
        let from = self.from.saturating_add(at);
        let read = self.payloads.read_exact_at(buffer, from);
        read.map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => self.truncated(),
            _ => XbstreamError::Io {
                at: self.chunk.at,
                source,
            },
        })
    }

    /// Reads the payload into memory; its checksum is not checked.
    ///
    /// # Errors
    /// [`XbstreamError`]: the file is shorter, can't be read, or the payload is longer than 1 GiB.
    pub fn load(self) -> Result<Unchecked, XbstreamError> {
        let length = self.chunk.fields.length;
        if length > PAYLOAD_MAX {
            return Err(XbstreamError::Field {
                at: self.chunk.at,
                path: self.chunk.path,
                what: format!(
                    "a payload of {length}, at most {PAYLOAD_MAX} are accepted in memory",
                    length = count(length, "byte")
                ),
            });
        }
        // A wrong length field must not cause an allocation.
        let end = self.payloads.length().unwrap_or(0);
        if self.from.checked_add(length).is_none_or(|to| to > end) {
            return Err(self.truncated());
        }
        let mut data = vec![0; length as usize];
        self.read(&mut data, 0)?;
        Ok(Unchecked {
            data: Bytes::from(data),
            ..self.chunk
        })
    }

    /// Passes the payload to `put` piece by piece, each with its file offset in bytes, and compares
    /// the checksum at the end: **if this fails, the data that `put` wrote is not valid.** `buffer`
    /// must not be empty. If it fits into the processor's cache, each byte is read from main memory
    /// only once.
    ///
    /// # Errors
    /// [`XbstreamError`], and the errors of `put`.
    pub fn copy<E: From<XbstreamError>>(
        &self,
        buffer: &mut [u8],
        mut put: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.chunk.map_bytes);
        let (mut at, mut place) = (0, self.chunk.fields.offset);
        let mut run = |skip: u64, length: u64| {
            place += skip;
            let end = at + length;
            while at < end {
                let want = (end - at).min(buffer.len() as u64) as usize;
                let piece = &mut buffer[..want];
                self.read(piece, at)?;
                hasher.update(piece);
                put(place, piece)?;
                at += want as u64;
                place += want as u64;
            }
            Ok::<(), E>(())
        };
        if self.chunk.head.layout == Layout::Sparse {
            for entry in &self.chunk.map {
                run(u64::from(entry.skip), u64::from(entry.len))?;
            }
        } else {
            run(0, self.chunk.fields.length)?;
        }
        Ok(self.chunk.compare(hasher.finalize())?)
    }
}

impl<R: Read + Seek> Reader<BufReader<R>> {
    /// Returns the next chunk without its payload, and the offset of the payload from the start of
    /// the stream, in bytes.
    fn next_passing_payload(&mut self) -> Result<Option<(Unchecked, u64)>, XbstreamError> {
        let mut from = 0;
        let cut = |at, path: &str| XbstreamError::Truncated {
            at,
            part: "the payload",
            path: Some(path.to_owned()),
        };
        let chunk = self.next_with(|this, length, start, path| {
            from = Self::position(this);
            // An offset that no file can have lies after the end of this file.
            let end = i64::try_from(from.saturating_add(length)).ok();
            let (Some(_), Ok(step)) = (end, i64::try_from(length)) else {
                return Err(cut(start, path));
            };
            this.pass(step).map_err(|source| match source.kind() {
                std::io::ErrorKind::InvalidInput => cut(start, path),
                _ => XbstreamError::Io { at: start, source },
            })?;
            Ok(Bytes::new())
        })?;
        Ok(chunk.map(|chunk| (chunk, from)))
    }
}
