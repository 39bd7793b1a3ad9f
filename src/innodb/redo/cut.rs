//! Ends the log in the middle of a block, so that the redo of a backup stops at one LSN.

use super::{BLOCK, CRC, seal};
use crate::innodb::Lsn;

/// Bytes of the header of a log block; a block with less than this has no redo.
pub const BLOCK_HEADER: u16 = 12;

/// Ends a whole, unencrypted log block of [`BLOCK`] bytes after `data_len` bytes (including its
/// header): the bytes after that are zeroed, the offset of a record group that begins later is
/// cleared, and the checksum is computed anew. A block that is already no longer than that keeps
/// its length.
pub fn cut_block(block: &mut [u8; BLOCK], data_len: u16) {
    let before = u16::from_be_bytes([block[4], block[5]]);
    if before <= data_len {
        return;
    }
    block[4..6].copy_from_slice(&data_len.to_be_bytes());
    // The server itself also writes an offset exactly at the end of the data.
    if u16::from_be_bytes([block[6], block[7]]) > data_len {
        block[6..8].fill(0);
    }
    block[usize::from(data_len).min(CRC)..CRC].fill(0);
    seal(block);
}

/// Makes the log block that starts at this LSN and has no payload yet.
#[must_use]
pub fn empty_block(start: Lsn) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..4].copy_from_slice(&super::hdr_no_of(start).to_be_bytes());
    block[4..6].copy_from_slice(&BLOCK_HEADER.to_be_bytes());
    block[8..12].copy_from_slice(&super::epoch_of(start).to_be_bytes());
    seal(&mut block);
    block
}

#[cfg(test)]
mod tests {
    use super::super::BlockHeader;
    use super::*;

    fn block(data_len: u16, group: u16) -> [u8; BLOCK] {
        let mut block = [0x5A; BLOCK];
        block[..12].fill(0);
        block[4..6].copy_from_slice(&data_len.to_be_bytes());
        block[6..8].copy_from_slice(&group.to_be_bytes());
        block
    }

    #[test]
    fn a_cut_block_is_valid_and_holds_nothing_beyond_the_cut() {
        let mut b = block(512, 300);
        cut_block(&mut b, 100);
        let header = BlockHeader::parse(&b);
        assert!(header.crc_ok);
        assert_eq!((header.data_len, header.first_rec_group), (100, 0));
        assert_eq!(b[99], 0x5A);
        assert!(b[100..508].iter().all(|x| *x == 0));
    }

    #[test]
    fn a_group_that_begins_before_or_at_the_cut_stays() {
        for group in [12, 100] {
            let mut b = block(512, group);
            cut_block(&mut b, 100);
            assert_eq!(BlockHeader::parse(&b).first_rec_group, group);
        }
    }

    #[test]
    fn an_empty_block_is_the_block_of_its_lsn() {
        for start in [0, 512, (1 << 39) - 512, 1 << 39, 7 << 41].map(Lsn) {
            let state = super::super::classify(&empty_block(start), start);
            let expected = super::super::BlockState::Partial { data_len: 12 };
            assert_eq!(state, expected, "{start}");
        }
    }

    #[test]
    fn a_block_that_ends_earlier_is_unchanged() {
        let mut b = block(90, 12);
        let before = b;
        cut_block(&mut b, 100);
        assert_eq!(b, before);
    }
}
