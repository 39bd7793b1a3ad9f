//! Log blocks.
//!
//! ```text
//! 0 number u32 = (LSN / 512 mod 2^30) + 1     4 data length u16, bit 15: encrypted
//! 6 first record group u16 (0: none)          8 epoch u32 = LSN / 512 / 2^30 + 1
//! 12 records                                  508 CRC-32C of bytes 0..508
//! ```
//! The epoch begins at 1: real blocks say so, whatever is written elsewhere. A server takes a block of
//! another epoch for the end of its log, so this must be right to the bit.

use super::{BLOCK, CRC, checksums};
use crate::innodb::{Lsn, be};

/// The header of a log block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHeader {
    /// The block's number, see [`hdr_no_of`].
    pub hdr_no: u32,
    /// Bytes used, with the 12 of the header; 512 in a full block. Without the encrypted bit.
    pub data_len: u16,
    /// Whether the records are encrypted.
    pub encrypted: bool,
    /// Offset of the first mini-transaction that begins in this block; 0 when none does.
    pub first_rec_group: u16,
    /// The round of the numbers, see [`epoch_of`].
    pub epoch: u32,
    /// Whether the checksum is that of the contents.
    pub crc_ok: bool,
}

const ENCRYPTED: u16 = 0x8000;
const HEADER_LEN: u16 = 12;
const NUMBERS: u64 = 1 << 30;
/// What stands for a checksum when the server runs with `innodb_log_checksums=OFF`.
const NO_CHECKSUM: u32 = 0xDEAD_BEEF;

impl BlockHeader {
    /// Reads a block; one of fewer than 512 bytes has `crc_ok` false.
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

    /// The LSN of the block's first byte by its own account; `None` when number and epoch are none
    /// that a server writes.
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

/// The number of the block that holds this LSN: it begins at 1 and comes round after 2^30 blocks.
#[must_use]
pub const fn hdr_no_of(lsn: Lsn) -> u32 {
    ((lsn.0 / BLOCK as u64) % NUMBERS) as u32 + 1
}

/// Which round of the block numbers this LSN lies in: 1 for the first 512 GiB of redo, then 2, ...
#[must_use]
pub const fn epoch_of(lsn: Lsn) -> u32 {
    (lsn.0 / BLOCK as u64 / NUMBERS) as u32 + 1
}

/// Whether the block was written with `innodb_log_checksums=OFF`: it can't be told from a torn one,
/// so [`classify`] never takes it, and this is for the message.
#[must_use]
pub fn has_no_checksum(block: &[u8]) -> bool {
    be::u32_at(block, CRC) == NO_CHECKSUM
}

/// What stands at a place of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockState {
    /// The block expected, complete.
    Full,
    /// The block expected, being filled: the log ends in it.
    Partial {
        /// Bytes used, with the 12 of the header.
        data_len: u16,
    },
    /// Not written yet: zeros, or a block of an earlier use of the file.
    End,
    /// A wrong checksum, or a header that no server writes: being written; read it again.
    Torn,
    /// The log has gone on and this block is gone: what was to be read is lost.
    Overwritten {
        /// The LSN of the block found.
        found_lsn: Lsn,
    },
}

/// Judges the block found where the one of LSN `expected` (any LSN in it) should be.
#[must_use]
pub fn classify(block: &[u8], expected: Lsn) -> BlockState {
    let header = BlockHeader::parse(block);
    if !header.crc_ok {
        let unwritten = block.len() >= BLOCK && crate::innodb::page::is_zero(&block[..BLOCK]);
        return if unwritten {
            BlockState::End
        } else {
            BlockState::Torn
        };
    }
    let Some(found_lsn) = header.lsn() else {
        return BlockState::Torn;
    };
    match found_lsn.cmp(&expected.block_start()) {
        std::cmp::Ordering::Less => BlockState::End,
        std::cmp::Ordering::Greater => BlockState::Overwritten { found_lsn },
        std::cmp::Ordering::Equal => match header.data_len {
            512 => BlockState::Full,
            data_len @ HEADER_LEN..512 => BlockState::Partial { data_len },
            _ => BlockState::Torn,
        },
    }
}
