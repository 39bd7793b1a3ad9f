//! The check of deltas: their clusters, and each page in the position that its cluster lists.

use super::pages::PageCheck;
use super::report::{PageReport, Problem, ProblemKind};
use super::work::Work;
use crate::innodb::Lsn;
use crate::manifest::{Finding, SpaceFile};
use crate::reader::ReadError;
use crate::reader::bitmap::PageMap;
use crate::reader::clusters::{Cluster, clusters};
use crate::reader::stored::Stored;
use rayon::prelude::*;

/// Checks a delta. It holds the list of pages of one cluster, and a bit for each page of the
/// tablespace.
pub(super) fn check(work: &Work<'_>, stored: Stored<'_>) -> Result<(), ReadError> {
    let only_bytes = || {
        work.objects(stored, |index| {
            work.bytes(stored, index, &mut |_, _| Ok(()))
        })
    };
    let Some(space) = stored.entry.role.space() else {
        return Ok(());
    };
    let check = match PageCheck::of(&work.fetcher, stored) {
        // Without a recorded floor: the whole file, if the base doesn't contain it.
        Ok(check) if space.floor.is_none() && work.base.is_some_and(|base| !base.has(space)) => {
            check.whole()
        }
        Ok(check) => check,
        Err(error) => {
            work.record(stored, error)?;
            return only_bytes();
        }
    };
    let seen = PageMap::new(space.bytes / space.page_size.bytes() as u64);
    let walked = clusters(&work.fetcher, stored, space.page_size, &mut |cluster| {
        for page in &cluster.pages {
            if seen.add(u64::from(page.0)) {
                work.problem(Problem::new(
                    ProblemKind::Content,
                    format!("{}/{}", stored.manifest.name, stored.entry.path),
                    format!("page {page} twice"),
                    "each page once",
                ));
            }
        }
        let objects = cluster.objects.clone();
        objects.into_par_iter().try_for_each(|index| {
            object(work, stored, &check, &cluster, index)
                .or_else(|error| work.record(stored, error))
        })
    });
    match walked {
        Ok(()) => match missing_page(work, space, &seen) {
            None => Ok(()),
            Some(page) => work.record(
                stored,
                stored.damaged(Finding::new(
                    format!("no page {page}, although the delta claims to have every page"),
                    format!("page {page}"),
                )),
            ),
        },
        // The list of pages can't be read any further, but other damage can still be found.
        Err(error) => {
            work.record(stored, error)?;
            only_bytes()
        }
    }
}

/// Returns a page that a delta of a whole file must have and lacks. The file existed when the base
/// was made, so page 0 was written. The other pages that the server writes when it creates a
/// tablespace (page 1, the bitmap of the change buffer, and page 2, the inodes) were on the disk if
/// there was a checkpoint between the two backups.
fn missing_page(work: &Work<'_>, space: &SpaceFile, seen: &PageMap) -> Option<u64> {
    let whole = space.floor == Some(Lsn(0)) && space.node == 0;
    if !whole || !work.base.is_some_and(|base| base.has(space)) {
        return None;
    }
    let first = if work.settled { 3 } else { 1 };
    (0..first).find(|page| !seen.has(*page))
}

fn object(
    work: &Work<'_>,
    stored: Stored<'_>,
    check: &PageCheck,
    cluster: &Cluster,
    index: usize,
) -> Result<(), ReadError> {
    let size = check.page_size;
    let mut pages = PageReport::default();
    let looked = work.bytes(stored, index, &mut |offset, data| {
        let (listed, _, head) = cluster
            .pages_of(offset, data.len(), size)
            .map_err(|what| stored.damaged(what))?;
        for (no, page) in listed.iter().zip(data[head..].chunks(size)) {
            let checked = check.check(u64::from(no.0), page, &mut pages);
            work.page(stored, index, checked);
        }
        Ok(())
    });
    work.pages(&pages);
    looked
}
