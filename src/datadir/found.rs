//! A tablespace file whose name in the backup isn't determined yet.

use super::file::{self, Head};
use super::{DatadirError, ServerPaths, Tablespace, TablespaceKind, place};
use crate::innodb::{SpaceFlags, SpaceId};
use std::path::{Path, PathBuf};

pub(super) fn kind_of(head: &Head, undo: bool) -> TablespaceKind {
    if undo {
        TablespaceKind::Undo
    } else if head.header.space_id == SpaceId::DICTIONARY {
        TablespaceKind::Dictionary
    } else if head.header.flags.is_shared() {
        TablespaceKind::General
    } else {
        TablespaceKind::FilePerTable
    }
}

/// Resolves a path of the server: relative to the data directory or absolute; `./` is removed.
pub(super) fn resolve(datadir: &Path, path: &Path) -> PathBuf {
    datadir.join(path.strip_prefix("./").unwrap_or(path))
}

pub(super) struct Found {
    pub source: PathBuf,
    pub space_id: SpaceId,
    pub flags: SpaceFlags,
    pub length: u64,
    pub kind: TablespaceKind,
    pub name: Option<String>,
}

impl Found {
    pub(super) fn new(
        source: PathBuf,
        head: &Head,
        kind: TablespaceKind,
        name: Option<String>,
    ) -> Self {
        Self {
            source,
            space_id: head.header.space_id,
            flags: head.header.flags,
            length: head.length,
            kind,
            name,
        }
    }

    pub(super) fn into_tablespace(self, paths: &ServerPaths) -> Result<Tablespace, DatadirError> {
        let not_one = |source| DatadirError::NotATablespace {
            path: self.source.clone(),
            source,
        };
        let logical = self.flags.page_size().map_err(not_one)?;
        let page_size = self.flags.physical_page_size().map_err(not_one)?;
        if logical != paths.page_size {
            return Err(DatadirError::PageSize {
                path: self.source,
                found: logical,
                expected: paths.page_size,
                hint: "it is not a tablespace of this server",
            });
        }
        let place = place::place(&paths.datadir, &self.source, self.kind)?;
        Ok(Tablespace {
            bytes: file::whole_pages(&self.source, self.length, page_size),
            source: self.source,
            name: place.name,
            kind: self.kind,
            space_id: self.space_id,
            node: 0,
            first_page: 0,
            flags: self.flags,
            page_size,
            tablespace_name: self.name,
            external: place.external,
        })
    }
}

/// Number of files that are read concurrently: a disk serves that many small reads in the time of
/// one.
const CONCURRENT_READS: usize = 16;

/// Calls `each` for the items concurrently; returns the results in their order. The header of a
/// file costs a read that waits for the disk, and 100,000 sequential ones take half a minute.
pub(super) fn concurrently<T: Sync, R: Send>(items: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let each = &each;
    let share = items.len().div_ceil(CONCURRENT_READS).max(16);
    std::thread::scope(|scope| {
        let parts: Vec<_> = items
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().map(each).collect::<Vec<_>>()))
            .collect();
        let done = parts.into_iter().map(|part| part.join());
        done.flat_map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
