//! Verifies that a page has the content that the server wrote, at the right position.
//!
//! The copy has no doublewrite buffer to repair pages from, so every page is verified when it is
//! copied. Most faults are pages that were being written at that moment: read the page again before
//! you report a fault.

use super::checksum::{self, ChecksumState};
use super::undecodable::Undecodable;
use super::{InnodbError, PageKind, PageNo, PageSize, SpaceFlags, SpaceId, be, decompress, page};
use std::{ops::Range, sync::Arc};

/// Verifies the pages of one tablespace. Cheap to clone; shared by the threads that read it.
#[derive(Debug, Clone)]
pub struct PageVerifier {
    space: SpaceId,
    physical: PageSize,
    zip: bool,
    encrypted: bool,
    doublewrite: Arc<[Range<u32>]>,
}

/// The state of a page without a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageState {
    /// Checksum, page number and space id are right.
    Verified,
    /// All bytes are zero: never written.
    Zero,
    /// Page number and space id are right, but the contents can't be verified: the page is
    /// encrypted, or was written with `innodb_checksum_algorithm=none`. Two equal reads are the
    /// best available evidence.
    Unverifiable,
    /// In the old doublewrite area, so it was not verified.
    Skipped,
}

/// A fault of a page. `page` counts through the tablespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageFault {
    /// The head and the tail are from two different writes.
    #[error(
        "page {page}: LSN ends in {head:#010x} at its head and {tail:#010x} at its tail: the page is torn; read it again; if the result is the same, the page is damaged on disk"
    )]
    Torn {
        /// The page.
        page: PageNo,
        /// Low half of the LSN at byte 20.
        head: u32,
        /// The same at the last four bytes.
        tail: u32,
    },
    /// The stored checksum matches none of the algorithms.
    #[error(
        "page {page}: checksum {found:#010x} found, {expected:#010x} (crc32) expected, and no other algorithm matches: the page is torn; read it again; if the result is the same, the page is damaged on disk"
    )]
    Checksum {
        /// The page.
        page: PageNo,
        /// The checksum field at byte 0.
        found: u32,
        /// The crc32 checksum that was computed.
        expected: u32,
    },
    /// An intact page of another position.
    #[error(
        "page {page}: has page number {found}, expected {expected}: a write went to the wrong offset, or this is another file"
    )]
    WrongPageNumber {
        /// The expected page.
        page: PageNo,
        /// The number at byte 4.
        found: PageNo,
        /// Equal to `page`.
        expected: PageNo,
    },
    /// An intact page of another tablespace.
    #[error(
        "page {page}: has space id {found}, expected {expected}: the file was replaced (truncated or re-created table?) or a write went to the wrong file"
    )]
    WrongSpace {
        /// The page.
        page: PageNo,
        /// The id at byte 34.
        found: SpaceId,
        /// The tablespace's id.
        expected: SpaceId,
    },
    /// The page can't be decoded to the form that its checksum covers.
    #[error(
        "page {page}: {reason}; read it again; if the result is the same, the page is damaged on disk"
    )]
    Undecodable {
        /// The page.
        page: PageNo,
        /// The reason.
        reason: Undecodable,
    },
}

impl PageVerifier {
    /// Creates a verifier for the tablespace with this id and these flags.
    ///
    /// # Errors
    /// [`InnodbError::BadFlags`] if the flags are not valid for a supported server.
    pub fn new(space: SpaceId, flags: SpaceFlags) -> Result<Self, InnodbError> {
        flags.check()?;
        Ok(Self {
            space,
            physical: flags.physical_page_size()?,
            zip: flags.zip_size().is_some(),
            encrypted: flags.is_encrypted(),
            doublewrite: Arc::new([]),
        })
    }

    /// Excludes these pages (numbers in the tablespace) from verification: the old doublewrite area
    /// of the system tablespace, see [`super::doublewrite_extents`].
    #[must_use]
    pub fn with_doublewrite(mut self, blocks: Vec<Range<u32>>) -> Self {
        self.doublewrite = blocks.into();
        self
    }

    /// Verifies one page. `no` is the number that the page must have: it counts through the whole
    /// tablespace. `page` is one physical page.
    ///
    /// # Errors
    /// [`PageFault`], which documents the faults that a second read may resolve.
    pub fn verify(&self, no: PageNo, page: &[u8]) -> Result<PageState, PageFault> {
        if page.len() != self.physical.bytes() {
            return Err(undecodable(
                no,
                Undecodable::Length {
                    found: page.len(),
                    expected: self.physical.bytes(),
                },
            ));
        }
        if self.doublewrite.iter().any(|block| block.contains(&no.0)) {
            return Ok(PageState::Skipped);
        }
        if let Some(state) = empty(page) {
            return Ok(state);
        }
        let kind = page::kind(page);
        if kind.is_encrypted() {
            self.check_encrypted(no, kind)?;
            // An empty page is encrypted without a change of its header, which stays empty.
            if !has_empty_header(page) {
                self.check_place(no, page)?;
            }
            return Ok(PageState::Unverifiable);
        }
        let state = if kind == PageKind::COMPRESSED {
            match self.check_compressed(no, page)? {
                Decompressed::Page(state) => state,
                // An empty page is compressed without a change of its header, and has no number and
                // no space id.
                Decompressed::Empty if no.0 != 0 => return Ok(PageState::Verified),
                Decompressed::Empty => PageState::Verified,
            }
        } else if self.zip {
            check_zip(no, page)?
        } else {
            check_plain(no, page)?
        };
        self.check_place(no, page)?;
        Ok(state)
    }

