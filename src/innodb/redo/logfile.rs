//! Builds the header of `xtrabackup_logfile`, and converts it back to the header of a redo file
//! that a server recovers from.

use super::header::{CREATOR, CREATOR_LEN};
use super::{
    BLOCK, CHECKPOINTS, FileHeader, HEADER, MIN_FILE, encode_checkpoint, parse_checkpoint,
};
use crate::innodb::{InnodbError, Lsn};

/// The prefix of the creator of an `xtrabackup_logfile`; a server refuses it.
const TAG: &[u8] = b"xtrabkup ";
const STAMP_LEN: usize = 15;
/// Offset of the key information, in the third block of the header.
const ENCRYPTION_INFO: usize = 2 * BLOCK + 48;
const UNIT: u64 = 64 << 10;

/// Builds the 2048 header bytes of `xtrabackup_logfile`.
///
/// `server_header` is the raw header of the server's redo file that contains `checkpoint`; `stamp`
/// is the time as `YYMMDD HH:MM:SS`. Both checkpoint blocks are set to `checkpoint`. As in
/// xtrabackup, the checksum of the first block is computed *before* the creator is replaced by
/// `xtrabkup <stamp>`, so it is the checksum of the header with the server's own creator. The start
/// LSN stays that of the file.
///
/// # Errors
/// A header that is short, damaged or of another format, a checkpoint before the start of the file,
/// a stamp of another length.
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

/// Builds the 2048 header bytes of the single redo file (`#innodb_redo/#ib_redo0`) that a server
/// recovers from, and returns the checkpoint at which recovery starts.
///
/// `logfile_header` is the header of `xtrabackup_logfile`; `creator` and `log_uuid` are the values
/// of the server's own redo. The start LSN is set to the first stored block, which is the
/// checkpoint rounded down; the flags are set to 0; both checkpoint blocks are set to the
/// checkpoint; the encryption block is unchanged.
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

/// Returns the length of the redo file for a recovery from `log_bytes` bytes of log blocks: header,
/// blocks, and an eighth more of zeros, rounded up to 64 KiB, at least [`MIN_FILE`].
#[must_use]
pub fn recovery_file_len(log_bytes: u64) -> u64 {
    let used = log_bytes.saturating_add(HEADER as u64);
    let with_slack = used.saturating_add(used / 8);
    with_slack
        .checked_next_multiple_of(UNIT)
        .unwrap_or(u64::MAX - (UNIT - 1))
        .max(MIN_FILE)
}

