//! The fields that every page carries, by their byte offsets.
//!
//! ```text
//!  0 checksum u32        4 page number u32   8 previous u32    12 next u32
//! 16 LSN u64            24 type u16         26 flush LSN u64, or the compression control fields
//! 34 space id u32       38 data ...
//! len-8 second checksum u32                 len-4 low half of the LSN u32
//! ```
//! ROW_FORMAT=COMPRESSED pages have no trailer. The functions read 0 from a slice that is too short.

use super::{Lsn, PageKind, PageNo, SpaceId, be};

/// Checksum.
pub(super) const CHECKSUM: usize = 0;
pub(super) const NUMBER: usize = 4;
pub(super) const PREVIOUS: usize = 8;
pub(super) const NEXT: usize = 12;
pub(super) const LSN: usize = 16;
pub(super) const KIND: usize = 24;
/// First byte that no checksum covers (flush LSN, or the control fields of compression).
pub(super) const UNCOVERED: usize = 26;
pub(super) const SPACE: usize = 34;
/// First byte after the header.
pub(super) const DATA: usize = 38;
/// Bytes of the trailer of an uncompressed page.
pub(super) const TRAILER: usize = 8;

/// The LSN of the page's last change (byte 16).
#[inline]
#[must_use]
pub fn lsn(page: &[u8]) -> Lsn {
    Lsn(be::u64_at(page, LSN))
}

/// The page's own number (byte 4). It counts through the whole tablespace, not within the file.
#[inline]
#[must_use]
pub fn number(page: &[u8]) -> PageNo {
    PageNo(be::u32_at(page, NUMBER))
}

/// The tablespace that the page says it belongs to (byte 34).
#[inline]
#[must_use]
pub fn space_id(page: &[u8]) -> SpaceId {
    SpaceId(be::u32_at(page, SPACE))
}

/// What the page says that it is (byte 24).
#[inline]
#[must_use]
pub fn kind(page: &[u8]) -> PageKind {
    PageKind(be::u16_at(page, KIND))
}

/// Whether every byte is zero; true for no bytes.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    // Comparing with a block of zeros is a memcmp, the widest loop there is without unsafe code.
    static ZERO: [u8; 4096] = [0; 4096];
    bytes
        .chunks(ZERO.len())
        .all(|chunk| chunk == &ZERO[..chunk.len()])
}

/// How many leading bytes of the page must be written; the rest may be a hole.
///
/// For page-compressed pages (types 14 and 16) that is the header and the compressed bytes (u16 at
/// byte 32) rounded up to `block` (the file system's block size in bytes), provided that the rest of
/// the page really is zero; for all others the whole page.
#[must_use]
pub fn stored_len(page: &[u8], block: usize) -> usize {
    let kind = kind(page);
    if kind != PageKind::COMPRESSED && kind != PageKind::COMPRESSED_AND_ENCRYPTED {
        return page.len();
    }
    let used = DATA + usize::from(be::u16_at(page, super::decompress::COMPRESSED_SIZE));
    let stored = used.next_multiple_of(block.max(1));
    match page.get(stored..) {
        // A server that could not punch the hole leaves old bytes: keep them rather than guess.
        Some(rest) if is_zero(rest) => stored,
        _ => page.len(),
    }
}
