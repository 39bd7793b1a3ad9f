//! Which protocol a port speaks, where the endpoint's scheme names the other one.
//!
//! A TLS server to which plain HTTP is spoken closes the connection, or is silent; so does a server of plain
//! HTTP to which TLS is spoken. Neither looks different from a store that is away. So as long as a server has
//! answered nothing, it is asked on connections of their own, once.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// How long each of two connections may take.
const WAIT: Duration = Duration::from_secs(1);
/// A request that any server of HTTP answers.
const REQUEST: &[u8] = b"HEAD / HTTP/1.0\r\n\r\n";

/// A protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Spoken {
    Tls,
    Http,
}

/// What is spoken at `host:port` instead of TLS (`tls`) or of plain HTTP; `None`: nothing else, as far as can be
/// seen. Blocks for some seconds.
pub(in crate::store) fn spoken_instead(tls: bool, host: &str, port: u16) -> Option<Spoken> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let hello = hello(bare)?;
    let said = |bytes: &[u8]| first_bytes(bare, port, bytes).as_deref().and_then(meaning);
    match (tls, said(&hello)) {
        (true, Some(Spoken::Tls)) => None,
        (true, Some(Spoken::Http)) => Some(Spoken::Http),
        (true, None) => said(REQUEST).filter(|spoken| *spoken == Spoken::Http),
        (false, spoken) => spoken.filter(|spoken| *spoken == Spoken::Tls),
    }
}

/// A TLS record of a handshake or of an alert, or an answer of HTTP.
fn meaning(bytes: &[u8]) -> Option<Spoken> {
    match bytes {
        [0x15 | 0x16, 0x03, ..] => Some(Spoken::Tls),
        [b'H', b'T', b'T', b'P', ..] => Some(Spoken::Http),
        _ => None,
    }
}

/// The first message of a TLS client.
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
