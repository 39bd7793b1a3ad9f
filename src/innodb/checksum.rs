//! The checksums of pages: every algorithm that a supported server accepts on read.
//!
//! The checksum of an uncompressed page covers two ranges: 4..26 and 38..len-8. The bytes between
//! them can change without the checksum (flush LSN, control fields). The checksum of a
//! ROW_FORMAT=COMPRESSED page covers 4..16, 24..26 and 34..len, so it doesn't cover the LSN.

use super::{be, page};
use crc_fast::crc32_iscsi as crc32c;
use crc_fast::{CrcAlgorithm, Digest};
use std::ops::Range;

/// The value of both checksum fields of a page that was written with
/// `innodb_checksum_algorithm=none`.
const NO_CHECKSUM: u32 = 0xDEAD_BEEF;

/// Returns the CRC-32C of both ranges, XORed.
#[inline]
pub(super) fn crc32(page: &[u8]) -> u32 {
    let end = page.len() - page::TRAILER;
    crc32c(&page[page::NUMBER..page::UNCOVERED]) ^ crc32c(&page[page::DATA..end])
}

/// The result of checking the checksum fields of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChecksumState {
    /// The stored checksum matches one of the algorithms.
    Valid,
    /// The page was written without a checksum.
    Absent,
    /// The stored checksum matches none of the algorithms.
    Invalid,
}

/// Checks the checksum of an uncompressed page.
#[inline]
pub(super) fn check(page: &[u8]) -> ChecksumState {
    let first = be::u32_at(page, page::CHECKSUM);
    let last = be::u32_at(page, page.len() - page::TRAILER);
    if first == last && first == crc32(page) {
        return ChecksumState::Valid;
    }
    check_other_algorithms(page, first, last)
}

#[cold]
fn check_other_algorithms(page: &[u8], first: u32, last: u32) -> ChecksumState {
    if first == last && first == NO_CHECKSUM {
        return ChecksumState::Absent;
    }
    if first == last && first == crc32_big_endian(page) {
        return ChecksumState::Valid;
    }
    // The last field of "innodb" is the old formula, or in very old files the high half of the LSN.
    // (The server also accepts a first field of 0, as MySQL before 4.0.14 wrote it. It is not
    // accepted here, because pages without a valid checksum would pass.)
    let old = fold(&page[..page::UNCOVERED]);
    if first == fold_both(page) && (last == old || last == be::u32_at(page, page::LSN)) {
        return ChecksumState::Valid;
    }
    ChecksumState::Invalid
}

/// Same as [`crc32`], as computed by early 5.6 and 5.7 servers with hardware CRC, which read every
/// aligned group of 8 bytes in reversed order.
fn crc32_big_endian(page: &[u8]) -> u32 {
    let end = page.len() - page::TRAILER;
    crc32c_reversed(page, page::NUMBER..page::UNCOVERED) ^ crc32c_reversed(page, page::DATA..end)
}

/// Returns the CRC-32C of a range of a page with each 8-byte group that is aligned *in the page*
/// reversed; the bytes before the first and after the last such group are not reversed.
fn crc32c_reversed(page: &[u8], range: Range<usize>) -> u32 {
    let aligned = range.start.next_multiple_of(8).min(range.end);
    let mut crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
    crc.update(&page[range.start..aligned]);
    let mut groups = page[aligned..range.end].chunks_exact(8);
    let mut turned = [0_u8; 512];
    let mut filled = 0;
    for group in groups.by_ref() {
        for (to, from) in turned[filled..filled + 8]
            .iter_mut()
            .zip(group.iter().rev())
        {
            *to = *from;
        }
        filled += 8;
        if filled == turned.len() {
            crc.update(&turned);
            filled = 0;
        }
    }
    crc.update(&turned[..filled]);
    crc.update(groups.remainder());
    crc.finalize() as u32
}

/// Returns the "innodb" checksum: the sum of the folds of both ranges.
pub(super) fn fold_both(page: &[u8]) -> u32 {
    let end = page.len() - page::TRAILER;
    fold(&page[page::NUMBER..page::UNCOVERED]).wrapping_add(fold(&page[page::DATA..end]))
}

/// Returns the low 32 bits of InnoDB's hash of bytes (no step carries downwards, so 32-bit
/// arithmetic is exact).
pub(super) fn fold(bytes: &[u8]) -> u32 {
    const MASK: u32 = 1_463_735_687;
    const MASK2: u32 = 1_653_893_711;
    bytes.iter().fold(0_u32, |sum, &byte| {
        let byte = u32::from(byte);
        (((sum ^ byte ^ MASK2) << 8).wrapping_add(sum) ^ MASK).wrapping_add(byte)
    })
}

/// Returns the ranges of a compressed page of `len` bytes.
fn zip_ranges(len: usize) -> [Range<usize>; 3] {
    [
        page::NUMBER..page::LSN,
        page::KIND..page::UNCOVERED,
        page::SPACE..len,
    ]
}

/// Returns the CRC-32C of the three ranges of a compressed page, XORed.
#[inline]
pub(super) fn zip_crc32(page: &[u8]) -> u32 {
    zip_ranges(page.len())
        .into_iter()
        .fold(0, |sum, range| sum ^ crc32c(&page[range]))
}

/// Checks the checksum of a compressed page.
#[inline]
pub(super) fn zip_check(page: &[u8]) -> ChecksumState {
    let found = be::u32_at(page, page::CHECKSUM);
    if found == zip_crc32(page) {
        return ChecksumState::Valid;
    }
    zip_check_other_algorithms(page, found)
}

