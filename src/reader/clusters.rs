//! The clusters of a stored delta: the pages that it holds, and the objects that hold them. Only
//! the objects with headers are fetched (lsnap stores a header as an object of its own, and a delta
//! in a pack as one object).

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
    /// Offset of its header in the delta, in bytes.
    pub(crate) start: u64,
    /// The pages, in the order in which they follow the header.
    pub(crate) pages: Vec<PageNo>,
    /// The objects that hold it; the first begins with the header.
    pub(crate) objects: Range<usize>,
    /// True if it is the last cluster.
    last: bool,
}

/// Receives the clusters of a delta.
pub(crate) trait Visit<E> {
    /// Receives the bytes after the header in the header's object; the objects of `cluster` are not
    /// known yet.
    fn behind(&mut self, _cluster: &Cluster, _offset: u64, _data: &[u8]) -> Result<(), E> {
        Ok(())
    }

    /// Receives a cluster.
    fn cluster(&mut self, cluster: Cluster) -> Result<(), E>;
}

/// Receives clusters, and ignores the bytes after their headers.
struct Each<F>(F);

impl<E, F: FnMut(Cluster) -> Result<(), E>> Visit<E> for Each<F> {
    fn cluster(&mut self, cluster: Cluster) -> Result<(), E> {
        (self.0)(cluster)
    }
}

impl Cluster {
    /// Returns the pages of a run of the delta's bytes, the position of the first of them in the
    /// cluster, and the number of bytes before them in the run (the header).
    ///
    /// # Errors
    /// The reason why the run doesn't consist of pages of the cluster.
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

/// Calls `each` for every cluster.
///
/// # Errors
/// The errors of `each`; [`ReadError::Damaged`] if the clusters are not those of a complete delta.
pub(crate) fn clusters(
    fetcher: &Fetcher<'_>,
    stored: Stored<'_>,
    size: PageSize,
    each: &mut dyn FnMut(Cluster) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    walk(fetcher, stored, size, &mut Each(each))
}

/// Walks through the clusters; each object that begins with a header is fetched once.
///
/// # Errors
/// The errors of `visit`; [`ReadError::Damaged`] if the clusters are not those of a complete delta.
pub(crate) fn walk<E: From<ReadError>>(
    fetcher: &Fetcher<'_>,
    stored: Stored<'_>,
    size: PageSize,
    visit: &mut impl Visit<E>,
) -> Result<(), E> {
    let page = size.bytes() as u64;
    let full = (u64::from(pages_per_cluster(size)) + 1) * page;
    let (mut start, mut next) = (0, 0);
    loop {
        let mut cluster = header(fetcher, stored, size, next, start, visit)?;
        let length = (cluster.pages.len() as u64 + 1) * page;
        let end = start + length;
        let whole = if cluster.last {
            end == stored.entry.bytes
        } else {
            length == full && end < stored.entry.bytes
        };
        if !whole {
            return Err(truncated(stored, &cluster).into());
        }
        cluster.objects = objects_until(stored, next, end)?;
        next = cluster.objects.end;
        let last = cluster.last;
        visit.cluster(cluster)?;
        if last {
            return Ok(());
        }
        start = end;
    }
}

fn truncated(stored: Stored<'_>, cluster: &Cluster) -> ReadError {
    stored.damaged(format!(
        "the cluster at offset {} lists {}{}, the file has {}: it is truncated",
        cluster.start,
        counted::count(cluster.pages.len(), "page"),
        if cluster.last {
            " and no cluster after it"
        } else {
            ""
        },
        counted::count(stored.entry.bytes, "byte")
    ))
}

/// Fetches the object that begins with a header, and parses the header.
fn header<E: From<ReadError>>(
    fetcher: &Fetcher<'_>,
    stored: Stored<'_>,
    size: PageSize,
    index: usize,
    start: u64,
    visit: &mut impl Visit<E>,
) -> Result<Cluster, E> {
    let begins = stored.object(index)?.offset;
    if begins != start {
        let found = format!(
            "a cluster must begin at offset {start}, but object {index} begins at {begins}"
        );
        return Err(stored.damaged(found).into());
    }
    let mut found: Option<Cluster> = None;
    fetcher.each::<E>(stored, index, &mut |offset, data| {
        if let Some(cluster) = &found {
            return visit.behind(cluster, offset, &data);
        }
        if offset != start {
            return Ok(());
        }
        let Some((page, rest)) = data.split_at_checked(size.bytes()) else {
            let found = format!(
                "the cluster header at offset {start} has {}",
                counted::count(data.len(), "byte")
            );
            return Err(stored.damaged(Finding::new(found, size)).into());
        };
        let header =
            ClusterHeader::parse(page, size, start).map_err(|error| stored.undecodable(error))?;
        let cluster = found.insert(Cluster {
            start,
            pages: header.pages,
            objects: index..index,
            last: header.last,
        });
        visit.behind(cluster, offset + size.bytes() as u64, rest)
    })?;
    Ok(found.ok_or_else(|| stored.damaged(format!("no cluster header at offset {start}")))?)
}

/// Returns the objects from `next` on that begin before `end`; an object must begin or the file
/// must end there.
fn objects_until(stored: Stored<'_>, next: usize, end: u64) -> Result<Range<usize>, ReadError> {
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
