//! The division of a file into segments: by the objects of its image, which can then be copied as a
//! whole.

use crate::reader::stored::Stored;
use std::ops::Range;

/// Iterates over the segments of a file: the objects of its image, and the pages after them.
pub(super) struct Segments<'a> {
    image: Option<Stored<'a>>,
    index: usize,
    size: u64,
    /// Number of pages that were already returned.
    at: u64,
    pages: u64,
    /// Length of the longest segment in pages.
    most: u64,
}

impl<'a> Segments<'a> {
    /// Divides a file of `bytes` bytes in pages of `size`; no segment is longer than `most` pages.
    pub(super) fn of(image: Option<Stored<'a>>, size: u64, bytes: u64, most: u64) -> Self {
        Self {
            image,
            index: 0,
            size,
            at: 0,
            pages: bytes / size,
            most: most.max(1),
        }
    }
}

impl Iterator for Segments<'_> {
    type Item = (Range<u64>, Option<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.pages {
            return None;
        }
        let from = self.at;
        if let Some(image) = self.image {
            while self.index < image.entry.objects.len() {
                // Rounded down: an object that begins within a page is refused when it is read.
                let end = (image.end_of(self.index) / self.size).min(self.pages);
                if end > from {
                    // A hole can be longer than a window.
                    self.at = end.min(from + self.most);
                    return Some((from..self.at, Some(self.index)));
                }
                self.index += 1;
            }
        }
        self.at = self.pages.min(from + self.most);
        Some((from..self.at, None))
    }
}
