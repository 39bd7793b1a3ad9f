//! A set of pages of one file, with one bit a page (8 MiB for a tablespace of 1 TiB), and the runs
//! of adjacent pages in which they are read.

use crate::datadir::Tablespace;
use std::ops::Range;

/// Maximum distance in bytes of two changed pages that are read together with the pages between
/// them: on a disk, a read of this length costs about as much as a second request.
const GAP_BYTES: usize = 64 << 10;

/// A set of pages of one file.
#[derive(Debug, Clone)]
pub(super) struct Pages {
    words: Vec<u64>,
    pages: u32,
    /// Maximum number of unchanged pages between two changed ones in one read.
    gap: u32,
}

impl Pages {
    pub(super) fn new(ts: &Tablespace) -> Self {
        let bytes = ts.page_size.bytes();
        let pages = u32::try_from(ts.bytes / bytes as u64).unwrap_or(u32::MAX);
        let mut this = Self {
            words: vec![0; pages.div_ceil(64) as usize],
            pages,
            gap: (GAP_BYTES / bytes) as u32,
        };
        // The server writes the first page of a new file directly, without its page tracking.
        this.add(0);
        this
    }

    /// Adds a page. A page beyond the end is ignored: it is in the redo.
    pub(super) fn add(&mut self, page: u32) {
        if page < self.pages {
            self.words[page as usize / 64] |= 1 << (page % 64);
        }
    }

    /// Returns whether the page is in the set.
    pub(super) fn has(&self, page: u32) -> bool {
        page < self.pages && self.words[page as usize / 64] & 1 << (page % 64) != 0
    }

    /// Returns the first page of `range` that isn't in the set.
    pub(super) fn first_without(&self, range: Range<u32>) -> Option<u32> {
        self.first(range.start, true)
            .filter(|page| *page < range.end)
    }

    /// Returns the number of pages in the set.
    pub(super) fn count(&self) -> u64 {
        self.words.iter().map(|w| u64::from(w.count_ones())).sum()
    }

    /// Returns the number of pages of the file.
    pub(super) const fn pages(&self) -> u32 {
        self.pages
    }

    /// Returns the next run of at most `most` pages to read at or after `from`. It begins and ends
    /// with pages of the set.
    pub(super) fn run(&self, from: u32, most: u32) -> Option<Range<u32>> {
        let start = self.first(from, false)?;
        let limit = start.saturating_add(most.max(1)).min(self.pages);
        let mut end = start + 1;
        while let Some(next) = self.first(end, false) {
            if next >= limit || next - end > self.gap {
                break;
            }
            end = next + 1;
        }
        Some(start..end)
    }

    /// Returns the first page at or after `from` that is in the set, or isn't (`inverted`).
    fn first(&self, from: u32, inverted: bool) -> Option<u32> {
        if from >= self.pages {
            return None;
        }
        let mut at = from as usize / 64;
        let mut mask = u64::MAX << (from % 64);
        while let Some(word) = self.words.get(at) {
            let found = if inverted { !word } else { *word } & mask;
            if found != 0 {
                let page = at as u32 * 64 + found.trailing_zeros();
                return (page < self.pages).then_some(page);
            }
            mask = u64::MAX;
            at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datadir::TablespaceKind;
    use crate::innodb::{PageSize, SpaceFlags, SpaceId};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn file(pages: u64) -> Tablespace {
        Tablespace {
            source: "t".into(),
            name: "t.ibd".into(),
            kind: TablespaceKind::FilePerTable,
            space_id: SpaceId(1),
            node: 0,
            first_page: 0,
            flags: SpaceFlags(0),
            page_size: PageSize::DEFAULT,
            bytes: pages * 16384,
            tablespace_name: None,
            external: None,
        }
    }

    fn listed(pages: &Pages) -> BTreeSet<u32> {
        (0..pages.pages()).filter(|p| pages.has(*p)).collect()
    }

    proptest! {
        #[test]
        fn runs_cover_the_set_in_order_and_little_else(
            pages in prop::collection::btree_set(0u32..500, 0..80),
            most in 1u32..40,
        ) {
            let mut set = Pages::new(&file(500));
            pages.iter().for_each(|p| set.add(*p));
            let (mut at, mut covered) = (0, BTreeSet::new());
            while let Some(run) = set.run(at, most) {
                prop_assert!(run.start >= at && run.end <= 500 && run.len() <= most as usize);
                prop_assert!(set.has(run.start) && set.has(run.end - 1));
                covered.extend(run.clone());
                at = run.end;
            }
            prop_assert!(listed(&set).is_subset(&covered));
            for page in covered.difference(&listed(&set)) {
                let near = |mut range: Range<u32>| range.any(|p| set.has(p));
                prop_assert!(near(page.saturating_sub(4)..*page) && near(page + 1..page + 5));
            }
            for page in 0..500 {
                prop_assert_eq!(set.first_without(page..500), (page..500).find(|p| !set.has(*p)));
            }
        }
    }
}
