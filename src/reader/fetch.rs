//! Stored objects as runs of a file's bytes. Their digests are checked when they are fetched, their
//! CRCs when they are unwrapped, and their offsets are compared with the manifest.

use crate::cancel::Cancel;
use crate::codec::xbcrypt::Key;
use crate::counted::count;
use crate::manifest::Finding;
use crate::progress::{Phase, Progress};
use crate::reader::counters::Counters;
use crate::reader::error::ReadError;
use crate::reader::source::Source;
use crate::reader::stored::Stored;
use crate::reader::unwrap;
use crate::xbstream::{self, Chunk};
use bytes::Bytes;
use std::ops::Range;

/// Fetches stored objects; shared by all workers.
pub(crate) struct Fetcher<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) phase: Phase,
    pub(crate) counters: &'a Counters,
    /// The key of encrypted members.
    pub(crate) key: Option<&'a Key>,
    /// Length of the largest object that may be in memory, in bytes.
    pub(crate) limit: u64,
    /// Cancels the job.
    pub(crate) cancel: &'a Cancel,
}

/// Receives bytes of an object with their offset in the file.
type Receiver<'f> = dyn FnMut(u64, Bytes) -> Result<(), ReadError> + 'f;

impl Fetcher<'_> {
    /// Fetches one object and passes its data to `place` in ascending order, without holes.
    ///
    /// # Errors
    /// The errors of `place`; [`ReadError::Damaged`] if the object holds bytes of another file or
    /// at wrong offsets, too few or too many bytes, or the end of the file at a wrong position.
    pub(crate) fn each<E: From<ReadError>>(
        &self,
        stored: Stored<'_>,
        index: usize,
        place: &mut dyn FnMut(u64, Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut failed = None;
        let read = self.read(stored, index, &mut |offset, data| {
            place(offset, data).map_err(|error| {
                failed = Some(error);
                // Only ends the reading; the error of `place` is returned.
                ReadError::Interrupted
            })
        });
        failed.map_or_else(|| read.map_err(E::from), Err)
    }

    fn read(
        &self,
        stored: Stored<'_>,
        index: usize,
        place: &mut Receiver<'_>,
    ) -> Result<(), ReadError> {
        self.cancel.check()?;
        let object = stored.object(index)?;
        if object.bytes > self.limit {
            return Err(ReadError::ObjectTooLarge {
                backup: stored.manifest.name.to_string(),
                path: stored.entry.path.to_string(),
                index: object.index,
                bytes: object.bytes,
                limit: self.limit,
            });
        }
        let bytes = self.source.read(stored, index)?;
        self.counters.fetched(stored.member, object.bytes);
        let end = stored.end_of(index);
        match (self.source.holds_ranges(stored), &stored.entry.wrapping) {
            (false, None) => {
                walk(stored, index, object.offset..end, bytes, place)?;
            }
            (false, Some(_)) => self.wrapped(stored, index, bytes, place)?,
            (true, None) => range(stored, index, bytes, place)?,
            (true, Some(_)) => self.unwrapped(stored, index, bytes, place)?,
        }
        self.progress.advance(self.phase, object.bytes);
        Ok(())
    }

    /// Reads the chunks of an object of a wrapped file, and passes its plain bytes to `place`.
    fn wrapped(
        &self,
        stored: Stored<'_>,
        index: usize,
        bytes: Bytes,
        place: &mut Receiver<'_>,
    ) -> Result<(), ReadError> {
        let object = stored.object(index)?;
        let from = object.stored_offset().0;
        // The length of the last object's stored bytes is only in the object; for others, the next
        // object begins there.
        let to = match stored.entry.objects.get(index + 1) {
            Some(next) => next.stored_offset().0,
            None => from + payload(stored, object.index, &bytes)?,
        };
        let mut pieces: Vec<Bytes> = Vec::new();
        walk(stored, index, from..to, bytes, &mut |_, data| {
            pieces.push(data);
            Ok(())
        })?;
        let data = match pieces.len() {
            1 => pieces.swap_remove(0),
            _ => Bytes::from(pieces.concat()),
        };
        self.unwrapped(stored, index, data, place)
    }

    /// Unwraps the bytes of a range and passes them to `place`.
    fn unwrapped(
        &self,
        stored: Stored<'_>,
        index: usize,
        data: Bytes,
        place: &mut Receiver<'_>,
    ) -> Result<(), ReadError> {
        let object = stored.object(index)?;
        let length = stored.end_of(index) - object.offset;
        if length > self.limit {
            return Err(ReadError::ObjectTooLarge {
                backup: stored.manifest.name.to_string(),
                path: stored.entry.path.to_string(),
                index: object.index,
                bytes: length,
                limit: self.limit,
            });
        }
        if length == 0 && data.is_empty() {
            return Ok(());
        }
        let data = unwrap::unwrap(stored, index, data, length, self.key)?;
        place(object.offset, data)
    }

    /// Counts an object that is not needed.
    pub(crate) fn skip(&self, stored: Stored<'_>, index: usize) {
        if let Some(object) = stored.entry.objects.get(index) {
            self.counters.skipped(stored.member);
            self.progress.advance(self.phase, object.bytes);
        }
    }
}

