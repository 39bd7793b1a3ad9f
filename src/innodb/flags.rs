//! The flags of a tablespace, which describe the format of its pages.
//!
//! ```text
//! bit  0     POST_ANTELOPE
//! bits 1-4   ZIP_SSIZE      0, or ROW_FORMAT=COMPRESSED with 512 << n bytes a page (1..=5)
//! bit  5     ATOMIC_BLOBS
//! bits 6-9   PAGE_SSIZE     0 = 16 KiB, else 512 << n bytes (3..=7)
//! bit  10    DATA_DIR       made with DATA DIRECTORY
//! bit  11    SHARED         general tablespace
//! bit  12    TEMPORARY
//! bit  13    ENCRYPTION
//! bit  14    SDI
//! ```

use super::{InnodbError, PageSize};
use serde::{Deserialize, Serialize};

/// The u32 at byte 54 of page 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpaceFlags(pub u32);

const ZIP_SHIFT: u32 = 1;
const PAGE_SHIFT: u32 = 6;
const SSIZE_MASK: u32 = 0xF;
const KNOWN_BITS: u32 = (1 << 15) - 1;

impl SpaceFlags {
    const POST_ANTELOPE: u32 = 1;
    const ATOMIC_BLOBS: u32 = 1 << 5;
    const SHARED: u32 = 1 << 11;
    const ENCRYPTION: u32 = 1 << 13;

    /// Checks for flags that a supported server never writes: unknown bits, sizes that don't exist,
    /// combinations that exclude each other.
    ///
    /// # Errors
    /// [`InnodbError::BadFlags`].
    pub fn check(self) -> Result<(), InnodbError> {
        self.physical_page_size()?;
        if self.0 & !KNOWN_BITS != 0 {
            return Err(self.bad("bits above 14 are set"));
        }
        let zip = self.zip_ssize() != 0;
        let atomic = self.0 & Self::ATOMIC_BLOBS != 0;
        if self.0 & Self::POST_ANTELOPE == 0 && (zip || atomic) {
            return Err(self.bad("a format later than Antelope without its bit 0"));
        }
        if zip && !atomic {
            return Err(self.bad("compressed pages without bit 5 (atomic BLOBs)"));
        }
        Ok(())
    }

    /// Returns the size of a page in memory.
    ///
    /// # Errors
    /// [`InnodbError::BadFlags`] if PAGE_SSIZE is not the code of a size from 4 KiB to 64 KiB.
    pub fn page_size(self) -> Result<PageSize, InnodbError> {
        match (self.0 >> PAGE_SHIFT) & SSIZE_MASK {
            0 => Ok(PageSize::DEFAULT),
            n @ 3..=7 => Ok(PageSize::new(512 << n)?),
            _ => Err(self.bad("page size field (bits 6 to 9) is neither 0 nor 3 to 7")),
        }
    }

    /// Returns the size of a page in the file: the size of the compressed page if the tablespace is
    /// ROW_FORMAT=COMPRESSED, else [`Self::page_size`].
    ///
    /// # Errors
    /// [`InnodbError::BadFlags`] if either size doesn't exist, or the compressed page is larger
    /// than the uncompressed one.
    pub fn physical_page_size(self) -> Result<PageSize, InnodbError> {
        let logical = self.page_size()?;
        match (self.zip_ssize(), self.zip_size()) {
            (0, _) => Ok(logical),
            (_, Some(zip)) if zip <= logical => Ok(zip),
            _ => Err(self.bad("compressed page size field (bits 1 to 4) is too large")),
        }
    }

    /// Returns the size of a ROW_FORMAT=COMPRESSED page in the file; `None` if the tablespace
    /// doesn't have this format (or the field is not the code of a size).
    #[must_use]
    pub fn zip_size(self) -> Option<PageSize> {
        match self.zip_ssize() {
            n @ 1..=5 => PageSize::new(512 << n).ok(),
            _ => None,
        }
    }

    /// Returns whether the tablespace is encrypted: all pages except page 0, from the time when
    /// they are written.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        self.0 & Self::ENCRYPTION != 0
    }

    /// Returns whether it is a general tablespace (which can hold several tables).
    #[must_use]
    pub const fn is_shared(self) -> bool {
        self.0 & Self::SHARED != 0
    }

    const fn zip_ssize(self) -> u32 {
        (self.0 >> ZIP_SHIFT) & SSIZE_MASK
    }

    const fn bad(self, reason: &'static str) -> InnodbError {
        InnodbError::BadFlags {
            flags: self.0,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(flags: u32) -> (u32, u32) {
        let flags = SpaceFlags(flags);
        flags.check().unwrap();
        (
            flags.page_size().unwrap().into(),
            flags.physical_page_size().unwrap().into(),
        )
    }

    /// The flags of tablespaces that MySQL 9.7.4 created.
    #[test]
    fn real_flags_give_real_sizes() {
        assert_eq!(sizes(0x4021), (16384, 16384)); // ROW_FORMAT=DYNAMIC
        assert_eq!(sizes(0x4000), (16384, 16384)); // ROW_FORMAT=COMPACT
        assert_eq!(sizes(0x4800), (16384, 16384)); // system, mysql.ibd, general tablespace
        assert_eq!(sizes(0x0000), (16384, 16384)); // undo
        assert_eq!(sizes(0x402B), (16384, 16384)); // KEY_BLOCK_SIZE=16
        assert_eq!(sizes(0x4029), (16384, 8192));
        assert_eq!(sizes(0x4027), (16384, 4096));
        assert_eq!(sizes(0x4025), (16384, 2048));
        assert_eq!(sizes(0x4023), (16384, 1024));
        assert_eq!(sizes(0x40E1), (4096, 4096));
        assert_eq!(sizes(0x40E3), (4096, 1024));
        assert_eq!(sizes(0x41A1), (32768, 32768));
        assert_eq!(sizes(0x41E1), (65536, 65536));
        assert_eq!(sizes(0x6027), (16384, 4096)); // encrypted, KEY_BLOCK_SIZE=4
    }

    #[test]
    fn each_method_reads_its_bits() {
        for bit in 0..15 {
            let flags = SpaceFlags(1 << bit);
            assert_eq!(flags.is_shared(), bit == 11);
            assert_eq!(flags.is_encrypted(), bit == 13);
            assert_eq!(flags.zip_size().is_some(), matches!(bit, 1..=3));
        }
    }

    #[test]
    fn impossible_flags_are_refused() {
        for (flags, why) in [
            (0x8000, "above 14"),
            (0x4061, "page size"),       // PAGE_SSIZE 1
            (0x4221, "page size"),       // PAGE_SSIZE 8
            (0x41AD, "compressed page"), // 32 KiB compressed page
            (0x402D, "compressed page"), // ZIP_SSIZE 6
            (0x40EB, "compressed page"), // 16 KiB compressed page of a 4 KiB page
            (0x4020, "Antelope"),        // atomic BLOBs alone
            (0x4009, "without bit 5"),   // compressed without atomic BLOBs
        ] {
            let error = SpaceFlags(flags).check().unwrap_err().to_string();
            assert!(error.contains(why), "{flags:#x}: {error}");
        }
    }

    #[test]
    fn flags_are_a_number_in_json() {
        assert_eq!(serde_json::to_string(&SpaceFlags(0x4021)).unwrap(), "16417");
        assert_eq!(
            serde_json::from_str::<SpaceFlags>("16417").unwrap(),
            SpaceFlags(0x4021)
        );
    }
}
