//! Where a stream comes from, and its chunks.

use crate::mem::Mapping;
use crate::xbstream::{self, Reader, Unchecked, XbstreamError};
use bytes::Bytes;
use std::io::Read;

/// Of a mapped stream so many bytes before the place where it is read stay in memory: workers still look at
/// them.
const BEHIND: usize = 32 << 20;

/// Where a stream comes from.
pub enum Input {
    /// Anything that can be read.
    Stream(Box<dyn Read + Send>),
    /// Bytes that are there: nothing is copied.
    Bytes(Bytes),
    /// A file: nothing is copied, and what was gone through does not stay in memory.
    Mapped(Mapping),
}

/// Gives the next chunk, its checksum not looked at.
pub(super) type Next = Box<dyn FnMut() -> Result<Option<Unchecked>, XbstreamError> + Send>;

impl Input {
    /// Its chunks, one after the other.
    pub(super) fn chunks(self) -> Next {
        match self {
            Self::Stream(stream) => {
                let mut reader = Reader::new(stream);
                Box::new(move || reader.next_unchecked())
            }
            Self::Bytes(bytes) => {
                let mut chunks = xbstream::chunks(bytes);
                Box::new(move || chunks.next_unchecked())
            }
            Self::Mapped(mut mapping) => {
                let mut chunks = xbstream::chunks(mapping.bytes());
                Box::new(move || {
                    let next = chunks.next_unchecked();
                    mapping.release(chunks.position().saturating_sub(BEHIND));
                    next
                })
            }
        }
    }
}
