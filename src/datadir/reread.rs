//! Pages in doubt: torn ones, and those that nobody can check (encrypted, or without a checksum).
//!
//! A page fails its check most often because the server is just writing it: a moment later it is
//! whole. Only the pages in doubt are read again, so that one hot page doesn't make a whole extent
//! wait. An encrypted page has no checksum that could be computed without the key; it is believed
//! when two reads in a row agree, which a write in progress would hardly allow twice.

use super::DatadirError;
use super::file::{self, WINDOW_PAYLOAD};
use super::reader::PageReader;
use super::report::ReadReport;
use crate::innodb::{PageFault, PageNo, PageState};

/// Reads of a page in all, the first one included (`docs/format/pages.md#torn-pages`).
pub(super) const TRIES: u32 = 10;

/// A page's index in the buffer, and what is wrong with it; `None` for one that can't be checked.
type Doubt = (usize, Option<PageFault>);

impl PageReader {
    /// Reads the doubtful pages of `buf`, whose first page is `first`, until each is settled.
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
            // The second look at an encrypted page may come at once: differing reads show that it
            // is being written. From then on every other read has a pause before it, the one after
            // that follows at once again, so that a page that is written often can still settle.
            if doubts.iter().any(|(_, fault)| fault.is_some()) || tries % 2 == 0 {
                (self.wait)(tries);
            }
            doubts = self.read_again(first, buf, &doubts, tries, report)?;
        }
        let Some((i, fault)) = doubts.into_iter().next() else {
            return Ok(());
        };
        // A file that was replaced or truncated meanwhile looks like damage: say what it is.
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

    /// One more read of each doubtful page, neighbours together; returns those still in doubt.
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

/// Cuts the doubts into runs of neighbouring pages, each of at most `most`.
fn runs(doubts: &[Doubt], most: usize) -> impl Iterator<Item = &[Doubt]> {
    doubts
        .chunk_by(|a, b| a.0 + 1 == b.0)
        .flat_map(move |run| run.chunks(most.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_read_together_up_to_the_limit() {
        let doubts: Vec<Doubt> = [0, 1, 2, 5, 7, 8].map(|i| (i, None)).into();
        let found: Vec<Vec<usize>> = runs(&doubts, 2)
            .map(|run| run.iter().map(|d| d.0).collect())
            .collect();
        assert_eq!(found, [vec![0, 1], vec![2], vec![5], vec![7, 8]]);
    }
}
