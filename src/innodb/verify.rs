//! Is this page what the server meant to write, where it meant to write it?
//!
//! lsnap's copy has no doublewrite buffer to repair from, so every page is asked at copy time. A
//! fault is most often a page that was being written at that moment: read it again before believing
//! it.

use super::checksum::{self, Judgement};
use super::undecodable::Undecodable;
use super::{InnodbError, PageKind, PageNo, PageSize, SpaceFlags, SpaceId, be, decompress, page};
use std::{ops::Range, sync::Arc};

/// Checks the pages of one tablespace. Cheap to clone; shared by the threads that read it.
#[derive(Debug, Clone)]
pub struct PageVerifier {
    space: SpaceId,
    physical: PageSize,
    zip: bool,
    encrypted: bool,
    doublewrite: Arc<[Range<u32>]>,
}

/// What a page without fault turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageState {
    /// Checksum, number and space are right.
    Verified,
    /// All bytes are zero: never written.
    Zero,
    /// Number and space are right, but nothing vouches for the contents: the page is encrypted, or
    /// was written with `innodb_checksum_algorithm=none`. Two equal reads are the best evidence.
    Unverifiable,
    /// In the old doublewrite area: not looked at.
    Skipped,
}

/// What is wrong with a page. `page` counts through the tablespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageFault {
    /// Head and tail are of two different writes.
    #[error(
        "page {page}: LSN ends in {head:#010x} at its head and {tail:#010x} at its tail: torn; read it again, and if it stays so the page is damaged on disk"
    )]
    Torn {
        /// The page.
        page: PageNo,
        /// Low half of the LSN at byte 20.
        head: u32,
        /// The same at the last four bytes.
        tail: u32,
    },
    /// No algorithm yields the checksum that the page carries.
    #[error(
        "page {page}: checksum {found:#010x} found, {expected:#010x} (crc32) expected, and no other algorithm matches: torn; read it again, and if it stays so the page is damaged on disk"
    )]
    Checksum {
        /// The page.
        page: PageNo,
        /// The checksum field at byte 0.
        found: u32,
        /// What crc32 would have been.
        expected: u32,
    },
    /// A sound page of another place.
    #[error(
        "page {page}: carries page number {found}, expected {expected}: a write went to the wrong place, or the file is not the one it is taken for"
    )]
    WrongPageNumber {
        /// The page, as asked for.
        page: PageNo,
        /// The number at byte 4.
        found: PageNo,
        /// Equal to `page`.
        expected: PageNo,
    },
    /// A sound page of another tablespace.
    #[error(
        "page {page}: carries space id {found}, expected {expected}: the file was replaced (truncated or re-created table?) or a write went to the wrong file"
    )]
    WrongSpace {
        /// The page.
        page: PageNo,
        /// The id at byte 34.
        found: SpaceId,
        /// The tablespace's id.
        expected: SpaceId,
    },
    /// The page can't be brought into the form that its checksum is of.
    #[error("page {page}: {reason}; read it again, and if it stays so the page is damaged on disk")]
    Undecodable {
        /// The page.
        page: PageNo,
        /// What stands in the way.
        reason: Undecodable,
    },
}

impl PageVerifier {
    /// A verifier for the tablespace with this id and these flags.
    ///
    /// # Errors
    /// [`InnodbError::BadFlags`] when the flags are not those of a supported server.
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

    /// The same, leaving out these pages (numbers of the tablespace): the old doublewrite area of the
    /// system tablespace, see [`super::doublewrite_extents`].
    #[must_use]
    pub fn with_doublewrite(mut self, blocks: Vec<Range<u32>>) -> Self {
        self.doublewrite = blocks.into();
        self
    }

    /// Checks one page. `no` is the number that the page must carry: it counts through the whole
    /// tablespace. `page` is one physical page.
    ///
    /// # Errors
    /// [`PageFault`]: see there which of them a second read may cure.
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
            // An empty page is encrypted as it is: its header stays empty.
            if !has_empty_header(page) {
                self.check_place(no, page)?;
            }
            return Ok(PageState::Unverifiable);
        }
        let state = if kind == PageKind::COMPRESSED {
            match self.check_compressed(no, page)? {
                Decompressed::Page(state) => state,
                // An empty page is compressed as it is, and has no number and no space.
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

    /// For tablespaces that the server encrypts where they are (undo, general, the dictionary): pages are
    /// encrypted as they are flushed, while page 0 with the new flags may still wait in the buffer pool.
    /// Its change is in the redo, and so is the key. Without this, an encrypted page behind a page 0
    /// without the flag is a fault.
    #[must_use]
    pub const fn with_encryption(mut self) -> Self {
        self.encrypted = true;
        self
    }

    /// An encrypted type where encryption can't be is damage, not something to wave through.
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
        let judged = decompress::with_decompressed(page, |plain| match empty(plain) {
            Some(_) => Ok(Decompressed::Empty),
            None => check_plain(no, plain).map(Decompressed::Page),
        });
        judged.map_err(|reason| undecodable(no, reason))?
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

/// A page-compressed page, decompressed.
enum Decompressed {
    /// A page with a checksum.
    Page(PageState),
    /// Zeros. `IMPORT TABLESPACE` compresses and encrypts the free pages of the imported file too.
    Empty,
}

/// Whether the header is that of an empty page: zeros, but for the type and the fields of compression
/// and encryption.
fn has_empty_header(page: &[u8]) -> bool {
    page::is_zero(&page[..page::KIND]) && page::is_zero(&page[page::SPACE..page::DATA])
}

const fn undecodable(page: PageNo, reason: Undecodable) -> PageFault {
    PageFault::Undecodable { page, reason }
}

/// The state of a page that the server takes as empty.
fn empty(page: &[u8]) -> Option<PageState> {
    if page::lsn(page).0 != 0 || be::u32_at(page, page::CHECKSUM) != 0 {
        return None;
    }
    zero_state(page)
}

/// `Zero` for an all-zero page. The server takes one with something in bytes 26..34 (the flush LSN,
/// which no checksum covers) as sound too; it is not nothing, so it is `Verified`.
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
    state_of(no, page, checksum::judge(page), checksum::crc32)
}

#[inline]
fn check_zip(no: PageNo, page: &[u8]) -> Result<PageState, PageFault> {
    state_of(no, page, checksum::zip_judge(page), checksum::zip_crc32)
}

#[inline]
fn state_of(
    no: PageNo,
    page: &[u8],
    judgement: Judgement,
    crc32: fn(&[u8]) -> u32,
) -> Result<PageState, PageFault> {
    match judgement {
        Judgement::Right => Ok(PageState::Verified),
        Judgement::Absent => Ok(PageState::Unverifiable),
        Judgement::Wrong => Err(PageFault::Checksum {
            page: no,
            found: be::u32_at(page, page::CHECKSUM),
            expected: crc32(page),
        }),
    }
}
