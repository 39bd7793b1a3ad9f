//! Detection of a server that uses another protocol than the endpoint's scheme says.
//!
//! A TLS server that receives plain HTTP closes the connection or doesn't respond; a plain HTTP
//! server that receives TLS does the same. Both look like a store that is unavailable. Therefore a
//! server that has not responded yet is probed once, over separate connections.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Time limit of each of two connections.
const WAIT: Duration = Duration::from_secs(1);
/// A request that any HTTP server responds to.
const REQUEST: &[u8] = b"HEAD / HTTP/1.0\r\n\r\n";

/// A protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tls,
    Http,
}

/// Returns the protocol that `host:port` uses instead of TLS (`tls`) or of plain HTTP, or `None` if
/// no other was detected. Blocks for some seconds.
pub(super) fn other_protocol(tls: bool, host: &str, port: u16) -> Option<Protocol> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let hello = hello(bare)?;
    let response = |bytes: &[u8]| {
        first_bytes(bare, port, bytes)
            .as_deref()
            .and_then(protocol_of)
    };
    match (tls, response(&hello)) {
        (true, Some(Protocol::Tls)) => None,
        (true, Some(Protocol::Http)) => Some(Protocol::Http),
        (true, None) => response(REQUEST).filter(|protocol| *protocol == Protocol::Http),
        (false, protocol) => protocol.filter(|protocol| *protocol == Protocol::Tls),
    }
}

/// Recognises a TLS record (handshake or alert) or an HTTP response.
fn protocol_of(bytes: &[u8]) -> Option<Protocol> {
    match bytes {
        [0x15 | 0x16, 0x03, ..] => Some(Protocol::Tls),
        [b'H', b'T', b'T', b'P', ..] => Some(Protocol::Http),
        _ => None,
    }
}

/// Returns the first message of a TLS client.
fn hello(host: &str) -> Option<Vec<u8>> {
    let config = ClientConfig::builder()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).ok()?;
    Some(bytes)
}

fn first_bytes(host: &str, port: u16, request: &[u8]) -> Option<Vec<u8>> {
    let address = (host, port).to_socket_addrs().ok()?.next()?;
    let mut stream = TcpStream::connect_timeout(&address, WAIT).ok()?;
    stream.set_read_timeout(Some(WAIT)).ok()?;
    stream.set_write_timeout(Some(WAIT)).ok()?;
    stream.write_all(request).ok()?;
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).ok()?;
    Some(bytes.to_vec())
}
