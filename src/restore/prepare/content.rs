//! The checks of an incremental's content before the target is changed.

use super::error::PrepareError;
use super::files::io;
use super::merging::Merging;
use super::scan::{self, Key};
use crate::manifest::{FileRole, SpaceFile};
use crate::progress::Phase as Shown;
use crate::reader::counters::Counters;
use crate::reader::fetch::Fetcher;
use crate::reader::proof::PageProof;
use crate::reader::stored::Stored;
use crate::restore::RestoreError;
use rayon::prelude::*;
use std::collections::BTreeSet;

/// Is called with the number of a page and its bytes.
type EachPage<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<(), PrepareError>;

impl Merging<'_> {
    /// Checks the digests of the incremental's files, and the pages of files without digests.
    /// `fresh`: the tablespaces of which the target has no file.
    pub(super) fn check_content(&self, fresh: &BTreeSet<Key>) -> Result<(), PrepareError> {
        let plan = self.plan(Vec::new());
        let counters = Counters::new(1);
        let fetcher = self.fetcher(&plan, &counters, Shown::Verify);
        let manifest = &self.next.manifest;
        self.pool()?.install(|| {
            manifest.files.par_iter().try_for_each(|entry| {
                let stored = Stored {
                    member: 0,
                    manifest,
                    entry,
                };
                if let FileRole::Delta(space) = &entry.role
                    && fresh.contains(&(space.space_id, space.node))
                    && (space.encrypted || space.flags.is_encrypted())
                {
                    self.check_first_page(&fetcher, stored, space)?;
                }
                if stored.is_proven() {
                    return (0..entry.objects.len()).try_for_each(|index| {
                        fetcher.cancel.check().map_err(RestoreError::from)?;
                        Ok(fetcher.source.read(stored, index).map(drop)?)
                    });
                }
                match &entry.role {
                    FileRole::Delta(space) => {
                        let proof = self.proof(&fetcher, stored)?;
                        self.pages_of(&fetcher, stored, space, &mut |number, page| {
                            proof
                                .check(number, page)
                                .map_err(|what| stored.damaged(what).into())
                        })
                    }
                    FileRole::Tablespace(space) => self.check_image(&fetcher, stored, space),
                    _ => Ok(()),
                }
            })
        })
    }

    fn proof(&self, fetcher: &Fetcher<'_>, stored: Stored<'_>) -> Result<PageProof, PrepareError> {
        let parts = scan::spaces(&self.next.manifest).map(|space| {
            let pages = space.bytes / space.page_size.bytes() as u64;
            (space.space_id, space.node, pages)
        });
        Ok(PageProof::of(fetcher, parts, stored)?)
    }

    /// Checks the pages of a whole tablespace file.
    fn check_image(
        &self,
        fetcher: &Fetcher<'_>,
        stored: Stored<'_>,
        space: &SpaceFile,
    ) -> Result<(), PrepareError> {
        let proof = self.proof(fetcher, stored)?;
        let page = space.page_size.bytes() as u64;
        (0..stored.entry.objects.len()).try_for_each(|index| {
            fetcher.each::<PrepareError>(stored, index, &mut |offset, data| {
                proof
                    .check(offset / page, &data)
                    .map_err(|what| stored.damaged(what).into())
            })
        })
    }

    /// Checks that a delta of an encrypted tablespace that the target doesn't have begins with its
    /// first page, which can't be made without the key.
    fn check_first_page(
        &self,
        fetcher: &Fetcher<'_>,
        stored: Stored<'_>,
        space: &SpaceFile,
    ) -> Result<(), PrepareError> {
        let mut is_there = false;
        self.pages_of(fetcher, stored, space, &mut |number, _| {
            is_there |= number == 0;
            Ok(())
        })?;
        if is_there || space.node != 0 {
            return Ok(());
        }
        Err(stored
            .damaged(
                "it lacks the first page of an encrypted tablespace that the target doesn't have, and that page can't be \
                 made"
                    .to_owned(),
            )
            .into())
    }

    /// Passes the pages of a delta to `each`, with their numbers.
    fn pages_of(
        &self,
        fetcher: &Fetcher<'_>,
        stored: Stored<'_>,
        space: &SpaceFile,
        each: EachPage<'_>,
    ) -> Result<(), PrepareError> {
        let path = self.next.directory.join(stored.entry.path.as_stored());
        let file = std::fs::File::open(&path).map_err(io("open", &path))?;
        let mut reader =
            crate::delta::DeltaReader::new(std::io::BufReader::new(file), space.page_size);
        let mut page = Vec::new();
        loop {
            fetcher.cancel.check().map_err(RestoreError::from)?;
            match reader.next_page(&mut page) {
                Ok(Some(number)) => each(u64::from(number.0), &page)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(stored.damaged(error.to_string()).into()),
            }
        }
    }
}
