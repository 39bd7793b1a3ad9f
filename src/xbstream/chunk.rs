//! A chunk of a stream, and the checks of its fields before they are used.

use super::{ENTRIES_MAX, FLAG_IGNORABLE, FLAG_REWRITE, HEAD, MAGIC, PATH_MAX, XbstreamError};
use crate::counted::count;
use bytes::Bytes;

/// One entry of a sparse map: skips `skip` bytes of the file, then takes `len` bytes of the
/// payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SparseEntry {
    /// Length of the hole, in bytes.
    pub skip: u32,
    /// Length of the data after the hole, in bytes.
    pub len: u32,
}

/// One chunk of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Chunk {
    /// `data` belongs at `offset` of the file.
    Payload {
        /// The file.
        path: String,
        /// File offset of the data, in bytes.
        offset: u64,
        /// The data.
        data: Bytes,
        /// The chunk's flags.
        flags: u8,
    },
    /// Holes and data, from `offset` of the file on.
    Sparse {
        /// The file.
        path: String,
        /// File offset of the first entry, in bytes.
        offset: u64,
        /// The holes and the lengths of the data.
        map: Vec<SparseEntry>,
        /// The data of all entries, concatenated.
        data: Bytes,
    },
    /// The file is complete.
    End {
        /// The file.
        path: String,
    },
    /// MariaDB: renames a complete file.
    Rename {
        /// The old path.
        path: String,
        /// The new path.
        to: String,
    },
    /// MariaDB: removes a complete file.
    Remove {
        /// The file.
        path: String,
    },
    /// MariaDB: the next payload of the file is written at `offset`, which may lie before the
    /// current end.
    Seek {
        /// The file.
        path: String,
        /// File offset of the next payload, in bytes.
        offset: u64,
    },
    /// A chunk of an unknown type that is marked as ignorable.
    Unknown {
        /// The file.
        path: String,
        /// The type byte.
        kind: u8,
    },
}

impl Chunk {
    /// Returns the path of the file that the chunk belongs to.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Payload { path, .. }
            | Self::Sparse { path, .. }
            | Self::End { path }
            | Self::Rename { path, .. }
            | Self::Remove { path }
            | Self::Seek { path, .. }
            | Self::Unknown { path, .. } => path,
        }
    }

    /// Returns the length of the file range that the chunk covers, holes included, in bytes.
    #[must_use]
    pub fn span(&self) -> u64 {
        match self {
            Self::Payload { data, .. } => data.len() as u64,
            Self::Sparse { map, data, .. } => {
                map.iter().map(|e| u64::from(e.skip)).sum::<u64>() + data.len() as u64
            }
            Self::End { .. }
            | Self::Rename { .. }
            | Self::Remove { .. }
            | Self::Seek { .. }
            | Self::Unknown { .. } => 0,
        }
    }

    /// Returns the range of the file that the chunk covers, holes included, as start and end
    /// (exclusive); `None` if the chunk has no data.
    #[must_use]
    pub fn range(&self) -> Option<(u64, u64)> {
        match self {
            Self::Payload { offset, .. } | Self::Sparse { offset, .. } => {
                Some((*offset, offset + self.span()))
            }
            _ => None,
        }
    }

    /// Returns whether the chunk is a payload that truncates a file that has ended and starts it
    /// again. mbstream compares the whole flags byte, so a payload with a second flag bit doesn't
    /// do this.
    #[must_use]
    pub const fn is_rewrite(&self) -> bool {
        matches!(self, Self::Payload { flags, .. } if *flags == FLAG_REWRITE)
    }

    /// Returns whether the chunk changes what earlier chunks wrote, so that it must be applied in
    /// stream order. Only streams of MariaDB have such chunks.
    #[must_use]
    pub const fn is_order(&self) -> bool {
        matches!(
            self,
            Self::Rename { .. } | Self::Remove { .. } | Self::Seek { .. }
        )
    }
}

/// The layouts of the bytes after a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Payload,
    Sparse,
    End,
    Rename,
    Remove,
    /// Has the same type byte as a sparse chunk; see [`is_seek`].
    Seek,
    /// Has the layout of a payload; ignored.
    Unknown(u8),
}

/// The first 14 bytes of a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub flags: u8,
    pub layout: Layout,
    pub path_len: usize,
}

impl Head {
    pub(super) fn parse(bytes: &[u8; HEAD], at: u64) -> Result<Self, XbstreamError> {
        if &bytes[..8] != MAGIC {
            return Err(XbstreamError::Magic {
                at,
                found: bytes[..8].to_vec(),
            });
        }
        let flags = bytes[8];
        let layout = match bytes[9] {
            b'P' => Layout::Payload,
            b'S' => Layout::Sparse,
            b'E' => Layout::End,
            b'R' => Layout::Rename,
            b'D' => Layout::Remove,
            kind if flags & FLAG_IGNORABLE != 0 => Layout::Unknown(kind),
            kind => return Err(XbstreamError::UnknownType { at, kind }),
        };
        let path_len = u32::from_le_bytes([bytes[10], bytes[11], bytes[12], bytes[13]]) as usize;
        if path_len == 0 || path_len >= PATH_MAX {
            return Err(XbstreamError::Path {
                at,
                what: format!(
                    "a path of {path_len}, expected 1 to {}",
                    PATH_MAX - 1,
                    path_len = count(path_len, "byte")
                ),
            });
        }
        Ok(Self {
            flags,
            layout,
            path_len,
        })
    }
}

