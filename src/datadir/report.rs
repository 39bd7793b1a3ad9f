//! The counts of the pages that were read, and the pages by which a file is recognised later.

use crate::innodb::{Lsn, PageNo, PageState, page};

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadReport {
    /// Pages whose checksum is right.
    pub verified: u64,
    /// Pages of zeros only.
    pub zero: u64,
    /// Pages that can't be checked, being encrypted or written without a checksum; two reads in a
    /// row agreed.
    pub unverifiable: u64,
    /// Pages of the old doublewrite area, which aren't looked at.
    pub skipped: u64,
    /// How many times a page was read again because it was torn, or (unverifiable) because two
    /// reads differed. The one confirming read of each unverifiable page is not counted.
    pub rereads: u64,
    /// The highest LSN of all pages that are neither zero nor skipped.
    pub max_lsn: Lsn,
    /// Number within the tablespace and LSN of the newest page of each class ([`classes`]).
    newest: [(PageNo, Lsn); CLASSES],
    /// The same of the page of each class of another kind whose [`spread`] number is highest: any page.
    any: [(PageNo, Lsn); ANY],
}

/// The classes of all pages, of which each gives its newest one: first by what the page number leaves divided by
/// [`REMAINDERS`], which are pages that change often and lie apart from each other; then classes of which each has a
/// quarter of the pages of the one before. The newest page of a small class changes less often.
const CLASSES: usize = 10;
const REMAINDERS: usize = 4;
/// How many pages are remembered without regard to their LSN.
const ANY: usize = 6;

/// Another number for each number, so that neighbours, which are often changed together, lie apart: multiplied by 2^32
/// over the golden ratio (Knuth, The Art of Computer Programming 3, section 6.4).
const fn spread(number: PageNo) -> u32 {
    number.0.wrapping_mul(0x9E37_79B1)
}

/// The two classes of a page.
fn classes(number: PageNo) -> [usize; 2] {
    let quarters = (spread(number) >> 8).trailing_zeros() as usize / 2;
    let last = CLASSES - REMAINDERS - 1;
    [
        number.0 as usize % REMAINDERS,
        REMAINDERS + quarters.min(last),
    ]
}

/// Takes the page of the two whose spread number is higher; of one page the newer state.
fn take_any(mine: &mut (PageNo, Lsn), theirs: (PageNo, Lsn)) {
    let rank = |page: (PageNo, Lsn)| (page.1 > Lsn(0), spread(page.0), page.1);
    if rank(theirs) > rank(*mine) {
        *mine = theirs;
    }
}

impl ReadReport {
    /// Adds what another read reported.
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

    /// At most 16 pages by their numbers within the tablespace, with their LSNs: of those that changed last, and of
    /// others. One may be there twice.
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
    fn pages_that_change_seldom_are_marked_too() {
        for size in [60, 1000, 100_000] {
            // A tenth of the pages is changed all the time, in turns.
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
