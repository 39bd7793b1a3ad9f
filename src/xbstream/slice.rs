//! Chunks of an object in memory, without copying.

use super::chunk::{self, Chunk, Fields, Head, Layout, Unchecked};
use super::{HEAD, XbstreamError};
use bytes::Bytes;

/// Iterates over the chunks of `object`; the first error ends it.
#[must_use]
pub const fn chunks(object: Bytes) -> Chunks {
    Chunks {
        object,
        at: 0,
        failed: false,
    }
}

/// See [`chunks`].
#[derive(Debug, Clone)]
pub struct Chunks {
    object: Bytes,
    at: usize,
    failed: bool,
}

impl Iterator for Chunks {
    type Item = Result<Chunk, XbstreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.next_unchecked().transpose()?;
        let chunk = chunk.and_then(Unchecked::check);
        self.failed |= chunk.is_err();
        Some(chunk)
    }
}

impl Chunks {
    /// Returns the number of bytes of the chunks returned so far.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Returns the next chunk without a check of its checksum; the first error ends the iteration.
    ///
    /// # Errors
    /// [`XbstreamError`].
    pub fn next_unchecked(&mut self) -> Result<Option<Unchecked>, XbstreamError> {
        if self.failed || self.at == self.object.len() {
            return Ok(None);
        }
        let result = self.parse();
        self.failed = result.is_err();
        result.map(Some)
    }

    fn parse(&mut self) -> Result<Unchecked, XbstreamError> {
        let mut cursor = Cursor {
            object: &self.object,
            start: self.at as u64,
            at: self.at,
            path: None,
        };
        let mut first = [0; HEAD];
        first.copy_from_slice(&cursor.take(HEAD as u64, "the header")?);
        let mut head = Head::parse(&first, cursor.start)?;
        let path = chunk::path_text(
            &cursor.take(head.path_len as u64, "the path")?,
            cursor.start,
        )?;
        cursor.path = Some(&path);
        let start = cursor.start;
        let mut to = None;
        if head.layout == Layout::Rename {
            let length = chunk::new_path_len(&cursor.take(4, "the new path")?, start)?;
            let name = cursor.take(length as u64, "the new path")?;
            to = Some(chunk::path_text(&name, start)?);
        }
        let rest = &self.object[cursor.at..];
        let mut seek = 0;
        if head.layout == Layout::Sparse && chunk::is_seek(rest) {
            seek = chunk::seek_offset(
                &cursor.take(chunk::SEEK as u64, "the fields")?,
                start,
                &path,
            )?;
            head.layout = Layout::Seek;
        }
        if matches!(
            head.layout,
            Layout::End | Layout::Rename | Layout::Remove | Layout::Seek
        ) {
            self.at = cursor.at;
            let mut bare = Unchecked::bare(head, path, start);
            bare.fields.offset = seek;
            return Ok(Unchecked { to, ..bare });
        }
        let fields = cursor.take(Fields::len(head.layout) as u64, "the fields")?;
        let fields = Fields::parse(head.layout, &fields, start, &path)?;
        let map_bytes = cursor.take(u64::from(fields.entries) * 8, "the sparse map")?;
        let map = match head.layout {
            Layout::Sparse => chunk::sparse_map(&map_bytes, &fields, start, &path)?,
            _ => Vec::new(),
        };
        let data = cursor.take(fields.length, "the payload")?;
        let next = cursor.at;
        self.at = next;
        Ok(Unchecked {
            head,
            path,
            to: None,
            fields,
            map_bytes,
            map,
            data,
            at: start,
        })
    }
}

struct Cursor<'a> {
    object: &'a Bytes,
    start: u64,
    at: usize,
    path: Option<&'a str>,
}

impl Cursor<'_> {
    fn take(&mut self, len: u64, part: &'static str) -> Result<Bytes, XbstreamError> {
        if len > (self.object.len() - self.at) as u64 {
            return Err(XbstreamError::Truncated {
                at: self.start,
                part,
                path: self.path.map(str::to_owned),
            });
        }
        let from = self.at;
        self.at += len as usize;
        Ok(self.object.slice(from..self.at))
    }
}
