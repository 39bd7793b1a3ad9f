//! One bit a page: what newer members have written already. 8 MiB for a tablespace of 1 TiB.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// A set of page numbers, filled by several threads.
#[derive(Debug)]
pub(crate) struct PageMap {
    words: Vec<AtomicU64>,
    pages: u64,
}

impl PageMap {
    /// An empty set over the pages `0..pages`.
    pub(crate) fn new(pages: u64) -> Self {
        let words = pages.div_ceil(64);
        Self {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            pages,
        }
    }

    /// How many pages the file has.
    pub(crate) const fn pages(&self) -> u64 {
        self.pages
    }

    fn word(&self, page: u64) -> Option<&AtomicU64> {
        if page >= self.pages {
            return None;
        }
        usize::try_from(page / 64)
            .ok()
            .and_then(|index| self.words.get(index))
    }

    /// Whether the page is in the set. Pages beyond the end never are.
    pub(crate) fn has(&self, page: u64) -> bool {
        self.word(page)
            .is_some_and(|word| word.load(Ordering::Relaxed) & (1 << (page % 64)) != 0)
    }

    /// Adds a page; says whether it was there before.
    pub(crate) fn add(&self, page: u64) -> bool {
        let bit = 1 << (page % 64);
        self.word(page)
            .is_some_and(|word| word.fetch_or(bit, Ordering::Relaxed) & bit != 0)
    }

    /// Whether a page of the range lies within the file and is not in the set.
    pub(crate) fn lacks_any(&self, range: Range<u64>) -> bool {
        let mut page = range.start;
        let end = range.end.min(self.pages);
        while page < end {
            let Some(word) = self.word(page) else {
                return false;
            };
            let in_word = (64 - page % 64).min(end - page);
            let mask = (u64::MAX >> (64 - in_word)) << (page % 64);
            if word.load(Ordering::Relaxed) & mask != mask {
                return true;
            }
            page += in_word;
        }
        false
    }

    /// Adds all of `other` and empties it.
    pub(crate) fn absorb(&mut self, other: &mut Self) {
        for (mine, theirs) in self.words.iter_mut().zip(&mut other.words) {
            *mine.get_mut() |= std::mem::take(theirs.get_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_set(
            pages in 1u64..300,
            added in proptest::collection::vec(0u64..320, 0..200),
            start in 0u64..320, length in 0u64..320,
        ) {
            let map = PageMap::new(pages);
            let mut model = std::collections::BTreeSet::new();
            for page in added {
                let before = map.add(page);
                if page < pages {
                    prop_assert_eq!(before, !model.insert(page));
                } else {
                    prop_assert!(!before);
                }
            }
            for page in 0..320 {
                prop_assert_eq!(map.has(page), model.contains(&page));
            }
            let lacks = (start..start + length).any(|p| p < pages && !model.contains(&p));
            prop_assert_eq!(map.lacks_any(start..start + length), lacks);
            let mut all = PageMap::new(pages);
            all.add(0);
            let mut map = map;
            all.absorb(&mut map);
            prop_assert!(all.has(0) && !map.has(0));
            for page in 1..pages {
                prop_assert_eq!(all.has(page), model.contains(&page));
                prop_assert!(!map.has(page));
            }
        }
    }
}
