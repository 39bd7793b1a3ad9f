//! Pipes whose readers can be woken.
//!
//! Who reads a pipe sleeps until its writer writes. After a failure elsewhere it may never: a program that
//! writes several pipes waits for the one that nobody reads any more, or it is busy with something else for
//! an hour. So a failure ends such reads.

use super::error::{ArchiveError, io};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

/// Ends reads of pipes, those that wait and those to come.
#[derive(Debug)]
pub struct Stop(OwnedFd);

impl Stop {
    /// For any number of pipes.
    ///
    /// # Errors
    /// [`ArchiveError::Io`]: too many files are open.
    pub fn new() -> Result<Arc<Self>, ArchiveError> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let event = event.map_err(io("make an event for", Path::new("the streams")))?;
        Ok(Arc::new(Self(event)))
    }

    /// Ends them: they fail.
    pub fn stop(&self) {
        // It can't fail: the counter has room for as many failures as there will ever be.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

/// A pipe, or whatever else a stream comes through; its reads fail once there is a [`Stop`].
#[derive(Debug)]
pub struct Pipe {
    file: File,
    stop: Arc<Stop>,
}

impl Pipe {
    /// Reads `file` until it ends, or `stop` ends it.
    #[must_use]
    pub const fn new(file: File, stop: Arc<Stop>) -> Self {
        Self { file, stop }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut ready = [
            PollFd::new(&self.file, PollFlags::IN),
            PollFd::new(&self.stop.0, PollFlags::IN),
        ];
        while let Err(error) = poll(&mut ready, None) {
            if error != Errno::INTR {
                return Err(error.into());
            }
        }
        if !ready[1].revents().is_empty() {
            return Err(std::io::Error::other("stopped because of an earlier error"));
        }
        self.file.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_read_ends_by_bytes_by_the_end_and_by_a_stop() {
        let (read, write) = std::io::pipe().unwrap();
        let (stop, file) = (Stop::new().unwrap(), File::from(OwnedFd::from(read)));
        let mut pipe = Pipe::new(file, Arc::clone(&stop));
        let mut write = File::from(OwnedFd::from(write));
        write.write_all(b"ab").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(pipe.read(&mut buffer).unwrap(), 2);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| pipe.read(&mut [0; 8]).unwrap_err().to_string());
            stop.stop();
            assert!(reader.join().unwrap().contains("stopped"));
        });
        write.write_all(b"ab").unwrap();
        assert!(pipe.read(&mut buffer).is_err(), "also what comes later");
        drop(write);

        let (read, write) = std::io::pipe().unwrap();
        drop(write);
        let file = File::from(OwnedFd::from(read));
        let mut pipe = Pipe::new(file, Stop::new().unwrap());
        assert_eq!(pipe.read(&mut buffer).unwrap(), 0);
    }
}
