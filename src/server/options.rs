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

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::option_file::{Entry, FileChoice, OptionFiles};
use super::{Password, ServerError};

/// Asks a person for a password: takes the prompt, gives the answer. The library itself never reads a terminal.
pub type Prompt<'a> = dyn FnMut(&str) -> io::Result<String> + 'a;

/// The longest password file in bytes.
const PASSWORD_FILE_MAX: u64 = 64 << 10;
/// Where packages put the socket: Debian, Red Hat, the source's own default.
const SOCKETS: [&str; 3] = [
    "/var/run/mysqld/mysqld.sock",
    "/var/lib/mysql/mysql.sock",
    "/tmp/mysql.sock",
];

/// How much TLS is asked for on a TCP connection; a unix socket never has any, and never needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// None.
    Disabled,
    /// When the server has it; the certificate isn't checked.
    #[default]
    Preferred,
    /// Always; the certificate isn't checked.
    Required,
    /// Always, and `ssl-ca` must have signed the certificate.
    VerifyCa,
    /// As before, and the certificate must be for this host name.
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
    /// TLS over TCP.
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
    /// For a TCP connection.
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
        if ssl_mode == SslMode::VerifyCa && matches!(transport, Transport::Tcp { .. }) {
            warnings.push(
                "ssl-mode=VERIFY_CA accepts certificates of public authorities too, for any host name; prefer \
                 VERIFY_IDENTITY"
                    .into(),
            );
        }
        let password = password(&all, &user, &transport, prompt)?;
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

fn bad(name: &str, origin: &str, problem: String) -> ServerError {
    ServerError::BadOption {
        name: name.into(),
        origin: origin.into(),
        problem,
    }
}

/// `high` over `low`. Things that belong together (the ways to give a password, socket and host) come from one layer.
fn merge(high: Overrides, low: Overrides) -> Overrides {
    let has_password = high.password.is_some() || high.ask_password || high.password_file.is_some();
    let from = if has_password { &high } else { &low };
    let (password, ask_password, password_file) = (
        from.password.clone(),
        from.ask_password,
        from.password_file.clone(),
    );
    let only_socket = high.socket.is_some() && high.host.is_none();
    let only_host = high.host.as_deref().is_some_and(|h| !is_localhost(h)) && high.socket.is_none();
    Overrides {
        user: high.user.or(low.user),
        password,
        ask_password,
        password_file,
        host: high.host.or(if only_socket { None } else { low.host }),
        port: high.port.or(low.port),
        socket: high.socket.or(if only_host { None } else { low.socket }),
        protocol: high.protocol.or(if only_socket || only_host {
            None
        } else {
            low.protocol
        }),
        ssl_mode: high.ssl_mode.or(low.ssl_mode),
        ssl_ca: high.ssl_ca.or(low.ssl_ca),
        ssl_cert: high.ssl_cert.or(low.ssl_cert),
        ssl_key: high.ssl_key.or(low.ssl_key),
        server_public_key: high.server_public_key.or(low.server_public_key),
        get_server_public_key: high.get_server_public_key.or(low.get_server_public_key),
        connect_timeout: high.connect_timeout.or(low.connect_timeout),
    }
}

fn layer_of_env(
    env: &dyn Fn(&str) -> Option<String>,
    warnings: &mut Vec<String>,
) -> Result<Overrides, ServerError> {
    let set = |name: &str| env(name).filter(|v| !v.is_empty());
    let mut layer = Overrides {
        host: set("MYSQL_HOST"),
        socket: set("MYSQL_UNIX_PORT").map(PathBuf::from),
        password: set("LSNAP_PASSWORD").map(Password::new),
        ..Overrides::default()
    };
    if let Some(port) = set("MYSQL_TCP_PORT") {
        layer.port = Some(port_of(&port, "MYSQL_TCP_PORT", "environment")?);
    }
    if layer.password.is_none()
        && let Some(password) = set("MYSQL_PWD")
    {
        warnings.push(
            "the password comes from MYSQL_PWD, which MySQL deprecates because other processes may see it; use an \
             option file or --password-file"
                .into(),
        );
        layer.password = Some(Password::new(password));
    }
    Ok(layer)
}

fn layer_of_files(
    files: &OptionFiles,
    warnings: &mut Vec<String>,
) -> Result<Overrides, ServerError> {
    let mut layer = Overrides::default();
    for entry in &files.entries {
        apply(&mut layer, entry, warnings)?;
    }
    Ok(layer)
}

fn apply(
    layer: &mut Overrides,
    entry: &Entry,
    warnings: &mut Vec<String>,
) -> Result<(), ServerError> {
    let origin = format!("{}, line {}", entry.file.display(), entry.line);
    let wrong = |problem: String| bad(&entry.name, &origin, problem);
    let value = || {
        entry
            .value
            .clone()
            .ok_or_else(|| wrong("has no value: expected name=value".into()))
    };
    let path = || value().map(PathBuf::from);
    match entry.name.strip_prefix("loose-").unwrap_or(&entry.name) {
        "user" => layer.user = Some(value()?),
        "password" => {
            layer.password = entry.value.clone().map(Password::new);
            layer.ask_password = entry.value.is_none();
            layer.password_file = None;
        }
        "skip-password" => {
            layer.password = Some(Password::new(""));
            layer.ask_password = false;
        }
        "password-file" => {
            layer.password_file = Some(path()?);
            layer.password = None;
            layer.ask_password = false;
        }
        "host" => layer.host = Some(value()?),
        "port" => layer.port = Some(port_of(&value()?, "port", &origin)?),
        "socket" => layer.socket = Some(path()?),
        "protocol" => layer.protocol = Some(value()?.parse().map_err(wrong)?),
        "ssl-mode" => layer.ssl_mode = Some(value()?.parse().map_err(wrong)?),
        "skip-ssl" => layer.ssl_mode = Some(SslMode::Disabled),
        "ssl-ca" => layer.ssl_ca = Some(path()?),
        "ssl-cert" => layer.ssl_cert = Some(path()?),
        "ssl-key" => layer.ssl_key = Some(path()?),
        "server-public-key-path" => layer.server_public_key = Some(path()?),
        "get-server-public-key" => {
            layer.get_server_public_key = Some(
                entry
                    .value
                    .as_deref()
                    .is_none_or(|v| !matches!(v, "0" | "OFF" | "off" | "FALSE" | "false")),
            );
        }
        "connect-timeout" => {
            let seconds = value()?
                .parse()
                .map_err(|_| wrong("is no number of seconds".into()))?;
            layer.connect_timeout = Some(Duration::from_secs(seconds));
        }
        // [client] belongs to all clients, so it may say anything; [lsnap] is ours alone.
        _ if entry.group.starts_with("lsnap") && !entry.name.starts_with("loose-") => {
            warnings.push(format!(
                "option {} ({origin}) is unknown and ignored",
                entry.name
            ));
        }
        _ => {}
    }
    Ok(())
}

