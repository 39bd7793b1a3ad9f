//! A chunk on its way to whoever writes it.

use super::error::ArchiveError;
use super::input::Found;
use super::shared::{PIECE, Permit};
use crate::xbstream::{Chunk, Unchecked};

/// A chunk on its way.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) chunk: PendingChunk,
    pub(super) permit: Permit,
}

/// A chunk as it came.
#[derive(Debug)]
pub(super) enum PendingChunk {
    /// Its checksum is still to be looked at.
    Found(Found),
    /// It was.
    Checked(Chunk),
}

impl PendingChunk {
    pub(super) fn check(self) -> Result<Chunk, ArchiveError> {
        Ok(match self {
            Self::Found(found) => found.load()?.check()?,
            Self::Checked(chunk) => chunk,
        })
    }
}

impl Task {
    /// The chunk, checked, and what holds its memory.
    pub(super) fn open(self) -> Result<(Chunk, Permit), ArchiveError> {
        Ok((self.chunk.check()?, self.permit))
    }
}

/// What is known of a chunk before it is opened.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) unknown: bool,
    pub(super) end: bool,
    pub(super) order: bool,
    pub(super) rewrite: bool,
    pub(super) range: Option<(u64, u64)>,
}

impl Kind {
    fn of(chunk: &Unchecked) -> Self {
        Self {
            unknown: chunk.is_unknown(),
            end: chunk.is_end(),
            order: chunk.is_order(),
            rewrite: chunk.is_rewrite(),
            range: chunk.range(),
        }
    }
}

impl PendingChunk {
    /// What it is, of which file, and how long its payload is in bytes.
    pub(super) fn described(&self) -> (Kind, String, usize) {
        let chunk = match self {
            Self::Found(found) => found.head(),
            Self::Checked(chunk) => {
                let length = match chunk {
                    Chunk::Payload { data, .. } | Chunk::Sparse { data, .. } => data.len(),
                    _ => 0,
                };
                let kind = Kind {
                    unknown: matches!(chunk, Chunk::Unknown { .. }),
                    end: matches!(chunk, Chunk::End { .. }),
                    order: chunk.is_order(),
                    rewrite: chunk.is_rewrite(),
                    range: chunk.range(),
                };
                return (kind, chunk.path().to_owned(), length);
            }
        };
        (Kind::of(chunk), chunk.path().to_owned(), chunk.len())
    }

    /// Memory that it takes until what it says is done, in bytes; with `whole` all of its payload is
    /// loaded, though it is still in its file.
    pub(super) fn held(&self, whole: bool) -> usize {
        match self {
            // Written piece by piece, it takes no more than a piece.
            Self::Found(Found::There(chunk)) if !whole => {
                chunk.head().len().min(PIECE) + chunk.head().map_len()
            }
            Self::Found(found) => found.head().len() + found.head().map_len(),
            Self::Checked(Chunk::Payload { data, .. }) => data.len(),
            Self::Checked(Chunk::Sparse { map, data, .. }) => data.len() + size_of_val(&map[..]),
            Self::Checked(_) => 0,
        }
    }
}
