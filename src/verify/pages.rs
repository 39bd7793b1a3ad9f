//! Pages: checksum, number, tablespace, and an LSN that this backup may hold.

use super::dictionary;
use super::report::PageReport;
use crate::innodb::{Lsn, PageNo, PageState, PageVerifier, SpaceId, page};
use crate::manifest::{FileRole, Finding};
use crate::reader::fetch::Fetcher;
use crate::reader::stored::Stored;
use crate::reader::{ReadError, proof};

/// The checks of one stored file of a tablespace.
pub(crate) struct PageCheck {
    verifier: PageVerifier,
    pub(crate) page_size: usize,
    /// Pages of the tablespace's files before this one.
    before: u64,
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
        let (verifier, space) = proof::verifier(fetcher, stored)?;
        let files = stored.manifest.files.iter().filter_map(|f| f.role.space());
        let before = match space.node {
            // Else each of a hundred thousand tables would look at all the others.
            0 => 0,
            node => files
                .filter(|file| file.space_id == space.space_id && file.node < node)
                .map(|file| file.bytes / file.page_size.bytes() as u64)
                .sum(),
        };
        let delta = matches!(stored.entry.role, FileRole::Delta(_));
        Ok(Self {
            verifier,
            page_size: space.page_size.bytes(),
            before,
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
        let no = u32::try_from(self.before + number)
            .map_err(|_| Finding::new(format!("page {number}"), "less than 2^32 pages"))?;
        let state = self
            .verifier
            .verify(PageNo(no), bytes)
            .map_err(proof::finding)?;
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
