//! Why a page can't be decoded.

use super::PageKind;
use crate::counted::count;

/// Why a page can't be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Undecodable {
    /// Not one page was given.
    #[error("{found} given, a page of {expected} expected", found = count(found, "byte"))]
    Length {
        /// Bytes given.
        found: usize,
        /// The physical page size.
        expected: usize,
    },
    /// An encrypted page where none can be.
    #[error("type {0} found, but {1}")]
    Encrypted(PageKind, &'static str),
    /// A page-compressed page in a ROW_FORMAT=COMPRESSED tablespace.
    #[error("type COMPRESSED (14) found in a ROW_FORMAT=COMPRESSED tablespace")]
    CompressedTwice,
    /// Compression control version.
    #[error("page compression version {0} found, 1 or 2 expected")]
    Version(u8),
    /// Compression algorithm.
    #[error("page compression algorithm {0} found, 1 (zlib) or 2 (lz4) expected")]
    Algorithm(u8),
    /// The type that the page had before compression.
    #[error("original type {0} found below page compression")]
    OriginalKind(PageKind),
    /// Size before compression.
    #[error("original size {found} found below page compression, {expected} expected")]
    OriginalSize {
        /// As stored.
        found: usize,
        /// The page size less its header.
        expected: usize,
    },
    /// Size after compression.
    #[error("compressed size {found} found, at most {at_most} expected")]
    CompressedSize {
        /// As stored.
        found: usize,
        /// The page size less its header.
        at_most: usize,
    },
    /// The compressed bytes are no stream of the algorithm, or one of another length.
    #[error("its compressed bytes do not decompress to a page")]
    Stream,
}