    /// Accepts encrypted pages in a tablespace without the encryption flag. This is for tablespaces
    /// that the server encrypts in place (undo, general, the dictionary): pages are encrypted as
    /// they are flushed, while page 0 with the new flags may still be only in the buffer pool. Its
    /// change is in the redo, and so is the key. Without this, an encrypted page in a tablespace
    /// without the flag is a fault.
    #[must_use]
    pub const fn with_encryption(mut self) -> Self {
        self.encrypted = true;
        self
    }

    /// An encrypted page type where encryption is impossible is damage and must not be accepted.
    fn check_encrypted(&self, no: PageNo, kind: PageKind) -> Result<(), PageFault> {
        let reason = if !self.encrypted {
            "the tablespace is not encrypted"
        } else if no.0 == 0 {
            "page 0 is never encrypted"
        } else {
            return Ok(());
        };
        Err(undecodable(no, Undecodable::Encrypted(kind, reason)))
    }

    fn check_compressed(&self, no: PageNo, page: &[u8]) -> Result<Decompressed, PageFault> {
        if self.zip {
            return Err(undecodable(no, Undecodable::CompressedTwice));
        }
        let result = decompress::with_decompressed(page, |plain| match empty(plain) {
            Some(_) => Ok(Decompressed::Empty),
            None => check_plain(no, plain).map(Decompressed::Page),
        });
        result.map_err(|reason| undecodable(no, reason))?
    }

    #[inline]
    fn check_place(&self, no: PageNo, page: &[u8]) -> Result<(), PageFault> {
        let found = page::number(page);
        if found != no {
            return Err(PageFault::WrongPageNumber {
                page: no,
                found,
                expected: no,
            });
        }
        let found = page::space_id(page);
        if found != self.space {
            return Err(PageFault::WrongSpace {
                page: no,
                found,
                expected: self.space,
            });
        }
        Ok(())
    }
}

/// The result of decompressing a page-compressed page.
enum Decompressed {
    /// A page with a checksum.
    Page(PageState),
    /// All zero. `IMPORT TABLESPACE` compresses and encrypts the free pages of the imported file
    /// too.
    Empty,
}

/// Returns whether the header is that of an empty page: zeros, except the type and the fields of
/// compression and encryption.
fn has_empty_header(page: &[u8]) -> bool {
    page::is_zero(&page[..page::KIND]) && page::is_zero(&page[page::SPACE..page::DATA])
}

const fn undecodable(page: PageNo, reason: Undecodable) -> PageFault {
    PageFault::Undecodable { page, reason }
}

/// Returns the state of a page that the server accepts as empty.
fn empty(page: &[u8]) -> Option<PageState> {
    if page::lsn(page).0 != 0 || be::u32_at(page, page::CHECKSUM) != 0 {
        return None;
    }
    zero_state(page)
}

/// Returns `Zero` for an all-zero page. The server also accepts a page that is zero except in bytes
/// 26..34 (the flush LSN, which no checksum covers); it is not all zero, so the result is
/// `Verified`.
fn zero_state(page: &[u8]) -> Option<PageState> {
    let (head, tail) = (&page[..page::UNCOVERED], &page[page::SPACE..]);
    if !page::is_zero(head) || !page::is_zero(tail) {
        return None;
    }
    if page::is_zero(&page[page::UNCOVERED..page::SPACE]) {
        Some(PageState::Zero)
    } else {
        Some(PageState::Verified)
    }
}

#[inline]
fn check_plain(no: PageNo, page: &[u8]) -> Result<PageState, PageFault> {
    let head = be::u32_at(page, page::LSN + 4);
    let tail = be::u32_at(page, page.len() - 4);
    if head != tail {
        return Err(PageFault::Torn {
            page: no,
            head,
            tail,
        });
    }
    state_of(no, page, checksum::check(page), checksum::crc32)
}

#[inline]
fn check_zip(no: PageNo, page: &[u8]) -> Result<PageState, PageFault> {
    state_of(no, page, checksum::zip_check(page), checksum::zip_crc32)
}

#[inline]
fn state_of(
    no: PageNo,
    page: &[u8],
    checksum: ChecksumState,
    crc32: fn(&[u8]) -> u32,
) -> Result<PageState, PageFault> {
    match checksum {
        ChecksumState::Valid => Ok(PageState::Verified),
        ChecksumState::Absent => Ok(PageState::Unverifiable),
        ChecksumState::Invalid => Err(PageFault::Checksum {
            page: no,
            found: be::u32_at(page, page::CHECKSUM),
            expected: crc32(page),
        }),
    }
}
