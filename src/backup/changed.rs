//! The changed pages of all files of a backup, from the server's page tracking.

use super::page_set::Pages;
use super::spaces::SpaceToCopy;
use crate::counted;
use crate::datadir::Tablespace;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};

/// Bytes of one entry in a list of changed pages: space id and page number, 4 bytes each,
/// big-endian.
pub(super) const ENTRY: usize = 8;
/// Bytes of the list that are read in one call; a multiple of [`ENTRY`].
const READ_BYTES: usize = 1 << 20;
/// The tablespace files of a backup with the pages to read of each. The sets take effect only after
/// [`Self::accept`]: if the list turns out to be wrong, the files stay unchanged and are read as a
/// whole.
#[derive(Debug)]
pub(super) struct ChangedPages<'a> {
    files: Vec<ListedFile<'a>>,
    /// The files of each tablespace: number of their first page in the tablespace, and index in
    /// `files`.
    spaces: HashMap<u32, Vec<(u32, usize)>>,
}

/// A tablespace file and its set of pages.
#[derive(Debug)]
pub(super) struct ListedFile<'a> {
    file: &'a mut SpaceToCopy,
    /// The pages to read; `None`: all.
    pub pages: Option<Pages>,
}

impl ListedFile<'_> {
    /// Returns the tablespace file.
    pub(super) const fn space(&self) -> &Tablespace {
        &self.file.space
    }
}

impl<'a> ChangedPages<'a> {
    /// Creates empty sets for the files for which `tracked` returns true; the others are read as a
    /// whole.
    pub(super) fn new(
        files: &'a mut [SpaceToCopy],
        tracked: impl Fn(&SpaceToCopy) -> bool,
    ) -> Self {
        let mut spaces: HashMap<u32, Vec<(u32, usize)>> = HashMap::new();
        let listed = |(i, file): (usize, &'a mut SpaceToCopy)| {
            let pages = tracked(file).then(|| Pages::new(&file.space));
            if pages.is_some() {
                let of_space = spaces.entry(file.space.space_id.0).or_default();
                of_space.push((file.space.first_page, i));
            }
            ListedFile { file, pages }
        };
        Self {
            files: files.iter_mut().enumerate().map(listed).collect(),
            spaces,
        }
    }