/// Number of bytes after the path of an `S` chunk that [`is_seek`] needs.
pub(super) const PEEK: usize = 16;
/// Length of the offset of a seek, in bytes.
pub(super) const SEEK: usize = 8;

/// Returns whether an `S` chunk is MariaDB's seek and not a sparse chunk, from up to [`PEEK`] bytes
/// after its path: the offset of a seek is followed by the magic of the next chunk. In a sparse
/// chunk, these bytes are the upper half of a length and the lower half of an offset, and no length
/// is as large as the magic would make it.
pub(super) fn is_seek(bytes: &[u8]) -> bool {
    bytes.get(SEEK..PEEK).is_some_and(|next| next == MAGIC)
}

/// Parses the offset of a seek.
pub(super) fn seek_offset(bytes: &[u8], at: u64, path: &str) -> Result<u64, XbstreamError> {
    let offset = bytes[..SEEK]
        .iter()
        .rev()
        .fold(0, |n, b| n << 8 | u64::from(*b));
    if offset > i64::MAX as u64 {
        return Err(XbstreamError::Field {
            at,
            path: path.to_owned(),
            what: format!("a seek to offset {offset}: no file is that long"),
        });
    }
    Ok(offset)
}

/// Parses the length of the new path of a rename, from its four bytes.
pub(super) fn new_path_len(bytes: &[u8], at: u64) -> Result<usize, XbstreamError> {
    let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    if length == 0 || length >= PATH_MAX {
        return Err(XbstreamError::Path {
            at,
            what: format!(
                "a rename to a path of {length}, expected 1 to {}",
                PATH_MAX - 1,
                length = count(length, "byte")
            ),
        });
    }
    Ok(length)
}

/// Returns a path as text. MySQL's names on disk are ASCII, and a name that isn't UTF-8 can't be
/// displayed.
pub(super) fn path_text(bytes: &[u8], at: u64) -> Result<String, XbstreamError> {
    let wrong = |what: &str| XbstreamError::Path {
        at,
        what: format!("path {:?} {what}", String::from_utf8_lossy(bytes)),
    };
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))?;
    if text.contains('\0') {
        return Err(wrong("contains a NUL byte"));
    }
    Ok(text.to_owned())
}

/// The fields between path and payload of a `P` or `S` chunk.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fields {
    pub entries: u32,
    pub length: u64,
    pub offset: u64,
    pub crc: u32,
}

impl Fields {
    /// Returns the length of the fields, in bytes.
    pub(super) const fn len(layout: Layout) -> usize {
        match layout {
            Layout::Payload | Layout::Unknown(_) => 20,
            Layout::Sparse => 24,
            Layout::End | Layout::Rename | Layout::Remove | Layout::Seek => 0,
        }
    }

    pub(super) fn parse(
        layout: Layout,
        bytes: &[u8],
        at: u64,
        path: &str,
    ) -> Result<Self, XbstreamError> {
        let sparse = layout == Layout::Sparse;
        let rest = if sparse { &bytes[4..] } else { bytes };
        let u64_at = |i: usize| {
            rest[i..i + 8]
                .iter()
                .rev()
                .fold(0, |n, b| n << 8 | u64::from(*b))
        };
        let u32_of = |b: &[u8]| b[..4].iter().rev().fold(0, |n, b| n << 8 | u32::from(*b));
        let this = Self {
            entries: if sparse { u32_of(bytes) } else { 0 },
            length: u64_at(0),
            offset: u64_at(8),
            crc: u32_of(&rest[16..]),
        };
        let wrong = |what: String| {
            Err(XbstreamError::Field {
                at,
                path: path.to_owned(),
                what,
            })
        };
        if this.entries > ENTRIES_MAX {
            return wrong(format!(
                "a sparse map of {}, at most {ENTRIES_MAX} are accepted",
                count(this.entries, "entry")
            ));
        }
        if this
            .offset
            .checked_add(this.length)
            .is_none_or(|end| end > i64::MAX as u64)
        {
            return wrong(format!(
                "{} at file offset {}: no file is that long",
                count(this.length, "byte"),
                this.offset
            ));
        }
        Ok(this)
    }
}

