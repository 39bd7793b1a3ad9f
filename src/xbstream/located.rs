//! Chunks of a stream that can be read at any place: heads are read one after the other, payloads by whoever
//! wants them, at their places, piece by piece through a small buffer.
//!
//! A map of a file would save no copy that counts: its pages must be faulted in, they are counted as
//! this process's memory, and whoever cuts the file off ends the process by SIGBUS. Here that is an
//! error like any other end of a stream.

use super::chunk::{Layout, Unchecked};
use super::{Reader, XbstreamError};
use crate::counted::count;
use bytes::Bytes;
use std::fmt::Debug;
use std::io::{BufReader, Read, Seek};
use std::sync::Arc;

/// The largest payload that [`Located::load`] takes into memory, in bytes.
const PAYLOAD_MAX: u64 = 1 << 30;

/// What can be read at any place, by any number of threads: a file.
pub trait ReadAt: Debug + Send + Sync {
    /// Reads `buffer` full, from byte `at` on.
    ///
    /// # Errors
    /// `UnexpectedEof` where it ends before, and what the system says.
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<()>;

    /// Its length in bytes, now.
    ///
    /// # Errors
    /// What the system says.
    fn length(&self) -> std::io::Result<u64>;
}

/// Finds chunks.
#[derive(Debug)]
pub struct LocatedChunks<R: Read + Seek> {
    heads: Reader<BufReader<R>>,
    payloads: Arc<dyn ReadAt>,
    /// Where the stream begins, in bytes.
    base: u64,
}

impl<R: Read + Seek> LocatedChunks<R> {
    /// The chunks of the stream that begins at byte `base` of `payloads`, and of which `heads` reads from
    /// there on.
    #[must_use]
    pub fn new(heads: BufReader<R>, payloads: Arc<dyn ReadAt>, base: u64) -> Self {
        Self {
            heads: Reader::with_limit(heads, u64::MAX),
            payloads,
            base,
        }
    }

    /// The next chunk; its payload was not read. The first error ends the stream.
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
    /// Without data.
    chunk: Unchecked,
    payloads: Arc<dyn ReadAt>,
    /// Where the payload begins.
    from: u64,
}

impl Located {
    /// All of it but the payload, whose length it says.
    #[must_use]
    pub const fn head(&self) -> &Unchecked {
        &self.chunk
    }

    /// Whether it is a payload or a sparse chunk: what [`Self::copy`] is for.
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

    /// Reads `buffer` full, from byte `at` of the payload on.
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

    /// The chunk with its payload in memory, its checksum not looked at.
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
        // A length that lies must not make us allocate.
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

    /// Gives the payload to `put` piece by piece, with the place of each in the chunk's file in bytes,
    /// and looks at the checksum at the end: **what `put` did is worth nothing if this fails.**
    /// `buffer` must not be empty; one that fits into the processor's cache makes the bytes travel once.
    ///
    /// # Errors
    /// [`XbstreamError`], and what `put` says.
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
    /// The next chunk without its payload, and where that begins, in bytes behind the stream's start.
    fn next_passing_payload(&mut self) -> Result<Option<(Unchecked, u64)>, XbstreamError> {
        let mut from = 0;
        let cut = |at, path: &str| XbstreamError::Truncated {
            at,
            part: "the payload",
            path: Some(path.to_owned()),
        };
        let chunk = self.next_with(|this, length, start, path| {
            from = Self::position(this);
            // A place that no file has is behind the end of this one.
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
