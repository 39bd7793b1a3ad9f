//! A tablespace file that is written in any order and stays sparse: zero pages are never written,
//! and the tail of a page-compressed page stays a hole (`docs/format/pages.md#page-compression`).

use super::direct::Direct;
use super::error::{RestoreError, io};
use crate::innodb::page;
use rustix::fs::{Advice, FallocateFlags, OFlags, fadvise, fallocate};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Mode of restored files, the same as that of `mysqld`.
pub(crate) const FILE_MODE: u32 = 0o640;

/// The unit of holes in bytes. On a file system with larger blocks there are fewer holes.
const HOLE_BLOCK: usize = 4096;

/// Length of one write through the page cache in bytes. On Linux 6.18 with ext4, a gigabyte in
/// writes of this length took 0.3 core-seconds, in longer and in shorter ones 0.4 to 1 (apparently
/// the cache allocates in units as large as the write allows).
const WRITE: usize = 512 << 10;

/// A new file of fixed length; shared by the threads that write it.
#[derive(Debug)]
pub(crate) struct SparseFile {
    file: File,
    path: PathBuf,
    page_size: usize,
    direct: Direct,
    /// True if the file had other content before: zeros must be written too.
    in_place: bool,
}

impl SparseFile {
    /// Opens a file to be changed in place, or creates it, and sets its length. Symbolic links are
    /// not followed. Returns the file, and whether it was created.
    pub(crate) fn update(
        path: &Path,
        bytes: u64,
        page_size: usize,
    ) -> Result<(Self, bool), RestoreError> {
        let mut how = OpenOptions::new();
        how.read(true).write(true).mode(FILE_MODE);
        let opened = how
            .clone()
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path);
        let (file, created) = match opened {
            Err(error) if error.kind() == ErrorKind::NotFound => (
                how.create_new(true)
                    .open(path)
                    .map_err(io("create", path))?,
                true,
            ),
            other => (other.map_err(io("open", path))?, false),
        };
        file.set_len(bytes).map_err(io("set the length of", path))?;
        let file = Self {
            file,
            path: path.to_path_buf(),
            page_size,
            direct: Direct::default(),
            in_place: !created,
        };
        Ok((file, created))
    }

    /// Creates the file: it must not exist, and symbolic links are not followed.
    pub(crate) fn create(path: &Path, bytes: u64, page_size: usize) -> Result<Self, RestoreError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(path)
            .map_err(io("create", path))?;
        file.set_len(bytes).map_err(io("set the length of", path))?;
        Ok(Self {
            file,
            path: path.to_path_buf(),
            page_size,
            direct: Direct::default(),
            in_place: false,
        })
    }

    /// Opens an existing file.
    #[cfg(test)]
    pub(super) fn for_tests(path: &Path) -> Self {
        Self {
            file: OpenOptions::new().write(true).open(path).unwrap(),
            path: path.to_path_buf(),
            page_size: 16384,
            direct: Direct::default(),
            in_place: false,
        }
    }

    /// Writes whole pages from page `first` on (the last one may be incomplete if its rest is a
    /// hole). Returns the number of bytes that were written to the file.
    pub(crate) fn write(&self, first: u64, data: &[u8]) -> Result<u64, RestoreError> {
        let mut written = 0;
        let mut run = 0..0;
        for (index, page) in data.chunks(self.page_size).enumerate() {
            let start = index * self.page_size;
            let keep = kept(page, self.page_size);
            if self.in_place && keep < page.len() {
                let at = first * self.page_size as u64 + start as u64;
                self.zero(at + keep as u64, (page.len() - keep) as u64)?;
            }
            if keep == 0 {
                written += self.flush(first, data, &mut run)?;
                continue;
            }
            if run.is_empty() {
                run = start..start;
            }
            run.end = start + keep;
            if keep < page.len() {
                written += self.flush(first, data, &mut run)?;
            }
        }
        Ok(written + self.flush(first, data, &mut run)?)
    }

    /// Replaces a part of the file by zeros: by a hole, if the file system has holes.
    fn zero(&self, at: u64, bytes: u64) -> Result<(), RestoreError> {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, hole, at, bytes) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                let zeros = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
                let written = self.file.write_all_at(&zeros, at);
                written.map_err(io("write", &self.path))
            }
            Err(error) => Err(io("make a hole in", &self.path)(error.into())),
        }
    }

    fn flush(&self, first: u64, data: &[u8], run: &mut Range<usize>) -> Result<u64, RestoreError> {
        let run = std::mem::take(run);
        if run.is_empty() {
            return Ok(0);
        }
        let mut at = first * self.page_size as u64 + run.start as u64;
        let mut data = &data[run];
        let bytes = data.len() as u64;
        let written = self.direct.write(&self.path, data, at);
        let written = written.map_err(io("write", &self.path))?;
        data = &data[written..];
        at += written as u64;
        for piece in data.chunks(WRITE) {
            let written = self.file.write_all_at(piece, at);
            written.map_err(io("write", &self.path))?;
            at += piece.len() as u64;
        }
        Ok(bytes)
    }

    /// Starts writeback of a part of the file that will not be written again, so that the disk is
    /// not idle until the file is synced. (This advice starts writeback, and drops pages that are
    /// already on the disk from the page cache: Linux, mm/fadvise.c.)
    pub(crate) fn begin_writing(&self, part: Range<u64>) {
        let bytes = NonZeroU64::new(part.end.saturating_sub(part.start));
        if bytes.is_some() {
            let _ = fadvise(&self.file, part.start, bytes, Advice::DontNeed);
        }
    }

    /// Reads the first bytes of the file.
    pub(crate) fn head(&self, buffer: &mut [u8]) -> Result<(), RestoreError> {
        self.file
            .read_exact_at(buffer, 0)
            .map_err(io("read", &self.path))
    }

    /// Syncs the file.
    pub(crate) fn sync(&self) -> Result<(), RestoreError> {
        self.file.sync_all().map_err(io("sync", &self.path))
    }
}