/// Passes a range of a file in a directory to `place`.
fn range(
    stored: Stored<'_>,
    index: usize,
    bytes: Bytes,
    place: &mut Receiver<'_>,
) -> Result<(), ReadError> {
    let object = stored.object(index)?;
    let length = stored.end_of(index) - object.offset;
    if bytes.len() as u64 != length {
        return Err(stored.damaged(Finding::new(
            format!(
                "range {index} is stored with {}",
                count(bytes.len(), "byte")
            ),
            length,
        )));
    }
    if bytes.is_empty() {
        return Ok(());
    }
    place(object.offset, bytes)
}

/// Returns the length of the payloads of an object's chunks in bytes.
fn payload(stored: Stored<'_>, index: u64, bytes: &Bytes) -> Result<u64, ReadError> {
    xbstream::chunks(bytes.clone()).try_fold(0, |sum, chunk| match chunk {
        Ok(chunk) => Ok(sum + chunk.span()),
        Err(error) => Err(stored
            .damaged(format!("object {index}: {error}"))
            .because(error)),
    })
}

/// Reads the chunks of one object, whose bytes must be those of `range` of the stored file.
fn walk(
    stored: Stored<'_>,
    index: usize,
    range: Range<u64>,
    bytes: Bytes,
    place: &mut Receiver<'_>,
) -> Result<(), ReadError> {
    let mut walk = Walk {
        stored,
        index,
        at: range.start,
        end: range.end,
        ended: false,
    };
    for chunk in xbstream::chunks(bytes) {
        let chunk = chunk.map_err(|error| walk.damaged(error.to_string()).because(error))?;
        walk.chunk(chunk, place)?;
    }
    walk.close()
}

/// The state while the chunks of one object are read.
struct Walk<'a> {
    stored: Stored<'a>,
    index: usize,
    at: u64,
    end: u64,
    ended: bool,
}

impl Walk<'_> {
    fn damaged(&self, finding: impl Into<Finding>) -> ReadError {
        let place = format!("object {}", self.index);
        self.stored.damaged(finding.into().within(place))
    }

    fn chunk(&mut self, chunk: Chunk, place: &mut Receiver<'_>) -> Result<(), ReadError> {
        if self.ended {
            return Err(self.damaged("there are bytes after the end of the file"));
        }
        match chunk {
            Chunk::Payload {
                path, offset, data, ..
            } => {
                self.begin(&path, offset)?;
                let length = data.len() as u64;
                self.inside(length)?;
                place(offset, data)?;
                self.at += length;
                Ok(())
            }
            Chunk::Sparse {
                path,
                offset,
                map,
                data,
            } => {
                self.begin(&path, offset)?;
                let mut rest = data;
                for piece in map {
                    self.inside(u64::from(piece.skip) + u64::from(piece.len))?;
                    self.at += u64::from(piece.skip);
                    let length = piece.len as usize;
                    if length > rest.len() {
                        return Err(self.damaged("a sparse map has more bytes than the chunk"));
                    }
                    if length > 0 {
                        place(self.at, rest.split_to(length))?;
                    }
                    self.at += u64::from(piece.len);
                }
                if rest.is_empty() {
                    Ok(())
                } else {
                    Err(self.damaged("a sparse map has fewer bytes than the chunk"))
                }
            }
            Chunk::End { path } => {
                self.ended = true;
                self.same_path(&path)
            }
            _ => Err(self.damaged("a chunk of unknown kind")),
        }
    }

    fn same_path(&self, path: &str) -> Result<(), ReadError> {
        if path == self.stored.entry.path.as_stored() {
            return Ok(());
        }
        Err(self.damaged(format!("it holds bytes of another file, {path:?}")))
    }

    fn begin(&self, path: &str, offset: u64) -> Result<(), ReadError> {
        self.same_path(path)?;
        if offset == self.at {
            return Ok(());
        }
        Err(self.damaged(Finding::new(
            format!("a chunk begins at offset {offset}"),
            self.at,
        )))
    }

    fn inside(&self, length: u64) -> Result<(), ReadError> {
        let end = self.end;
        if self.at.checked_add(length).is_some_and(|to| to <= end) {
            return Ok(());
        }
        Err(self.damaged(format!(
            "{length} at offset {} exceed {end}, where the next object or the end of the file is",
            self.at,
            length = count(length, "byte")
        )))
    }

    /// Checks that all bytes were read, and that the end of the file is in the last object and in
    /// no other.
    fn close(&self) -> Result<(), ReadError> {
        let end = self.end;
        if self.at != end {
            return Err(self.damaged(Finding::new(
                format!("it is truncated: its bytes end at offset {}", self.at),
                end,
            )));
        }
        let last = self.index + 1 == self.stored.entry.objects.len();
        match (last, self.ended) {
            (true, false) => Err(self.damaged("the file is truncated: it has no end chunk")),
            (false, true) => {
                Err(self.damaged("the file ends here, but the manifest has more of it"))
            }
            _ => Ok(()),
        }
    }
}
