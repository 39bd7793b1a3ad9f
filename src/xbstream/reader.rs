//! Chunks from any reader.

use super::chunk::{self, Chunk, Fields, Head, Layout, Unchecked};
use super::{HEAD, MAGIC, XbstreamError};
use crate::counted::count;
use crate::locked::Locked;
use bytes::Bytes;
use std::io::Read;
use std::sync::{Arc, Mutex};

/// The largest payload that is read by default, in bytes.
const PAYLOAD_MAX: u64 = 1 << 30;
/// Memory for a payload is allocated in steps of this size as its bytes arrive, independent of its
/// length field. Real programs write chunks of 10 MiB, which take one step.
const STEP: u64 = 16 << 20;
/// Number of buffers that are kept for reuse.
const SPARE: usize = 4;

/// Reads a stream chunk by chunk; the first error ends it.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    at: u64,
    payload_max: u64,
    ended: bool,
    /// The magic of the next chunk was already read, after a seek.
    magic_read: bool,
    spare: Spare,
}

/// Buffers of dropped payloads. They are reused because touching new memory costs more than copying
/// the bytes.
type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

/// A payload that returns its buffer for reuse when it is dropped.
struct Payload {
    data: Vec<u8>,
    spare: Spare,
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        let mut spare = self.spare.locked();
        if spare.len() < SPARE {
            let mut data = std::mem::take(&mut self.data);
            data.clear();
            spare.push(data);
        }
    }
}

impl<R: Read> Reader<R> {
    /// Reads payloads of up to 1 GiB.
    pub fn new(input: R) -> Self {
        Self::with_limit(input, PAYLOAD_MAX)
    }

    /// Reads payloads of up to `payload_max` bytes; a longer one is an error.
    pub fn with_limit(input: R, payload_max: u64) -> Self {
        Self {
            input,
            at: 0,
            payload_max,
            ended: false,
            magic_read: false,
            spare: Spare::default(),
        }
    }

    /// Returns the number of bytes read so far, which is the stream offset of the next chunk.
    #[must_use]
    pub const fn position(&self) -> u64 {
        if self.magic_read {
            return self.at - MAGIC.len() as u64;
        }
        self.at
    }

    /// Reads `len` bytes; fewer only at the end of the stream.
    fn fill(&mut self, len: u64) -> Result<Vec<u8>, XbstreamError> {
        self.fill_into(Vec::new(), len)
    }

    fn fill_into(&mut self, mut out: Vec<u8>, len: u64) -> Result<Vec<u8>, XbstreamError> {
        while (out.len() as u64) < len {
            let want = (len - out.len() as u64).min(STEP);
            out.reserve_exact(want as usize);
            let got = (&mut self.input)
                .take(want)
                .read_to_end(&mut out)
                .map_err(|source| XbstreamError::Io {
                    at: self.at,
                    source,
                })? as u64;
            self.at += got;
            if got < want {
                break;
            }
        }
        Ok(out)
    }

    fn exactly(
        &mut self,
        len: u64,
        start: u64,
        part: &'static str,
        path: Option<&str>,
    ) -> Result<Vec<u8>, XbstreamError> {
        let bytes = self.fill(len)?;
        if bytes.len() as u64 == len {
            return Ok(bytes);
        }
        Err(XbstreamError::Truncated {
            at: start,
            part,
            path: path.map(str::to_owned),
        })
    }

    /// Returns the next chunk without a check of its checksum; the first error ends the stream.
    ///
    /// # Errors
    /// [`XbstreamError`].
    pub fn next_unchecked(&mut self) -> Result<Option<Unchecked>, XbstreamError> {
        self.next_with(Self::payload)
    }

    /// Same as [`Self::next_unchecked`], but `payload` consumes the payload. Its arguments are the
    /// length of the payload, the stream offset of the chunk and the path.
    pub(super) fn next_with(
        &mut self,
        payload: impl FnOnce(&mut Self, u64, u64, &str) -> Result<Bytes, XbstreamError>,
    ) -> Result<Option<Unchecked>, XbstreamError> {
        if self.ended {
            return Ok(None);
        }
        let result = self.parse(payload);
        self.ended = !matches!(result, Ok(Some(_)));
        result
    }

