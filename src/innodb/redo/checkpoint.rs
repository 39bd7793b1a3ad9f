//! Checkpoint blocks: 8 checkpoint LSN u64, the rest zero, 508 CRC-32C. A redo file has room for two.

use super::{BLOCK, checksums, seal};
use crate::innodb::{Lsn, be};

const LSN: usize = 8;

/// The LSN of a checkpoint block; `None` when its checksum is wrong or it holds none.
#[must_use]
pub fn parse_checkpoint(block: &[u8]) -> Option<Lsn> {
    if block.len() < BLOCK {
        return None;
    }
    let (found, expected) = checksums(block);
    let lsn = Lsn(be::u64_at(block, LSN));
    (found == expected && lsn.0 != 0).then_some(lsn)
}

/// The block for this checkpoint, with its checksum.
#[must_use]
pub fn encode_checkpoint(lsn: Lsn) -> [u8; 512] {
    let mut block = [0; BLOCK];
    block[LSN..LSN + 8].copy_from_slice(&lsn.0.to_be_bytes());
    seal(&mut block);
    block
}
