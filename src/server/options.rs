//! How a server is reached: the connection's options, and one layer of them as a person gives them.

use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::Password;

/// Asks a person for a password: takes the prompt, gives the answer. The library itself never reads a terminal.
pub type Prompt<'a> = dyn FnMut(&str) -> io::Result<String> + 'a;

/// How much TLS is asked for. Over a unix socket, as with MySQL's own clients, there is none up to `PREFERRED`; an
/// account with `REQUIRE SSL` needs `REQUIRED` there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// None.
    Disabled,
    /// When the server has it; the certificate isn't checked.
    #[default]
    Preferred,
    /// Always; the certificate isn't checked.
    Required,
    /// Always, and `ssl-ca` must have signed the certificate: no other authority counts.
    VerifyCa,
    /// As before, and the certificate must be for this host name (`localhost` over a unix socket).
    VerifyIdentity,
}

impl SslMode {
    /// The name as MySQL writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "DISABLED",
            Self::Preferred => "PREFERRED",
            Self::Required => "REQUIRED",
            Self::VerifyCa => "VERIFY_CA",
            Self::VerifyIdentity => "VERIFY_IDENTITY",
        }
    }
}

impl FromStr for SslMode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let all = [
            Self::Disabled,
            Self::Preferred,
            Self::Required,
            Self::VerifyCa,
            Self::VerifyIdentity,
        ];
        all.into_iter().find(|m| m.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
            format!("'{text}' is no ssl-mode: expected DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY")
        })
    }
}

/// `--protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP, for `localhost` too.
    Tcp,
    /// The unix socket, whatever the host is.
    Socket,
}

impl FromStr for Protocol {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "socket" => Ok(Self::Socket),
            _ => Err(format!("'{text}' is no protocol: expected TCP or SOCKET")),
        }
    }
}

/// The way to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// A unix socket.
    Socket(PathBuf),
    /// Host name or address, and port.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "socket {}", path.display()),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// One layer of options; on the command line, what a person typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--user`.
    pub user: Option<String>,
    /// `--password=...`.
    pub password: Option<Password>,
    /// `--password` without a value: ask.
    pub ask_password: bool,
    /// `--password-file`: the first line of this file is the password.
    pub password_file: Option<PathBuf>,
    /// `--host`.
    pub host: Option<String>,
    /// `--port`.
    pub port: Option<u16>,
    /// `--socket`.
    pub socket: Option<PathBuf>,
    /// `--protocol`.
    pub protocol: Option<Protocol>,
    /// `--ssl-mode`.
    pub ssl_mode: Option<SslMode>,
    /// `--ssl-ca`: PEM file.
    pub ssl_ca: Option<PathBuf>,
    /// `--ssl-cert`: PEM file.
    pub ssl_cert: Option<PathBuf>,
    /// `--ssl-key`: PEM file.
    pub ssl_key: Option<PathBuf>,
    /// `--server-public-key-path`: the server's RSA key, PEM.
    pub server_public_key: Option<PathBuf>,
    /// `--get-server-public-key`: trust the key that the server sends.
    pub get_server_public_key: Option<bool>,
    /// `--connect-timeout`.
    pub connect_timeout: Option<Duration>,
}

/// All that [`super::Server::connect`] needs. `Debug` shows no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The account's name.
    pub user: String,
    /// Its password; `None` and an empty one are the same to a server.
    pub password: Option<Password>,
    /// The way to the server.
    pub transport: Transport,
    /// TLS.
    pub ssl_mode: SslMode,
    /// The authority to check the server by.
    pub ssl_ca: Option<PathBuf>,
    /// The client's certificate.
    pub ssl_cert: Option<PathBuf>,
    /// The client's key.
    pub ssl_key: Option<PathBuf>,
    /// The server's RSA key, for a password over TCP without TLS.
    pub server_public_key: Option<PathBuf>,
    /// Whether the key that the server sends is good enough for that.
    pub get_server_public_key: bool,
    /// For connecting, and again for the handshake.
    pub connect_timeout: Duration,
    /// What a person should be told.
    pub warnings: Vec<String>,
}

impl ConnectOptions {
    /// Over a socket, without a password: for tests and for callers that know better than any file.
    #[must_use]
    pub fn for_socket(path: impl Into<PathBuf>, user: &str) -> Self {
        Self {
            user: user.to_string(),
            password: None,
            transport: Transport::Socket(path.into()),
            ssl_mode: SslMode::default(),
            ssl_ca: None,
            ssl_cert: None,
            ssl_key: None,
            server_public_key: None,
            get_server_public_key: false,
            connect_timeout: Duration::from_secs(10),
            warnings: Vec::new(),
        }
    }
}
