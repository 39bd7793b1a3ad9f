//! Reads a delta page by page.

use super::{DeltaError, END, LAST, MORE, pages_per_cluster};
use crate::innodb::{PageNo, PageSize};
use std::io::Read;

/// The parsed header page of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterHeader {
    /// The page numbers, in the order of the images that follow.
    pub pages: Vec<PageNo>,
    /// True if no cluster follows.
    pub last: bool,
}

impl ClusterHeader {
    /// Parses the header page of the cluster at offset `at` of the delta; `page` must be exactly
    /// one page.
    ///
    /// # Errors
    /// [`DeltaError::Magic`], [`DeltaError::ShortHeader`], [`DeltaError::NotFull`].
    pub fn parse(page: &[u8], size: PageSize, at: u64) -> Result<Self, DeltaError> {
        if page.len() != size.bytes() {
            return Err(DeltaError::ShortHeader {
                at,
                found: page.len(),
                expected: size.bytes(),
            });
        }
        let magic = [page[0], page[1], page[2], page[3]];
        let last = match &magic {
            LAST => true,
            MORE => false,
            _ => {
                return Err(DeltaError::Magic {
                    at,
                    found: magic,
                    page_size: size.bytes(),
                });
            }
        };
        let numbers = page[4..]
            .chunks_exact(4)
            .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        let pages: Vec<_> = numbers.take_while(|n| *n != END).map(PageNo).collect();
        let full = pages_per_cluster(size);
        if !last && pages.len() != full as usize {
            return Err(DeltaError::NotFull {
                at,
                found: pages.len(),
                expected: full,
            });
        }
        Ok(Self { pages, last })
    }
}

/// Reads the pages of a delta in their stored order.
#[derive(Debug)]
pub struct DeltaReader<R> {
    input: R,
    size: PageSize,
    /// Offset of the next page, in bytes.
    at: u64,
    header: Option<ClusterHeader>,
    next: usize,
}

impl<R: Read> DeltaReader<R> {
    /// Creates a reader of a delta with pages of `size`.
    pub const fn new(input: R, size: PageSize) -> Self {
        Self {
            input,
            size,
            at: 0,
            header: None,
            next: 0,
        }
    }

    /// Reads the next page into `buffer` (which is resized to one page) and returns its number;
    /// `None` at the end. Bytes after the last cluster are not read.
    ///
    /// # Errors
    /// [`DeltaError`].
    pub fn next_page(&mut self, buffer: &mut Vec<u8>) -> Result<Option<PageNo>, DeltaError> {
        loop {
            if let Some(header) = &self.header {
                if let Some(page) = header.pages.get(self.next).copied() {
                    self.next += 1;
                    self.page(buffer, &format!("page {page}"))?;
                    return Ok(Some(page));
                }
                if header.last {
                    return Ok(None);
                }
            }
            let start = self.at;
            self.page(buffer, "the header of a cluster")?;
            self.header = Some(ClusterHeader::parse(buffer, self.size, start)?);
            self.next = 0;
        }
    }

    fn page(&mut self, buffer: &mut Vec<u8>, part: &str) -> Result<(), DeltaError> {
        buffer.clear();
        let want = self.size.bytes();
        (&mut self.input)
            .take(want as u64)
            .read_to_end(buffer)
            .map_err(|source| DeltaError::Io {
                at: self.at,
                source,
            })?;
        if buffer.len() == want {
            self.at += want as u64;
            return Ok(());
        }
        Err(DeltaError::Truncated {
            at: self.at,
            part: part.to_owned(),
        })
    }
}
