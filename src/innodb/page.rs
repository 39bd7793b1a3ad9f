//! The fields of every page, by their byte offsets.
//!
//! ```text
//!  0 checksum u32        4 page number u32   8 previous u32    12 next u32
//! 16 LSN u64            24 type u16         26 flush LSN u64, or the compression control fields
//! 34 space id u32       38 data ...
//! len-8 second checksum u32                 len-4 low half of the LSN u32
//! ```
//! ROW_FORMAT=COMPRESSED pages have no trailer. The functions return 0 for a field beyond the end
//! of the slice.

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
/// Length of the compressed bytes of a page-compressed page.
pub(super) const COMPRESSED_SIZE: usize = 32;
pub(super) const SPACE: usize = 34;
/// First byte after the header.
pub(super) const DATA: usize = 38;
/// Bytes of the trailer of an uncompressed page.
pub(super) const TRAILER: usize = 8;

/// Returns the LSN of the page's last change (byte 16).
#[inline]
#[must_use]
pub fn lsn(page: &[u8]) -> Lsn {
    Lsn(be::u64_at(page, LSN))
}

/// Returns the page number that is stored in the page (byte 4). It counts through the whole
/// tablespace, not within the file.
#[inline]
#[must_use]
pub fn number(page: &[u8]) -> PageNo {
    PageNo(be::u32_at(page, NUMBER))
}

/// Returns the space id that is stored in the page (byte 34).
#[inline]
#[must_use]
pub fn space_id(page: &[u8]) -> SpaceId {
    SpaceId(be::u32_at(page, SPACE))
}

/// Returns the type of the page (byte 24).
#[inline]
#[must_use]
pub fn kind(page: &[u8]) -> PageKind {
    PageKind(be::u16_at(page, KIND))
}

/// Returns whether every byte is zero; true for an empty slice.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    // Comparing with a block of zeros is a memcmp, the widest loop that is possible without unsafe
    // code.
    static ZERO: [u8; 4096] = [0; 4096];
    bytes
        .chunks(ZERO.len())
        .all(|chunk| chunk == &ZERO[..chunk.len()])
}

/// Returns the number of leading bytes of the page that must be written; the rest may be a hole.
///
/// For page-compressed pages (types 14 and 16) these are the header and the compressed bytes (u16
/// at byte 32), rounded up to `block` (the block size of the file system in bytes), if the rest of
/// the page is all zero. For all other pages it is the whole page.
#[must_use]
pub fn stored_len(page: &[u8], block: usize) -> usize {
    let kind = kind(page);
    if kind != PageKind::COMPRESSED && kind != PageKind::COMPRESSED_AND_ENCRYPTED {
        return page.len();
    }
    let used = DATA + usize::from(be::u16_at(page, COMPRESSED_SIZE));
    let stored = used.next_multiple_of(block.max(1));
    match page.get(stored..) {
        // If the server could not punch the hole, old bytes are left there: keep them rather than
        // guess.
        Some(rest) if is_zero(rest) => stored,
        _ => page.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::read;
    use super::*;

    #[test]
    fn fields_of_a_real_page() {
        let page = read("pages", "encrypted-16k.page");
        assert_eq!(number(&page), PageNo(7));
        assert_eq!(lsn(&page), Lsn(0x0383_317A));
        assert_eq!(kind(&page), PageKind::ENCRYPTED);
        assert_eq!(space_id(&page), SpaceId(21));
        assert_eq!(kind(&page).to_string(), "ENCRYPTED (15)");
        assert_eq!(PageKind(99).to_string(), "unknown (99)");
    }

    #[test]
    fn is_zero_checks_every_byte() {
        for len in [0, 1, 4095, 4096, 4097, 16384] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes));
            for at in [0, len / 2, len.saturating_sub(1)] {
                if at < len {
                    bytes[at] = 0x80;
                    assert!(!is_zero(&bytes), "byte {at} of {len}");
                    bytes[at] = 0;
                }
            }
        }
    }

    #[test]
    fn compressed_pages_end_with_their_last_used_block() {
        let plain = read("pages", "index-16k-crc32.page");
        assert_eq!(stored_len(&plain, 4096), 16384);
        // 38 + 0x7F2 bytes and 38 + 0xBF9 bytes
        assert_eq!(
            stored_len(&read("pages", "compressed-16k-zlib.page"), 4096),
            4096
        );
        assert_eq!(
            stored_len(&read("pages", "compressed-16k-zlib.page"), 512),
            2560
        );
        assert_eq!(
            stored_len(&read("pages", "compressed-16k-lz4.page"), 512),
            3584
        );
        let mut both = read("pages", "encrypted-compressed-16k.page");
        assert_eq!(stored_len(&both, 4096), 4096);
        assert_eq!(stored_len(&both, 0), 38 + 0x50B);
        // A byte beyond the compressed bytes: the hole was not punched.
        both[16383] = 1;
        assert_eq!(stored_len(&both, 4096), 16384);
        both[32..34].fill(0xFF);
        assert_eq!(stored_len(&both, 4096), 16384);
    }
}
