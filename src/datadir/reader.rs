//! Reads verified pages of one tablespace file.

use super::file::{self, PositionedFile, ReadMode};
use super::report::ReadReport;
use super::{DatadirError, Tablespace, TablespaceKind};
use crate::innodb::{self, PageNo, PageSize, PageState, PageVerifier, SpaceId};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

/// The TRX_SYS page of the system tablespace.
const TRX_SYS_PAGE: PageNo = PageNo(5);
/// Page numbers have 32 bits: pages beyond can't be addressed.
const PAGE_NUMBERS: u64 = 1 << 32;
/// Pause before a torn page is read again (`docs/format/pages.md#torn-pages`): the server's write
/// depends on the latency of the disk.
const REREAD_AFTER: Duration = Duration::from_millis(100);

/// Reads pages of one file of a tablespace, concurrently from any number of threads.
pub struct PageReader {
    pub(super) file: PositionedFile,
    pub(super) verifier: PageVerifier,
    pub(super) space_id: SpaceId,
    pub(super) page_size: PageSize,
    /// The number in the tablespace of the file's first page.
    pub(super) first_page: u32,
    pub(super) wait: Box<dyn Fn(u32) + Send + Sync>,
    node: u32,
    name: String,
    pages: u64,
}

impl PageReader {
    /// Opens the file and checks that it is still the surveyed tablespace.
    ///
    /// # Errors
    /// [`DatadirError::Replaced`] if it isn't, [`DatadirError::Shrunk`] if it is shorter than in
    /// the survey, [`DatadirError::NoDirect`], or an error of the system.
    pub fn open(ts: &Tablespace, mode: ReadMode) -> Result<Self, DatadirError> {
        Self::open_with_wait(ts, mode, |_| std::thread::sleep(REREAD_AFTER))
    }

    /// The same as [`PageReader::open`] with another wait before pages are read again; its argument
    /// is the number of reads so far.
    ///
    /// # Errors
    /// The same as [`PageReader::open`].
    pub fn open_with_wait(
        ts: &Tablespace,
        mode: ReadMode,
        wait: impl Fn(u32) + Send + Sync + 'static,
    ) -> Result<Self, DatadirError> {
        let file = PositionedFile::open(&ts.source, mode)?;
        let length = file.len()?;
        let bytes = file::whole_pages(&ts.source, ts.bytes, ts.page_size);
        if length < bytes {
            return Err(DatadirError::Shrunk {
                path: ts.source.clone(),
                offset: 0,
                end: bytes,
                found_end: length,
            });
        }
        let mut verifier = PageVerifier::new(ts.space_id, ts.flags).map_err(|source| {
            DatadirError::NotATablespace {
                path: ts.source.clone(),
                source,
            }
        })?;
        // A table is encrypted by a rebuild of the file; these tablespaces are encrypted in place.
        if ts.kind != TablespaceKind::FilePerTable && ts.kind != TablespaceKind::System {
            verifier = verifier.with_encryption();
        }
        let mut reader = Self {
            file,
            verifier,
            space_id: ts.space_id,
            page_size: ts.page_size,
            first_page: ts.first_page,
            wait: Box::new(wait),
            node: ts.node,
            name: ts
                .tablespace_name
                .clone()
                .unwrap_or_else(|| ts.name.clone()),
            pages: bytes / ts.page_size.bytes() as u64,
        };
        match reader.file.take_head() {
            // Saves a read for each file, which is noticeable with 100,000 tables.
            Some(head) if reader.has_header() => reader.identify(&head)?,
            _ => reader.check_identity()?,
        }
        if ts.kind == TablespaceKind::System && ts.node == 0 {
            reader.leave_out_doublewrite()?;
        }
        Ok(reader)
    }

