//! Pages from a whole tablespace file, the last source of every file.

use super::error::RestoreError;
use super::merge::Job;
use crate::reader::stored::Stored;
use bytes::Bytes;
use rayon::prelude::*;

impl Job<'_> {
    /// Writes all pages of the image that no newer member had.
    pub(super) fn image(&self, stored: Stored<'_>) -> Result<(), RestoreError> {
        let objects = 0..stored.entry.objects.len();
        if self.parallel {
            objects
                .into_par_iter()
                .try_for_each(|index| self.image_object(stored, index))
        } else {
            objects
                .into_iter()
                .try_for_each(|index| self.image_object(stored, index))
        }
    }

    fn image_object(&self, stored: Stored<'_>, index: usize) -> Result<(), RestoreError> {
        let page = self.page_size() as u64;
        let (start, end) = (stored.object(index)?.offset, stored.end_of(index));
        let pages = start / page..end.div_ceil(page);
        if !self.done.lacks_any(pages) {
            self.fetcher.skip(stored, index);
            return Ok(());
        }
        self.fetcher.each(stored, index, &mut |offset, data| {
            self.image_pages(stored, offset, &data)
        })?;
        // No pages of older members follow for this part, and those of newer members are already
        // written.
        self.written(start..end);
        Ok(())
    }

    /// Writes the maximal runs of pages that are still wanted. A piece begins at a page boundary;
    /// it may end within a page whose rest is a hole (a page-compressed page in a sparse chunk).
    fn image_pages(
        &self,
        stored: Stored<'_>,
        offset: u64,
        data: &Bytes,
    ) -> Result<(), RestoreError> {
        let size = self.page_size();
        if !offset.is_multiple_of(size as u64) {
            return Err(stored
                .damaged(format!(
                    "data at offset {offset} begin within a page of {size} bytes"
                ))
                .into());
        }
        let first = offset / size as u64;
        let count = data.len().div_ceil(size);
        let mut run = 0;
        while run < count {
            let mut end = run;
            // No page occurs twice: the data of an object ascend, and are between its offset and
            // that of the next object.
            while end < count && self.wants(first + end as u64) {
                end += 1;
            }
            if end > run {
                let bytes = &data[run * size..(end * size).min(data.len())];
                self.put(stored, first + run as u64, bytes)?;
            }
            run = end + 1;
        }
        Ok(())
    }
}
