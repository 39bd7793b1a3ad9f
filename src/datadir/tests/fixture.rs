//! Generated data directories with pages that pass every check.

use crate::datadir::*;
use crate::innodb::{PageSize, SpaceFlags, SpaceId};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Flags of MySQL 8.0 and later, for 16 KiB pages.
pub const TABLE: SpaceFlags = SpaceFlags(0x4021);
pub const GENERAL: SpaceFlags = SpaceFlags(0x4800);
pub const UNDO: SpaceFlags = SpaceFlags(0);
pub const ENCRYPTED_TABLE: SpaceFlags = SpaceFlags(0x6021);
pub const ZIP_1K: SpaceFlags = SpaceFlags(0x4023);
pub const ZIP_2K: SpaceFlags = SpaceFlags(0x4025);

const INDEX: u16 = 17855;
const FSP_HDR: u16 = 8;
const TRX_SYS: u16 = 7;

fn put(page: &mut [u8], at: usize, bytes: &[u8]) {
    page[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Sets the checksum of a page.
pub fn seal(page: &mut [u8], flags: SpaceFlags) {
    let n = page.len();
    if flags.zip_size().is_some() {
        let sum = crc32c::crc32c(&page[4..16])
            ^ crc32c::crc32c(&page[24..26])
            ^ crc32c::crc32c(&page[34..]);
        put(page, 0, &sum.to_be_bytes());
        return;
    }
    let low: [u8; 4] = page[20..24].try_into().unwrap();
    put(page, n - 4, &low);
    let sum = crc32c::crc32c(&page[4..26]) ^ crc32c::crc32c(&page[38..n - 8]);
    put(page, 0, &sum.to_be_bytes());
    put(page, n - 8, &sum.to_be_bytes());
}

/// Returns a valid page. `no` is its number in the tablespace, `lsn` distinguishes versions of it.
pub fn page(no: u32, space: u32, flags: SpaceFlags, lsn: u64) -> Vec<u8> {
    let size = flags.physical_page_size().unwrap().bytes();
    let mut page: Vec<u8> = (0..size)
        .map(|i| (i as u64 * 31 + lsn + u64::from(no)) as u8)
        .collect();
    put(&mut page, 4, &no.to_be_bytes());
    put(&mut page, 16, &lsn.to_be_bytes());
    put(&mut page, 24, &INDEX.to_be_bytes());
    put(&mut page, 26, &[0; 8]);
    put(&mut page, 34, &space.to_be_bytes());
    if no == 0 {
        page[38..].fill(0);
        put(&mut page, 8, &90_704u32.to_be_bytes());
        put(&mut page, 12, &1u32.to_be_bytes());
        put(&mut page, 24, &FSP_HDR.to_be_bytes());
        put(&mut page, 38, &space.to_be_bytes());
        put(&mut page, 54, &flags.0.to_be_bytes());
    }
    seal(&mut page, flags);
    page
}

/// Returns an encrypted page: only its header is readable.
pub fn encrypted(no: u32, space: u32, lsn: u64) -> Vec<u8> {
    let mut page = page(no, space, ENCRYPTED_TABLE, lsn);
    put(&mut page, 24, &15u16.to_be_bytes());
    page
}

/// Returns page 5 of the system tablespace, with a doublewrite area of two extents.
pub fn trx_sys(first: u32, second: u32) -> Vec<u8> {
    let mut page = page(5, 0, GENERAL, 500);
    put(&mut page, 24, &TRX_SYS.to_be_bytes());
    let at = page.len() - 200;
    put(&mut page, at + 10, &536_853_855u32.to_be_bytes());
    put(&mut page, at + 14, &first.to_be_bytes());
    put(&mut page, at + 18, &second.to_be_bytes());
    seal(&mut page, GENERAL);
    page
}

/// Writes a file of pages 0..n, each with LSN 1000 + its number.
pub fn write_space(path: &Path, space: u32, flags: SpaceFlags, pages: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let all: Vec<u8> = (0..pages)
        .flat_map(|no| page(no, space, flags, 1000 + u64::from(no)))
        .collect();
    fs::write(path, all).unwrap();
}

pub fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

/// A minimal data directory: system tablespace, dictionary, two undo tablespaces.
pub struct TestDatadir {
    pub dir: TempDir,
    pub paths: ServerPaths,
    /// The files that the server has open.
    pub known: Vec<ServerTablespace>,
    /// Further tablespaces of its dictionary.
    pub listed: Vec<DictionarySpace>,
}

impl TestDatadir {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let datadir = dir.path().join("data");
        fs::create_dir(&datadir).unwrap();
        let mut made = Self {
            paths: ServerPaths {
                datadir,
                data_home: PathBuf::new(),
                data_file_path: "ibdata1:5M;ibdata2:5M:autoextend".into(),
                undo_dir: ".".into(),
                redo_dir: ".".into(),
                doublewrite_dir: None,
                temp_dir: "#innodb_temp".into(),
                page_size: PageSize::DEFAULT,
            },
            dir,
            known: Vec::new(),
            listed: Vec::new(),
        };
        for (file, pages) in [("ibdata1", 10), ("ibdata2", 0)] {
            let path = made.path(file);
            write_space(&path, 0, GENERAL, pages);
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(5 << 20)
                .unwrap();
            made.row(0, "innodb_system", &format!("./{file}"), false);
        }
        made.space("mysql.ibd", "mysql", 0xFFFF_FFFE, GENERAL, 3);
        made.space("undo_001", "innodb_undo_001", 0xFFFF_FFEF, UNDO, 3);
        made.space("undo_002", "innodb_undo_002", 0xFFFF_FFEE, UNDO, 3);
        made
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.paths.datadir.join(relative)
    }

    /// Returns a path next to the data directory.
    pub fn outside(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// Writes a tablespace relative to the data directory (or absolute) that the server has open.
    pub fn space(&mut self, path: &str, name: &str, space: u32, flags: SpaceFlags, pages: u32) {
        write_space(&self.path(path), space, flags, pages);
        let absolute = Path::new(path).is_absolute();
        let shown = if absolute {
            path.to_owned()
        } else {
            format!("./{path}")
        };
        let undo = name.contains("undo") || path.ends_with(".ibu");
        self.row(space, name, &shown, undo);
    }

    pub fn row(&mut self, space: u32, name: &str, path: &str, undo: bool) {
        self.known.push(ServerTablespace {
            space_id: SpaceId(space),
            name: name.into(),
            path: path.into(),
            undo,
        });
    }

    pub fn touch(&self, relative: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, relative).unwrap();
    }

    /// Adds a tablespace that isn't open to the dictionary.
    pub fn unopened(&mut self, space: u32, name: &str, path: &str, discarded: bool) {
        self.listed.push(DictionarySpace {
            space_id: SpaceId(space),
            name: name.into(),
            path: Some(path.into()),
            undo: false,
            discarded,
        });
    }

    /// Returns the lists of a server that has these files open.
    pub fn lists(&self) -> ServerLists {
        let open = self.known.iter().map(|row| DictionarySpace {
            space_id: row.space_id,
            name: row.name.clone(),
            path: (row.name != "mysql").then(|| row.path.clone()),
            undo: row.undo,
            discarded: false,
        });
        ServerLists {
            dictionary: open.chain(self.listed.iter().cloned()).collect(),
            open: self.known.clone(),
        }
    }

    pub fn survey(&self) -> Result<Survey, DatadirError> {
        let lists = (!self.known.is_empty()).then(|| self.lists());
        survey(
            &self.paths,
            lists.as_ref().map_or(Spaces::OnDisk, Spaces::OfServer),
        )
    }

    /// Returns the tablespace with this name from a new survey.
    pub fn find(&self, name: &str) -> Tablespace {
        let survey = self.survey().unwrap();
        let found = survey.tablespaces.into_iter().find(|t| t.name == name);
        found.unwrap_or_else(|| panic!("no {name}"))
    }
}
