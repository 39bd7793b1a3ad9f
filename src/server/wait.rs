//! The time limit of a wait for the server, and its cancellation.
//!
//! Every byte from and to a server goes through [`TimedStream`]. It waits for the connection, for the
//! time limit and for the [`Cancel`] of the job at the same time. So an unresponsive server doesn't
//! block a command for longer than its limit, and cancellation doesn't wait for a server.

use crate::cancel::Cancel;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{TryRecvError, channel};
use std::time::{Duration, Instant};

use super::options::Transport;

/// The reason why a wait ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Halt {
    #[error("cancelled")]
    Cancelled,
    #[error("no answer in time")]
    TimedOut,
}

impl Halt {
    /// Returns the halt in an error of [`TimedStream`], also if other layers wrapped it.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().copied()
    }
}

impl From<Halt> for io::Error {
    fn from(halt: Halt) -> Self {
        let kind = match halt {
            Halt::Cancelled => ErrorKind::Other,
            Halt::TimedOut => ErrorKind::TimedOut,
        };
        Self::new(kind, halt)
    }
}

/// The end of a wait.
#[derive(Debug, Clone)]
pub(super) struct Wait {
    cancel: Cancel,
    until: Instant,
}

impl Wait {
    pub(super) fn new(cancel: Cancel, limit: Duration) -> Self {
        let until = Instant::now() + limit;
        Self { cancel, until }
    }

    pub(super) fn check(&self) -> Result<(), Halt> {
        if self.cancel.is_cancelled() {
            return Err(Halt::Cancelled);
        }
        if Instant::now() >= self.until {
            return Err(Halt::TimedOut);
        }
        Ok(())
    }

    /// Restarts with this limit.
    pub(super) fn renew(&mut self, limit: Duration) {
        self.until = Instant::now() + limit;
    }

    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Waits until `connection` is ready, until the limit, or until the job is cancelled.
    /// [`Self::check`] distinguishes the last two.
    fn until_ready(&self, connection: BorrowedFd<'_>, ready: PollFlags) -> io::Result<()> {
        let event = self.cancel.event()?;
        let mut waited = [
            PollFd::new(&connection, ready),
            PollFd::new(&event, PollFlags::IN),
        ];
        let left = Timespec::try_from(self.left()).ok();
        match poll(&mut waited, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[derive(Debug)]
enum Raw {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection whose reads and writes end when their [`Wait`] ends.
#[derive(Debug)]
pub(super) struct TimedStream {
    raw: Raw,
    pub(super) wait: Wait,
}

impl TimedStream {
    /// Connects. The resolution of a name and a full queue of the listener have no time limits, so
    /// a thread does both; if the wait ends earlier, its connection is dropped.
    pub(super) fn connect(to: &Transport, wait: Wait) -> io::Result<Self> {
        let (made, result) = channel();
        let (to, limit) = (to.clone(), wait.left());
        let connecting = std::thread::Builder::new().name("connect".into());
        // Cancelled by the thread, or with the job.
        let ended = wait.cancel.child();
        let end = ended.clone();
        connecting.spawn(move || {
            // The receiver is dropped if the wait has ended.
            let _ = made.send(connect(&to, limit));
            end.cancel();
        })?;
        let _ = ended.wait(wait.left());
        match result.try_recv() {
            Ok(raw) => Ok(Self { raw: raw?, wait }),
            Err(TryRecvError::Empty) => {
                wait.check()?;
                Err(Halt::TimedOut.into())
            }
            Err(TryRecvError::Disconnected) => Err(io::Error::other("the connecting thread ended")),
        }
    }
}

fn connect(to: &Transport, limit: Duration) -> io::Result<Raw> {
    match to {
        Transport::Socket(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_nonblocking(true)?;
            Ok(Raw::Unix(stream))
        }
        Transport::Tcp { host, port } => {
            let mut last = io::Error::other("the host name has no address");
            for address in (host.as_str(), *port).to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, limit) {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        stream.set_nonblocking(true)?;
                        return Ok(Raw::Tcp(stream));
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

impl TimedStream {
    /// Returns another handle of the same connection.
    #[cfg(test)]
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let raw = match &self.raw {
            Raw::Tcp(stream) => Raw::Tcp(stream.try_clone()?),
            Raw::Unix(stream) => Raw::Unix(stream.try_clone()?),
        };
        let wait = self.wait.clone();
        Ok(Self { raw, wait })
    }

    /// Repeats a step until it succeeds or fails; waits if the kernel isn't ready.
    fn until_done(
        &mut self,
        ready: PollFlags,
        mut step: impl FnMut(&mut Raw) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            self.wait.check()?;
            match step(&mut self.raw) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.wait.until_ready(self.raw.as_fd(), ready)?;
                }
                other => return other,
            }
        }
    }
}

impl AsFd for Raw {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for TimedStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.until_done(PollFlags::IN, |raw| match raw {
            Raw::Tcp(stream) => stream.read(buf),
            Raw::Unix(stream) => stream.read(buf),
        })
    }
}

impl Write for TimedStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.until_done(PollFlags::OUT, |raw| match raw {
            Raw::Tcp(stream) => stream.write(buf),
            Raw::Unix(stream) => stream.write(buf),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn silent() -> (tempfile::TempDir, UnixListener, Transport) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        (dir, listener, Transport::Socket(path))
    }

    #[test]
    fn a_silent_peer_is_an_error_after_the_limit() {
        let (_dir, _listener, to) = silent();
        let began = Instant::now();
        let wait = Wait::new(Cancel::new(), Duration::from_millis(250));
        let mut peer = TimedStream::connect(&to, wait).unwrap();
        let error = peer.read(&mut [0; 1]).unwrap_err();
        assert_eq!(Halt::of(&error), Some(Halt::TimedOut));
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_cancel_ends_a_read_and_a_write() {
        let (_dir, _listener, to) = silent();
        let cancel = Cancel::new();
        let wait = Wait::new(cancel.clone(), Duration::from_secs(600));
        let mut peer = TimedStream::connect(&to, wait).unwrap();
        std::thread::scope(|scope| {
            let full = scope.spawn(move || {
                let mut error = None;
                // more than fits into a socket's buffer
                while error.is_none() {
                    error = peer.write(&[0; 65_536]).err();
                }
                (error.unwrap(), peer.read(&mut [0; 1]).unwrap_err())
            });
            std::thread::sleep(Duration::from_millis(50));
            cancel.cancel();
            let (write, read) = full.join().unwrap();
            assert_eq!(Halt::of(&write), Some(Halt::Cancelled));
            assert_eq!(Halt::of(&read), Some(Halt::Cancelled));
        });
    }
}
