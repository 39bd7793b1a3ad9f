//! Pages in doubt: torn ones, and those that can't be verified (encrypted, or without a checksum).
//!
//! In most cases a page fails its verification because the server is writing it, and is correct a
//! moment later. Only the pages in doubt are read again, so that one frequently written page
//! doesn't delay a whole extent. The checksum of an encrypted page can't be computed without the
//! key; such a page is accepted if two consecutive reads are equal, which is very unlikely during a
//! write.

use super::DatadirError;
use super::file::{self, WINDOW_PAYLOAD};
use super::reader::PageReader;
use super::report::ReadReport;
use crate::innodb::{PageFault, PageNo, PageState};

/// Maximum number of reads of a page, including the first one (`docs/format/pages.md#torn-pages`).
pub(super) const TRIES: u32 = 10;

/// A page's index in the buffer, and its fault; `None` for a page that can't be verified.
type Doubt = (usize, Option<PageFault>);

impl PageReader {
    /// Reads the pages of `buf` in doubt again until each is settled. `first` is the number of the
    /// first page of `buf`.
    pub(super) fn settle(
        &self,
        first: PageNo,
        buf: &mut [u8],
        mut doubts: Vec<Doubt>,
        report: &mut ReadReport,
    ) -> Result<(), DatadirError> {
        for tries in 1..TRIES {
            if doubts.is_empty() {
                return Ok(());
            }
            // The second read of an encrypted page needs no pause: if the reads differ, the page is
            // being written. After that, there is a pause before every other read, and the next one
            // follows immediately, so that a frequently written page can still settle.
            if doubts.iter().any(|(_, fault)| fault.is_some()) || tries % 2 == 0 {
                (self.wait)(tries);
            }
            doubts = self.read_again(first, buf, &doubts, tries, report)?;
        }
        let Some((i, fault)) = doubts.into_iter().next() else {
            return Ok(());
        };
        // A file that was replaced or truncated looks damaged: return the actual cause.
        self.check_identity()?;
        let (path, page) = (self.path().to_owned(), PageNo(first.0 + i as u32));
        let space_id = self.space_id;
        Err(match fault {
            Some(fault) => DatadirError::CorruptPage {
                path,
                page,
                space_id,
                fault,
                tries: TRIES,
            },
            None => DatadirError::UnstablePage {
                path,
                page,
                space_id,
                tries: TRIES,
            },
        })
    }

    /// Reads each page in doubt once more, adjacent ones together; returns those still in doubt.
    fn read_again(
        &self,
        first: PageNo,
        buf: &mut [u8],
        doubts: &[Doubt],
        tries: u32,
        report: &mut ReadReport,
    ) -> Result<Vec<Doubt>, DatadirError> {
        let size = self.page_size.bytes();
        let mut left = Vec::new();
        let mut window = file::window();
        for run in runs(doubts, WINDOW_PAYLOAD / size) {
            let offset = self.offset(PageNo(first.0 + run[0].0 as u32));
            let fresh = self
                .file
                .read_window(offset, run.len() * size, &mut window)?;
            for ((i, fault), new) in run.iter().zip(fresh.chunks_exact(size)) {
                if fault.is_some() || tries > 1 {
                    report.rereads += 1;
                }
                let page = &mut buf[i * size..(i + 1) * size];
                let agrees = fault.is_none() && page == new;
                page.copy_from_slice(new);
                match self.verify(PageNo(first.0 + *i as u32), page) {
                    Ok(PageState::Unverifiable) if !agrees => left.push((*i, None)),
                    Ok(state) => report.count(state, page),
                    Err(fault) => left.push((*i, Some(fault))),
                }
            }
        }
        Ok(left)
    }
}

/// Splits the doubts into runs of at most `most` adjacent pages.
fn runs(doubts: &[Doubt], most: usize) -> impl Iterator<Item = &[Doubt]> {
    doubts
        .chunk_by(|a, b| a.0 + 1 == b.0)
        .flat_map(move |run| run.chunks(most.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjacent_pages_are_read_together_up_to_the_limit() {
        let doubts: Vec<Doubt> = [0, 1, 2, 5, 7, 8].map(|i| (i, None)).into();
        let found: Vec<Vec<usize>> = runs(&doubts, 2)
            .map(|run| run.iter().map(|d| d.0).collect())
            .collect();
        assert_eq!(found, [vec![0, 1], vec![2], vec![5], vec![7, 8]]);
    }
}
