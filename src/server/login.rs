//! The handshake: the server's greeting, TLS, and the password.
//!
//! Facts: the MySQL source's documentation ("Connection Phase"). Capabilities that aren't requested
//! can't be abused by a server: no local files, no multiple statements, no plugin that sends the
//! password in clear (except under TLS or over a unix socket, as `caching_sha2_password` does).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use mysql_common::{crypto, scramble};

use super::options::{ConnectOptions, Transport};
use super::tls;
use super::wait::{Halt, TimedStream, Wait};
use super::wire::{EOF, ERR, Fields, MORE, OK, Wire, WireError, counted, error_of};

const LONG_PASSWORD: u32 = 1;
const LONG_FLAG: u32 = 1 << 2;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const CONNECT_ATTRS: u32 = 1 << 20;
const COUNTED_AUTH: u32 = 1 << 21;
const NO_EOF: u32 = 1 << 24;
const WANTED: u32 = LONG_PASSWORD
    | LONG_FLAG
    | PROTOCOL_41
    | TRANSACTIONS
    | SECURE_CONNECTION
    | PLUGIN_AUTH
    | CONNECT_ATTRS
    | COUNTED_AUTH
    | NO_EOF;
/// `utf8mb4_general_ci`, which every server supports.
const CHARACTER_SET: u8 = 45;
/// Maximum length of a packet, in bytes.
const LONGEST: u32 = 1 << 30;

const NATIVE: &str = "mysql_native_password";
const SHA2: &str = "caching_sha2_password";
/// The server checks the owner of the other end of the socket; nothing is sent.
const BY_SOCKET: &str = "auth_socket";

/// The cause why the login failed.
#[derive(Debug)]
pub(super) enum LoginError {
    /// No server listens.
    Connect(std::io::Error),
    /// No answer, an error packet, or an invalid packet.
    Wire(WireError),
    /// The server has no TLS.
    NoTls,
    /// TLS can't be used, or the certificate was refused; with the reason.
    Tls(String),
    /// The account needs an unsupported plugin.
    Plugin(String),
    /// The password would be sent over the network with an unauthenticated key.
    Insecure,
    /// The server's RSA key can't be used.
    Key(Option<PathBuf>, String),
}

impl From<WireError> for LoginError {
    fn from(error: WireError) -> Self {
        match error {
            // An error of rustls.
            WireError::Io(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                Self::Tls(e.to_string())
            }
            other => Self::Wire(other),
        }
    }
}

/// The greeting of the server.
struct Greeting {
    connection_id: u32,
    capabilities: u32,
    nonce: Vec<u8>,
    plugin: String,
}

/// Connects and logs in; returns the connection and its id. Connecting and the handshake have the
/// same limit each.
pub(super) fn login(
    o: &ConnectOptions,
    wait: Wait,
    limit: Duration,
) -> Result<(Wire, u32), LoginError> {
    let peer = TimedStream::connect(&o.transport, wait).map_err(|e| match Halt::of(&e) {
        Some(halt) => LoginError::Wire(WireError::Halt(halt)),
        None => LoginError::Connect(e),
    })?;
    let mut wire = Wire::new(peer);
    wire.peer().wait.renew(limit);
    let greeting = greeting(&wire.read()?)?;
    let mut capabilities = WANTED & greeting.capabilities;
    if tls::is_wanted(o) && greeting.capabilities & SSL != 0 {
        capabilities |= SSL;
        wire.write(&preamble(capabilities))?;
        wire = wire
            .secured(|peer| tls::secure(peer, o))
            .map_err(LoginError::Tls)?;
    } else if tls::is_needed(o) {
        return Err(LoginError::NoTls);
    }
    wire.no_eof = capabilities & NO_EOF != 0;
    let plugin = if greeting.plugin == SHA2 {
        SHA2
    } else {
        NATIVE
    };
    let mut login = Login {
        wire,
        o,
        nonce: greeting.nonce,
        plugin: plugin.to_owned(),
    };
    let answer = response(o, capabilities, &login.scrambled()?, plugin);
    login.wire.write(&answer)?;
    login.authenticate()?;
    Ok((login.wire, greeting.connection_id))
}

fn greeting(packet: &[u8]) -> Result<Greeting, LoginError> {
    let mut fields = Fields(packet);
    match fields.byte()? {
        10 => {}
        ERR => return Err(error_of(packet).into()),
        other => {
            let what = format!("protocol version {other}, expected 10");
            return Err(WireError::Protocol(what).into());
        }
    }
    fields.until_zero();
    let connection_id = fields.little(4)? as u32;
    let mut nonce = fields.take(8)?.to_vec();
    fields.take(1)?;
    let low = fields.little(2)? as u32;
    // character set, status
    fields.take(3)?;
    let capabilities = low | (fields.little(2)? as u32) << 16;
    if capabilities & PROTOCOL_41 == 0 || capabilities & SECURE_CONNECTION == 0 {
        return Err(WireError::Protocol("a server from before MySQL 4.1".into()).into());
    }
    let len = usize::from(fields.byte()?);
    fields.take(10)?;
    nonce.extend_from_slice(fields.take(len.saturating_sub(8).max(13))?);
    nonce.truncate(20);
    let plugin = String::from_utf8_lossy(fields.until_zero()).into_owned();
    Ok(Greeting {
        connection_id,
        capabilities,
        nonce,
        plugin,
    })
}

/// Returns the first part of the handshake response, which is also the request for TLS.
fn preamble(capabilities: u32) -> Vec<u8> {
    let mut out = capabilities.to_le_bytes().to_vec();
    out.extend_from_slice(&LONGEST.to_le_bytes());
    out.push(CHARACTER_SET);
    out.extend_from_slice(&[0; 23]);
    out
}

