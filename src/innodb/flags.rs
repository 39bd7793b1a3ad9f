//! The flags of a tablespace: what its pages are.
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
    const DATA_DIR: u32 = 1 << 10;
    const SHARED: u32 = 1 << 11;
    const TEMPORARY: u32 = 1 << 12;
    const ENCRYPTION: u32 = 1 << 13;
    const SDI: u32 = 1 << 14;

    /// Checks what a supported server never writes: unknown bits, sizes that do not exist,
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

    /// The size of a page in memory.
    ///
    /// # Errors
    /// [`InnodbError::BadFlags`] when PAGE_SSIZE names no size from 4 KiB to 64 KiB.
    pub fn page_size(self) -> Result<PageSize, InnodbError> {
        match (self.0 >> PAGE_SHIFT) & SSIZE_MASK {
            0 => Ok(PageSize::DEFAULT),
            n @ 3..=7 => Ok(PageSize::new(512 << n)?),
            _ => Err(self.bad("page size field (bits 6 to 9) is neither 0 nor 3 to 7")),
        }
    }

    /// The size of a page in the file: that of the compressed page where the tablespace is
    /// ROW_FORMAT=COMPRESSED, else [`Self::page_size`].
    ///
    /// # Errors
    /// [`InnodbError::BadFlags`] when either size does not exist, or the compressed page is larger
    /// than the uncompressed one.
    pub fn physical_page_size(self) -> Result<PageSize, InnodbError> {
        let logical = self.page_size()?;
        match (self.zip_ssize(), self.zip_size()) {
            (0, _) => Ok(logical),
            (_, Some(zip)) if zip <= logical => Ok(zip),
            _ => Err(self.bad("compressed page size field (bits 1 to 4) is too large")),
        }
    }

    /// The size of a ROW_FORMAT=COMPRESSED page in the file; `None` when the tablespace is not of
    /// that format (or the field names no size).
    #[must_use]
    pub fn zip_size(self) -> Option<PageSize> {
        match self.zip_ssize() {
            n @ 1..=5 => PageSize::new(512 << n).ok(),
            _ => None,
        }
    }

    /// Whether the tablespace is encrypted: all pages but page 0, as they are written.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        self.0 & Self::ENCRYPTION != 0
    }

    /// Whether it was made with DATA DIRECTORY.
    #[must_use]
    pub const fn has_data_dir(self) -> bool {
        self.0 & Self::DATA_DIR != 0
    }

    /// Whether it is a general tablespace (may hold several tables).
    #[must_use]
    pub const fn is_shared(self) -> bool {
        self.0 & Self::SHARED != 0
    }

    /// Whether it is a temporary tablespace, which no backup holds.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        self.0 & Self::TEMPORARY != 0
    }

    /// Whether it carries its own dictionary information (SDI).
    #[must_use]
    pub const fn has_sdi(self) -> bool {
        self.0 & Self::SDI != 0
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
