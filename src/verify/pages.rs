//! The check of pages: checksum, page number, tablespace, and an LSN that this backup can contain.

use super::dictionary;
use super::report::PageReport;
use crate::innodb::{Lsn, PageState, SpaceId, page};
use crate::manifest::{FileRole, Finding};
use crate::reader::ReadError;
use crate::reader::fetch::Fetcher;
use crate::reader::proof::PageProof;
use crate::reader::stored::Stored;

/// The checks of one stored file of a tablespace.
pub(crate) struct PageCheck {
    proof: PageProof,
    pub(crate) page_size: usize,
    /// True if it is the data dictionary's.
    dictionary: bool,
    /// Of a delta: the lowest LSN of its pages.
    floor: Option<Lsn>,
    /// The end of the backup's redo log: no page can be newer.
    last: Lsn,
}

impl PageCheck {
    /// Creates the checks for the pages of `stored`.
    ///
    /// # Errors
    /// Flags that no server writes; the old doublewrite area could not be read.
    pub(crate) fn of(fetcher: &Fetcher<'_>, stored: Stored<'_>) -> Result<Self, ReadError> {
        let files = stored.manifest.files.iter().filter_map(|f| f.role.space());
        let parts = files.map(|file| {
            let pages = file.bytes / file.page_size.bytes() as u64;
            (file.space_id, file.node, pages)
        });
        let proof = PageProof::of(fetcher, parts, stored)?;
        let space = stored.space()?;
        let delta = matches!(stored.entry.role, FileRole::Delta(_));
        Ok(Self {
            page_size: proof.page_size(),
            proof,
            dictionary: space.space_id == SpaceId::DICTIONARY,
            floor: delta.then_some(space.floor.unwrap_or(stored.manifest.lsn.scan_floor)),
            last: stored.manifest.lsn.last_lsn,
        })
    }

    /// Returns the same checks for a delta with every page of its file, with any LSN.
    pub(super) fn whole(self) -> Self {
        Self {
            floor: Some(Lsn(0)),
            ..self
        }
    }

    /// Returns the same checks for pages of several members, the newest of which ends at `last`.
    pub(crate) fn up_to(self, last: Lsn) -> Self {
        Self {
            floor: None,
            last,
            ..self
        }
    }

    /// Checks page `number` of its file. The error contains what was found and what was expected.
    ///
    /// # Errors
    /// The fault of the page.
    pub(crate) fn check(
        &self,
        number: u64,
        bytes: &[u8],
        report: &mut PageReport,
    ) -> Result<(), Finding> {
        let (no, state) = self.proof.page(number, bytes)?;
        let lsn = page::lsn(bytes);
        match state {
            PageState::Verified => {
                report.verified += 1;
                if self.dictionary {
                    report.lower_case = report.lower_case.or_else(|| dictionary::lower_case(bytes));
                }
            }
            PageState::Zero => report.zero += 1,
            PageState::Unverifiable => report.unverifiable += 1,
            PageState::Skipped => {
                report.skipped += 1;
                return Ok(());
            }
        }
        if lsn > self.last {
            return Err(Finding::new(
                format!("page {no} has the LSN {lsn}"),
                format!("at most {}, the end of the backup", self.last),
            ));
        }
        // The first page of a new file is written with LSN 0.
        if let Some(floor) = self.floor
            && lsn < floor
            && lsn != Lsn(0)
        {
            return Err(Finding::new(
                format!("page {no} has the LSN {lsn}"),
                format!("at least {floor}, from which on this delta was scanned"),
            ));
        }
        report.max_lsn = report.max_lsn.max(lsn);
        Ok(())
    }
}
