//! Packets of MySQL's client protocol, and the text results of statements.
//!
//! Facts from the MySQL source's documentation ("Client/Server Protocol"): a packet has a length of
//! 3 bytes, a sequence number of 1 byte and the payload; one of 0xFFFFFF bytes is continued by the
//! next. The sequence number counts the packets of both sides and starts at 0 with each command. An
//! answer starts with 0x00 (OK), 0xFF (error), 0xFB (request for a local file) or a number of
//! columns.

use std::io::{self, Read, Write};
use std::time::Duration;

use super::tls::Secured;
use super::wait::{Halt, TimedStream};

/// Maximum payload of one packet; a packet with this length is continued by the next.
const FULL: usize = 0xFF_FFFF;
/// Maximum length of a message, in bytes: the largest `max_allowed_packet`.
const LONGEST: usize = 1 << 30;

pub(super) const OK: u8 = 0x00;
pub(super) const MORE: u8 = 0x01;
pub(super) const EOF: u8 = 0xFE;
pub(super) const ERR: u8 = 0xFF;
const LOCAL_FILE: u8 = 0xFB;
const NULL: u8 = 0xFB;

/// The commands that lsnap sends.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Command {
    Query = 0x03,
    Ping = 0x0e,
    ResetConnection = 0x1f,
}

/// An error of the protocol.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("{0}")]
    Halt(Halt),
    #[error("the server closed the connection")]
    Closed,
    #[error("{0}")]
    Io(io::Error),
    #[error("error {code}: {message}")]
    Server { code: u16, message: String },
    #[error("the answer is not of MySQL's protocol: {0}")]
    Protocol(String),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        match Halt::of(&error) {
            Some(halt) => Self::Halt(halt),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Closed,
            None => Self::Io(error),
        }
    }
}

fn protocol_error(what: impl Into<String>) -> WireError {
    WireError::Protocol(what.into())
}

/// The transport of the bytes.
#[derive(Debug)]
pub(super) enum Channel {
    Plain(TimedStream),
    Tls(Box<Secured>),
}

/// A connection that sends and receives packets.
#[derive(Debug)]
pub(super) struct Wire {
    channel: Channel,
    sequence: u8,
    /// Whether rows end with an OK packet instead of an EOF packet.
    pub(super) no_eof: bool,
}

impl Wire {
    pub(super) fn new(peer: TimedStream) -> Self {
        Self {
            channel: Channel::Plain(peer),
            sequence: 0,
            no_eof: false,
        }
    }

    /// Switches the connection to TLS.
    pub(super) fn secured(
        self,
        wrap: impl FnOnce(TimedStream) -> Result<Secured, String>,
    ) -> Result<Self, String> {
        let channel = match self.channel {
            Channel::Plain(peer) => Channel::Tls(Box::new(wrap(peer)?)),
            already @ Channel::Tls(_) => already,
        };
        Ok(Self { channel, ..self })
    }

    pub(super) fn is_secured(&self) -> bool {
        matches!(self.channel, Channel::Tls(_))
    }

    pub(super) fn peer(&mut self) -> &mut TimedStream {
        match &mut self.channel {
            Channel::Plain(peer) => peer,
            Channel::Tls(stream) => &mut stream.sock,
        }
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> Result<(), WireError> {
        match &mut self.channel {
            Channel::Plain(peer) => peer.read_exact(buf)?,
            Channel::Tls(stream) => stream.read_exact(buf)?,
        }
        Ok(())
    }

    /// Reads one message.
    pub(super) fn read(&mut self) -> Result<Vec<u8>, WireError> {
        let mut message = Vec::new();
        loop {
            let mut head = [0; 4];
            self.read_exact(&mut head)?;
            let [a, b, c, sequence] = head;
            let len = u32::from_le_bytes([a, b, c, 0]) as usize;
            if sequence != self.sequence {
                let expected = self.sequence;
                return Err(protocol_error(format!(
                    "packet number {sequence}, expected {expected}"
                )));
            }
            self.sequence = self.sequence.wrapping_add(1);
            let at = message.len();
            if at + len > LONGEST {
                return Err(protocol_error("a message of more than 1 GiB"));
            }
            message.resize(at + len, 0);
            self.read_exact(&mut message[at..])?;
            if len < FULL {
                return Ok(message);
            }
        }
    }

    /// Writes one message.
    pub(super) fn write(&mut self, message: &[u8]) -> Result<(), WireError> {
        let mut bytes = Vec::with_capacity(message.len() + 4);
        let mut rest = message;
        loop {
            let (part, after) = rest.split_at(rest.len().min(FULL));
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes()[..3]);
            bytes.push(self.sequence);
            bytes.extend_from_slice(part);
            self.sequence = self.sequence.wrapping_add(1);
            rest = after;
            if part.len() < FULL {
                break;
            }
        }
        match &mut self.channel {
            Channel::Plain(peer) => peer.write_all(&bytes)?,
            Channel::Tls(stream) => {
                stream.write_all(&bytes)?;
                stream.flush()?;
            }
        }
        Ok(())
    }

