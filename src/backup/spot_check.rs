//! Does the list of changed pages hold what it should? Some of the pages that it leaves out are read.
//!
//! A page that the server wrote after the reset point from which the list was asked for is in the list, so
//! one that isn't has an LSN not above that point. What could break this:
//! - Pages that are written past the server's page cache. MySQL 9.7 lists those of a bulk load and of
//!   `IMPORT TABLESPACE` all the same; a server that doesn't would not list later changes of them either, as
//!   it takes a page's LSN above the reset point for a sign that it was listed. Every page of such a file
//!   that is left out has too high an LSN, so one that isn't zeros is enough to tell: at least one is looked
//!   at in every file.
//! - A file that `IMPORT TABLESPACE` put in the place of another. All of its pages are listed but for those of
//!   zeros, where the base may have others. One page with an LSN from before the reset point shows that the
//!   file is the old one. If no such page is found, the file is read as a whole, and then it is known whether
//!   its delta is all of it.
//! - A bug of the server's. Servers have had some. Pages spread over the file give a chance to see it.

use super::changed::ChangedPages;
use super::error::BackupError;
use super::page_set::Pages;
use crate::cancel::Cancel;
use crate::datadir::{PageReader, ReadMode, TablespaceKind};
use crate::innodb::{Lsn, PageNo, page};
use crate::mem::{Buffer, BufferPool};

/// One page of so many is looked at, within these bounds.
const ONE_OF: u32 = 1024;
const FEWEST: u32 = 2;
const MOST: u32 = 64;
/// How many zero pages are gone through in search for one that isn't, before the file is read as a whole.
const ZEROS: u32 = 256;
/// The largest page, in bytes.
const PAGE_MAX: usize = 64 << 10;

/// A page that is not in the list although it was written since.
#[derive(Debug)]
pub(super) struct Suspect {
    /// The place of its file in the [`ChangedPages`].
    pub file: usize,
    /// Its number within the file.
    pub page: u32,
    /// Its LSN.
    pub lsn: Lsn,
}

/// Looks at pages that `changed` leaves out; those with an LSN above `reset` come back. A file that none of
/// them shows to be the one of that time is marked to be read as a whole.
pub(super) fn suspects(
    changed: &mut ChangedPages<'_>,
    reset: Lsn,
    mode: ReadMode,
    cancel: &Cancel,
) -> Result<Vec<Suspect>, BackupError> {
    let mut buffer = BufferPool::new(PAGE_MAX, PAGE_MAX).get();
    let mut suspects = Vec::new();
    for (place, file) in changed.files_mut() {
        cancel.check()?;
        // It can't be imported, and it may hold an old doublewrite area, whose pages are others' copies.
        if file.space().kind == TablespaceKind::System {
            continue;
        }
        let Some(listed) = &file.pages else { continue };
        let mut look = Look {
            reader: PageReader::open(file.space(), mode)?,
            buffer: &mut buffer,
            reset,
            file: place,
            suspects: &mut suspects,
        };
        if !look.at(listed)? {
            file.pages = None;
        }
    }
    Ok(suspects)
}

struct Look<'a> {
    reader: PageReader,
    buffer: &'a mut Buffer,
    reset: Lsn,
    file: usize,
    suspects: &'a mut Vec<Suspect>,
}

impl Look<'_> {
    /// Whether a page was seen that was in the file at the reset point.
    fn at(&mut self, listed: &Pages) -> Result<bool, BackupError> {
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

    /// Whether the page was in the file at the reset point: it has an LSN, and one not above that point.
    fn page(&mut self, number: u32) -> Result<bool, BackupError> {
        let size = self.reader.page_size().bytes();
        let page = &mut self.buffer[..size];
        self.reader.read(PageNo(number), 1, page)?;
        let lsn = page::lsn(page);
        if lsn > self.reset {
            self.suspects.push(Suspect {
                file: self.file,
                page: number,
                lsn,
            });
        }
        Ok(lsn > Lsn(0) && lsn <= self.reset)
    }
}
