//! The header of `xtrabackup_logfile`, and the way back from it to a redo file that a server recovers
//! from.

use super::header::{CREATOR, CREATOR_LEN};
use super::{
    BLOCK, CHECKPOINTS, FileHeader, HEADER, MIN_FILE, encode_checkpoint, parse_checkpoint,
};
use crate::innodb::{InnodbError, Lsn};

/// What the creator of an `xtrabackup_logfile` begins with; a server refuses it.
const TAG: &[u8] = b"xtrabkup ";
const STAMP_LEN: usize = 15;
const UNIT: u64 = 64 << 10;

/// The 2048 header bytes of `xtrabackup_logfile`.
///
/// `server_header` is the raw header of the server's redo file that holds `checkpoint`; `stamp` is
/// the time as `YYMMDD HH:MM:SS`. Both checkpoint blocks become `checkpoint`. As xtrabackup does, the
/// first block's checksum is made *before* the creator is replaced by `xtrabkup <stamp>`, so it is
/// that of the header with the server's own creator, and the start LSN stays that of the file.
///
/// # Errors
/// A header that is short, damaged or of another format, a checkpoint before the file's start, a
/// stamp of another length.
pub fn logfile_header(
    server_header: &[u8],
    checkpoint: Lsn,
    stamp: &str,
) -> Result<[u8; 2048], InnodbError> {
    let mut out = whole_header(server_header)?;
    let header = FileHeader::parse(&out)?;
    if checkpoint < header.start_lsn || checkpoint.0 == 0 {
        return Err(InnodbError::CheckpointOutside {
            checkpoint,
            start_lsn: header.start_lsn,
        });
    }
    if stamp.len() != STAMP_LEN || stamp.bytes().any(|b| !(b' '..=b'~').contains(&b)) {
        return Err(InnodbError::BadStamp {
            found: stamp.to_owned(),
        });
    }
    place_checkpoint(&mut out, checkpoint);
    let creator = &mut out[CREATOR..CREATOR + CREATOR_LEN];
    creator.fill(0);
    creator[..TAG.len()].copy_from_slice(TAG);
    creator[TAG.len()..TAG.len() + STAMP_LEN].copy_from_slice(stamp.as_bytes());
    Ok(out)
}

/// The 2048 header bytes of the one redo file (`#innodb_redo/#ib_redo0`) that a server recovers from,
/// and the checkpoint at which it will start.
///
/// `logfile_header` is that of `xtrabackup_logfile`; `creator` and `log_uuid` are those of the
/// server's own redo. The start LSN becomes that of the first block stored, the checkpoint rounded
/// down; the flags become 0; both checkpoint blocks hold the checkpoint; the encryption block stays.
///
/// # Errors
/// A header that is short or of another format, no valid checkpoint, another log uuid.
pub fn recovery_header(
    logfile_header: &[u8],
    creator: &[u8; 32],
    log_uuid: u32,
) -> Result<([u8; 2048], Lsn), InnodbError> {
    let mut out = whole_header(logfile_header)?;
    let stored = FileHeader::parse_unsealed(&out)?;
    if stored.log_uuid != log_uuid {
        return Err(InnodbError::RedoUuid {
            found: stored.log_uuid,
            expected: log_uuid,
        });
    }
    let checkpoint = CHECKPOINTS
        .iter()
        .filter_map(|&at| parse_checkpoint(&out[at..at + BLOCK]))
        .max()
        .ok_or(InnodbError::NoCheckpoint)?;
    let header = FileHeader {
        start_lsn: checkpoint.block_start(),
        creator: *creator,
        flags: 0,
        ..stored
    };
    out[..BLOCK].copy_from_slice(&header.encode());
    place_checkpoint(&mut out, checkpoint);
    Ok((out, checkpoint))
}

/// The length of the redo file for a recovery from `log_bytes` bytes of log blocks: header and
/// blocks, an eighth more of zeros, rounded up to 64 KiB, at least [`MIN_FILE`].
#[must_use]
pub fn recovery_file_len(log_bytes: u64) -> u64 {
    let used = log_bytes.saturating_add(HEADER as u64);
    let with_slack = used.saturating_add(used / 8);
    with_slack
        .checked_next_multiple_of(UNIT)
        .unwrap_or(u64::MAX - (UNIT - 1))
        .max(MIN_FILE)
}

fn whole_header(bytes: &[u8]) -> Result<[u8; HEADER], InnodbError> {
    bytes
        .first_chunk::<HEADER>()
        .copied()
        .ok_or(InnodbError::Short {
            what: "redo file header",
            found: bytes.len(),
            expected: HEADER,
        })
}

fn place_checkpoint(header: &mut [u8; HEADER], checkpoint: Lsn) {
    let block = encode_checkpoint(checkpoint);
    for at in CHECKPOINTS {
        header[at..at + BLOCK].copy_from_slice(&block);
    }
}