    /// Returns the file at this index.
    pub(super) fn file(&self, place: usize) -> Option<&ListedFile<'a>> {
        self.files.get(place)
    }

    /// Iterates over all files with their index.
    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = (usize, &mut ListedFile<'a>)> {
        self.files.iter_mut().enumerate()
    }

    /// Sets the pages of each file: only these are read.
    pub(super) fn accept(self) {
        for ListedFile { file, pages } in self.files {
            file.pages = pages;
        }
    }

    /// Adds the entries of a list. Entries for tablespaces and pages that are not in the files are
    /// ignored: they were dropped, or belong to files that are read as a whole. Returns the number
    /// of entries.
    ///
    /// # Errors
    /// Errors of reading; [`ErrorKind::InvalidData`] if the list ends within an entry.
    pub(super) fn add_list(&mut self, mut list: impl Read) -> io::Result<u64> {
        let mut buffer = vec![0; READ_BYTES];
        let (mut held, mut entries) = (0, 0u64);
        loop {
            match list.read(&mut buffer[held..]) {
                Ok(0) => break,
                Ok(n) => held += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            }
            let whole = held / ENTRY * ENTRY;
            for entry in buffer[..whole].chunks_exact(ENTRY) {
                self.add(entry);
            }
            entries += (whole / ENTRY) as u64;
            buffer.copy_within(whole..held, 0);
            held -= whole;
        }
        if held == 0 {
            return Ok(entries);
        }
        Err(io::Error::new(
            ErrorKind::InvalidData,
            format!(
                "it ends {held} into an entry of {ENTRY} bytes",
                held = counted::count(held, "byte")
            ),
        ))
    }

    fn add(&mut self, entry: &[u8]) {
        let number = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&entry[at..at + 4]);
            u32::from_be_bytes(bytes)
        };
        let (space, page) = (number(0), number(4));
        for (first, file) in self.spaces.get(&space).into_iter().flatten() {
            let file = self.files.get_mut(*file);
            let pages = file.and_then(|file| file.pages.as_mut());
            if let (Some(in_file), Some(pages)) = (page.checked_sub(*first), pages) {
                pages.add(in_file);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datadir::TablespaceKind;
    use crate::innodb::{PageSize, SpaceFlags, SpaceId};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn space(id: u32, first_page: u32, pages: u64) -> SpaceToCopy {
        let space = Tablespace {
            source: "t".into(),
            name: format!("{id}-{first_page}"),
            kind: TablespaceKind::FilePerTable,
            space_id: SpaceId(id),
            node: 0,
            first_page,
            flags: SpaceFlags(0),
            page_size: PageSize::new(16384).unwrap(),
            bytes: pages * 16384,
            tablespace_name: None,
            external: None,
        };
        SpaceToCopy {
            space,
            floor: None,
            pages: None,
        }
    }

    fn pages_of<'c>(changed: &'c ChangedPages<'_>, file: usize) -> Option<&'c Pages> {
        changed.file(file).unwrap().pages.as_ref()
    }

    fn entry(space: u32, page: u32) -> Vec<u8> {
        [space.to_be_bytes(), page.to_be_bytes()].concat()
    }

    /// Returns a few bytes per read.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(buf.len());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn listed(pages: &Pages) -> BTreeSet<u32> {
        (0..pages.pages()).filter(|p| pages.has(*p)).collect()
    }

    #[test]
    fn a_list_that_ends_within_an_entry_is_refused() {
        let mut files = [space(7, 0, 9)];
        let mut changed = ChangedPages::new(&mut files, |_| true);
        let mut list = entry(7, 3);
        list.extend([0, 0, 0]);
        let error = changed.add_list(&list[..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("3 bytes"), "{error}");
    }

    #[test]
    fn entries_are_assigned_to_the_files_of_their_space() {
        let mut files = [space(0, 0, 10), space(0, 10, 10), space(5, 0, 4)];
        let mut changed = ChangedPages::new(&mut files, |file| file.space.space_id == SpaceId(0));
        let list = [entry(0, 9), entry(0, 10), entry(0, 20), entry(5, 1)].concat();
        assert_eq!(changed.add_list(&list[..]).unwrap(), 4);
        assert_eq!(
            listed(pages_of(&changed, 0).unwrap()),
            BTreeSet::from([0, 9])
        );
        assert_eq!(listed(pages_of(&changed, 1).unwrap()), BTreeSet::from([0]));
        assert!(pages_of(&changed, 2).is_none());
        if let Some((_, first)) = changed.files_mut().next() {
            first.pages = None;
        }
        changed.add_list(&list[..]).unwrap();
        assert!(pages_of(&changed, 0).is_none());
        changed.accept();
        let given = files.map(|file| file.pages.map(|pages| listed(&pages)));
        assert_eq!(given, [None, Some(BTreeSet::from([0])), None]);
    }

    #[test]
    fn a_list_that_is_not_accepted_changes_nothing() {
        let mut files = [space(7, 0, 9)];
        let mut changed = ChangedPages::new(&mut files, |_| true);
        changed.add_list(&entry(7, 3)[..]).unwrap();
        drop(changed);
        assert!(files[0].pages.is_none(), "it is read as a whole");
    }

    proptest! {
        #[test]
        fn a_list_is_the_set_of_its_entries(
            entries in prop::collection::vec((0u32..4, 0u32..300), 0..400),
            at_once in 1usize..40,
        ) {
            let mut files = [space(1, 0, 257), space(2, 0, 64)];
            let mut changed = ChangedPages::new(&mut files, |_| true);
            let list: Vec<u8> = entries.iter().flat_map(|(s, p)| entry(*s, *p)).collect();
            let n = changed.add_list(Dribble(&list, at_once)).unwrap();
            prop_assert_eq!(n, entries.len() as u64);
            for (file, space, pages) in [(0, 1, 257), (1, 2, 64)] {
                let mut expected: BTreeSet<u32> = entries
                    .iter()
                    .filter(|(s, p)| *s == space && *p < pages)
                    .map(|(_, p)| *p)
                    .collect();
                expected.insert(0);
                prop_assert_eq!(listed(pages_of(&changed, file).unwrap()), expected);
            }
        }

        #[test]
        fn any_bytes_are_accepted_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut files = [space(0, 0, 100)];
            let mut changed = ChangedPages::new(&mut files, |_| true);
            let read = changed.add_list(&bytes[..]);
            prop_assert_eq!(read.is_ok(), bytes.len() % ENTRY == 0);
        }
    }
}
