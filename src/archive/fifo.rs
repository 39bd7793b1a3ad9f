//! Named pipes: `thread_0`, `thread_1`, ... in a directory, each an xbstream of its own
//! (`docs/format/xbstream.md#fifos`).
//!
//! The writer creates them and waits for readers. The reader waits for them, and removes the name of each
//! after it opened it. Files that are not FIFOs are not changed.

use super::error::{ArchiveError, io};
use crate::cancel::Cancel;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Interval of the checks for the other side.
const POLL: Duration = Duration::from_millis(20);

fn path(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("thread_{number}"))
}

/// How FIFOs are opened.
#[derive(Debug, Clone)]
pub struct FifoOptions {
    /// The directory of the FIFOs `thread_0` to `thread_<count - 1>`.
    pub directory: PathBuf,
    /// The number of FIFOs.
    pub count: usize,
    /// How long to wait for the program on the other side.
    pub timeout: Duration,
    /// Ends the wait early.
    pub cancel: Cancel,
}

/// Created FIFOs, which are removed on drop.
struct Made(Vec<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        for path in &self.0 {
            let is_fifo = fs::lstat(path)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
            if is_fifo {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Creates the FIFOs and waits until each has a reader.
///
/// # Errors
/// [`ArchiveError::Exists`] if a file of that name exists; [`ArchiveError::Fifo`] if a FIFO had no reader
/// within the timeout: the created FIFOs are then removed; [`ArchiveError::Interrupted`].
pub fn writers(options: &FifoOptions) -> Result<Vec<File>, ArchiveError> {
    let mut made = Made(Vec::new());
    for number in 0..options.count {
        let path = path(&options.directory, number);
        fs::mknodat(fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .map_err(io("create", &path))?;
        made.0.push(path);
    }
    let until = (Instant::now() + options.timeout, &options.cancel);
    let opened = made.0.iter().map(|path| {
        let open = || {
            fs::open(
                path,
                OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
                Mode::empty(),
            )
        };
        let fifo = wait(path, until, "reader", || unless(open(), Errno::NXIO))?;
        // From here on, writes block.
        fs::fcntl_setfl(&fifo, OFlags::empty()).map_err(io("open", path))?;
        Ok::<_, ArchiveError>(File::from(fifo))
    });
    let opened = opened.collect::<Result<Vec<_>, _>>()?;
    // The readers remove the names.
    made.0.clear();
    Ok(opened)
}

/// Waits for the FIFOs and for the writer of each, opens them, and removes their names.
///
/// # Errors
/// [`ArchiveError::Fifo`] if a FIFO was not created or not opened for writing within the timeout, or a file
/// of that name is not a FIFO; [`ArchiveError::Interrupted`].
pub fn readers(options: &FifoOptions) -> Result<Vec<File>, ArchiveError> {
    let until = (Instant::now() + options.timeout, &options.cancel);
    let opened = (0..options.count).map(|number| {
        let path = path(&options.directory, number);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || fs::open(&path, flags, Mode::empty());
        let fifo = wait(&path, until, "writer", || unless(open(), Errno::NOENT))?;
        let stat = fs::fstat(&fifo).map_err(io("look at", &path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
            return Err(ArchiveError::Fifo {
                path,
                what: "is no FIFO".to_owned(),
            });
        }
        Ok((path, File::from(fifo)))
    });
    let opened = opened.collect::<Result<Vec<_>, _>>()?;
    opened
        .into_iter()
        .map(|(path, fifo)| {
            wait_for_writer(&path, &fifo, until)?;
            fs::fcntl_setfl(&fifo, OFlags::empty()).map_err(io("open", &path))?;
            std::fs::remove_file(&path).map_err(io("remove", &path))?;
            Ok(fifo)
        })
        .collect()
}

/// Repeats `look` until it returns a value, or fails after `until`.
fn wait<T>(
    path: &Path,
    (until, cancel): (Instant, &Cancel),
    side: &str,
    look: impl Fn() -> Result<Option<T>, Errno>,
) -> Result<T, ArchiveError> {
    loop {
        match look() {
            Ok(Some(there)) => return Ok(there),
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(io("open", path)(error)),
        }
        if Instant::now() >= until {
            return Err(timed_out(path, side));
        }
        if cancel.wait(POLL) {
            return Err(ArchiveError::Interrupted);
        }
    }
}

/// Returns `None` for the error `not_yet`.
fn unless<T>(found: Result<T, Errno>, not_yet: Errno) -> Result<Option<T>, Errno> {
    match found {
        Err(error) if error == not_yet => Ok(None),
        found => found.map(Some),
    }
}

fn timed_out(path: &Path, side: &str) -> ArchiveError {
    ArchiveError::Fifo {
        path: path.to_owned(),
        what: format!(
            "had no {side} within the timeout: start the program on the other side, with the same number of \
             FIFOs, or raise FifoOptions::timeout"
        ),
    }
}

/// Waits until a FIFO has a writer, which need not have written yet. Without a writer, a read would return
/// the end.
fn wait_for_writer(
    path: &Path,
    fifo: &File,
    until: (Instant, &Cancel),
) -> Result<(), ArchiveError> {
    let (_reads, probe) = pipe_with(PipeFlags::CLOEXEC).map_err(io("wait for", path))?;
    wait(path, until, "writer", || {
        Ok(has_writer(fifo, &probe)?.then_some(()))
    })
}

/// Returns whether the FIFO was opened for writing, also if the writer closed it again or has not written.
///
/// Only a read distinguishes a FIFO without a writer (0 bytes) from one whose writer has not written (`EAGAIN`).
/// This one doesn't consume data: it copies a byte into the pipe `probe`.
fn has_writer(fifo: &File, probe: &OwnedFd) -> Result<bool, Errno> {
    let mut ready = [PollFd::new(fifo, PollFlags::IN)];
    poll(&mut ready, Some(&Timespec::default()))?;
    if !ready[0].revents().is_empty() {
        return Ok(true);
    }
    match tee(fifo, probe, 1, SpliceFlags::NONBLOCK) {
        Ok(bytes) => Ok(bytes > 0),
        Err(Errno::AGAIN) => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    const LONG: Duration = Duration::from_secs(60);

    fn options(dir: &Path, count: usize, timeout: Duration) -> FifoOptions {
        FifoOptions {
            directory: dir.to_owned(),
            count,
            timeout,
            cancel: Cancel::new(),
        }
    }

    #[test]
    fn data_is_transferred_and_the_names_are_removed() {
        for reader_first in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            std::thread::scope(|scope| {
                let write = || {
                    for (number, mut fifo) in writers(&options(dir.path(), 3, LONG))
                        .unwrap()
                        .into_iter()
                        .enumerate()
                    {
                        fifo.write_all(&[number as u8; 10]).unwrap();
                    }
                };
                let read = || {
                    for (number, mut fifo) in readers(&options(dir.path(), 3, LONG))
                        .unwrap()
                        .into_iter()
                        .enumerate()
                    {
                        let mut got = Vec::new();
                        fifo.read_to_end(&mut got).unwrap();
                        assert_eq!(got, [number as u8; 10]);
                    }
                };
                if reader_first {
                    scope.spawn(read);
                    scope.spawn(write);
                } else {
                    scope.spawn(write);
                    scope.spawn(read);
                }
            });
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_missing_other_side_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = writers(&options(dir.path(), 2, Duration::ZERO))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("thread_0") && error.contains("had no reader"),
            "{error}"
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let error = readers(&options(dir.path(), 1, Duration::ZERO))
            .unwrap_err()
            .to_string();
        assert!(error.contains("no writer"), "{error}");
        fs::mknodat(
            fs::CWD,
            dir.path().join("thread_0"),
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        let error = readers(&options(dir.path(), 1, Duration::from_millis(50)))
            .unwrap_err()
            .to_string();
        assert!(error.contains("no writer"), "{error}");
    }

    #[test]
    fn a_writer_that_has_not_written_is_found() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            let writers = scope.spawn(|| writers(&options(dir.path(), 2, LONG)).unwrap());
            // Nothing is written before `readers` returns.
            let mut fifos = readers(&options(dir.path(), 2, LONG)).unwrap();
            for (fifo, mut writer) in fifos.iter_mut().zip(writers.join().unwrap()) {
                writer.write_all(b"whole").unwrap();
                drop(writer);
                let mut got = Vec::new();
                fifo.read_to_end(&mut got).unwrap();
                assert_eq!(got, b"whole");
            }
        });
    }

    #[test]
    fn a_writer_that_closed_the_fifo_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thread_0");
        fs::mknodat(fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let fifo = File::from(fs::open(&path, flags, Mode::empty()).unwrap());
        let (_reads, probe) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        assert!(!has_writer(&fifo, &probe).unwrap());
        let writer = File::options().write(true).open(&path).unwrap();
        assert!(has_writer(&fifo, &probe).unwrap(), "silent");
        drop(writer);
        assert!(has_writer(&fifo, &probe).unwrap(), "gone");
    }

    #[test]
    fn other_files_are_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thread_0"), "mine").unwrap();
        let error = writers(&options(dir.path(), 1, LONG)).unwrap_err();
        assert!(matches!(error, ArchiveError::Exists { .. }), "{error}");
        let error = readers(&options(dir.path(), 1, LONG))
            .unwrap_err()
            .to_string();
        assert!(error.contains("is no FIFO"), "{error}");
        assert_eq!(std::fs::read(dir.path().join("thread_0")).unwrap(), b"mine");
    }

    #[test]
    fn a_reader_that_closes_the_fifo_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            let write = scope.spawn(|| {
                let mut fifo = writers(&options(dir.path(), 1, LONG)).unwrap().remove(0);
                loop {
                    if let Err(error) = fifo.write_all(&[0; 4096]) {
                        return error.kind();
                    }
                }
            });
            let mut fifo = readers(&options(dir.path(), 1, LONG)).unwrap().remove(0);
            fifo.read_exact(&mut [0; 10]).unwrap();
            drop(fifo);
            assert_eq!(write.join().unwrap(), std::io::ErrorKind::BrokenPipe);
        });
    }
}
