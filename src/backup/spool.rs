//! Buffers the redo on disk: the follower appends to an unnamed file, and an uploader reads it.
//!
//! The follower must never wait for the store (`docs/design.md#bounds`): redo that the server
//! overwrites before it was read is lost, and the backup with it. Uploaded parts are punched out of
//! the spool, so that it uses only as much disk space as the store is behind.

use super::error::BackupError;
use crate::locked::{Locked, Waited};
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard};

/// The number of written bytes, and whether more will follow.
#[derive(Debug, Default, Clone, Copy)]
struct State {
    written: u64,
    closed: bool,
    failed: bool,
    /// The reader must not read beyond this offset: the rest may still be truncated.
    hold: Option<u64>,
}

impl State {
    fn readable(&self) -> u64 {
        self.hold
            .map_or(self.written, |hold| self.written.min(hold))
    }
}

/// A file with one writer and one reader.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    dir: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

/// The result of a read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Number of bytes of the buffer that were filled.
    Data(usize),
    /// The writer closed the spool and all bytes were read.
    End,
    /// The writer failed.
    Failed,
}

impl Spool {
    /// Opens an unnamed file in `dir`: it disappears with the process.
    pub(super) fn new(dir: &Path) -> Result<Self, BackupError> {
        let file = tempfile::tempfile_in(dir).map_err(BackupError::io(dir, "create the spool"))?;
        Ok(Self {
            file,
            dir: dir.to_owned(),
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }

    /// Appends `bytes`.
    pub(super) fn append(&self, bytes: &[u8]) -> Result<(), BackupError> {
        let at = self.lock().written;
        self.file.write_all_at(bytes, at).map_err(BackupError::io(
            &self.dir,
            "write the redo spool (use another directory: BackupOptions::spool_dir)",
        ))?;
        self.lock().written = at + bytes.len() as u64;
        self.changed.notify_all();
        Ok(())
    }

    /// Hides bytes that are appended from now on from the reader, until the close.
    pub(super) fn hold(&self) {
        let mut state = self.lock();
        state.hold = Some(state.written);
    }

    /// Truncates to `len`; only bytes after [`Spool::hold`] may be removed.
    pub(super) fn truncate(&self, len: u64) {
        let mut state = self.lock();
        debug_assert!(
            state.hold.is_some_and(|hold| len >= hold),
            "{len} of {state:?}"
        );
        state.written = state.written.min(len);
    }

    /// Reads appended bytes back.
    pub(super) fn read_back(&self, offset: u64, buffer: &mut [u8]) -> Result<(), BackupError> {
        self.file
            .read_exact_at(buffer, offset)
            .map_err(BackupError::io(&self.dir, "read the redo spool"))
    }

    /// Ends the spool; `ok`: all bytes were appended.
    pub(super) fn close(&self, ok: bool) {
        let mut state = self.lock();
        state.closed |= ok;
        state.failed |= !ok;
        state.hold = None;
        drop(state);
        self.changed.notify_all();
    }

    /// Fills `buffer` from `offset` on. Waits until it can be filled completely, or the spool is
    /// closed.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<Piece, BackupError> {
        let want = buffer.len() as u64;
        let mut state = self.lock();
        while !state.failed && !state.closed && state.readable() < offset + want {
            state = self.changed.waited(state);
        }
        let State {
            written, failed, ..
        } = *state;
        drop(state);
        if failed {
            return Ok(Piece::Failed);
        }
        let len = written.saturating_sub(offset).min(want) as usize;
        if len == 0 {
            return Ok(Piece::End);
        }
        self.file
            .read_exact_at(&mut buffer[..len], offset)
            .map_err(BackupError::io(&self.dir, "read the redo spool"))?;
        Ok(Piece::Data(len))
    }

    /// Frees the disk space between `from` and `to`. If the file system can't do that, the space is
    /// used until the end.
    pub(super) fn release(&self, from: u64, to: u64) {
        let _ = fallocate(
            &self.file,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            from,
            to.saturating_sub(from),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_reader_gets_whole_pieces_and_the_rest_at_the_close() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path()).unwrap();
        thread::scope(|s| {
            s.spawn(|| {
                for i in 0..10u8 {
                    spool.append(&[i; 100]).unwrap();
                }
                spool.close(true);
            });
            let mut got = Vec::new();
            let mut buffer = [0; 300];
            loop {
                match spool.read(got.len() as u64, &mut buffer).unwrap() {
                    Piece::Data(n) => {
                        assert!(n == 300 || got.len() == 900, "{n} at {}", got.len());
                        got.extend_from_slice(&buffer[..n]);
                    }
                    Piece::End => break,
                    Piece::Failed => panic!("not failed"),
                }
            }
            let wanted: Vec<u8> = (0..10u8).flat_map(|i| [i; 100]).collect();
            assert_eq!(got, wanted);
        });
    }

    #[test]
    fn a_writer_that_gives_up_wakes_the_reader() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path()).unwrap();
        thread::scope(|s| {
            let reader = s.spawn(|| spool.read(0, &mut [0; 10]).unwrap());
            spool.close(false);
            assert_eq!(reader.join().unwrap(), Piece::Failed);
        });
    }

    #[test]
    fn held_back_bytes_can_be_truncated_and_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path()).unwrap();
        spool.append(&[1; 100]).unwrap();
        spool.hold();
        spool.append(&[2; 100]).unwrap();
        thread::scope(|s| {
            let reader = s.spawn(|| {
                let mut buffer = [0; 200];
                (spool.read(0, &mut buffer).unwrap(), buffer)
            });
            spool.truncate(150);
            spool.close(true);
            let (piece, buffer) = reader.join().unwrap();
            assert_eq!(piece, Piece::Data(150));
            assert_eq!(buffer[99..151], [&[1][..], &[2; 50], &[0]].concat());
        });
    }

    #[test]
    fn the_spool_has_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path()).unwrap();
        spool.append(b"x").unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
