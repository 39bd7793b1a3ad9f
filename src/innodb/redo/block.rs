//! Log blocks.
//!
//! ```text
//! 0 number u32 = (LSN / 512 mod 2^30) + 1     4 data length u16, bit 15: encrypted
//! 6 first record group u16 (0: none)          8 epoch u32 = LSN / 512 / 2^30 + 1
//! 12 records                                  508 CRC-32C of bytes 0..508
//! ```
//! The epoch begins at 1: real blocks show this, although other descriptions differ. A server takes
//! a block of another epoch for the end of its log, so the value must be exact.
//!
//! An encrypted block (`innodb_redo_log_encrypt`) has its first 12 bytes in plain; bytes 12..512
//! are ciphertext, **including the checksum**, so its contents can't be verified without the key.

use super::{BLOCK, CRC, checksums};
use crate::innodb::{Lsn, be, page};
use std::cmp::Ordering;

/// The header of a log block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHeader {
    /// The number of the block, see [`hdr_no_of`].
    pub hdr_no: u32,
    /// Bytes used, including the 12 bytes of the header; 512 in a full block. Without the encrypted
    /// bit.
    pub data_len: u16,
    /// True if the records are encrypted.
    pub encrypted: bool,
    /// Offset of the first mini-transaction that begins in this block; 0 if none begins in it.
    pub first_rec_group: u16,
    /// The epoch of the block number, see [`epoch_of`].
    pub epoch: u32,
    /// True if the checksum matches the contents; false for every encrypted block.
    pub crc_ok: bool,
}

const ENCRYPTED: u16 = 0x8000;
const HEADER_LEN: u16 = 12;
const NUMBERS: u64 = 1 << 30;
/// The value in the checksum field if the server runs with `innodb_log_checksums=OFF`.
const NO_CHECKSUM: u32 = 0xDEAD_BEEF;

impl BlockHeader {
    /// Parses a block; if it has fewer than 512 bytes, `crc_ok` is false.
    #[must_use]
    pub fn parse(block: &[u8]) -> Self {
        let len = be::u16_at(block, 4);
        let crc_ok = block.len() >= BLOCK && {
            let (found, expected) = checksums(block);
            found == expected
        };
        Self {
            hdr_no: be::u32_at(block, 0),
            data_len: len & !ENCRYPTED,
            encrypted: len & ENCRYPTED != 0,
            first_rec_group: be::u16_at(block, 6),
            epoch: be::u32_at(block, 8),
            crc_ok,
        }
    }

    /// Returns the LSN of the block's first byte, computed from its header; `None` if a server
    /// never writes this number and epoch.
    #[must_use]
    pub fn lsn(&self) -> Option<Lsn> {
        let number = u64::from(self.hdr_no.checked_sub(1)?);
        if number >= NUMBERS {
            return None;
        }
        let epoch = u64::from(self.epoch.checked_sub(1)?);
        (epoch * NUMBERS + number)
            .checked_mul(BLOCK as u64)
            .map(Lsn)
    }
}

/// Returns the number of the block that contains this LSN: it begins at 1 and wraps around after
/// 2^30 blocks.
#[must_use]
pub const fn hdr_no_of(lsn: Lsn) -> u32 {
    ((lsn.0 / BLOCK as u64) % NUMBERS) as u32 + 1
}

/// Returns the epoch of this LSN: 1 for the first 512 GiB of redo, then 2, ...
#[must_use]
pub const fn epoch_of(lsn: Lsn) -> u32 {
    (lsn.0 / BLOCK as u64 / NUMBERS) as u32 + 1
}

/// Returns whether the block was written with `innodb_log_checksums=OFF`. Such a block can't be
/// distinguished from a torn one, so [`classify`] never accepts it; this function is for the
/// message.
#[must_use]
pub fn has_no_checksum(block: &[u8]) -> bool {
    be::u32_at(block, CRC) == NO_CHECKSUM
}

