//! Pages: checksum, number, tablespace, and an LSN that this backup may hold.

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
    /// Whether it is the data dictionary's.
    dictionary: bool,
    /// Of a delta: only pages from here on belong into it.
    floor: Option<Lsn>,
    /// Where the backup's redo ends: no page can be newer.
    last: Lsn,
}

impl PageCheck {
    /// What the pages of `stored` must be.
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

    /// The same for a delta that holds every page of its file, whatever LSN the page has.
    pub(super) fn whole(self) -> Self {
        Self {
            floor: Some(Lsn(0)),
            ..self
        }
    }

    /// The same for pages that come from several members, the newest of which ends at `last`.
    pub(crate) fn up_to(self, last: Lsn) -> Self {
        Self {
            floor: None,
            last,
            ..self
        }
    }

    /// Checks one page, number `number` of its file. The error says what was found and expected.
    ///
    /// # Errors
    /// What is wrong with it.
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