fn port_of(text: &str, name: &str, origin: &str) -> Result<u16, ServerError> {
    match text.trim().parse() {
        // MySQL reads 0 as "the default".
        Ok(0) => Ok(3306),
        Ok(port) => Ok(port),
        Err(_) => Err(bad(
            name,
            origin,
            format!("'{text}' is no port: expected 1 to 65535"),
        )),
    }
}

fn is_localhost(host: &str) -> bool {
    host.is_empty() || host.eq_ignore_ascii_case("localhost")
}

fn transport(all: &Overrides, warnings: &mut Vec<String>) -> Result<Transport, ServerError> {
    let host = all.host.as_deref().unwrap_or("localhost");
    let tcp = match all.protocol {
        Some(Protocol::Tcp) => true,
        Some(Protocol::Socket) => false,
        None => !is_localhost(host),
    };
    if tcp {
        let host = if host.is_empty() { "localhost" } else { host };
        return Ok(Transport::Tcp {
            host: host.to_string(),
            port: all.port.unwrap_or(3306),
        });
    }
    if all.port.is_some_and(|p| p != 3306) && all.socket.is_none() {
        warnings.push("the port is ignored because host localhost means the unix socket; use 127.0.0.1 for TCP".into());
    }
    let socket = all.socket.clone().unwrap_or_else(default_socket);
    if socket.as_os_str().is_empty() {
        return Err(bad(
            "socket",
            "all sources",
            "is empty: expected the path of the server's unix socket".into(),
        ));
    }
    Ok(Transport::Socket(socket))
}

fn default_socket() -> PathBuf {
    let there = SOCKETS.iter().find(|s| Path::new(s).exists());
    PathBuf::from(there.copied().unwrap_or(SOCKETS[0]))
}

/// An authority without a mode asks for a check by it, as in MySQL's own clients.
fn ssl_mode(all: &Overrides) -> Result<SslMode, ServerError> {
    let mode = match (all.ssl_mode, &all.ssl_ca) {
        (Some(mode), _) => mode,
        (None, Some(_)) => SslMode::VerifyCa,
        (None, None) => SslMode::default(),
    };
    if matches!(mode, SslMode::VerifyCa | SslMode::VerifyIdentity) && all.ssl_ca.is_none() {
        return Err(bad(
            "ssl-mode",
            "all sources",
            format!("{} needs ssl-ca, the authority to check by", mode.name()),
        ));
    }
    Ok(mode)
}

fn login_name(env: &dyn Fn(&str) -> Option<String>) -> String {
    if rustix::process::geteuid().is_root() {
        return "root".into();
    }
    ["USER", "LOGNAME", "LOGIN"]
        .into_iter()
        .find_map(|name| env(name).filter(|v| !v.is_empty()))
        .unwrap_or_else(|| "UNKNOWN_MYSQL_USER".into())
}

fn password(
    all: &Overrides,
    user: &str,
    transport: &Transport,
    prompt: Option<&mut Prompt<'_>>,
) -> Result<Option<Password>, ServerError> {
    if let Some(path) = &all.password_file {
        return password_file(path).map(Some);
    }
    if !all.ask_password || all.password.is_some() {
        return Ok(all.password.clone());
    }
    let ask = prompt.ok_or_else(|| ServerError::Prompt("there is no terminal to ask on".into()))?;
    let answer = ask(&format!("Password of '{user}' at {transport}: "))
        .map_err(|e| ServerError::Prompt(e.to_string()))?;
    Ok(Some(Password::new(answer)))
}

/// The file's text without the line end at its end, if it has one; nothing else is cut off.
fn password_file(path: &Path) -> Result<Password, ServerError> {
    let fail = |problem: String| ServerError::PasswordFile {
        file: path.to_path_buf(),
        problem,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|f| f.take(PASSWORD_FILE_MAX + 1).read_to_end(&mut bytes))
        .map_err(|e| fail(format!("can't be read: {e}")))?;
    if bytes.len() as u64 > PASSWORD_FILE_MAX {
        return Err(fail(format!(
            "longer than {PASSWORD_FILE_MAX} bytes: expected one line, the password"
        )));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| fail("is not UTF-8: expected one line, the password".into()))?;
    let text = text
        .strip_suffix('\n')
        .map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
    if text.is_empty() {
        return Err(fail("is empty: expected one line, the password".into()));
    }
    if text.contains('\n') {
        return Err(fail(
            "has more than one line: expected one line, the password".into(),
        ));
    }
    Ok(Password::new(text))
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
