//! Long runs of a restored file are written with direct I/O.
//!
//! Writing through the page cache costs 0.4 to 1 core-second a GB (the kernel allocates memory,
//! copies, and a thread of its own writes the accumulated pages). With direct I/O only a copy into
//! an aligned buffer is left, the disk starts to write immediately, and the cached data of the host
//! stay in the cache (`benches/PROFILES.md`). Short runs are written through the cache
//! nevertheless: there they are combined with adjacent ones, which come from other members.

use crate::mem::{ALIGNMENT, BufferPool};
use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{LazyLock, OnceLock};

/// Shorter runs are written through the page cache, in bytes.
const LEAST: usize = 512 << 10;
/// Length of one write in bytes.
const WRITE: usize = 1 << 20;
/// Number of concurrent writers; others wait. A writer with a buffer waits only for its own write.
const WRITERS: usize = 8;

static BUFFERS: LazyLock<BufferPool> = LazyLock::new(|| BufferPool::new(WRITERS * WRITE, WRITE));

/// Memory of all buffers in bytes.
pub(super) const BUFFERS_BYTES: u64 = (WRITERS * WRITE) as u64;

/// A second file handle, for direct I/O on a file that is already open.
#[derive(Debug, Default)]
pub(super) struct Direct {
    /// `None` in it: direct I/O is not available.
    file: OnceLock<Option<File>>,
}

impl Direct {
    /// Writes the beginning of `data` at offset `at` of the file at `path`, which the caller
    /// created: as many bytes as direct I/O can write. Returns the number of these bytes (0: direct
    /// I/O is not possible).
    pub(super) fn write(&self, path: &Path, data: &[u8], at: u64) -> io::Result<usize> {
        let whole = data.len() / ALIGNMENT * ALIGNMENT;
        if whole < LEAST || !at.is_multiple_of(ALIGNMENT as u64) {
            return Ok(0);
        }
        let Some(file) = self.file.get_or_init(|| open(path)) else {
            return Ok(0);
        };
        // Threads can write concurrently to blocks that are already allocated; allocations are
        // serialised. If a file system can't allocate in advance, the write does it.
        let _ = fallocate(file, FallocateFlags::KEEP_SIZE, at, whole as u64);
        let mut buffer = BUFFERS.get();
        let mut written = 0;
        for piece in data[..whole].chunks(WRITE) {
            let aligned = &mut buffer[..piece.len()];
            aligned.copy_from_slice(piece);
            let done = write_aligned(file, aligned, at + written as u64)?;
            written += done;
            if done < piece.len() {
                break;
            }
        }
        Ok(written)
    }
}

/// Writes with direct I/O. A file system can accept the flag and refuse the write: then the caller
/// writes the rest.
fn write_aligned(file: &File, data: &[u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < data.len() {
        match file.write_at(&data[done..], at + done as u64) {
            // The rest of a piece that was cut within a block can't be written with direct I/O.
            Ok(n) if !n.is_multiple_of(ALIGNMENT) || n == 0 => return Ok(done),
            Ok(n) => done += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => return Ok(done),
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

fn open(path: &Path) -> Option<File> {
    let flags = i32::try_from((OFlags::DIRECT | OFlags::NOFOLLOW).bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(path);
    // tmpfs accepts the flag, but consists of nothing but page cache.
    file.ok().filter(|file| !is_memory(file))
}

fn is_memory(file: &File) -> bool {
    const TMPFS: rustix::fs::FsWord = 0x0102_1994;
    rustix::fs::fstatfs(file).is_ok_and(|stat| stat.f_type == TMPFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_writes_the_rest_that_does_not_fit_a_block() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.ibd");
        std::fs::write(&path, b"").unwrap();
        let data: Vec<u8> = (0..3 * WRITE + 5000).map(|i| (i / 1000) as u8).collect();
        let direct = Direct::default();
        let n = direct.write(&path, &data, 8192).unwrap();
        assert!(n == 0 || n == 3 * WRITE + 4096, "{n}");
        let read = std::fs::read(&path).unwrap();
        assert_eq!(read.get(8192..).unwrap_or_default(), &data[..n]);
        // An offset that is not aligned, and data that are too short.
        assert_eq!(direct.write(&path, &data, 512).unwrap(), 0);
        assert_eq!(direct.write(&path, &data[..LEAST - 1], 0).unwrap(), 0);
    }

    #[test]
    fn a_missing_file_is_left_to_the_caller() {
        let dir = tempfile::tempdir().unwrap();
        let data = vec![1; WRITE];
        let gone = dir.path().join("gone");
        assert_eq!(Direct::default().write(&gone, &data, 0).unwrap(), 0);
    }
}