/// The state of the block at a position of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockState {
    /// The expected block, complete.
    Full,
    /// The expected block, not full yet: the log ends in it.
    Partial {
        /// Bytes used, including the 12 bytes of the header.
        data_len: u16,
    },
    /// A block with the expected number, epoch and length, but encrypted: its checksum can't be
    /// distinguished from ciphertext. Accept it if a second read returns the same bytes, never
    /// after one read only.
    Unproven {
        /// Bytes used, including the 12 bytes of the header; 512 in a full block.
        data_len: u16,
    },
    /// Not written yet: zeros, or a block of an earlier use of the file.
    End,
    /// A wrong checksum, or a header that a server never writes: the block is being written; read
    /// it again.
    Torn,
    /// The log has wrapped around and overwritten this block: the redo at the expected LSN is lost.
    Overwritten {
        /// The LSN of the block found.
        found_lsn: Lsn,
    },
}

/// Judges the block found where the one of LSN `expected` (any LSN in it) should be.
#[must_use]
pub fn classify(block: &[u8], expected: Lsn) -> BlockState {
    if block.len() < BLOCK {
        return BlockState::Torn;
    }
    let header = BlockHeader::parse(block);
    if !header.crc_ok && !header.encrypted {
        return if page::is_zero(&block[..BLOCK]) {
            BlockState::End
        } else {
            BlockState::Torn
        };
    }
    let Some(found_lsn) = header.lsn() else {
        return BlockState::Torn;
    };
    match found_lsn.cmp(&expected.block_start()) {
        // The number of an encrypted block can't be verified either, and one read must not end a
        // backup.
        Ordering::Greater if !header.crc_ok => BlockState::Torn,
        Ordering::Greater => BlockState::Overwritten { found_lsn },
        Ordering::Less => BlockState::End,
        Ordering::Equal => match header.data_len {
            data_len @ HEADER_LEN..=512 if !header.crc_ok => BlockState::Unproven { data_len },
            512 => BlockState::Full,
            data_len @ HEADER_LEN..512 => BlockState::Partial { data_len },
            _ => BlockState::Torn,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::seal;
    use super::*;
    use crate::innodb::fixtures::read;
    use proptest::prelude::*;

    /// The LSN of the first block of `blocks.bin` and of `tail.bin`.
    const FIRST: u64 = 113_490_944;
    const TAIL: u64 = 114_475_008;

    fn block(lsn: Lsn, data_len: u16) -> [u8; BLOCK] {
        let mut block = [0x5A; BLOCK];
        block[0..4].copy_from_slice(&hdr_no_of(lsn).to_be_bytes());
        block[4..6].copy_from_slice(&data_len.to_be_bytes());
        block[6..8].copy_from_slice(&12_u16.to_be_bytes());
        block[8..12].copy_from_slice(&epoch_of(lsn).to_be_bytes());
        seal(&mut block);
        block
    }

    #[test]
    fn real_blocks_have_their_lsn() {
        let blocks = read("redo", "blocks.bin");
        for (index, block) in blocks.chunks(BLOCK).enumerate() {
            let lsn = Lsn(FIRST + (index * BLOCK) as u64);
            let header = BlockHeader::parse(block);
            assert_eq!((header.hdr_no, header.epoch), (hdr_no_of(lsn), 1));
            assert!(header.crc_ok && !header.encrypted);
            assert_eq!(header.lsn(), Some(lsn));
            assert_eq!(classify(block, lsn), BlockState::Full);
            assert_eq!(classify(block, Lsn(lsn.0 + 511)), BlockState::Full);
        }
        assert_eq!(BlockHeader::parse(&blocks).first_rec_group, 0x14);
    }

    #[test]
    fn the_real_end_of_a_log() {
        let tail = read("redo", "tail.bin");
        let at = |index: usize| {
            classify(
                &tail[index * BLOCK..(index + 1) * BLOCK],
                Lsn(TAIL + 512 * index as u64),
            )
        };
        assert_eq!(at(0), BlockState::Full);
        assert_eq!(at(1), BlockState::Partial { data_len: 42 });
        assert_eq!(at(2), BlockState::End);
    }

    #[test]
    fn a_real_encrypted_block_is_unproven() {
        let block = read("redo", "encrypted-block.bin");
        let header = BlockHeader::parse(&block);
        assert!(header.encrypted && !header.crc_ok);
        assert_eq!(header.data_len, 512);
        let lsn = header.lsn().unwrap();
        assert_eq!(lsn, Lsn(114_098_176));
        assert_eq!(
            classify(&block, lsn),
            BlockState::Unproven { data_len: 512 }
        );
        assert_eq!(classify(&block, Lsn(lsn.0 - 512)), BlockState::Torn);
        assert_eq!(classify(&block, Lsn(lsn.0 + 512)), BlockState::End);
        assert_eq!(classify(&block[..511], lsn), BlockState::Torn);
    }

    #[test]
    fn older_newer_and_torn_blocks_are_distinguished() {
        let here = Lsn(FIRST);
        let good = block(here, 512);
        assert_eq!(classify(&good, here), BlockState::Full);
        assert_eq!(classify(&good, Lsn(here.0 + 512)), BlockState::End);
        assert_eq!(
            classify(&good, Lsn(here.0 - 512)),
            BlockState::Overwritten { found_lsn: here }
        );
        for at in 0..BLOCK {
            let mut bad = good;
            bad[at] ^= 1;
            assert_eq!(classify(&bad, here), BlockState::Torn, "byte {at}");
        }
        assert_eq!(classify(&good[..511], here), BlockState::Torn);
        assert_eq!(classify(&[0; BLOCK], here), BlockState::End);
        for data_len in [0, 11, 513, 0x7FFF] {
            assert_eq!(classify(&block(here, data_len), here), BlockState::Torn);
        }
        for data_len in [12, 511] {
            assert_eq!(
                classify(&block(here, data_len), here),
                BlockState::Partial { data_len }
            );
        }
    }

    #[test]
    fn a_block_without_a_checksum_is_torn_and_reported() {
        let mut bare = block(Lsn(FIRST), 512);
        assert!(!has_no_checksum(&bare));
        bare[CRC..].copy_from_slice(&NO_CHECKSUM.to_be_bytes());
        assert!(has_no_checksum(&bare));
        assert_eq!(classify(&bare, Lsn(FIRST)), BlockState::Torn);
    }

    #[test]
    fn block_numbers_wrap_around_and_epochs_count() {
        const ROUND: u64 = NUMBERS * 512;
        for (lsn, number, epoch) in [
            (0, 1, 1),
            (511, 1, 1),
            (512, 2, 1),
            (ROUND - 512, 1 << 30, 1),
            (ROUND, 1, 2),
            (3 * ROUND + 1024, 3, 4),
        ] {
            assert_eq!(
                (hdr_no_of(Lsn(lsn)), epoch_of(Lsn(lsn))),
                (number, epoch),
                "{lsn}"
            );
        }
        // The same number in the next epoch is newer, in the previous epoch older.
        let later = block(Lsn(2 * ROUND + 512), 512);
        let expected = Lsn(ROUND + 512);
        assert_eq!(
            classify(&later, expected),
            BlockState::Overwritten {
                found_lsn: Lsn(2 * ROUND + 512)
            }
        );
        assert_eq!(classify(&block(Lsn(512), 512), expected), BlockState::End);
    }

    #[test]
    fn impossible_numbers_are_torn() {
        for (number, epoch) in [
            (0_u32, 1_u32),
            (1 << 31, 1),
            ((1 << 30) + 1, 1),
            (1, 0),
            (1, u32::MAX),
        ] {
            let mut bad = block(Lsn(FIRST), 512);
            bad[0..4].copy_from_slice(&number.to_be_bytes());
            bad[8..12].copy_from_slice(&epoch.to_be_bytes());
            seal(&mut bad);
            assert_eq!(
                classify(&bad, Lsn(FIRST)),
                BlockState::Torn,
                "{number} {epoch}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_lsn_of_a_block_is_computed_from_its_header(lsn in 0..1_u64 << 63) {
            let lsn = Lsn(lsn).block_start();
            prop_assert_eq!(BlockHeader::parse(&block(lsn, 512)).lsn(), Some(lsn));
        }

        #[test]
        fn random_blocks_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), expected: u64, sealed: bool) {
            if let (true, Some(block)) = (sealed, bytes.first_chunk_mut::<BLOCK>()) {
                seal(block);
            }
            let state = classify(&bytes, Lsn(expected));
            prop_assert!(!matches!(state, BlockState::Full | BlockState::Partial { .. }), "{state:?}");
        }
    }
}
