//! The first block of a redo file.
//!
//! ```text
//! 0 format u32    4 log uuid u32    8 start LSN u64    16 creator, 32 bytes, NUL-terminated
//! 48 flags u32    508 CRC-32C of bytes 0..508
//!
//! flag bit 0   NO_LOGGING       redo logging is off (ALTER INSTANCE DISABLE INNODB REDO_LOG): no hot backup is possible
//! flag bit 1   CRASH_UNSAFE     redo logging was off, and the data files are not consistent yet
//! flag bit 2   NOT_INITIALIZED  the initialisation of the data directory is incomplete
//! flag bit 3   FILE_FULL        the file is full, and the server writes the next one
//! ```

use super::{BLOCK, FORMAT, checksums, seal};
use crate::innodb::{InnodbError, Lsn, be};

/// The file header of a redo file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHeader {
    /// The redo format; only [`FORMAT`] is accepted.
    pub format: u32,
    /// Identical in all files of a data directory; new when the log is created anew.
    pub log_uuid: u32,
    /// The LSN of the byte at file offset 2048; a multiple of 512.
    pub start_lsn: Lsn,
    /// The program that created the file, such as `MySQL 9.7.4`, NUL-padded.
    pub creator: [u8; 32],
    /// The flag bits above.
    pub flags: u32,
}

pub(super) const UUID: usize = 4;
pub(super) const START_LSN: usize = 8;
pub(super) const CREATOR: usize = 16;
pub(super) const CREATOR_LEN: usize = 32;
pub(super) const FLAGS: usize = 48;

impl FileHeader {
    /// Parses the first block of a redo file.
    ///
    /// # Errors
    /// Too few bytes, a checksum that does not match, a format other than [`FORMAT`].
    pub fn parse(block: &[u8]) -> Result<Self, InnodbError> {
        let header = Self::parse_unsealed(block)?;
        let (found, expected) = checksums(block);
        if found != expected {
            return Err(InnodbError::RedoChecksum {
                what: "file header",
                found,
                expected,
            });
        }
        Ok(header)
    }

    /// Same as [`Self::parse`] without a check of the checksum: in an `xtrabackup_logfile` it is
    /// wrong by design.
    ///
    /// # Errors
    /// Too few bytes, a format other than [`FORMAT`].
    pub fn parse_unsealed(block: &[u8]) -> Result<Self, InnodbError> {
        if block.len() < BLOCK {
            return Err(InnodbError::Short {
                what: "redo file header",
                found: block.len(),
                expected: BLOCK,
            });
        }
        let format = be::u32_at(block, 0);
        if format != FORMAT {
            return Err(InnodbError::RedoFormat {
                found: format,
                expected: FORMAT,
            });
        }
        let mut creator = [0; CREATOR_LEN];
        creator.copy_from_slice(&block[CREATOR..CREATOR + CREATOR_LEN]);
        Ok(Self {
            format,
            log_uuid: be::u32_at(block, UUID),
            start_lsn: Lsn(be::u64_at(block, START_LSN)),
            creator,
            flags: be::u32_at(block, FLAGS),
        })
    }

    /// Builds the block, with its checksum.
    #[must_use]
    pub fn encode(&self) -> [u8; 512] {
        let mut block = [0; BLOCK];
        block[..UUID].copy_from_slice(&self.format.to_be_bytes());
        block[UUID..START_LSN].copy_from_slice(&self.log_uuid.to_be_bytes());
        block[START_LSN..CREATOR].copy_from_slice(&self.start_lsn.0.to_be_bytes());
        block[CREATOR..FLAGS].copy_from_slice(&self.creator);
        block[FLAGS..FLAGS + 4].copy_from_slice(&self.flags.to_be_bytes());
        seal(&mut block);
        block
    }

    /// Returns the creator up to its NUL; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn creator_str(&self) -> String {
        let end = self.creator.iter().position(|&b| b == 0);
        String::from_utf8_lossy(&self.creator[..end.unwrap_or(CREATOR_LEN)]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::innodb::fixtures::read;
    use proptest::prelude::*;

    #[test]
    fn a_real_header() {
        let bytes = read("redo", "header.bin");
        let header = FileHeader::parse(&bytes).unwrap();
        assert_eq!(header.log_uuid, 0x9834_7B34);
        assert_eq!(header.start_lsn, Lsn(0x06BD_1000));
        assert_eq!(header.creator_str(), "MySQL 9.7.4");
        assert_eq!(header.flags, 1 << 3, "FILE_FULL");
        assert_eq!(header.encode()[..], bytes[..512]);
    }

    #[test]
    fn golden_bytes() {
        let mut creator = [0; 32];
        creator[..5].copy_from_slice(b"lsnap");
        let header = FileHeader {
            format: 6,
            log_uuid: 0x0102_0304,
            start_lsn: Lsn(0x0011_2233_4455_6600),
            creator,
            flags: 0x0000_0003,
        };
        let block = header.encode();
        assert_eq!(block[0..4], [0, 0, 0, 6]); // format
        assert_eq!(block[4..8], [1, 2, 3, 4]); // log uuid
        assert_eq!(block[8..16], [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0]); // start LSN
        assert_eq!(block[16..24], *b"lsnap\0\0\0"); // creator
        assert!(block[24..48].iter().all(|b| *b == 0)); // its padding
        assert_eq!(block[48..52], [0, 0, 0, 3]); // flags: no logging, crash unsafe
        assert!(block[52..508].iter().all(|b| *b == 0)); // nothing
        assert_eq!(block[508..512], [0x87, 0xD1, 0xC4, 0x24]); // CRC-32C of 0..508
        assert_eq!(FileHeader::parse(&block).unwrap(), header);
    }

    #[test]
    fn damage_and_other_formats_are_refused() {
        let good = read("redo", "header.bin");
        for at in (0..64).chain(500..512) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(FileHeader::parse(&bad).is_err(), "byte {at}");
        }
        let mut older = FileHeader::parse(&good).unwrap();
        older.format = 5;
        assert_eq!(
            FileHeader::parse(&older.encode()),
            Err(InnodbError::RedoFormat {
                found: 5,
                expected: 6
            })
        );
        assert!(matches!(
            FileHeader::parse(&good[..511]),
            Err(InnodbError::Short {
                found: 511,
                expected: 512,
                ..
            })
        ));
    }

    proptest! {
        #[test]
        fn round_trip(uuid: u32, start: u64, creator: [u8; 32], flags: u32) {
            let header = FileHeader { format: 6, log_uuid: uuid, start_lsn: Lsn(start), creator, flags };
            prop_assert_eq!(FileHeader::parse(&header.encode()), Ok(header.clone()));
            let _ = header.creator_str();
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            prop_assert!(FileHeader::parse(&bytes).is_err());
        }
    }
}
