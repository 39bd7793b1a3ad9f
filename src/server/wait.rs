//! How long an answer of the server is waited for, and what ends the wait early.
//!
//! Every byte from and to a server goes through [`Patient`]. It waits in slices of [`SLICE`] and between them
//! looks at the clock and at the flag that a signal sets. So no server, however silent, holds a command for
//! longer than it was given, and no signal waits for a server.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::options::Transport;

/// How long one call of the kernel waits: a signal is seen that much later.
const SLICE: Duration = Duration::from_millis(100);

/// Why a wait ended without what it was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Halt {
    #[error("stopped by a signal")]
    Stopped,
    #[error("no answer in time")]
    Late,
}

impl Halt {
    /// The halt in an error of [`Patient`], through whatever layer it came.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().copied()
    }
}

impl From<Halt> for io::Error {
    fn from(halt: Halt) -> Self {
        let kind = match halt {
            Halt::Stopped => ErrorKind::Other,
            Halt::Late => ErrorKind::TimedOut,
        };
        Self::new(kind, halt)
    }
}

/// When a wait ends.
#[derive(Debug, Clone)]
pub(super) struct Wait {
    stop: Arc<AtomicBool>,
    until: Instant,
}

impl Wait {
    pub(super) fn new(stop: Arc<AtomicBool>, limit: Duration) -> Self {
        let until = Instant::now() + limit;
        Self { stop, until }
    }

    pub(super) fn check(&self) -> Result<(), Halt> {
        if self.stop.load(Ordering::Acquire) {
            return Err(Halt::Stopped);
        }
        if Instant::now() >= self.until {
            return Err(Halt::Late);
        }
        Ok(())
    }

    /// Begins anew, with this limit.
    pub(super) fn renew(&mut self, limit: Duration) {
        self.until = Instant::now() + limit;
    }

    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

#[derive(Debug)]
enum Raw {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection whose reads and writes end when their [`Wait`] does.
#[derive(Debug)]
pub(super) struct Patient {
    raw: Raw,
    pub(super) wait: Wait,
}

impl Patient {
    /// Connects. Looking a name up and a full queue of the listener have no limits of their own, so a thread does
    /// both; when nobody waits for it any more, what it made is dropped.
    pub(super) fn connect(to: &Transport, wait: Wait) -> io::Result<Self> {
        let (made, result) = channel();
        let (to, limit) = (to.clone(), wait.left());
        let connecting = std::thread::Builder::new().name("connect".into());
        connecting.spawn(move || {
            // Who gave up has dropped the other end.
            let _ = made.send(connect(&to, limit));
        })?;
        loop {
            match result.recv_timeout(SLICE) {
                Ok(raw) => return Ok(Self { raw: raw?, wait }),
                Err(RecvTimeoutError::Timeout) => wait.check()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("the connecting thread ended"));
                }
            }
        }
    }
}

fn connect(to: &Transport, limit: Duration) -> io::Result<Raw> {
    match to {
        Transport::Socket(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(SLICE))?;
            stream.set_write_timeout(Some(SLICE))?;
            Ok(Raw::Unix(stream))
        }
        Transport::Tcp { host, port } => {
            let mut last = io::Error::other("the host name has no address");
            for address in (host.as_str(), *port).to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, limit) {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        stream.set_read_timeout(Some(SLICE))?;
                        stream.set_write_timeout(Some(SLICE))?;
                        return Ok(Raw::Tcp(stream));
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

impl Patient {
    /// Another end of the same connection.
    #[cfg(test)]
    pub(super) fn twin(&self) -> io::Result<Self> {
        let raw = match &self.raw {
            Raw::Tcp(stream) => Raw::Tcp(stream.try_clone()?),
            Raw::Unix(stream) => Raw::Unix(stream.try_clone()?),
        };
        let wait = self.wait.clone();
        Ok(Self { raw, wait })
    }

    fn until_done(
        &mut self,
        mut step: impl FnMut(&mut Raw) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            self.wait.check()?;
            match step(&mut self.raw) {
                Err(e) if is_early(&e) => {}
                other => return other,
            }
        }
    }
}

/// The slice is over, or a signal came in between.
fn is_early(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

impl Read for Patient {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.until_done(|raw| match raw {
            Raw::Tcp(stream) => stream.read(buf),
            Raw::Unix(stream) => stream.read(buf),
        })
    }
}

impl Write for Patient {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.until_done(|raw| match raw {
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
    fn a_silent_peer_costs_no_more_than_the_limit() {
        let (_dir, _listener, to) = silent();
        let began = Instant::now();
        let wait = Wait::new(Arc::default(), Duration::from_millis(250));
        let mut peer = Patient::connect(&to, wait).unwrap();
        let error = peer.read(&mut [0; 1]).unwrap_err();
        assert_eq!(Halt::of(&error), Some(Halt::Late));
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn the_flag_ends_a_read_and_a_write() {
        let (_dir, _listener, to) = silent();
        let stop = Arc::new(AtomicBool::new(false));
        let wait = Wait::new(Arc::clone(&stop), Duration::from_secs(600));
        let mut peer = Patient::connect(&to, wait).unwrap();
        std::thread::scope(|scope| {
            let full = scope.spawn(move || {
                let mut error = None;
                // more than a socket's buffer takes
                while error.is_none() {
                    error = peer.write(&[0; 65_536]).err();
                }
                (error.unwrap(), peer.read(&mut [0; 1]).unwrap_err())
            });
            std::thread::sleep(Duration::from_millis(50));
            stop.store(true, Ordering::Release);
            let (write, read) = full.join().unwrap();
            assert_eq!(Halt::of(&write), Some(Halt::Stopped));
            assert_eq!(Halt::of(&read), Some(Halt::Stopped));
        });
    }
}
