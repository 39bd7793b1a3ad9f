//! Positioned reads of a file that a server is writing to, without the page cache if possible.
//!
//! Direct reads (`O_DIRECT`) need memory, offsets and lengths that are multiples of 4096 bytes.
//! Pages of 1 or 2 KiB and the end of a file aren't, so the read is extended to such multiples in a
//! window, and the requested part is copied from it. If direct reads aren't available, the pages
//! that were read are dropped from the page cache immediately: a backup must not evict the server's
//! pages. Pages that the server itself had in the cache are dropped too, because the two can't be
//! distinguished; a server that reads through the page cache (`innodb_flush_method=fsync`) on such
//! a file system reads them again from its disk. In both modes the first 4 KiB of each tablespace
//! stay in the cache, because the next backup reads them first.

use super::DatadirError;
use crate::counted::count;
use crate::innodb::{PageSize, SpaceHeader};
use crate::mem::{self, ALIGNMENT, Buffer, BufferPool};
use rustix::fs::{Advice, OFlags};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The mode of reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadMode {
    /// Direct if the file system supports it, otherwise buffered.
    #[default]
    Auto,
    /// Direct (`O_DIRECT`); an error if the file system doesn't support it.
    Direct,
    /// Through the page cache; pages are dropped from it after the read.
    Buffered,
}

/// Windows for reads that can't go directly into the caller's memory. They are few and shared by
/// all readers; a thread holds at most one, and only for one read.
static WINDOWS: LazyLock<BufferPool> = LazyLock::new(|| BufferPool::new(16 * WINDOW, WINDOW));
const WINDOW: usize = 256 << 10;

/// Length of the part of page 0 with the tablespace header, in bytes.
pub(super) const HEAD: usize = 1024;

/// Maximum payload of a window with any alignment, in bytes.
pub(super) const WINDOW_PAYLOAD: usize = WINDOW - 2 * ALIGNMENT;

pub(super) fn window() -> Buffer {
    WINDOWS.get()
}

/// The header in page 0, and the file's length.
pub(super) struct Head {
    pub header: SpaceHeader,
    pub length: u64,
}

impl Head {
    /// Returns the physical page size by the flags.
    pub(super) fn page_size(&self, path: &Path) -> Result<PageSize, DatadirError> {
        let size = self.header.flags.physical_page_size();
        size.map_err(|source| DatadirError::NotATablespace {
            path: path.to_owned(),
            source,
        })
    }
}

/// Reads the header of a tablespace. It is within one sector, so it can't be torn.
pub(super) fn head(path: &Path) -> Result<Head, DatadirError> {
    let file = File::open(path).map_err(DatadirError::io("open", path))?;
    let metadata = file.metadata().map_err(DatadirError::io("look at", path))?;
    // Without readahead: the kernel would read a small table completely into the page cache.
    let _ = rustix::fs::fadvise(&file, 0, None, Advice::Random);
    let mut page0 = [0u8; HEAD];
    let mut have = 0;
    while have < page0.len() {
        match file.read_at(&mut page0[have..], have as u64) {
            Ok(0) => break,
            Ok(got) => have += got,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(DatadirError::io("read", path)(e)),
        }
    }
    let header = SpaceHeader::parse(&page0[..have]);
    Ok(Head {
        header: header.map_err(|source| DatadirError::NotATablespace {
            path: path.to_owned(),
            source,
        })?,
        length: metadata.len(),
    })
}

/// Returns the length of the whole pages of a file. A partial page at its end is being added by the
/// server, and comes from the redo log.
pub(super) fn whole_pages(path: &Path, length: u64, page_size: PageSize) -> u64 {
    let rest = length % page_size.bytes() as u64;
    if rest > 0 {
        tracing::warn!(
            file = %path.display(),
            length,
            page_size = page_size.bytes(),
            "{rest} at the end are not a whole page and are left out", rest = count(rest, "byte")
        );
    }
    length - rest
}

/// A file for positioned reads.
#[derive(Debug)]
pub(super) struct PositionedFile {
    file: File,
    path: PathBuf,
    direct: bool,
    /// The first bytes of the file, from the test read when it was opened.
    tried: Vec<u8>,
}

