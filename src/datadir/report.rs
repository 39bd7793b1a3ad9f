//! The counts of the pages that were read, and the pages by which a file's history is identified
//! later.

use crate::innodb::{Lsn, PageNo, PageState, page};

/// The result of reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadReport {
    /// Pages with a correct checksum.
    pub verified: u64,
    /// Pages that consist of zeros.
    pub zero: u64,
    /// Pages that can't be verified, because they are encrypted or were written without a checksum;
    /// two consecutive reads were equal.
    pub unverifiable: u64,
    /// Pages of the old doublewrite area, which aren't verified.
    pub skipped: u64,
    /// Number of repeated reads of pages that were torn, or (unverifiable) for which two reads
    /// differed. The one confirming read of each unverifiable page is not counted.
    pub rereads: u64,
    /// The highest LSN of all pages, except zero and skipped ones.
    pub max_lsn: Lsn,
    /// Number in the tablespace and LSN of the newest page of each class ([`classes`]).
    newest: [(PageNo, Lsn); CLASSES],
    /// The same for the page with the highest [`spread`] number of each class of a second kind,
    /// independent of its LSN.
    any: [(PageNo, Lsn); ANY],
}

/// Number of classes of pages, of each of which the newest page is kept. The first [`REMAINDERS`]
/// classes are those of the page number modulo [`REMAINDERS`]: their newest pages change often and
/// are in different parts of the file. In the other classes, each has a quarter of the pages of the
/// previous one: the newest page of a small class changes less often.
const CLASSES: usize = 10;
const REMAINDERS: usize = 4;
/// Number of pages that are kept independent of their LSN.
const ANY: usize = 6;

/// Maps page numbers so that adjacent pages, which are often changed together, are far apart: a
/// multiplication by 2^32 over the golden ratio (Knuth, The Art of Computer Programming 3, section
/// 6.4).
const fn spread(number: PageNo) -> u32 {
    number.0.wrapping_mul(0x9E37_79B1)
}

/// Returns the two classes of a page.
fn classes(number: PageNo) -> [usize; 2] {
    let quarters = (spread(number) >> 8).trailing_zeros() as usize / 2;
    let last = CLASSES - REMAINDERS - 1;
    [
        number.0 as usize % REMAINDERS,
        REMAINDERS + quarters.min(last),
    ]
}

/// Keeps the page with the higher spread number; of one page, the newer state.
fn take_any(mine: &mut (PageNo, Lsn), theirs: (PageNo, Lsn)) {
    let rank = |page: (PageNo, Lsn)| (page.1 > Lsn(0), spread(page.0), page.1);
    if rank(theirs) > rank(*mine) {
        *mine = theirs;
    }
}

impl ReadReport {
    /// Adds the counts of another report.
    pub fn merge(&mut self, other: &Self) {
        self.verified += other.verified;
        self.zero += other.zero;
        self.unverifiable += other.unverifiable;
        self.skipped += other.skipped;
        self.rereads += other.rereads;
        self.max_lsn = self.max_lsn.max(other.max_lsn);
        for (mine, theirs) in self.newest.iter_mut().zip(other.newest) {
            if theirs.1 > mine.1 {
                *mine = theirs;
            }
        }
        for (mine, theirs) in self.any.iter_mut().zip(other.any) {
            take_any(mine, theirs);
        }
    }

    /// Returns at most 16 pages, by their numbers in the tablespace, with their LSNs: those that
    /// changed last, and others. A page may occur twice.
    pub fn marked_pages(&self) -> impl Iterator<Item = (PageNo, Lsn)> + '_ {
        let pages = self.newest.iter().chain(&self.any).copied();
        pages.filter(|page| page.1 > Lsn(0))
    }

    pub(super) fn count(&mut self, state: PageState, page: &[u8]) {
        match state {
            PageState::Verified => self.verified += 1,
            PageState::Zero => self.zero += 1,
            PageState::Unverifiable => self.unverifiable += 1,
            PageState::Skipped => self.skipped += 1,
        }
        if matches!(state, PageState::Verified | PageState::Unverifiable) {
            let (number, lsn) = (page::number(page), page::lsn(page));
            self.max_lsn = self.max_lsn.max(lsn);
            for class in classes(number) {
                let newest = &mut self.newest[class];
                if lsn > newest.1 {
                    *newest = (number, lsn);
                }
            }
            let class = spread(number) as usize % ANY;
            take_any(&mut self.any[class], (number, lsn));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pages: impl Iterator<Item = (u32, u64)>) -> ReadReport {
        let mut report = ReadReport::default();
        for (number, lsn) in pages {
            let mut page = vec![0; 64];
            page[4..8].copy_from_slice(&number.to_be_bytes());
            page[16..24].copy_from_slice(&lsn.to_be_bytes());
            report.count(PageState::Verified, &page);
        }
        report
    }

    #[test]
    fn rarely_changed_pages_are_marked_too() {
        for size in [60, 1000, 100_000] {
            // A tenth of the pages changes continuously.
            let lsn = |n: u32| u64::from(if n < size / 10 { 1_000_000 + n } else { 1 + n });
            let report = seen((0..size).map(|n| (n, lsn(n))));
            let marked: Vec<_> = report.marked_pages().collect();
            assert!(marked.len() <= 16);
            assert!(marked.iter().all(|(n, found)| found.0 == lsn(n.0)));
            let cold = marked.iter().filter(|(n, _)| n.0 >= size / 10);
            assert!(cold.count() >= 2, "{size}: {marked:?}");
            let hot = marked.iter().filter(|(n, _)| n.0 < size / 10);
            assert!(hot.count() >= REMAINDERS, "{size}: {marked:?}");
            let mut parts = seen((0..size / 3).map(|n| (n, lsn(n))));
            parts.merge(&seen((size / 3..size).map(|n| (n, lsn(n)))));
            assert_eq!(parts, report);
        }
    }
}