    /// Sends a command and reads its complete answer, within `limit`.
    pub(super) fn command(
        &mut self,
        command: Command,
        argument: &str,
        limit: Duration,
    ) -> Result<Answer, WireError> {
        self.peer().wait.renew(limit);
        self.sequence = 0;
        let mut message = vec![command as u8];
        message.extend_from_slice(argument.as_bytes());
        self.write(&message)?;
        let first = self.read()?;
        match first.first() {
            Some(&OK) => Ok(Answer::default()),
            Some(&ERR) => Err(error_of(&first)),
            Some(&LOCAL_FILE) | None => Err(protocol_error("neither OK, an error nor rows")),
            Some(_) => self.rows(&first),
        }
    }

    fn rows(&mut self, first: &[u8]) -> Result<Answer, WireError> {
        let count = Fields(first).number()?;
        let mut answer = Answer::default();
        for _ in 0..count {
            let column = self.read()?;
            let mut fields = Fields(&column);
            // catalog, schema, table, the table's own name
            for _ in 0..4 {
                fields.bytes()?;
            }
            let name = String::from_utf8_lossy(fields.bytes()?).into_owned();
            answer.names.push(name);
        }
        if !self.no_eof {
            self.read()?;
        }
        loop {
            let row = self.read()?;
            match row.first() {
                Some(&ERR) => return Err(error_of(&row)),
                // A row starts with this byte only if it is very long.
                Some(&EOF) if row.len() < FULL => return Ok(answer),
                _ => {}
            }
            let mut fields = Fields(&row);
            let cells = (0..count).map(|_| fields.cell());
            answer.rows.push(cells.collect::<Result<_, _>>()?);
        }
    }
}

/// Column names and rows; both empty for a statement without a result set.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) names: Vec<String>,
    pub(super) rows: Vec<Vec<Option<Vec<u8>>>>,
}

/// Parses an error packet: code, optional state of six bytes, message.
pub(super) fn error_of(packet: &[u8]) -> WireError {
    let (Some(code), Some(rest)) = (packet.get(1..3), packet.get(3..)) else {
        return protocol_error("an error that is cut off");
    };
    let code = u16::from_le_bytes([code[0], code[1]]);
    let text = match rest.first() {
        Some(b'#') => rest.get(6..).unwrap_or_default(),
        _ => rest,
    };
    let message = String::from_utf8_lossy(text).into_owned();
    WireError::Server { code, message }
}

/// A parser for the fields of a message.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or_else(|| protocol_error("a message that is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, WireError> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn little(&mut self, len: usize) -> Result<u64, WireError> {
        let bytes = self.take(len)?.iter().rev();
        Ok(bytes.fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    /// Returns the bytes up to a zero byte, which is consumed; without one, all remaining bytes.
    pub(super) fn until_zero(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|b| *b == 0);
        let (taken, rest) = match end {
            Some(end) => (&self.0[..end], &self.0[end + 1..]),
            None => (self.0, &self.0[..0]),
        };
        self.0 = rest;
        taken
    }

    /// Parses a length-encoded number.
    fn number(&mut self) -> Result<u64, WireError> {
        match self.byte()? {
            n @ 0..=0xFA => Ok(u64::from(n)),
            0xFC => self.little(2),
            0xFD => self.little(3),
            0xFE => self.little(8),
            _ => Err(protocol_error("no length where one was expected")),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let len = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        self.take(len)
    }

    fn cell(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        if self.0.first() == Some(&NULL) {
            self.0 = &self.0[1..];
            return Ok(None);
        }
        Ok(Some(self.bytes()?.to_vec()))
    }
}

/// Appends bytes with a length prefix in its shortest form.
pub(super) fn counted(bytes: &[u8], to: &mut Vec<u8>) {
    let len = bytes.len();
    match len {
        0..=0xFA => to.push(len as u8),
        0xFB..=0xFFFF => {
            to.push(0xFC);
            to.extend_from_slice(&(len as u32).to_le_bytes()[..2]);
        }
        _ => {
            to.push(0xFD);
            to.extend_from_slice(&(len as u32).to_le_bytes()[..3]);
        }
    }
    to.extend_from_slice(bytes);
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