/// Returns how many bytes of a page must be written: none of a zero page, the head of a
/// page-compressed page whose tail is really zero, else all.
fn kept(page: &[u8], page_size: usize) -> usize {
    if page::is_zero(page) {
        return 0;
    }
    if page.len() < page_size {
        return page.len();
    }
    page::stored_len(page, HOLE_BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    const P: usize = 16384;

    fn page(fill: u8) -> Vec<u8> {
        let mut page = vec![fill; P];
        page[24..26].copy_from_slice(&17855u16.to_be_bytes());
        page
    }

    #[test]
    fn zero_pages_and_compressed_tails_stay_holes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.ibd");
        let file = SparseFile::create(&path, 64 * P as u64, P).unwrap();
        let mut compressed = vec![0u8; P];
        compressed[..100].fill(7);
        compressed[24..26].copy_from_slice(&14u16.to_be_bytes());
        compressed[32..34].copy_from_slice(&62u16.to_be_bytes());
        let data = [page(1), vec![0; P], compressed, page(2)].concat();
        assert_eq!(file.write(2, &data).unwrap(), (P + 4096 + P) as u64);
        let read = std::fs::read(&path).unwrap();
        assert_eq!(read.len(), 64 * P);
        assert_eq!(&read[2 * P..6 * P], &data[..]);
        assert!(page::is_zero(&read[..2 * P]) && page::is_zero(&read[6 * P..]));
        let blocks = std::fs::metadata(&path).unwrap().blocks() * 512;
        assert!(blocks <= (2 * P + 4096 + 4096) as u64, "{blocks}");
    }

    /// A tail that is not zero must be kept, even if the header claims that the page is compressed.
    #[test]
    fn a_compressed_page_with_a_nonzero_tail_is_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.ibd");
        let file = SparseFile::create(&path, P as u64, P).unwrap();
        let mut data = vec![0u8; P];
        data[..100].fill(7);
        data[P - 1] = 1;
        data[24..26].copy_from_slice(&14u16.to_be_bytes());
        data[32..34].copy_from_slice(&62u16.to_be_bytes());
        assert_eq!(file.write(0, &data).unwrap(), P as u64);
        assert_eq!(std::fs::read(&path).unwrap(), data);
    }

    /// The old content of a page that is zero or shorter now must not stay.
    #[test]
    fn a_file_that_is_changed_in_place_keeps_nothing_of_a_written_page() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.ibd");
        std::fs::write(&path, vec![9u8; 6 * P]).unwrap();
        let (file, created) = SparseFile::update(&path, 5 * P as u64, P).unwrap();
        assert!(!created);
        let mut compressed = vec![0u8; P];
        compressed[..100].fill(7);
        compressed[24..26].copy_from_slice(&14u16.to_be_bytes());
        compressed[32..34].copy_from_slice(&62u16.to_be_bytes());
        let data = [page(1), vec![0; P], compressed].concat();
        file.write(1, &data).unwrap();
        let read = std::fs::read(&path).unwrap();
        assert_eq!(read.len(), 5 * P);
        assert_eq!(&read[P..4 * P], &data[..]);
        assert!(read[..P].iter().chain(&read[4 * P..]).all(|b| *b == 9));
        let (_, created) = SparseFile::update(&dir.path().join("new.ibd"), P as u64, P).unwrap();
        assert!(created);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(SparseFile::update(&link, P as u64, P).is_err());
    }

    #[test]
    fn existing_files_and_links_are_never_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        std::fs::write(&outside, b"x").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&outside, &link).unwrap();
        assert!(SparseFile::create(&link, P as u64, P).is_err());
        assert!(SparseFile::create(&outside, P as u64, P).is_err());
        assert_eq!(std::fs::read(&outside).unwrap(), b"x");
    }
}
