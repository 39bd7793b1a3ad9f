//! The options of a connection, and one layer of them.

use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::Password;

/// A callback that asks the user for a password: the argument is the prompt, the result the
/// password. The library itself never reads a terminal.
pub type Prompt<'a> = dyn FnMut(&str) -> io::Result<String> + 'a;

/// The use of TLS. Over a unix socket, as in MySQL's own clients, TLS isn't used up to `PREFERRED`;
/// an account with `REQUIRE SSL` needs `REQUIRED` there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// No TLS.
    Disabled,
    /// TLS if the server supports it; the certificate isn't verified.
    #[default]
    Preferred,
    /// Always TLS; the certificate isn't verified.
    Required,
    /// Always TLS, and `ssl-ca` must have signed the certificate: no other CA is trusted.
    VerifyCa,
    /// Same as `VerifyCa`, and the certificate must be for this host name (`localhost` over a unix
    /// socket).
    VerifyIdentity,
}

impl SslMode {
    /// Returns MySQL's name of the mode.
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
            format!("'{text}' is not an ssl-mode: expected DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY")
        })
    }
}

/// The protocol of the connection (`--protocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP, also for `localhost`.
    Tcp,
    /// The unix socket, for any host.
    Socket,
}

impl FromStr for Protocol {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "socket" => Ok(Self::Socket),
            _ => Err(format!(
                "'{text}' is not a protocol: expected TCP or SOCKET"
            )),
        }
    }
}

/// The address of the server.
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

/// One layer of options, for example those of the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--user`.
    pub user: Option<String>,
    /// `--password=...`.
    pub password: Option<Password>,
    /// `--password` without a value: prompt for it.
    pub ask_password: bool,
    /// `--password-file`: the file contains the password on its only line.
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

/// The options of [`super::Server::connect`]. `Debug` hides the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The user name of the account.
    pub user: String,
    /// Its password; for a server, `None` and an empty one are the same.
    pub password: Option<Password>,
    /// The address of the server.
    pub transport: Transport,
    /// The use of TLS.
    pub ssl_mode: SslMode,
    /// The CA for the verification of the server, PEM.
    pub ssl_ca: Option<PathBuf>,
    /// The client's certificate, PEM.
    pub ssl_cert: Option<PathBuf>,
    /// The client's private key, PEM.
    pub ssl_key: Option<PathBuf>,
    /// The server's RSA key, for a password over TCP without TLS.
    pub server_public_key: Option<PathBuf>,
    /// Whether a key that the server sends is accepted for that.
    pub get_server_public_key: bool,
    /// Time limit for connecting, and again for the handshake.
    pub connect_timeout: Duration,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

impl ConnectOptions {
    /// Creates options for a socket without a password: for tests, and for callers that don't use
    /// option files.
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