#[cold]
fn zip_check_other_algorithms(page: &[u8], found: u32) -> ChecksumState {
    if found == NO_CHECKSUM {
        return ChecksumState::Absent;
    }
    // The server has no big-endian variant for compressed pages, and refuses a page with such a
    // checksum.
    if found == zip_adler32(page) {
        return ChecksumState::Valid;
    }
    ChecksumState::Invalid
}

/// Returns the Adler-32 of the three ranges, chained. InnoDB starts with 0, not with 1 as Adler-32
/// does.
pub(super) fn zip_adler32(page: &[u8]) -> u32 {
    zip_ranges(page.len())
        .into_iter()
        .fold(0, |sum, range| adler32(sum, &page[range]))
}

fn adler32(start: u32, bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65521;
    /// The largest number of bytes for which neither sum can exceed a u32.
    const RUN: usize = 5552;
    let (mut a, mut b) = (start & 0xFFFF, start >> 16);
    for run in bytes.chunks(RUN) {
        for &byte in run {
            a += u32::from(byte);
            b += a;
        }
        a %= MODULUS;
        b %= MODULUS;
    }
    (b << 16) | a
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::read;
    use super::*;

    /// Computes the CRC-32C bit by bit.
    fn crc_by_bits(bytes: impl IntoIterator<Item = u8>) -> u32 {
        !bytes.into_iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                (crc >> 1) ^ (0x82F6_3B78 * (crc & 1))
            })
        })
    }

    #[test]
    fn crc32_is_two_castagnoli_sums_xored() {
        assert_eq!(crc_by_bits(*b"123456789"), 0xE306_9283);
        let page = read("pages", "index-4k-crc32.page");
        let expected = crc_by_bits(page[4..26].to_vec()) ^ crc_by_bits(page[38..4096 - 8].to_vec());
        assert_eq!(crc32(&page), expected);
        assert_eq!(be::u32_at(&page, 0), expected);
    }

    #[test]
    fn crc32c_is_right_at_every_length() {
        let bytes: Vec<u8> = (0..70_000_u32).map(|i| ((i * 31) >> 3) as u8).collect();
        for len in (0..1100).chain([4062, 8154, 16338, 32722, 65490, 70_000]) {
            let data = &bytes[bytes.len() - len..];
            assert_eq!(crc32c(data), ::crc32c::crc32c(data), "{len} bytes");
        }
    }

    #[test]
    fn groups_are_reversed_by_their_place_in_the_page() {
        let page: Vec<u8> = (0..=255).collect();
        // 4..8 in order, 8..16 and 16..24 reversed, 24..26 in order.
        let turned = (4..8)
            .chain((8..16).rev())
            .chain((16..24).rev())
            .chain(24..26);
        assert_eq!(crc32c_reversed(&page, 4..26), crc_by_bits(turned));
        // Shorter than a group, and across no boundary.
        assert_eq!(crc32c_reversed(&page, 9..12), crc_by_bits(9..12));
        assert_eq!(crc32c_reversed(&page, 8..8), crc_by_bits([]));
    }

    #[test]
    fn big_endian_pages_are_right_and_compressed_ones_are_not() {
        // innochecksum of MySQL 9.7.4 gives the same result for both.
        assert_eq!(
            check(&read("pages", "fsp_hdr-16k-big-endian.page")),
            ChecksumState::Valid
        );
        assert_eq!(
            zip_check(&read("pages", "fsp_hdr-zip1-big-endian.page")),
            ChecksumState::Invalid
        );
    }

    #[test]
    fn innodb_needs_both_fields() {
        let mut page = read("pages", "index-16k-innodb.page");
        assert_eq!(be::u32_at(&page, 0), fold_both(&page));
        assert_eq!(be::u32_at(&page, 16384 - 8), fold(&page[..26]));
        assert_eq!(check(&page), ChecksumState::Valid);
        // The very old form: the high half of the LSN instead of the old formula.
        page.copy_within(16..20, 16384 - 8);
        assert_eq!(check(&page), ChecksumState::Valid);
        page[16384 - 5] ^= 1;
        assert_eq!(check(&page), ChecksumState::Invalid);
    }

    #[test]
    fn a_first_field_of_zero_is_refused() {
        let mut page = read("pages", "index-16k-innodb.page");
        page[..4].fill(0);
        let old = fold(&page[..26]);
        page[16384 - 8..16384 - 4].copy_from_slice(&old.to_be_bytes());
        assert_eq!(check(&page), ChecksumState::Invalid);
    }

    #[test]
    fn algorithms_are_not_mixed() {
        let mut page = read("pages", "index-16k-crc32.page");
        let old = fold(&page[..26]);
        page[16384 - 8..16384 - 4].copy_from_slice(&old.to_be_bytes());
        assert_eq!(check(&page), ChecksumState::Invalid);
        page[..4].copy_from_slice(&NO_CHECKSUM.to_be_bytes());
        assert_eq!(check(&page), ChecksumState::Invalid);
        page[16384 - 8..16384 - 4].copy_from_slice(&NO_CHECKSUM.to_be_bytes());
        assert_eq!(check(&page), ChecksumState::Absent);
    }

    #[test]
    fn adler32_matches_the_reference() {
        assert_eq!(adler32(1, b"Wikipedia"), 0x11E6_0398);
        assert_eq!(adler32(0, b""), 0);
        let long = vec![0xFF; 20_000];
        let (head, tail) = long.split_at(7_000);
        assert_eq!(adler32(adler32(1, head), tail), adler32(1, &long));
        let by_division = long.iter().fold((1_u64, 0_u64), |(a, b), &x| {
            let a = (a + u64::from(x)) % 65521;
            (a, (a + b) % 65521)
        });
        assert_eq!(
            u64::from(adler32(1, &long)),
            (by_division.1 << 16) | by_division.0
        );
    }
}
