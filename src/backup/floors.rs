//! From which LSN on the delta of each tablespace file holds every page: before the copy, and as it turned out.

use super::changed::ChangedPages;
use super::copy::CopyCounts;
use super::session::Session;
use crate::datadir::{Survey, Tablespace};
use crate::innodb::Lsn;
use std::collections::BTreeSet;

impl Session<'_> {
    /// The floor of every tablespace file. What the base doesn't know was made since, and all of it
    /// counts as changed, whatever LSNs its pages have.
    pub(super) fn floors(&self, survey: &Survey) -> Option<Vec<Lsn>> {
        let (base, floor) = (self.base.as_ref()?, self.floor()?);
        let spaces = base.files.iter().filter_map(|file| file.role.space());
        let known: BTreeSet<_> = spaces.map(|space| (space.space_id, space.node)).collect();
        let of = |ts: &Tablespace| {
            if known.contains(&(ts.space_id, ts.node)) {
                floor
            } else {
                Lsn(0)
            }
        };
        Some(survey.tablespaces.iter().map(of).collect())
    }
}

/// The floors as they turned out: 0 for a file of which every page was read and none was left out for
/// its LSN. So it is when `IMPORT TABLESPACE` put another file in the place of the one that the base
/// has: it gives the same space id, and each page that isn't zeros an LSN above all earlier ones.
/// Pages of zeros are in no delta, and under a floor above 0 they would be taken from the base.
pub(super) fn proven_floors(
    floors: Vec<Lsn>,
    changed: Option<&ChangedPages>,
    counts: &[CopyCounts],
) -> Vec<Lsn> {
    let all_read = |file: usize| changed.is_none_or(|changed| changed.of(file).is_none());
    let proven = |(file, (floor, counts)): (usize, (Lsn, &CopyCounts))| {
        if all_read(file) && counts.left_none_out() {
            Lsn(0)
        } else {
            floor
        }
    };
    let files = floors.into_iter().zip(counts).enumerate();
    files.map(proven).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datadir::{ReadReport, TablespaceKind};
    use crate::innodb::{PageSize, SpaceFlags, SpaceId};

    fn tablespace() -> Tablespace {
        Tablespace {
            source: "t".into(),
            name: "t.ibd".to_owned(),
            kind: TablespaceKind::FilePerTable,
            space_id: SpaceId(7),
            node: 0,
            first_page: 0,
            flags: SpaceFlags(0x4021),
            page_size: PageSize::DEFAULT,
            bytes: 10 << 14,
            tablespace_name: None,
            external: None,
        }
    }

    fn counts(verified: u64, encrypted: u64, delta_pages: u64) -> CopyCounts {
        let mut report = ReadReport::default();
        report.verified = verified;
        report.unverifiable = encrypted;
        report.zero = 10 - verified - encrypted;
        CopyCounts {
            report,
            delta_pages,
            stored_bytes: 0,
        }
    }

    #[test]
    fn a_floor_is_0_where_nothing_was_left_out() {
        let floor = Lsn(100);
        // Imported; changed in all of its pages but one; encrypted; unknown to the base.
        let counts = [
            counts(7, 0, 7),
            counts(7, 0, 6),
            counts(1, 5, 6),
            counts(7, 0, 7),
        ];
        let floors = vec![floor, floor, floor, Lsn(0)];
        let proven = proven_floors(floors.clone(), None, &counts);
        assert_eq!(proven, [Lsn(0), floor, Lsn(0), Lsn(0)]);
        // What was not read may be anything.
        let spaces: Vec<_> = floors.iter().map(|_| tablespace()).collect();
        let listed = ChangedPages::new(&spaces, |file, _| file == 0);
        let proven = proven_floors(floors, Some(&listed), &counts);
        assert_eq!(proven, [floor, floor, Lsn(0), Lsn(0)]);
    }
}