    fn parse(
        &mut self,
        payload: impl FnOnce(&mut Self, u64, u64, &str) -> Result<Bytes, XbstreamError>,
    ) -> Result<Option<Unchecked>, XbstreamError> {
        let mut start = self.at;
        let mut first = Vec::with_capacity(HEAD);
        if std::mem::take(&mut self.magic_read) {
            start -= MAGIC.len() as u64;
            first.extend_from_slice(MAGIC);
        }
        let rest = self.fill((HEAD - first.len()) as u64)?;
        first.extend_from_slice(&rest);
        if first.is_empty() {
            return Ok(None);
        }
        let first: [u8; HEAD] = first.try_into().map_err(|_| XbstreamError::Truncated {
            at: start,
            part: "the header",
            path: None,
        })?;
        let mut head = Head::parse(&first, start)?;
        let path = self.exactly(head.path_len as u64, start, "the path", None)?;
        let path = chunk::path_text(&path, start)?;
        match head.layout {
            Layout::End | Layout::Remove => return Ok(Some(Unchecked::bare(head, path, start))),
            Layout::Rename => return self.rename(head, path, start).map(Some),
            _ => {}
        }
        let mut fields = Vec::new();
        if head.layout == Layout::Sparse {
            fields = self.exactly(chunk::PEEK as u64, start, "the fields", Some(&path))?;
            if chunk::is_seek(&fields) {
                self.magic_read = true;
                head.layout = Layout::Seek;
                let mut seek = Unchecked::bare(head, path, start);
                seek.fields.offset = chunk::seek_offset(&fields, start, &seek.path)?;
                return Ok(Some(seek));
            }
        }
        let more = Fields::len(head.layout) - fields.len();
        fields.extend(self.exactly(more as u64, start, "the fields", Some(&path))?);
        let fields = Fields::parse(head.layout, &fields, start, &path)?;
        if fields.length > self.payload_max {
            return Err(XbstreamError::Field {
                at: start,
                path,
                what: format!(
                    "a payload of {}, at most {} are accepted",
                    count(fields.length, "byte"),
                    self.payload_max
                ),
            });
        }
        let map_bytes = self.exactly(
            u64::from(fields.entries) * 8,
            start,
            "the sparse map",
            Some(&path),
        )?;
        let map = match head.layout {
            Layout::Sparse => chunk::sparse_map(&map_bytes, &fields, start, &path)?,
            _ => Vec::new(),
        };
        let data = payload(self, fields.length, start, &path)?;
        Ok(Some(Unchecked {
            head,
            path,
            to: None,
            fields,
            map_bytes: Bytes::from(map_bytes),
            map,
            data,
            at: start,
        }))
    }

    fn payload(&mut self, len: u64, start: u64, path: &str) -> Result<Bytes, XbstreamError> {
        let spare = self.spare.locked().pop();
        let data = self.fill_into(spare.unwrap_or_default(), len)?;
        if data.len() as u64 == len {
            let spare = Arc::clone(&self.spare);
            return Ok(Bytes::from_owner(Payload { data, spare }));
        }
        Err(XbstreamError::Truncated {
            at: start,
            part: "the payload",
            path: Some(path.to_owned()),
        })
    }

    fn rename(&mut self, head: Head, path: String, start: u64) -> Result<Unchecked, XbstreamError> {
        let part = "the new path";
        let length = self.exactly(4, start, part, Some(&path))?;
        let length = chunk::new_path_len(&length, start)?;
        let to = self.exactly(length as u64, start, part, Some(&path))?;
        let to = chunk::path_text(&to, start)?;
        Ok(Unchecked {
            to: Some(to),
            ..Unchecked::bare(head, path, start)
        })
    }
}

impl<R: Read + std::io::Seek> Reader<std::io::BufReader<R>> {
    /// Skips `bytes` bytes of the input.
    pub(super) fn pass(&mut self, bytes: i64) -> std::io::Result<()> {
        self.input.seek_relative(bytes)?;
        self.at += bytes.unsigned_abs();
        Ok(())
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Chunk, XbstreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.next_unchecked().transpose()?;
        let chunk = chunk.and_then(Unchecked::check);
        self.ended |= chunk.is_err();
        Some(chunk)
    }
}
