//! Encodes chunks, and writes a stream chunk by chunk.

use super::{FLAG_REWRITE, HEAD, MAGIC, PATH_MAX, XbstreamError};
use bytes::Bytes;
use std::io::Write;

/// Returns the CRC of a payload: zlib's CRC-32.
#[must_use]
pub fn crc(payload: &[u8]) -> u32 {
    crc32fast::hash(payload)
}

fn head(path: &str, kind: u8, more: usize) -> Result<Vec<u8>, XbstreamError> {
    let wrong = |what: &str| XbstreamError::Path {
        at: 0,
        what: format!("path {path:?} {what}"),
    };
    if path.is_empty() {
        return Err(wrong("is empty"));
    }
    if path.len() >= PATH_MAX {
        return Err(wrong(
            "is too long for an xbstream: expected less than 512 bytes",
        ));
    }
    if path.contains('\0') {
        return Err(wrong("contains a NUL byte"));
    }
    let mut out = Vec::with_capacity(HEAD + path.len() + more);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0, kind]);
    out.extend_from_slice(&(path.len() as u32).to_le_bytes());
    out.extend_from_slice(path.as_bytes());
    Ok(out)
}

/// Encodes the bytes before the payload of a `P` chunk.
///
/// # Errors
/// [`XbstreamError::Path`].
pub fn payload_head(path: &str, offset: u64, len: u64, crc: u32) -> Result<Bytes, XbstreamError> {
    let mut out = head(path, b'P', 20)?;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&crc.to_le_bytes());
    Ok(Bytes::from(out))
}

/// Same as [`payload_head`], for a payload that truncates a file that has ended and starts it again
/// (MariaDB).
///
/// # Errors
/// [`XbstreamError::Path`].
pub fn rewrite_head(path: &str, offset: u64, len: u64, crc: u32) -> Result<Bytes, XbstreamError> {
    let mut out = payload_head(path, offset, len, crc)?.to_vec();
    out[MAGIC.len()] = FLAG_REWRITE;
    Ok(Bytes::from(out))
}

/// The largest payload that [`frame`] writes in one chunk, in bytes: the size that xtrabackup
/// writes, and for which its readers have a buffer (`docs/format/xbstream.md#payload-chunk`).
const PAYLOAD_MAX: usize = 10 << 20;
/// Length of the payloads that longer data is split into, in bytes.
const PAYLOAD_STEP: usize = 8 << 20;

/// Encodes a range of a file as chunks: the `hole` bytes before `at`, payloads that fit the buffers
/// of readers, and the `E` chunk if the range is the `last`.
///
/// # Errors
/// [`XbstreamError::Path`].
pub(crate) fn frame(
    path: &str,
    at: u64,
    hole: u64,
    data: Bytes,
    last: bool,
) -> Result<Vec<Bytes>, XbstreamError> {
    let mut parts = Vec::with_capacity(4);
    if hole > 0 {
        parts.push(hole_chunk(path, at - hole, hole)?);
    }
    let step = if data.len() > PAYLOAD_MAX {
        PAYLOAD_STEP
    } else {
        PAYLOAD_MAX
    };
    for from in (0..data.len()).step_by(step) {
        let part = data.slice(from..data.len().min(from + step));
        let at = at + from as u64;
        parts.push(payload_head(path, at, part.len() as u64, crc(&part))?);
        parts.push(part);
    }
    if last {
        parts.push(end_chunk(path)?);
    }
    Ok(parts)
}

/// Encodes an `E` chunk.
///
/// # Errors
/// [`XbstreamError::Path`].
pub fn end_chunk(path: &str) -> Result<Bytes, XbstreamError> {
    head(path, b'E', 0).map(Bytes::from)
}

/// Encodes an `S` chunk that consists of a hole of `len` bytes.
///
/// # Errors
/// [`XbstreamError::Path`].
pub fn hole_chunk(path: &str, offset: u64, len: u64) -> Result<Bytes, XbstreamError> {
    let mut map = Vec::new();
    let mut left = len;
    while left > 0 {
        let skip = left.min(u64::from(u32::MAX)) as u32;
        map.extend_from_slice(&skip.to_le_bytes());
        map.extend_from_slice(&0u32.to_le_bytes());
        left -= u64::from(skip);
    }
    let mut out = head(path, b'S', 24 + map.len())?;
    out.extend_from_slice(&((map.len() / 8) as u32).to_le_bytes());
    out.extend_from_slice(&0u64.to_le_bytes());
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&crc(&map).to_le_bytes());
    out.extend_from_slice(&map);
    Ok(Bytes::from(out))
}

/// Encodes MariaDB's chunk that renames a complete file.
///
/// # Errors
/// [`XbstreamError::Path`].
pub fn rename_chunk(path: &str, to: &str) -> Result<Bytes, XbstreamError> {
    let new = head(to, b'R', 0)?;
    let mut out = head(path, b'R', 4 + to.len())?;
    // The new path is stored with its length, like the old path.
    out.extend_from_slice(&new[HEAD - 4..]);
    Ok(Bytes::from(out))
}

/// Encodes MariaDB's chunk that removes a complete file.
///
/// # Errors
/// [`XbstreamError::Path`].
pub fn remove_chunk(path: &str) -> Result<Bytes, XbstreamError> {
    head(path, b'D', 0).map(Bytes::from)
}

/// Encodes MariaDB's chunk that sets the offset of the next payload; another chunk must follow.
///
/// # Errors
/// [`XbstreamError::Path`].
pub fn seek_chunk(path: &str, offset: u64) -> Result<Bytes, XbstreamError> {
    let mut out = head(path, b'S', 8)?;
    out.extend_from_slice(&offset.to_le_bytes());
    Ok(Bytes::from(out))
}

/// Writes a stream.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    at: u64,
}

impl<W: Write> Writer<W> {
    /// Starts a stream.
    pub const fn new(out: W) -> Self {
        Self { out, at: 0 }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), XbstreamError> {
        self.out
            .write_all(bytes)
            .map_err(|source| XbstreamError::Io {
                at: self.at,
                source,
            })?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Writes a `P` chunk.
    ///
    /// # Errors
    /// The path is not valid, or the write failed.
    pub fn payload(&mut self, path: &str, offset: u64, data: &[u8]) -> Result<(), XbstreamError> {
        self.put(&payload_head(path, offset, data.len() as u64, crc(data))?)?;
        self.put(data)
    }

    /// Writes a hole as an `S` chunk.
    ///
    /// # Errors
    /// Same as [`Self::payload`].
    pub fn hole(&mut self, path: &str, offset: u64, len: u64) -> Result<(), XbstreamError> {
        self.put(&hole_chunk(path, offset, len)?)
    }

    /// Writes an `E` chunk.
    ///
    /// # Errors
    /// Same as [`Self::payload`].
    pub fn end(&mut self, path: &str) -> Result<(), XbstreamError> {
        self.put(&end_chunk(path)?)
    }

    /// Returns the underlying writer.
    pub fn into_inner(self) -> W {
        self.out
    }
}
