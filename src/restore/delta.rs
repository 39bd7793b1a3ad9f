//! Pages from a `.delta` file (`docs/format/delta.md#clusters`), cluster by cluster: first the
//! header, then only the objects with a page that no newer member had.

use super::error::RestoreError;
use super::merge::Job;
use crate::innodb::PageNo;
use crate::reader::clusters::{Cluster, Visit, walk};
use crate::reader::stored::Stored;
use rayon::prelude::*;
use std::ops::Range;

/// Writes the pages of the clusters that it receives.
struct Write<'j, 'a> {
    job: &'j Job<'a>,
    stored: Stored<'j>,
}

impl Visit<RestoreError> for Write<'_, '_> {
    fn behind(&mut self, cluster: &Cluster, offset: u64, data: &[u8]) -> Result<(), RestoreError> {
        self.job.delta_pages(self.stored, cluster, offset, data)
    }

    fn cluster(&mut self, cluster: Cluster) -> Result<(), RestoreError> {
        self.job.cluster(self.stored, &cluster)
    }
}

impl Job<'_> {
    /// Writes all pages of the delta that no newer member had.
    pub(super) fn delta(&self, stored: Stored<'_>) -> Result<(), RestoreError> {
        let size = self.file.page_size;
        walk(self.fetcher, stored, size, &mut Write { job: self, stored })
    }

    /// Reads the objects of a cluster except the first.
    fn cluster(&self, stored: Stored<'_>, cluster: &Cluster) -> Result<(), RestoreError> {
        let rest = cluster.objects.start + 1..cluster.objects.end;
        if self.parallel {
            rest.into_par_iter()
                .try_for_each(|index| self.delta_object(stored, cluster, index))
        } else {
            rest.into_iter()
                .try_for_each(|index| self.delta_object(stored, cluster, index))
        }
    }

    fn delta_object(
        &self,
        stored: Stored<'_>,
        cluster: &Cluster,
        index: usize,
    ) -> Result<(), RestoreError> {
        let size = self.page_size() as u64;
        let from = (stored.object(index)?.offset - cluster.start) / size;
        let to = (stored.end_of(index) - cluster.start).div_ceil(size);
        // Page k of the list is at position k + 1, because the header is first.
        let listed = slice(&cluster.pages, from.saturating_sub(1)..to.saturating_sub(1));
        if !listed.iter().any(|no| self.wants(u64::from(no.0))) {
            self.fetcher.skip(stored, index);
            return Ok(());
        }
        self.fetcher.each(stored, index, &mut |offset, data| {
            self.delta_pages(stored, cluster, offset, &data)
        })
    }

    /// Writes the wanted pages of a piece; pages that are adjacent both in the list and in the file
    /// are written at once.
    fn delta_pages(
        &self,
        stored: Stored<'_>,
        cluster: &Cluster,
        offset: u64,
        data: &[u8],
    ) -> Result<(), RestoreError> {
        let size = self.page_size();
        let (listed, _, head) = cluster
            .pages_of(offset, data.len(), size)
            .map_err(|what| stored.damaged(what))?;
        let data = &data[head..];
        let mut run = 0;
        while run < listed.len() {
            let mut end = run;
            while end < listed.len()
                && (end == run || follows(listed, end))
                && self.take(stored, u64::from(listed[end].0))?
            {
                end += 1;
            }
            if end == run {
                run += 1;
                continue;
            }
            self.put(
                stored,
                u64::from(listed[run].0),
                &data[run * size..end * size],
            )?;
            run = end;
        }
        Ok(())
    }
}

/// Returns whether the page at `at` directly follows the previous one in the file.
fn follows(listed: &[PageNo], at: usize) -> bool {
    listed[at - 1].0.checked_add(1) == Some(listed[at].0)
}

fn slice<T>(list: &[T], range: Range<u64>) -> &[T] {
    let bound = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(list.len());
    &list[bound(range.start)..bound(range.end)]
}