/// Decodes a sparse map and checks that it fits the payload.
pub(super) fn sparse_map(
    bytes: &[u8],
    fields: &Fields,
    at: u64,
    path: &str,
) -> Result<Vec<SparseEntry>, XbstreamError> {
    let le = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let map: Vec<_> = bytes
        .chunks_exact(8)
        .map(|e| SparseEntry {
            skip: le(e),
            len: le(&e[4..]),
        })
        .collect();
    let data: u64 = map.iter().map(|e| u64::from(e.len)).sum();
    let span: u64 = data + map.iter().map(|e| u64::from(e.skip)).sum::<u64>();
    let wrong = |what: String| {
        Err(XbstreamError::Field {
            at,
            path: path.to_owned(),
            what,
        })
    };
    if data != fields.length {
        return wrong(format!(
            "the sparse map takes {data}, the payload has {}",
            fields.length,
            data = count(data, "byte")
        ));
    }
    if fields
        .offset
        .checked_add(span)
        .is_none_or(|end| end > i64::MAX as u64)
    {
        return wrong(format!(
            "a sparse map of {span} at file offset {}: no file is that long",
            fields.offset,
            span = count(span, "byte")
        ));
    }
    Ok(map)
}

/// A chunk whose checksum was not checked yet, so that another thread than the one that reads the
/// stream can check it.
#[derive(Debug, Clone)]
pub struct Unchecked {
    pub(super) head: Head,
    pub(super) path: String,
    /// The new path of a rename.
    pub(super) to: Option<String>,
    pub(super) fields: Fields,
    pub(super) map_bytes: Bytes,
    pub(super) map: Vec<SparseEntry>,
    pub(super) data: Bytes,
    pub(super) at: u64,
}

impl Unchecked {
    /// A chunk without a payload.
    pub(super) fn bare(head: Head, path: String, at: u64) -> Self {
        Self {
            head,
            path,
            to: None,
            fields: Fields::default(),
            map_bytes: Bytes::new(),
            map: Vec::new(),
            data: Bytes::new(),
            at,
        }
    }

    /// Returns the path of the file that the chunk belongs to.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the length of the payload, in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.fields.length as usize
    }

    /// Returns whether the payload is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.fields.length == 0
    }

    /// Returns the memory that the sparse map takes in addition to the payload, in bytes: as read,
    /// and decoded.
    #[must_use]
    pub fn map_len(&self) -> usize {
        self.map_bytes.len() + size_of_val(&self.map[..])
    }

    /// Returns the stream offset of the chunk, in bytes.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.at
    }

    /// Returns whether the chunk ends its file.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.head.layout == Layout::End
    }

    /// Same as [`Chunk::is_order`].
    #[must_use]
    pub const fn is_order(&self) -> bool {
        matches!(
            self.head.layout,
            Layout::Rename | Layout::Remove | Layout::Seek
        )
    }

    /// Same as [`Chunk::is_rewrite`].
    #[must_use]
    pub fn is_rewrite(&self) -> bool {
        self.head.layout == Layout::Payload && self.head.flags == FLAG_REWRITE
    }

    /// Same as [`Chunk::range`].
    #[must_use]
    pub fn range(&self) -> Option<(u64, u64)> {
        let skipped: u64 = self.map.iter().map(|e| u64::from(e.skip)).sum();
        let from = self.fields.offset;
        matches!(self.head.layout, Layout::Payload | Layout::Sparse)
            .then(|| (from, from + skipped + self.fields.length))
    }

    /// Returns whether the chunk is of an unknown type that is marked as ignorable.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self.head.layout, Layout::Unknown(_))
    }

    /// Checks the checksum and returns the chunk.
    ///
    /// # Errors
    /// [`XbstreamError::Checksum`].
    pub fn check(self) -> Result<Chunk, XbstreamError> {
        let has_crc = matches!(self.head.layout, Layout::Payload | Layout::Sparse);
        if has_crc {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&self.map_bytes);
            hasher.update(&self.data);
            self.compare(hasher.finalize())?;
        }
        Ok(self.trust())
    }

    /// Compares `found` with the checksum that is stored in the chunk.
    pub(super) fn compare(&self, found: u32) -> Result<(), XbstreamError> {
        if found == self.fields.crc {
            return Ok(());
        }
        Err(XbstreamError::Checksum {
            at: self.at,
            path: self.path.clone(),
            offset: self.fields.offset,
            found,
            expected: self.fields.crc,
        })
    }

    /// Returns the chunk without a check of its checksum.
    #[must_use]
    pub fn trust(self) -> Chunk {
        let (path, data, offset) = (self.path, self.data, self.fields.offset);
        match self.head.layout {
            Layout::Payload => Chunk::Payload {
                path,
                offset,
                data,
                flags: self.head.flags,
            },
            Layout::Sparse => Chunk::Sparse {
                path,
                offset,
                map: self.map,
                data,
            },
            Layout::End => Chunk::End { path },
            Layout::Rename => Chunk::Rename {
                path,
                to: self.to.unwrap_or_default(),
            },
            Layout::Remove => Chunk::Remove { path },
            Layout::Seek => Chunk::Seek { path, offset },
            Layout::Unknown(kind) => Chunk::Unknown { path, kind },
        }
    }
}
