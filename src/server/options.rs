//! How to reach the server: the layers of options and what they amount to.
//!
//! Highest first: the command line ([`Overrides`]), the environment, the option files, the defaults.
//! The environment: `LSNAP_PASSWORD`; then MySQL's own `MYSQL_PWD` (with a warning: other processes may see
//! it), `MYSQL_HOST`, `MYSQL_TCP_PORT`, `MYSQL_UNIX_PORT`. Note that MySQL's own programs rank these *below*
//! the option files; lsnap ranks them above, so that what is set for one run counts.
//!
//! As with every MySQL client, no host or `localhost` means the unix socket, any other host (`127.0.0.1` too)
//! means TCP; `protocol` says otherwise. A socket or host given in a higher layer puts aside the other one of
//! a lower layer.

use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::layers::{
    bad, layer_of_env, layer_of_files, login_name, merge, password, ssl_mode, transport,
};
use super::option_file::{FileChoice, OptionFiles};
use super::{Password, ServerError};

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

    /// Reads the option files and the process's environment, and resolves.
    ///
    /// # Errors
    /// As [`OptionFiles::read`] and [`Self::resolve`].
    pub fn load(
        choice: &FileChoice,
        overrides: &Overrides,
        prompt: Option<&mut Prompt<'_>>,
    ) -> Result<Self, ServerError> {
        let env = |name: &str| std::env::var(name).ok();
        let mut choice = choice.clone();
        if choice.group_suffix.is_none() {
            choice.group_suffix = env("MYSQL_GROUP_SUFFIX");
        }
        let home = env("HOME").filter(|h| !h.is_empty()).map(PathBuf::from);
        let files = OptionFiles::read(&choice, home.as_deref())?;
        Self::resolve(&files, &env, overrides, prompt)
    }

    /// Puts the layers together. The password comes from the highest layer that has one; `prompt` is called at
    /// most once, when that layer wants it asked for.
    ///
    /// # Errors
    /// A value that makes no sense, with its origin; a password file that can't be used; a failed prompt.
    pub fn resolve(
        files: &OptionFiles,
        env: &dyn Fn(&str) -> Option<String>,
        overrides: &Overrides,
        prompt: Option<&mut Prompt<'_>>,
    ) -> Result<Self, ServerError> {
        let mut warnings = files.warnings.clone();
        if overrides.password_file.is_some()
            && (overrides.password.is_some() || overrides.ask_password)
        {
            return Err(bad(
                "--password-file",
                "command line",
                "given together with --password; leave one out".into(),
            ));
        }
        let from_files = layer_of_files(files, &mut warnings)?;
        let from_env = layer_of_env(env, &mut warnings)?;
        let all = merge(overrides.clone(), merge(from_env, from_files));
        let user = all.user.clone().unwrap_or_else(|| login_name(env));
        let transport = transport(&all, &mut warnings)?;
        let ssl_mode = ssl_mode(&all)?;
        if all.ssl_cert.is_some() != all.ssl_key.is_some() {
            return Err(bad(
                "ssl-cert",
                "all sources",
                "ssl-cert and ssl-key go together; one of them is missing".into(),
            ));
        }
        let password = password(&all, &user, &transport, prompt, &mut warnings)?;
        Ok(Self {
            user,
            password,
            transport,
            ssl_mode,
            ssl_ca: all.ssl_ca,
            ssl_cert: all.ssl_cert,
            ssl_key: all.ssl_key,
            server_public_key: all.server_public_key,
            get_server_public_key: all.get_server_public_key.unwrap_or(false),
            connect_timeout: all.connect_timeout.unwrap_or(Duration::from_secs(10)),
            warnings,
        })
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
