//! Checks the list of changed pages by reading some of the pages that are not in it.
//!
//! A page that the server wrote after the reset point for which the list was requested is in the
//! list, so a page that is not in it has an LSN not above that point. Possible violations:
//! - Pages that are written without the server's page cache. MySQL 9.7 lists those of a bulk load
//!   and of `IMPORT TABLESPACE` nevertheless. A server that doesn't would not list later changes of
//!   them either, because it interprets an LSN above the reset point as the sign that the page was
//!   already listed. Every page of such a file that is not in the list has a too high LSN, so one
//!   page that isn't zeros is sufficient: at least one is read in every file.
//! - A file that was replaced by `IMPORT TABLESPACE`. All of its pages are listed except for those
//!   of zeros, where the base may have others. One page with an LSN from before the reset point
//!   proves that the file is the old one. If no such page is found, the file is read as a whole,
//!   and the copy then determines whether its delta contains every page.
//! - A bug of the server. There have been some. Pages from all parts of the file are read to find
//!   one.

use super::changed::ChangedPages;
use super::error::BackupError;
use super::page_set::Pages;
use crate::cancel::Cancel;
use crate::datadir::{PageReader, ReadMode, TablespaceKind};
use crate::innodb::{Lsn, PageNo, page};
use crate::mem::{Buffer, BufferPool};

/// One page of this many is read, within the following bounds.
const ONE_OF: u32 = 1024;
const FEWEST: u32 = 2;
const MOST: u32 = 64;
/// Maximum number of zero pages that are read in search of another page, before the file is read as
/// a whole.
const ZEROS: u32 = 256;
/// The largest page, in bytes.
const PAGE_MAX: usize = 64 << 10;

/// A page that is not in the list although it was written since the reset point.
#[derive(Debug)]
pub(super) struct UnlistedPage {
    /// The index of its file in the [`ChangedPages`].
    pub file: usize,
    /// Its number in the file.
    pub page: u32,
    /// Its LSN.
    pub lsn: Lsn,
}

/// Reads some pages that are not in the list; returns those with an LSN above `reset`. A file
/// without a page that proves that it was not replaced is marked to be read as a whole.
pub(super) fn unlisted_pages(
    changed: &mut ChangedPages<'_>,
    reset: Lsn,
    mode: ReadMode,
    cancel: &Cancel,
) -> Result<Vec<UnlistedPage>, BackupError> {
    let mut buffer = BufferPool::new(PAGE_MAX, PAGE_MAX).get();
    let mut unlisted_pages = Vec::new();
    for (place, file) in changed.files_mut() {
        cancel.check()?;
        // The system tablespace can't be imported, and may contain an old doublewrite area with
        // copies of other pages.
        if file.space().kind == TablespaceKind::System {
            continue;
        }
        let Some(listed) = &file.pages else { continue };
        let mut check = SpotCheck {
            reader: PageReader::open(file.space(), mode)?,
            buffer: &mut buffer,
            reset,
            file: place,
            unlisted_pages: &mut unlisted_pages,
        };
        if !check.sample(listed)? {
            file.pages = None;
        }
    }
    Ok(unlisted_pages)
}

struct SpotCheck<'a> {
    reader: PageReader,
    buffer: &'a mut Buffer,
    reset: Lsn,
    file: usize,
    unlisted_pages: &'a mut Vec<UnlistedPage>,
}

impl SpotCheck<'_> {
    /// Returns whether a page was found that was in the file at the reset point.
    fn sample(&mut self, listed: &Pages) -> Result<bool, BackupError> {
        let pages = listed.pages();
        let samples = (pages / ONE_OF).clamp(FEWEST, MOST);
        let (mut seen, mut from) = (0, 0);
        for i in 0..samples {
            let place = (u64::from(pages) * u64::from(i) / u64::from(samples)) as u32;
            let Some(number) = listed.first_without(from.max(place)..pages) else {
                break;
            };
            seen += u32::from(self.page(number)?);
            from = number + 1;
        }
        let (mut zeros, mut from) = (0, 0);
        while seen == 0 && zeros < ZEROS {
            let Some(number) = listed.first_without(from..pages) else {
                break;
            };
            seen += u32::from(self.page(number)?);
            zeros += 1;
            from = number + 1;
        }
        Ok(seen > 0)
    }

    /// Returns whether the page was in the file at the reset point: its LSN is above 0 and not
    /// above that point.
    fn page(&mut self, number: u32) -> Result<bool, BackupError> {
        let size = self.reader.page_size().bytes();
        let page = &mut self.buffer[..size];
        self.reader.read(PageNo(number), 1, page)?;
        let lsn = page::lsn(page);
        if lsn > self.reset {
            self.unlisted_pages.push(UnlistedPage {
                file: self.file,
                page: number,
                lsn,
            });
        }
        Ok(lsn > Lsn(0) && lsn <= self.reset)
    }
}
