//! Pages out of a `.delta` file (`docs/format/delta.md#clusters`), cluster by cluster: the header first, then
//! only those
//! objects that hold a page which no newer member had.

use super::error::RestoreError;
use super::merge::Job;
use crate::counted;
use crate::delta::{ClusterHeader, pages_per_cluster};
use crate::manifest::Finding;
use crate::reader::clusters::objects_until;
use crate::reader::stored::Stored;
use bytes::Bytes;
use rayon::prelude::*;
use std::ops::Range;

/// One cluster: where it starts, and the pages that follow its header page.
struct Cluster {
    start: u64,
    header: ClusterHeader,
}

impl Job<'_> {
    /// Writes all pages of the delta that no newer member had.
    pub(super) fn delta(&self, stored: Stored<'_>) -> Result<(), RestoreError> {
        let page = self.page_size() as u64;
        let full = (u64::from(pages_per_cluster(self.file.page_size)) + 1) * page;
        let mut start = 0;
        let mut next = 0;
        loop {
            let cluster = self.header(stored, next, start)?;
            let length = (cluster.header.pages.len() as u64 + 1) * page;
            let end = start + length;
            let whole = if cluster.header.last {
                end == stored.entry.bytes
            } else {
                length == full && end < stored.entry.bytes
            };
            if !whole {
                return Err(stored
                    .damaged(format!(
                        "the cluster at offset {start} says {}{}, the file has {}: it is truncated",
                        counted::count(cluster.header.pages.len(), "page"),
                        if cluster.header.last {
                            " and no cluster after it"
                        } else {
                            ""
                        },
                        counted::count(stored.entry.bytes, "byte")
                    ))
                    .into());
            }
            let objects = objects_until(stored, next, end)?;
            self.cluster(stored, &cluster, objects.clone())?;
            if cluster.header.last {
                return Ok(());
            }
            start = end;
            next = objects.end;
        }
    }

    /// Fetches the object that begins the cluster; pages in it, behind the header, are written at once.
    fn header(
        &self,
        stored: Stored<'_>,
        index: usize,
        start: u64,
    ) -> Result<Cluster, RestoreError> {
        let object = stored.object(index)?;
        if object.offset != start {
            return Err(stored
                .damaged(format!(
                    "a cluster must begin at offset {start}, but object {index} begins at {}",
                    object.offset
                ))
                .into());
        }
        let size = self.page_size();
        let mut found: Option<Cluster> = None;
        self.fetcher.each(stored, index, &mut |offset, mut data| {
            if let Some(cluster) = &found {
                return self.delta_pages(stored, cluster, offset, &data);
            }
            if data.len() < size {
                return Err(stored
                    .damaged(Finding::new(
                        format!(
                            "the cluster header at offset {start} has {}",
                            counted::count(data.len(), "byte")
                        ),
                        size,
                    ))
                    .into());
            }
            let header = ClusterHeader::parse(&data.split_to(size), self.file.page_size, start)
                .map_err(|error| stored.undecodable(error))?;
            let cluster = found.insert(Cluster { start, header });
            self.delta_pages(stored, cluster, offset + size as u64, &data)
        })?;
        Ok(found.ok_or_else(|| stored.damaged(format!("no cluster header at offset {start}")))?)
    }

    /// Goes through the objects of a cluster but the first.
    fn cluster(
        &self,
        stored: Stored<'_>,
        cluster: &Cluster,
        objects: Range<usize>,
    ) -> Result<(), RestoreError> {
        let rest = objects.start + 1..objects.end;
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
        // Page k of the list stands at k + 1, behind the header.
        let listed = slice(
            &cluster.header.pages,
            from.saturating_sub(1)..to.saturating_sub(1),
        );
        if !listed.iter().any(|no| self.wants(u64::from(no.0))) {
            self.fetcher.skip(stored, index);
            return Ok(());
        }
        self.fetcher.each(stored, index, &mut |offset, data| {
            self.delta_pages(stored, cluster, offset, &data)
        })
    }

    /// Writes wanted pages of a piece, neighbours in the list that are neighbours in the file at once.
    fn delta_pages(
        &self,
        stored: Stored<'_>,
        cluster: &Cluster,
        offset: u64,
        data: &Bytes,
    ) -> Result<(), RestoreError> {
        let size = self.page_size();
        let within = offset - cluster.start;
        if !within.is_multiple_of(size as u64) || !data.len().is_multiple_of(size) {
            return Err(stored
                .damaged(format!(
                    "{} at offset {offset} are not whole pages of {size} bytes",
                    counted::count(data.len(), "byte")
                ))
                .into());
        }
        let first = (within / size as u64).saturating_sub(1);
        let count = (data.len() / size) as u64;
        let listed = slice(&cluster.header.pages, first..first + count);
        if listed.len() as u64 != count {
            return Err(stored
                .damaged(format!(
                    "the cluster at offset {} lists {}, but there are bytes of more",
                    cluster.start,
                    counted::count(cluster.header.pages.len(), "page")
                ))
                .into());
        }
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

/// Whether the page at `at` is the file's next after the one before it.
fn follows(listed: &[crate::innodb::PageNo], at: usize) -> bool {
    listed[at - 1].0.checked_add(1) == Some(listed[at].0)
}

fn slice<T>(list: &[T], range: Range<u64>) -> &[T] {
    let bound = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(list.len());
    &list[bound(range.start)..bound(range.end)]
}
