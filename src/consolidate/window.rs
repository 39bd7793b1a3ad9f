//! The newest version of each page of a window: the member, and the position in its delta.

use crate::innodb::PageSize;
use crate::reader::ReadError;
use crate::reader::clusters::clusters;
use crate::reader::fetch::Fetcher;
use crate::reader::stored::Stored;
use std::collections::HashMap;
use std::ops::Range;

/// The table of one window: 6 bytes for each page.
pub(super) struct Window {
    first: u64,
    /// For each page the number of the delta that has it, counted from 1 and from the newest; 0:
    /// none.
    delta: Vec<u16>,
    /// The page's position in that delta, in pages.
    slot: Vec<u32>,
    /// For each object of a delta, the number of pages that are still needed from it; for each
    /// object of the image, the number of ranges.
    pub(super) wanted: HashMap<(usize, usize), u64>,
}

impl Window {
    /// Reads the headers of `deltas`, newest first.
    pub(super) fn of(
        fetcher: &Fetcher<'_>,
        deltas: &[Stored<'_>],
        size: PageSize,
        pages: Range<u64>,
    ) -> Result<Self, ReadError> {
        let count = usize::try_from(pages.end - pages.start).unwrap_or(usize::MAX);
        let mut window = Self {
            first: pages.start,
            delta: vec![0; if deltas.is_empty() { 0 } else { count }],
            slot: vec![0; if deltas.is_empty() { 0 } else { count }],
            wanted: HashMap::new(),
        };
        for (number, stored) in deltas.iter().enumerate() {
            let mine = u16::try_from(number + 1)
                .map_err(|_| stored.damaged("a chain of more than 65535 members"))?;
            clusters(fetcher, *stored, size, &mut |cluster| {
                let first = cluster.start / size.bytes() as u64 + 1;
                for (slot, page) in (first..).zip(&cluster.pages) {
                    let page = u64::from(page.0);
                    if !pages.contains(&page) {
                        continue;
                    }
                    let at = (page - pages.start) as usize;
                    if window.delta[at] == mine {
                        return Err(stored.damaged(format!("it has page {page} twice")));
                    }
                    if window.delta[at] == 0 {
                        window.delta[at] = mine;
                        window.slot[at] = u32::try_from(slot)
                            .map_err(|_| stored.damaged("it has more than 2^32 pages"))?;
                    }
                }
                Ok(())
            })?;
        }
        window.count(deltas, size);
        Ok(window)
    }

    fn count(&mut self, deltas: &[Stored<'_>], size: PageSize) {
        for page in self.first..self.first + self.delta.len() as u64 {
            if let Some((number, slot)) = self.newest(page)
                && let Some(stored) = deltas.get(number)
            {
                let object = object_at(stored, u64::from(slot) * size.bytes() as u64);
                *self.wanted.entry((number, object)).or_default() += 1;
            }
        }
    }

    /// Returns the newest delta with a page, counted from the newest, and the page's position in
    /// it.
    pub(super) fn newest(&self, page: u64) -> Option<(usize, u32)> {
        let at = usize::try_from(page.checked_sub(self.first)?).ok()?;
        let delta = usize::from(*self.delta.get(at)?).checked_sub(1)?;
        Some((delta, *self.slot.get(at)?))
    }

    /// Returns whether a delta has a page of the range.
    pub(super) fn changed(&self, pages: Range<u64>) -> bool {
        pages.into_iter().any(|page| self.newest(page).is_some())
    }
}

/// Returns the object of a stored file that contains the byte at `offset`.
pub(super) fn object_at(stored: &Stored<'_>, offset: u64) -> usize {
    let objects = &stored.entry.objects;
    objects
        .partition_point(|object| object.offset <= offset)
        .saturating_sub(1)
}