/// Returns whether a redo header (2048 bytes) contains the key that decrypts the blocks. On a real
/// server, the file with the newest checkpoint contained it and the others did not. Encrypted
/// blocks after a header without it can't be recovered (encryption was switched on after the header
/// was read).
#[must_use]
pub fn has_encryption_info(header: &[u8]) -> bool {
    header
        .get(ENCRYPTION_INFO..3 * BLOCK)
        .is_some_and(|info| !crate::innodb::page::is_zero(info))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::innodb::fixtures::read;
    use proptest::prelude::*;

    const CHECKPOINT: Lsn = Lsn(0x06C3_BD05);
    const STAMP: &str = "261123 06:51:36";

    fn server() -> Vec<u8> {
        read("redo", "header.bin")
    }

    #[test]
    fn logfile_header_byte_by_byte() {
        let mut long = FileHeader::parse(&server()).unwrap();
        long.creator = *b"MySQL 9.7.4-with-a-long-suffix-x";
        let mut server = server();
        server[..512].copy_from_slice(&long.encode());
        let out = logfile_header(&server, CHECKPOINT, STAMP).unwrap();
        assert_eq!(out[0..16], server[0..16]); // format, uuid, start LSN of the server's file
        assert_eq!(out[16..40], *b"xtrabkup 261123 06:51:36"); // creator
        assert_eq!(out[40..48], [0; 8]); // its padding
        assert_eq!(out[48..508], server[48..508]); // flags, nothing
        assert_eq!(out[508..512], server[508..512]); // checksum of the header with the old creator
        let block = encode_checkpoint(CHECKPOINT);
        assert_eq!(out[512..1024], block); // checkpoint 1
        assert_eq!(out[1024..1536], server[1024..1536]); // encryption
        assert_eq!(out[1536..2048], block); // checkpoint 2
    }

    #[test]
    fn logfile_header_refuses_invalid_arguments() {
        let server = server();
        assert!(matches!(
            logfile_header(&server[..2047], CHECKPOINT, STAMP),
            Err(InnodbError::Short {
                found: 2047,
                expected: 2048,
                ..
            })
        ));
        assert!(matches!(
            logfile_header(&server, Lsn(0x06BD_0FFF), STAMP),
            Err(InnodbError::CheckpointOutside { .. })
        ));
        for stamp in ["", "261123 06:51:3", "261123 06:51:367", "261123\n06:51:36"] {
            assert!(matches!(
                logfile_header(&server, CHECKPOINT, stamp),
                Err(InnodbError::BadStamp { .. })
            ));
        }
        let mut damaged = server;
        damaged[20] ^= 1;
        assert!(matches!(
            logfile_header(&damaged, CHECKPOINT, STAMP),
            Err(InnodbError::RedoChecksum { .. })
        ));
    }

    #[test]
    fn recovery_header_byte_by_byte() {
        let mut server = server();
        server[1024 + 48] = 0x6C; // as if it held a key
        let logfile = logfile_header(&server, CHECKPOINT, STAMP).unwrap();
        let mut creator = [0; 32];
        creator[..11].copy_from_slice(b"MySQL 9.7.4");
        let (out, checkpoint) = recovery_header(&logfile, &creator, 0x9834_7B34).unwrap();
        assert_eq!(checkpoint, CHECKPOINT);
        assert_eq!(out[0..4], [0, 0, 0, 6]); // format
        assert_eq!(out[4..8], [0x98, 0x34, 0x7B, 0x34]); // log uuid
        assert_eq!(out[8..16], [0, 0, 0, 0, 0x06, 0xC3, 0xBC, 0x00]); // start LSN
        assert_eq!(out[16..48], creator); // the server's own
        assert_eq!(out[48..508], [0; 460]); // flags and nothing
        assert!(FileHeader::parse(&out).is_ok()); // checksum
        assert_eq!(out[512..1024], encode_checkpoint(CHECKPOINT)); // checkpoint 1
        assert_eq!(out[1024..1536], server[1024..1536]); // encryption
        assert_eq!(out[1536..2048], encode_checkpoint(CHECKPOINT)); // checkpoint 2
        assert!(has_encryption_info(&out));
        assert!(!has_encryption_info(&self::server()));
        assert!(!has_encryption_info(&out[..1535]));
    }

    #[test]
    fn the_newest_valid_checkpoint_counts() {
        let mut logfile = logfile_header(&server(), CHECKPOINT, STAMP).unwrap();
        let newer = Lsn(CHECKPOINT.0 + 5000);
        logfile[1536..2048].copy_from_slice(&encode_checkpoint(newer));
        let (out, checkpoint) = recovery_header(&logfile, &[0; 32], 0x9834_7B34).unwrap();
        assert_eq!(checkpoint, newer);
        assert_eq!(parse_checkpoint(&out[512..]), Some(newer));
        logfile[1536] ^= 1;
        let older = recovery_header(&logfile, &[0; 32], 0x9834_7B34).unwrap().1;
        assert_eq!(older, CHECKPOINT);
        logfile[512] ^= 1;
        assert_eq!(
            recovery_header(&logfile, &[0; 32], 0x9834_7B34).unwrap_err(),
            InnodbError::NoCheckpoint
        );
    }

    #[test]
    fn another_log_is_refused() {
        let logfile = logfile_header(&server(), CHECKPOINT, STAMP).unwrap();
        assert_eq!(
            recovery_header(&logfile, &[0; 32], 1).unwrap_err(),
            InnodbError::RedoUuid {
                found: 0x9834_7B34,
                expected: 1
            }
        );
    }

    #[test]
    fn file_lengths() {
        assert_eq!(recovery_file_len(0), MIN_FILE);
        assert_eq!(recovery_file_len(7 << 20), MIN_FILE);
        // 2048 + 16 MiB + an eighth = 18,876,672 -> 289 units of 64 KiB
        assert_eq!(recovery_file_len(16 << 20), 289 << 16);
    }

    proptest! {
        #[test]
        fn a_recovery_file_fits_the_log_and_has_a_valid_length(log in 0_u64..1 << 45) {
            let len = recovery_file_len(log);
            prop_assert!(len >= log + 2048);
            prop_assert_eq!(len % 65536, 0);
            prop_assert!(len >= MIN_FILE);
            prop_assert!(len <= (log + 2048) / 8 * 9 + MIN_FILE);
        }

        #[test]
        fn absurd_lengths_do_not_overflow(log: u64) {
            prop_assert_eq!(recovery_file_len(log) % 65536, 0);
        }

        #[test]
        fn random_headers_never_panic(bytes in proptest::collection::vec(any::<u8>(), 2000..2100), lsn: u64, uuid: u32) {
            prop_assert!(logfile_header(&bytes, Lsn(lsn), STAMP).is_err());
            prop_assert!(recovery_header(&bytes, &[0; 32], uuid).is_err());
        }
    }
}
