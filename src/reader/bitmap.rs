//! A set of page numbers with one bit for each page: the pages that newer members have already
//! written. It takes 8 MiB for a tablespace of 1 TiB if pages everywhere are in the set; memory is
//! allocated only for parts that have one.

use crate::reader::{FilePlan, SourceKind};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Words of a part: 4 KiB, for 32,768 pages.
const PART: usize = 512;
const PART_PAGES: u64 = 64 * PART as u64;
/// Bytes of a part.
const PART_BYTES: u64 = 8 * PART as u64;

/// A part of the set; it has no memory while no page of it is in the set.
type Part = OnceLock<Box<[AtomicU64; PART]>>;

/// A set of page numbers that several threads fill.
#[derive(Debug)]
pub(crate) struct PageMap {
    parts: Vec<Part>,
    pages: u64,
}

/// Returns the memory in bytes that a set over `pages` pages takes at most when `added` pages are
/// added.
pub(crate) fn most_bytes(pages: u64, added: u64) -> u64 {
    let parts = pages.div_ceil(PART_PAGES);
    let table = parts.saturating_mul(size_of::<Part>() as u64);
    table.saturating_add(parts.min(added).saturating_mul(PART_BYTES))
}

/// Returns the memory in bytes that the sets for merging this file take at most.
pub(crate) fn most_bytes_of(file: &FilePlan) -> u64 {
    let page = file.page_size.bytes() as u64;
    let deltas = file.sources.iter().filter(|s| s.kind == SourceKind::Delta);
    let added = deltas.fold(0u64, |sum, delta| sum.saturating_add(delta.bytes / page));
    most_bytes(file.bytes / page, added).saturating_mul(2)
}

impl PageMap {
    /// Creates an empty set over the pages `0..pages`.
    pub(crate) fn new(pages: u64) -> Self {
        Self {
            parts: (0..pages.div_ceil(PART_PAGES))
                .map(|_| Part::new())
                .collect(),
            pages,
        }
    }

    /// Returns the number of pages of the file.
    pub(crate) const fn pages(&self) -> u64 {
        self.pages
    }

    fn part(&self, page: u64) -> Option<&Part> {
        if page >= self.pages {
            return None;
        }
        self.parts.get(usize::try_from(page / PART_PAGES).ok()?)
    }

    /// Returns the word of a page within the file; `None` if no page of its part is in the set.
    fn word(&self, page: u64) -> Option<&AtomicU64> {
        self.part(page)?.get()?.get(word_of(page))
    }

    /// Returns whether the page is in the set. Pages beyond the end never are.
    pub(crate) fn has(&self, page: u64) -> bool {
        self.word(page)
            .is_some_and(|word| word.load(Ordering::Relaxed) & (1 << (page % 64)) != 0)
    }

    /// Adds a page; returns whether it was in the set before.
    pub(crate) fn add(&self, page: u64) -> bool {
        let bit = 1 << (page % 64);
        let Some(part) = self.part(page) else {
            return false;
        };
        let words = part.get_or_init(|| Box::new([const { AtomicU64::new(0) }; PART]));
        words
            .get(word_of(page))
            .is_some_and(|word| word.fetch_or(bit, Ordering::Relaxed) & bit != 0)
    }

    /// Returns whether a page of the range is within the file and not in the set.
    pub(crate) fn lacks_any(&self, range: Range<u64>) -> bool {
        let mut page = range.start;
        let end = range.end.min(self.pages);
        while page < end {
            let Some(word) = self.word(page) else {
                return true;
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

    /// Moves all pages of `other` into this set.
    pub(crate) fn absorb(&mut self, other: &mut Self) {
        for (own, added) in self.parts.iter_mut().zip(&mut other.parts) {
            let Some(mut added) = added.take() else {
                continue;
            };
            match own.get_mut() {
                None => *own = Part::from(added),
                Some(own) => {
                    for (own, added) in own.iter_mut().zip(added.iter_mut()) {
                        *own.get_mut() |= *added.get_mut();
                    }
                }
            }
        }
    }
}

/// Returns the index of a page's word in its part.
const fn word_of(page: u64) -> usize {
    (page / 64) as usize % PART
}

#[cfg(test)]
mod tests {
    use crate::reader::bitmap::*;
    use proptest::prelude::*;

    #[test]
    fn memory_is_allocated_only_for_parts_with_pages() {
        let pages = 1 << 30;
        let map = PageMap::new(pages);
        assert!(!map.has(pages - 1) && map.lacks_any(0..pages));
        for page in [0, 1, 70_000, pages - 1, pages] {
            assert!(!map.add(page));
        }
        let taken = map.parts.iter().filter(|part| part.get().is_some()).count();
        assert_eq!(taken, 3);
        assert!(map.has(70_000) && !map.has(70_001));
        // Less than 1 MiB; a set with all its memory takes 128 MiB.
        assert!(most_bytes(pages, 4) < 1 << 20);
        assert!(most_bytes(pages, pages) > 128 << 20);
    }

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
