//! The clusters of a stored delta, one after the other: which pages it holds, and in which objects.
//! Only the objects that hold headers are fetched (lsnap stores a header as an object of its own, and a
//! delta that fits into a pack as one).

use super::error::ReadError;
use super::fetch::Fetcher;
use super::stored::Stored;
use crate::counted;
use crate::delta::{ClusterHeader, pages_per_cluster};
use crate::innodb::{PageNo, PageSize};
use crate::manifest::Finding;
use std::ops::Range;

/// One cluster of a delta.
pub(crate) struct Cluster {
    /// Where its header begins in the delta.
    pub(crate) start: u64,
    /// The pages, in the order in which they follow the header.
    pub(crate) pages: Vec<PageNo>,
    /// The objects that hold it; the first begins with the header.
    pub(crate) objects: Range<usize>,
}

impl Cluster {
    /// The pages that a run of the delta's bytes holds, by the position in the cluster of the first of
    /// them, and how many bytes of the run are before them (the header).
    ///
    /// # Errors
    /// What is wrong with the run.
    pub(crate) fn pages_of(
        &self,
        offset: u64,
        length: usize,
        size: usize,
    ) -> Result<(&[PageNo], usize, usize), String> {
        let page = size as u64;
        let within = offset.wrapping_sub(self.start);
        if !within.is_multiple_of(page) || !length.is_multiple_of(size) {
            return Err(format!(
                "{length} at offset {offset} are not whole pages of {size} bytes",
                length = counted::count(length, "byte")
            ));
        }
        let head = if within == 0 { size.min(length) } else { 0 };
        let first = usize::try_from(within / page).unwrap_or(usize::MAX);
        let first = first.saturating_sub(1);
        let count = (length - head) / size;
        let pages = self
            .pages
            .get(first..first.saturating_add(count))
            .ok_or_else(|| {
                format!(
                    "the cluster at offset {} lists {}, but there are bytes of more",
                    self.start,
                    counted::count(self.pages.len(), "page")
                )
            })?;
        Ok((pages, first, head))
    }
}

/// Calls `each` with every cluster.
///
/// # Errors
/// Whatever `each` says; [`ReadError::Damaged`] when the clusters are not those of a whole delta.
pub(crate) fn clusters(
    fetcher: &Fetcher<'_>,
    stored: Stored<'_>,
    size: PageSize,
    each: &mut dyn FnMut(Cluster) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let page = size.bytes() as u64;
    let full = (u64::from(pages_per_cluster(size)) + 1) * page;
    let (mut start, mut next) = (0, 0);
    loop {
        let header = header(fetcher, stored, size, next, start)?;
        let length = (header.pages.len() as u64 + 1) * page;
        let end = start + length;
        let whole = if header.last {
            end == stored.entry.bytes
        } else {
            length == full && end < stored.entry.bytes
        };
        if !whole {
            return Err(stored.damaged(format!(
                "the cluster at offset {start} says {}{}, the file has {}: it is truncated",
                counted::count(header.pages.len(), "page"),
                if header.last {
                    " and no cluster after it"
                } else {
                    ""
                },
                counted::count(stored.entry.bytes, "byte")
            )));
        }
        let objects = objects_until(stored, next, end)?;
        next = objects.end;
        let last = header.last;
        each(Cluster {
            start,
            pages: header.pages,
            objects,
        })?;
        if last {
            return Ok(());
        }
        start = end;
    }
}

fn header(
    fetcher: &Fetcher<'_>,
    stored: Stored<'_>,
    size: PageSize,
    index: usize,
    start: u64,
) -> Result<ClusterHeader, ReadError> {
    let begins = stored.object(index)?.offset;
    if begins != start {
        return Err(stored.damaged(format!(
            "a cluster must begin at offset {start}, but object {index} begins at {begins}"
        )));
    }
    let mut found = None;
    fetcher.each::<ReadError>(stored, index, &mut |offset, data| {
        if offset != start || found.is_some() {
            return Ok(());
        }
        let page = data.get(..size.bytes()).ok_or_else(|| {
            stored.damaged(Finding::new(
                format!(
                    "the cluster header at offset {start} has {}",
                    counted::count(data.len(), "byte")
                ),
                size,
            ))
        })?;
        let header =
            ClusterHeader::parse(page, size, start).map_err(|error| stored.undecodable(error))?;
        found = Some(header);
        Ok(())
    })?;
    found.ok_or_else(|| stored.damaged(format!("no cluster header at offset {start}")))
}

/// The objects from `next` on that lie before `end`; the boundary must be an object's.
pub(crate) fn objects_until(
    stored: Stored<'_>,
    next: usize,
    end: u64,
) -> Result<Range<usize>, ReadError> {
    let last = end == stored.entry.bytes;
    let objects = stored.entry.objects.iter().skip(next);
    let after = next
        + objects
            .take_while(|object| last || object.offset < end)
            .count();
    match stored.entry.objects.get(after) {
        Some(object) if object.offset == end => Ok(next..after),
        None if last => Ok(next..after),
        _ => Err(stored.damaged(format!(
            "a cluster ends at offset {end}, but no object begins there"
        ))),
    }
}
