//! Why a page can't be decoded.

use super::PageKind;
use crate::counted::count;

/// Why a page can't be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Undecodable {
    /// The input is not exactly one page.
    #[error("{found} given, a page of {expected} expected", found = count(found, "byte"))]
    Length {
        /// Bytes given.
        found: usize,
        /// The physical page size.
        expected: usize,
    },
    /// An encrypted page where encryption is impossible.
    #[error("type {0} found, but {1}")]
    Encrypted(PageKind, &'static str),
    /// A page-compressed page in a ROW_FORMAT=COMPRESSED tablespace.
    #[error("type COMPRESSED (14) found in a ROW_FORMAT=COMPRESSED tablespace")]
    CompressedTwice,
    /// An unknown compression control version.
    #[error("page compression version {0} found, 1 or 2 expected")]
    Version(u8),
    /// An unknown compression algorithm.
    #[error("page compression algorithm {0} found, 1 (zlib) or 2 (lz4) expected")]
    Algorithm(u8),
    /// An impossible type of the page before compression.
    #[error("original type {0} found below page compression")]
    OriginalKind(PageKind),
    /// A wrong size before compression.
    #[error("original size {found} found below page compression, {expected} expected")]
    OriginalSize {
        /// The stored size, in bytes.
        found: usize,
        /// The page size minus the header, in bytes.
        expected: usize,
    },
    /// An impossible size after compression.
    #[error("compressed size {found} found, at most {at_most} expected")]
    CompressedSize {
        /// The stored size, in bytes.
        found: usize,
        /// The page size minus the header, in bytes.
        at_most: usize,
    },
    /// The compressed bytes are not a stream of the algorithm, or decompress to another length.
    #[error("its compressed bytes do not decompress to a page")]
    Stream,
}
