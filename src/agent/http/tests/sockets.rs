//! Servers on sockets: unix sockets, ports in use, TLS.

use super::fake::Fake;
use super::settings;
use crate::agent::http::limits::Limits;
use crate::agent::http::listen::HttpError;
use crate::agent::http::server::Server;
use crate::agent::settings::HttpSettings;
use crate::cancel::Cancel;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A server that runs in a thread until it is dropped.
pub(super) struct Running {
    pub(super) at: String,
    cancel: Cancel,
    thread: Option<JoinHandle<Result<(), HttpError>>>,
}

impl Running {
    pub(super) fn start(settings: &HttpSettings, fake: &Arc<Fake>, limits: Limits) -> Self {
        let server = Server::bind(settings).unwrap().with_limits(limits);
        let (at, cancel) = (server.at().to_owned(), Cancel::new());
        let (fake, ends) = (fake.clone(), cancel.clone());
        let thread = std::thread::spawn(move || server.run(fake, &ends));
        Self {
            at,
            cancel,
            thread: Some(thread),
        }
    }

    /// Returns a connection to a server on loopback.
    pub(super) fn connect(&self) -> TcpStream {
        let address = self.at.split_once("://").unwrap().1;
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
    }

    pub(super) fn end(&mut self) {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends a text, and returns what comes until the end of the connection.
pub(super) fn raw(mut stream: impl Read + Write, text: &str) -> String {
    // A server that refuses the request may close before it has read all.
    let _ = stream.write_all(text.as_bytes());
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        let late = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
        assert!(!late.contains(&error.kind()), "the server waits: {error}");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

pub(super) const JOBS: &str =
    "GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[test]
fn a_unix_socket_is_for_its_owner_and_its_group() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.sock");
    let settings = settings(path.to_str().unwrap());
    let mut running = Running::start(&settings, &Fake::new(), Limits::default());
    let found = std::fs::symlink_metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o660);
    // A request without a host, as nothing but a local process can send it.
    let text = "GET /v1/jobs HTTP/1.0\r\n\r\n";
    let answer = raw(UnixStream::connect(&path).unwrap(), text);
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");

    let second = Server::bind(&settings).unwrap_err();
    assert!(matches!(second, HttpError::InUse { .. }), "{second}");
    let answer = raw(UnixStream::connect(&path).unwrap(), text);
    assert!(
        answer.starts_with("HTTP/1.0 200"),
        "the first still answers"
    );
    running.end();
    assert!(!path.exists(), "the socket is removed");
}

#[test]
fn the_socket_of_a_dead_agent_is_replaced_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.sock");
    let settings = settings(path.to_str().unwrap());
    // A process that is killed leaves its file.
    drop(UnixListener::bind(&path).unwrap());
    std::fs::write(dir.path().join("agent.sock.new"), "").unwrap();
    let mut running = Running::start(&settings, &Fake::new(), Limits::default());
    let answer = raw(UnixStream::connect(&path).unwrap(), JOBS);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.end();

    // The socket of another program, which lives and has no lock.
    let other = UnixListener::bind(&path).unwrap();
    let error = Server::bind(&settings).unwrap_err();
    assert!(matches!(error, HttpError::InUse { .. }), "{error}");
    drop(other);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "a file of somebody").unwrap();
    let error = Server::bind(&settings).unwrap_err().to_string();
    assert!(error.contains("not a socket"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"a file of somebody");
}

#[test]
fn a_port_in_use_is_reported() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let error = Server::bind(&settings(&address)).unwrap_err();
    assert!(matches!(error, HttpError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&address));
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let (empty, key) = (file("empty", ""), file("key", "SECRET"));
    for (cert, key) in [
        (dir.path().join("none"), key.clone()),
        (empty.clone(), key.clone()),
        (key.clone(), empty),
    ] {
        let settings = HttpSettings {
            tls: Some((cert, key)),
            ..settings("127.0.0.1:0")
        };
        let error = Server::bind(&settings).unwrap_err().to_string();
        assert!(!error.contains("SECRET"), "{error}");
    }
}

#[test]
fn a_server_with_tls_answers_only_tls_and_only_clients_with_certificates() {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

    let dir = tempfile::tempdir().unwrap();
    // The owner of the checkout may let the group write, which is refused for a key.
    let file = |name: &str| {
        let from = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/tls/agent/");
        let path = dir.path().join(name);
        std::fs::write(&path, std::fs::read(format!("{from}{name}")).unwrap()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let ca = file("ca.crt");
    let with = |client: bool| {
        let settings = HttpSettings {
            tls: Some((file("server.crt"), file("server.key"))),
            client_ca: client.then(|| ca.clone()),
            ..settings("127.0.0.1:0")
        };
        Running::start(&settings, &Fake::new(), Limits::default())
    };
    let ask = |running: &Running, client: bool| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&ca).unwrap())
            .unwrap();
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            false => config.with_no_client_auth(),
            true => config
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(file("client.crt")).unwrap()],
                    PrivateKeyDer::from_pem_file(file("client.key")).unwrap(),
                )
                .unwrap(),
        };
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        raw(StreamOwned::new(connection, running.connect()), JOBS)
    };
    let (open, closed) = (with(false), with(true));
    assert!(ask(&open, false).starts_with("HTTP/1.1 200"));
    let plain = raw(open.connect(), JOBS);
    assert!(!plain.contains("200 OK"), "{plain}");
    assert_eq!(ask(&closed, false), "", "no certificate");
    assert!(ask(&closed, true).starts_with("HTTP/1.1 200"));
}
