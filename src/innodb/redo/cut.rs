//! Ending the log inside of a block: what a backup does so that its redo stops at one LSN.

use super::{BLOCK, CRC, seal};

/// Bytes of the header of a log block; less than this in a block is no redo.
pub const BLOCK_HEADER: u16 = 12;

/// Makes a whole, unencrypted log block of [`BLOCK`] bytes end after `data_len` bytes (which count its header):
/// what follows is zeroed, a record group that begins later is forgotten, the checksum is that of the result. A
/// block that is no longer than that already keeps its length.
pub fn cut_block(block: &mut [u8; BLOCK], data_len: u16) {
    let before = u16::from_be_bytes([block[4], block[5]]);
    if before <= data_len {
        return;
    }
    block[4..6].copy_from_slice(&data_len.to_be_bytes());
    // A group that would begin exactly at the end is what the server itself writes there.
    if u16::from_be_bytes([block[6], block[7]]) > data_len {
        block[6..8].fill(0);
    }
    block[usize::from(data_len).min(CRC)..CRC].fill(0);
    seal(block);
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
    fn a_block_that_ends_earlier_is_left_alone() {
        let mut b = block(90, 12);
        let before = b;
        cut_block(&mut b, 100);
        assert_eq!(b, before);
    }
}
