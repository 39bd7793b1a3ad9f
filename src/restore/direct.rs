//! Long runs of a restored file are written past the page cache.
//!
//! The kernel's way through its cache costs 0.4 to 1 core-second a GB (it finds fresh memory, copies, and a thread
//! of its own writes out what has gathered); past it a copy into an aligned buffer is all there is, the disk
//! has work at once, and what a host keeps in its cache stays there (`benches/PROFILES.md`). Short runs go
//! through the cache all the same: there they gather with their neighbours, which come from other members.

use crate::mem::{ALIGNMENT, BufferPool};
use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{LazyLock, OnceLock};

/// What is shorter goes through the cache, in bytes.
const LEAST: usize = 512 << 10;
/// Bytes of one write.
const WRITE: usize = 1 << 20;
/// Writers at the same time; the others wait. Nobody who has a buffer waits for anything but its write.
const WRITERS: usize = 8;

static BUFFERS: LazyLock<BufferPool> = LazyLock::new(|| BufferPool::new(WRITERS * WRITE, WRITE));

/// What the buffers take when all are in use, in bytes.
pub(super) const BUFFERS_BYTES: u64 = (WRITERS * WRITE) as u64;

/// A second way into a file that is open already.
#[derive(Debug, Default)]
pub(super) struct Direct {
    /// `None` inside: not to be had here.
    file: OnceLock<Option<File>>,
}

impl Direct {
    /// Writes the beginning of `data` at offset `at` of the file at `path`, which the caller made: as much as
    /// can go past the cache (0: nothing can). Returns how many bytes that were.
    pub(super) fn write(&self, path: &Path, data: &[u8], at: u64) -> io::Result<usize> {
        let whole = data.len() / ALIGNMENT * ALIGNMENT;
        if whole < LEAST || !at.is_multiple_of(ALIGNMENT as u64) {
            return Ok(0);
        }
        let Some(file) = self.file.get_or_init(|| open(path)) else {
            return Ok(0);
        };
        // Blocks that the file has already are written by several threads at once; for new ones each waits for the
        // others. A file system that can't do it ahead does it with the write.
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

/// A file system may take the flag and refuse the write: then the rest goes the usual way.
fn write_aligned(file: &File, data: &[u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < data.len() {
        match file.write_at(&data[done..], at + done as u64) {
            // What is left of a piece that was cut within a block can't go past the cache.
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
    // A RAM disk takes the flag, but it is a page cache and nothing else.
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
    fn what_fits_no_block_is_left_to_the_caller() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.ibd");
        std::fs::write(&path, b"").unwrap();
        let data: Vec<u8> = (0..3 * WRITE + 5000).map(|i| (i / 1000) as u8).collect();
        let direct = Direct::default();
        let n = direct.write(&path, &data, 8192).unwrap();
        assert!(n == 0 || n == 3 * WRITE + 4096, "{n}");
        let read = std::fs::read(&path).unwrap();
        assert_eq!(read.get(8192..).unwrap_or_default(), &data[..n]);
        // where a block does not begin, and what is short
        assert_eq!(direct.write(&path, &data, 512).unwrap(), 0);
        assert_eq!(direct.write(&path, &data[..LEAST - 1], 0).unwrap(), 0);
    }

    #[test]
    fn a_file_that_is_no_more_is_left_to_the_caller() {
        let dir = tempfile::tempdir().unwrap();
        let data = vec![1; WRITE];
        let gone = dir.path().join("gone");
        assert_eq!(Direct::default().write(&gone, &data, 0).unwrap(), 0);
    }
}
