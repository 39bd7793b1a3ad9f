//! Checkpoint blocks: at byte 8 the checkpoint LSN (u64), at byte 508 the CRC-32C, the rest zero. A
//! redo file has room for two.

use super::{BLOCK, checksums, seal};
use crate::innodb::{Lsn, be};

const LSN: usize = 8;

/// Returns the LSN of a checkpoint block; `None` if its checksum is wrong or it is empty.
#[must_use]
pub fn parse_checkpoint(block: &[u8]) -> Option<Lsn> {
    if block.len() < BLOCK {
        return None;
    }
    let (found, expected) = checksums(block);
    let lsn = Lsn(be::u64_at(block, LSN));
    (found == expected && lsn.0 != 0).then_some(lsn)
}

/// Builds the block for this checkpoint, with its checksum.
#[must_use]
pub fn encode_checkpoint(lsn: Lsn) -> [u8; 512] {
    let mut block = [0; BLOCK];
    block[LSN..LSN + 8].copy_from_slice(&lsn.0.to_be_bytes());
    seal(&mut block);
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::innodb::fixtures::read;
    use proptest::prelude::*;

    #[test]
    fn a_real_checkpoint() {
        let header = read("redo", "header.bin");
        assert_eq!(parse_checkpoint(&header[512..]), Some(Lsn(113_491_200)));
        // The second block of that file is valid and empty.
        assert_eq!(parse_checkpoint(&header[1536..]), None);
        assert_eq!(encode_checkpoint(Lsn(113_491_200))[..], header[512..1024]);
    }

    #[test]
    fn golden_bytes() {
        let block = encode_checkpoint(Lsn(0x0102_0304_0506_0708));
        assert_eq!(block[0..8], [0; 8]); // was the checkpoint number, until format 5
        assert_eq!(block[8..16], [1, 2, 3, 4, 5, 6, 7, 8]); // LSN
        assert!(block[16..508].iter().all(|b| *b == 0)); // nothing
        assert_eq!(block[508..512], [0xEE, 0x84, 0xAF, 0x0E]); // CRC-32C of 0..508
    }

    #[test]
    fn a_damaged_checkpoint_is_ignored() {
        let good = encode_checkpoint(Lsn(8192));
        for at in 0..512 {
            let mut bad = good;
            bad[at] ^= 1;
            assert_eq!(parse_checkpoint(&bad), None, "byte {at}");
        }
        assert_eq!(parse_checkpoint(&good[..511]), None);
        assert_eq!(parse_checkpoint(&[0; 512]), None);
        assert_eq!(parse_checkpoint(&encode_checkpoint(Lsn(0))), None);
    }

    proptest! {
        #[test]
        fn round_trip(lsn in 1_u64..) {
            prop_assert_eq!(parse_checkpoint(&encode_checkpoint(Lsn(lsn))), Some(Lsn(lsn)));
        }
    }
}
