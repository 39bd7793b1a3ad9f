//! Pipes whose blocked reads can be ended.
//!
//! A read of a pipe blocks until its writer writes. After a failure in another thread, that may never happen: a
//! program that writes several pipes blocks on one that is no longer read, or does other work for an hour. So a
//! failure ends such reads.

use crate::cancel::Cancel;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;

/// A pipe, a FIFO or a socket; its reads fail once the [`Cancel`] is cancelled.
#[derive(Debug)]
pub(super) struct Pipe {
    file: File,
    cancel: Cancel,
}

impl Pipe {
    /// Creates a reader of `file`; `cancel` ends its reads.
    pub(super) const fn new(file: File, cancel: Cancel) -> Self {
        Self { file, cancel }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let event = self.cancel.event()?;
        let mut ready = [
            PollFd::new(&self.file, PollFlags::IN),
            PollFd::new(&event, PollFlags::IN),
        ];
        while let Err(error) = poll(&mut ready, None) {
            if error != Errno::INTR {
                return Err(error.into());
            }
        }
        if !ready[1].revents().is_empty() {
            return Err(std::io::Error::other("stopped"));
        }
        self.file.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::OwnedFd;

    #[test]
    fn a_read_ends_by_bytes_by_the_end_and_by_a_cancel() {
        let (read, write) = std::io::pipe().unwrap();
        let (cancel, file) = (Cancel::new(), File::from(OwnedFd::from(read)));
        let mut pipe = Pipe::new(file, cancel.clone());
        let mut write = File::from(OwnedFd::from(write));
        write.write_all(b"ab").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(pipe.read(&mut buffer).unwrap(), 2);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| pipe.read(&mut [0; 8]).unwrap_err().to_string());
            cancel.cancel();
            assert!(reader.join().unwrap().contains("stopped"));
        });
        write.write_all(b"ab").unwrap();
        assert!(pipe.read(&mut buffer).is_err(), "also later data");
        drop(write);

        let (read, write) = std::io::pipe().unwrap();
        drop(write);
        let file = File::from(OwnedFd::from(read));
        let mut pipe = Pipe::new(file, Cancel::new());
        assert_eq!(pipe.read(&mut buffer).unwrap(), 0);
    }
}
