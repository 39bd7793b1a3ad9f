//! The tablespace files of a backup with their floors and counts, before and after the copy.

use super::page_set::Pages;
use crate::datadir::{ReadReport, Tablespace};
use crate::innodb::ScanFloor;
use crate::manifest::Manifest;
use std::collections::BTreeSet;

/// A tablespace file to copy.
#[derive(Debug, Clone)]
pub(super) struct SpaceToCopy {
    pub space: Tablespace,
    /// `Some`: an incremental; the pages from this floor on go into the file's delta.
    pub floor: Option<ScanFloor>,
    /// The pages to read, if page tracking listed the changed ones; `None`: all.
    pub pages: Option<Pages>,
}

/// A copied tablespace file.
#[derive(Debug, Clone)]
pub(super) struct CopiedSpace {
    pub space: Tablespace,
    /// `Some`: an incremental; the file's delta contains every page from this floor on.
    pub floor: Option<ScanFloor>,
    pub counts: CopyCounts,
}

/// The counts of one tablespace file.
#[derive(Debug, Clone, Default)]
pub struct CopyCounts {
    /// The result of the page checks.
    pub report: ReadReport,
    /// Pages written into the delta.
    pub delta_pages: u64,
    /// Stored length of the file, in bytes.
    pub stored_bytes: u64,
}

impl CopyCounts {
    /// Returns whether the delta contains every page that was read, except pages of zeros.
    const fn left_none_out(&self) -> bool {
        let read = self.report.verified + self.report.unverifiable + self.report.skipped;
        self.delta_pages == read
    }
}

/// Returns the files with their floors. A file that the base doesn't have was created since, and
/// all of it counts as changed, independent of the LSNs of its pages. If the files of the base aren't
/// known, the LSNs of the pages decide, as in xtrabackup.
pub(super) fn to_copy(
    tablespaces: Vec<Tablespace>,
    base: Option<&Manifest>,
    floor: Option<ScanFloor>,
) -> Vec<SpaceToCopy> {
    let known: Option<BTreeSet<_>> = base.map(|base| {
        let spaces = base.files.iter().filter_map(|file| file.role.space());
        spaces.map(|space| (space.space_id, space.node)).collect()
    });
    let is_new = |space: &Tablespace| {
        let known = known.as_ref();
        known.is_some_and(|known| !known.contains(&(space.space_id, space.node)))
    };
    let with_floor = |space: Tablespace| SpaceToCopy {
        floor: floor.map(|floor| match is_new(&space) {
            true => ScanFloor::WHOLE,
            false => floor,
        }),
        space,
        pages: None,
    };
    tablespaces.into_iter().map(with_floor).collect()
}

impl SpaceToCopy {
    /// Returns the number of bytes to read.
    pub(super) fn bytes_to_read(&self) -> u64 {
        let page = self.space.page_size.bytes() as u64;
        let listed = self.pages.as_ref();
        listed.map_or(self.space.bytes, |pages| pages.count() * page)
    }

    /// Returns the copied file. Its floor is 0 if every page was read and none was left out because
    /// of its LSN. This is so if `IMPORT TABLESPACE` replaced the file that the base has: the new
    /// file has the same space id, and each page that isn't zeros has an LSN above all earlier
    /// ones. Pages of zeros are not in a delta, and with a floor above 0 a restore would take them
    /// from the base.
    pub(super) fn copied(self, counts: CopyCounts) -> CopiedSpace {
        let all_read = self.pages.is_none();
        let proven = |floor| match all_read && counts.left_none_out() {
            true => ScanFloor::WHOLE,
            false => floor,
        };
        CopiedSpace {
            space: self.space,
            floor: self.floor.map(proven),
            counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::changed::ChangedPages;
    use crate::datadir::TablespaceKind;
    use crate::innodb::{Lsn, PageSize, SpaceFlags, SpaceId};

    fn to_copy(floor: ScanFloor) -> SpaceToCopy {
        let space = Tablespace {
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
        };
        SpaceToCopy {
            space,
            floor: Some(floor),
            pages: None,
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
    fn a_floor_is_0_if_no_page_was_left_out() {
        let floor = ScanFloor::at(Lsn(100));
        let whole = ScanFloor::WHOLE;
        for (what, before, counts, read_whole, read_in_part) in [
            ("imported", floor, counts(7, 0, 7), whole, floor),
            ("one page not changed", floor, counts(7, 0, 6), floor, floor),
            ("encrypted", floor, counts(1, 5, 6), whole, floor),
            ("not in the base", whole, counts(7, 0, 7), whole, whole),
        ] {
            let proven = to_copy(before).copied(counts.clone()).floor;
            assert_eq!(proven, Some(read_whole), "{what}");
            // Pages that were not read may have any contents.
            let mut spaces = [to_copy(before)];
            ChangedPages::new(&mut spaces, |_| true).accept();
            let [space] = spaces;
            assert_eq!(space.copied(counts).floor, Some(read_in_part), "{what}");
        }
    }

    #[test]
    fn only_files_of_the_base_have_its_floor() {
        use crate::store::tests::{full_name, manifest};
        let base = manifest(&full_name(1), None, 7, Vec::new());
        let space = to_copy(ScanFloor::WHOLE).space;
        let floor_of = |base, floor| super::to_copy(vec![space.clone()], base, floor)[0].floor;
        assert_eq!(floor_of(None, None), None);
        let floor = ScanFloor::at(Lsn(100));
        assert_eq!(floor_of(Some(&base), Some(floor)), Some(ScanFloor::WHOLE));
        // A base of which only the LSN is known may have the file.
        assert_eq!(floor_of(None, Some(floor)), Some(floor));
    }
}
