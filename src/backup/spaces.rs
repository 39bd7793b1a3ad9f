//! The tablespace files of a backup, each with what belongs to it: before the copy, and after it.

use super::page_set::Pages;
use crate::datadir::{ReadReport, Tablespace};
use crate::innodb::ScanFloor;
use crate::manifest::Manifest;
use std::collections::BTreeSet;

/// A tablespace file that is to be copied.
#[derive(Debug, Clone)]
pub(super) struct SpaceToCopy {
    pub space: Tablespace,
    /// `Some`: an incremental; the pages from this floor on go into the file's delta.
    pub floor: Option<ScanFloor>,
    /// The pages to read, if the server said which changed; `None`: all.
    pub pages: Option<Pages>,
}

/// A tablespace file that was copied.
#[derive(Debug, Clone)]
pub(super) struct CopiedSpace {
    pub space: Tablespace,
    /// `Some`: an incremental; the file's delta holds every page from this floor on.
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
    /// Length of the file as it was stored, in bytes.
    pub stored_bytes: u64,
}

impl CopyCounts {
    /// Whether the delta holds every page that was read and isn't zeros.
    const fn left_none_out(&self) -> bool {
        let read = self.report.verified + self.report.unverifiable + self.report.skipped;
        self.delta_pages == read
    }
}

/// The files with their floors. A file that the base doesn't have was made since, and all of it counts as changed,
/// whatever LSNs its pages have.
pub(super) fn to_copy(
    tablespaces: Vec<Tablespace>,
    base: Option<(&Manifest, ScanFloor)>,
) -> Vec<SpaceToCopy> {
    let known: BTreeSet<_> = base
        .iter()
        .flat_map(|(base, _)| &base.files)
        .filter_map(|file| file.role.space())
        .map(|space| (space.space_id, space.node))
        .collect();
    let floor_of = |space: &Tablespace, floor| match known.contains(&(space.space_id, space.node)) {
        true => floor,
        false => ScanFloor::WHOLE,
    };
    let with_floor = |space: Tablespace| SpaceToCopy {
        floor: base.map(|(_, floor)| floor_of(&space, floor)),
        space,
        pages: None,
    };
    tablespaces.into_iter().map(with_floor).collect()
}

impl SpaceToCopy {
    /// The bytes of the pages that are read.
    pub(super) fn bytes_to_read(&self) -> u64 {
        let page = self.space.page_size.bytes() as u64;
        let listed = self.pages.as_ref();
        listed.map_or(self.space.bytes, |pages| pages.count() * page)
    }

    /// The file after its copy. Its floor is 0 if every page was read and none was left out for its LSN. So it is
    /// if `IMPORT TABLESPACE` put another file in the place of the one that the base has: it gives the same space
    /// id, and each page that isn't zeros an LSN above all earlier ones. Pages of zeros are in no delta, and with a
    /// floor above 0 they would be taken from the base.
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
    fn a_floor_is_0_where_nothing_was_left_out() {
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
            // Pages that were not read may be anything.
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
        let full = super::to_copy(vec![space.clone()], None);
        assert_eq!(full[0].floor, None);
        let floor = ScanFloor::at(Lsn(100));
        let fresh = super::to_copy(vec![space], Some((&base, floor)));
        assert_eq!(fresh[0].floor, Some(ScanFloor::WHOLE));
    }
}