impl PositionedFile {
    pub(super) fn open(path: &Path, mode: ReadMode) -> Result<Self, DatadirError> {
        if mode != ReadMode::Buffered {
            match Self::open_direct(path) {
                Ok(file) => return Ok(file),
                Err(e) if e.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                    if mode == ReadMode::Direct {
                        return Err(DatadirError::NoDirect {
                            path: path.to_owned(),
                            source: e,
                        });
                    }
                }
                Err(e) => return Err(DatadirError::io("open", path)(e)),
            }
        }
        let file = File::open(path).map_err(DatadirError::io("open", path))?;
        // Without readahead: reads are long, and pages that are read ahead would stay in the cache.
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::Random);
        Ok(Self {
            file,
            path: path.to_owned(),
            direct: false,
            tried: Vec::new(),
        })
    }

    /// Opens the file for direct reads. Some file systems accept the flag and refuse the first
    /// read, so a test read is done.
    fn open_direct(path: &Path) -> io::Result<Self> {
        let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or_default();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?;
        let mut opened = Self {
            file,
            path: path.to_owned(),
            direct: true,
            tried: Vec::new(),
        };
        let mut window = window();
        let got = mem::read_until(&opened.file, &mut window[..ALIGNMENT], 0, ALIGNMENT, true)?;
        opened.tried = window[..got.min(HEAD)].to_vec();
        Ok(opened)
    }

    /// Returns the first [`HEAD`] bytes of the file at the time when it was opened, if available.
    /// Only the first call returns them.
    pub(super) fn take_head(&mut self) -> Option<Vec<u8>> {
        let head = std::mem::take(&mut self.tried);
        (head.len() == HEAD).then_some(head)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_direct(&self) -> bool {
        self.direct
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn len(&self) -> Result<u64, DatadirError> {
        let metadata = self.file.metadata();
        Ok(metadata
            .map_err(DatadirError::io("look at", &self.path))?
            .len())
    }

    /// Reads from `offset` until `buf` is full.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), DatadirError> {
        let aligned = |n: usize| n.is_multiple_of(ALIGNMENT);
        if !self.direct
            || (offset.is_multiple_of(ALIGNMENT as u64)
                && aligned(buf.len())
                && aligned(buf.as_ptr().addr()))
        {
            let need = buf.len();
            return self.fill(buf, offset, 0, need);
        }
        let mut window = window();
        let mut at = offset;
        for piece in buf.chunks_mut(WINDOW_PAYLOAD) {
            piece.copy_from_slice(self.read_window(at, piece.len(), &mut window)?);
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Reads `len` bytes (at most [`WINDOW_PAYLOAD`]) from `offset` through `window`.
    pub(super) fn read_window<'w>(
        &self,
        offset: u64,
        len: usize,
        window: &'w mut [u8],
    ) -> Result<&'w [u8], DatadirError> {
        let skip = (offset % ALIGNMENT as u64) as usize;
        let wide = (skip + len).next_multiple_of(ALIGNMENT).min(window.len());
        self.fill(&mut window[..wide], offset - skip as u64, skip, skip + len)?;
        Ok(&window[skip..skip + len])
    }

    /// Reads into `window` from `start` until its first `need` bytes are available; the part from
    /// `skip` on was requested.
    fn fill(
        &self,
        window: &mut [u8],
        start: u64,
        skip: usize,
        need: usize,
    ) -> Result<(), DatadirError> {
        let have = mem::read_until(&self.file, window, start, need, self.direct)
            .map_err(DatadirError::io("read", &self.path))?;
        if have < need {
            return Err(DatadirError::Shrunk {
                path: self.path.clone(),
                offset: start + skip as u64,
                end: start + need as u64,
                found_end: start + have as u64,
            });
        }
        if !self.direct {
            // An advice: if it is ignored, only the page cache is affected.
            let len = NonZeroU64::new(need as u64);
            let _ = rustix::fs::fadvise(&self.file, start, len, Advice::DontNeed);
        }
        Ok(())
    }
}