    /// Returns whether reads are direct.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.file.is_direct()
    }

    /// Returns the number of whole pages at the time of the survey.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Returns the size of a page on disk.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Reads `pages` whole pages from `first` on (counted within the file) into the first `pages *
    /// page_size` bytes of `buf`, and verifies each.
    ///
    /// A page that fails is read again, alone, up to 10 reads in all with 100 ms before each: the
    /// server may be writing it. Pages that can't be verified (encrypted, or written without a
    /// checksum) are read until two consecutive reads are equal. `buf` should be aligned to 4096
    /// bytes, as a [`crate::mem::Buffer`] is: then direct reads need no copy.
    ///
    /// # Errors
    /// [`DatadirError::CorruptPage`], [`DatadirError::UnstablePage`], [`DatadirError::Shrunk`],
    /// [`DatadirError::Replaced`], [`DatadirError::BadRequest`], or an error of the system. After
    /// an error the contents of `buf` are undefined.
    pub fn read(
        &self,
        first: PageNo,
        pages: usize,
        buf: &mut [u8],
    ) -> Result<ReadReport, DatadirError> {
        let size = self.page_size.bytes();
        let bad_request = DatadirError::BadRequest {
            path: self.path().to_owned(),
            first,
            pages,
            buffer: buf.len(),
            has: self.pages,
            page_size: self.page_size,
        };
        let wanted = pages.checked_mul(size).and_then(|n| buf.get_mut(..n));
        let (Some(buf), true) = (
            wanted,
            u64::from(first.0) + pages as u64 <= self.pages.min(PAGE_NUMBERS),
        ) else {
            return Err(bad_request);
        };
        self.file.read(self.offset(first), buf)?;
        let mut report = ReadReport::default();
        let mut doubts = Vec::new();
        for (i, page) in buf.chunks_exact(size).enumerate() {
            let no = PageNo(first.0 + i as u32);
            match self.verify(no, page) {
                Ok(PageState::Unverifiable) => doubts.push((i, None)),
                Ok(state) => report.count(state, page),
                Err(fault) => doubts.push((i, Some(fault))),
            }
        }
        self.settle(first, buf, doubts, &mut report)?;
        Ok(report)
    }

    /// Returns the next range of data at or after `offset`, as `[start, end)` in bytes, extended to
    /// whole pages; `None` if only a hole follows. The parts between ranges are holes, which read
    /// as zeros.
    ///
    /// The range may end before the data (long ones are split); the next call should start at its
    /// end. On a file system without support for holes the whole file is data.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, DatadirError> {
        let end = self.pages * self.page_size.bytes() as u64;
        super::holes::next_data(&self.file, self.page_size, offset, end)
    }

    pub(super) fn offset(&self, page: PageNo) -> u64 {
        u64::from(page.0) * self.page_size.bytes() as u64
    }

    /// Verifies a page. Its page number field counts in the tablespace; `no`, as everywhere in
    /// lsnap, in the file.
    pub(super) fn verify(&self, no: PageNo, page: &[u8]) -> Result<PageState, innodb::PageFault> {
        let in_space = PageNo(no.0.wrapping_add(self.first_page));
        self.verifier.verify(in_space, page)
    }

    /// Checks that the open file is still the surveyed tablespace. `ibdata2` and later have no
    /// header; their pages are verified anyway.
    pub(super) fn check_identity(&self) -> Result<(), DatadirError> {
        if !self.has_header() {
            return Ok(());
        }
        let mut window = file::window();
        self.identify(self.file.read_window(0, file::HEAD, &mut window)?)
    }

    fn has_header(&self) -> bool {
        self.node == 0 && self.pages > 0
    }

    fn identify(&self, page0: &[u8]) -> Result<(), DatadirError> {
        let not_one = |source| DatadirError::NotATablespace {
            path: self.path().to_owned(),
            source,
        };
        let header = innodb::SpaceHeader::parse(page0).map_err(not_one)?;
        if header.space_id != self.space_id {
            return Err(DatadirError::Replaced {
                path: self.path().to_owned(),
                name: self.name.clone(),
                found: header.space_id,
                expected: self.space_id,
            });
        }
        let found = header.flags.physical_page_size().map_err(not_one)?;
        if found != self.page_size {
            return Err(DatadirError::PageSize {
                path: self.path().to_owned(),
                found,
                expected: self.page_size,
                hint: "it was different at the survey: the file was replaced, run the backup again",
            });
        }
        Ok(())
    }

    fn leave_out_doublewrite(&mut self) -> Result<(), DatadirError> {
        if self.pages <= u64::from(TRX_SYS_PAGE.0) {
            return Ok(());
        }
        let size = self.page_size.bytes();
        let mut page = vec![0; size];
        self.read(TRX_SYS_PAGE, 1, &mut page)?;
        let extents = innodb::doublewrite_extents(&page);
        self.verifier = self.verifier.clone().with_doublewrite(extents);
        Ok(())
    }
}

impl fmt::Debug for PageReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageReader")
            .field("path", &self.path())
            .field("space_id", &self.space_id)
            .field("page_size", &self.page_size)
            .field("pages", &self.pages)
            .field("direct", &self.is_direct())
            .finish_non_exhaustive()
    }
}