fn response(o: &ConnectOptions, capabilities: u32, proof: &[u8], plugin: &str) -> Vec<u8> {
    let mut out = preamble(capabilities);
    out.extend_from_slice(o.user.as_bytes());
    out.push(0);
    counted(proof, &mut out);
    if capabilities & PLUGIN_AUTH != 0 {
        out.extend_from_slice(plugin.as_bytes());
        out.push(0);
    }
    if capabilities & CONNECT_ATTRS != 0 {
        let mut attributes = Vec::new();
        let pid = std::process::id().to_string();
        for text in [
            "program_name",
            "lsnap",
            "_client_name",
            "lsnap",
            "_pid",
            &pid,
        ] {
            counted(text.as_bytes(), &mut attributes);
        }
        counted(&attributes, &mut out);
    }
    out
}

struct Login<'a> {
    wire: Wire,
    o: &'a ConnectOptions,
    nonce: Vec<u8>,
    plugin: String,
}

impl Login<'_> {
    fn password(&self) -> &[u8] {
        self.o
            .password
            .as_ref()
            .map_or(&[][..], |p| p.expose().as_bytes())
    }

    /// Returns the scrambled password; empty without a password.
    fn scrambled(&self) -> Result<Vec<u8>, LoginError> {
        let password = self.password();
        if password.is_empty() {
            return Ok(Vec::new());
        }
        let proof = match self.plugin.as_str() {
            NATIVE => scramble::scramble_native(&self.nonce, password).map(|s| s.to_vec()),
            SHA2 => scramble::scramble_sha256(&self.nonce, password).map(|s| s.to_vec()),
            BY_SOCKET => None,
            other => return Err(LoginError::Plugin(other.to_owned())),
        };
        Ok(proof.unwrap_or_default())
    }

    fn authenticate(&mut self) -> Result<(), LoginError> {
        loop {
            let packet = self.wire.read()?;
            let mut fields = Fields(&packet);
            match fields.byte()? {
                OK => return Ok(()),
                ERR => return Err(error_of(&packet).into()),
                EOF => {
                    self.switch(fields)?;
                    let proof = self.scrambled()?;
                    self.wire.write(&proof)?;
                }
                MORE if self.plugin == SHA2 => match fields.byte()? {
                    // The server has the password in its cache.
                    3 => {}
                    4 => self.whole_password()?,
                    other => {
                        let what = format!("step {other} of {SHA2}");
                        return Err(WireError::Protocol(what).into());
                    }
                },
                other => {
                    let what = format!("packet {other:#x} while logging in");
                    return Err(WireError::Protocol(what).into());
                }
            }
        }
    }

    /// Switches to the account's plugin, which differs from the server's default.
    fn switch(&mut self, mut fields: Fields<'_>) -> Result<(), LoginError> {
        if fields.0.is_empty() {
            return Err(LoginError::Plugin("mysql_old_password".into()));
        }
        let plugin = String::from_utf8_lossy(fields.until_zero()).into_owned();
        let is_known = match plugin.as_str() {
            NATIVE | SHA2 => true,
            BY_SOCKET => matches!(self.o.transport, Transport::Socket(_)),
            _ => false,
        };
        if !is_known {
            return Err(LoginError::Plugin(plugin));
        }
        let mut nonce = fields.0.to_vec();
        nonce.truncate(20);
        (self.nonce, self.plugin) = (nonce, plugin);
        Ok(())
    }

    /// Sends the password itself: as it is under TLS and over a unix socket, otherwise encrypted
    /// with the server's RSA key. Like MySQL's own clients, lsnap accepts a key from the server
    /// only if the options permit it; otherwise a man in the middle could get the password.
    fn whole_password(&mut self) -> Result<(), LoginError> {
        let mut password = self.password().to_vec();
        password.push(0);
        if self.wire.is_secured() || matches!(self.o.transport, Transport::Socket(_)) {
            return Ok(self.wire.write(&password)?);
        }
        let path = self.o.server_public_key.clone();
        let key = match &path {
            Some(path) => std::fs::read(path)
                .map_err(|e| LoginError::Key(Some(path.clone()), e.to_string()))?,
            None if self.o.get_server_public_key => {
                self.wire.write(&[2])?;
                let packet = self.wire.read()?;
                match packet.split_first() {
                    Some((&MORE, key)) => key.to_vec(),
                    Some((&ERR, _)) => return Err(error_of(&packet).into()),
                    _ => return Err(WireError::Protocol("no RSA key".into()).into()),
                }
            }
            None => return Err(LoginError::Insecure),
        };
        for (byte, nonce) in password.iter_mut().zip(self.nonce.iter().cycle()) {
            *byte ^= nonce;
        }
        // `encrypt` panics on an invalid key.
        let sealed = catch_unwind(AssertUnwindSafe(|| crypto::encrypt(&password, &key)));
        let sealed = sealed
            .map_err(|_| LoginError::Key(path, "is not a usable RSA key (PEM)".to_owned()))?;
        Ok(self.wire.write(&sealed)?)
    }
}

/// Returns the time limit for connecting, and for the handshake.
pub(super) fn limit(o: &ConnectOptions, answer_limit: Option<Duration>) -> Duration {
    // A server that resolves the client's name first needs longer than the network.
    let usual = o.connect_timeout.max(Duration::from_secs(1));
    answer_limit.map_or(usual, |answer_limit| answer_limit.min(usual))
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
