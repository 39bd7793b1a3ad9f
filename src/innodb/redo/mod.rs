//! The redo log of MySQL 8.0.30 and later (format 6): file headers, checkpoints, blocks.
//!
//! A redo file is a header of four blocks of 512 bytes (file header, checkpoint 1, encryption,
//! checkpoint 2), followed by log blocks: the byte at offset 2048 has the LSN that the header
//! stores as `start_lsn`. Every block ends with the CRC-32C of its first 508 bytes.

mod block;
mod checkpoint;
mod cut;
mod header;
mod logfile;
#[cfg(test)]
mod real_redo;

pub use block::{BlockHeader, BlockState, classify, epoch_of, has_no_checksum, hdr_no_of};
pub use checkpoint::{encode_checkpoint, parse_checkpoint};
pub use cut::{BLOCK_HEADER, cut_block, empty_block};
pub use header::FileHeader;
pub use logfile::{has_encryption_info, logfile_header, recovery_file_len, recovery_header};

use super::be;

/// Bytes of a redo block.
pub const BLOCK: usize = 512;
/// Bytes of the header of a redo file: four blocks.
pub const HEADER: usize = 4 * BLOCK;
/// The smallest redo file that is created for a recovery, in bytes.
pub const MIN_FILE: u64 = 8 << 20;
/// The redo log format of MySQL 8.0.30 and later.
pub const FORMAT: u32 = 6;

/// Offset of the CRC-32C in a block.
const CRC: usize = BLOCK - 4;
/// File offsets of the two checkpoint blocks.
const CHECKPOINTS: [usize; 2] = [BLOCK, 3 * BLOCK];

/// Computes the checksum of a block and stores it in the block.
fn seal(block: &mut [u8; BLOCK]) {
    let crc = crc_fast::crc32_iscsi(&block[..CRC]);
    block[CRC..].copy_from_slice(&crc.to_be_bytes());
}

/// Returns the stored and the computed checksum of a block, which has at least [`BLOCK`] bytes.
fn checksums(block: &[u8]) -> (u32, u32) {
    (be::u32_at(block, CRC), crc_fast::crc32_iscsi(&block[..CRC]))
}
