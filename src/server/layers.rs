//! Merges the layers of options: precedence, and the parsing of option file entries and environment
//! variables. The rules are documented at [`super::resolve`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::option_file::{Entry, OptionFiles};
use super::options::{Overrides, Prompt, Protocol, SslMode, Transport};
use super::{Password, ServerError};
use crate::secret_file;

/// Maximum length of a password file, in bytes.
const PASSWORD_FILE_MAX: u64 = 64 << 10;
/// Default socket paths: of Debian, of Red Hat, of the MySQL source.
const SOCKETS: [&str; 3] = [
    "/var/run/mysqld/mysqld.sock",
    "/var/lib/mysql/mysql.sock",
    "/tmp/mysql.sock",
];

pub(super) fn bad(name: &str, origin: &str, problem: String) -> ServerError {
    ServerError::BadOption {
        name: name.into(),
        origin: origin.into(),
        problem,
    }
}

/// Merges two layers, `high` over `low`. Options that belong together (the password options, socket
/// and host) come from one layer.
pub(super) fn merge(high: Overrides, low: Overrides) -> Overrides {
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

pub(super) fn layer_of_env(
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
             option file or Overrides::password_file"
                .into(),
        );
        layer.password = Some(Password::new(password));
    }
    Ok(layer)
}

pub(super) fn layer_of_files(files: &OptionFiles) -> Result<Overrides, ServerError> {
    let mut layer = Overrides::default();
    for entry in &files.entries {
        apply(&mut layer, entry)?;
    }
    Ok(layer)
}

fn apply(layer: &mut Overrides, entry: &Entry) -> Result<(), ServerError> {
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
            layer.get_server_public_key = Some(is_on(entry));
        }
        "connect-timeout" => {
            let seconds = value()?
                .parse()
                .map_err(|_| wrong("is not a number of seconds".into()))?;
            layer.connect_timeout = Some(Duration::from_secs(seconds));
        }
        // Entries of [client] may be for other clients; those of [lsnap] are for lsnap only.
        name if entry.group.starts_with("lsnap") && !entry.name.starts_with("loose-") => {
            return Err(wrong(unknown(name)));
        }
        _ => {}
    }
    Ok(())
}

/// The options that are read from option files.
pub(super) const OPTIONS: &[&str] = &[
    "connect-timeout",
    "get-server-public-key",
    "host",
    "password",
    "password-file",
    "port",
    "protocol",
    "server-public-key-path",
    "skip-password",
    "skip-ssl",
    "socket",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "user",
];

/// Describes an unknown option of the group `[lsnap]`, with the most similar known one.
fn unknown(name: &str) -> String {
    let near = OPTIONS
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let near = near.map_or_else(String::new, |(_, known)| {
        format!(" (did you mean {known}?)")
    });
    format!(
        "is unknown{near}. Option files have only the options of the connection; all others belong in lsnap.toml. \
         With the prefix loose- it is ignored"
    )
}

/// Returns whether a switch is on; one without a value is on.
fn is_on(entry: &Entry) -> bool {
    let value = entry.value.as_deref();
    value.is_none_or(|v| !matches!(v, "0" | "OFF" | "off" | "FALSE" | "false"))
}

fn port_of(text: &str, name: &str, origin: &str) -> Result<u16, ServerError> {
    match text.trim().parse() {
        // For MySQL, 0 means the default.
        Ok(0) => Ok(3306),
        Ok(port) => Ok(port),
        Err(_) => Err(bad(
            name,
            origin,
            format!("'{text}' is not a port: expected 1 to 65535"),
        )),
    }
}

fn is_localhost(host: &str) -> bool {
    host.is_empty() || host.eq_ignore_ascii_case("localhost")
}

pub(super) fn transport(
    all: &Overrides,
    warnings: &mut Vec<String>,
) -> Result<Transport, ServerError> {
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

/// Returns the effective ssl-mode. A CA without a mode means verification by it, as in MySQL's own
/// clients.
pub(super) fn ssl_mode(all: &Overrides) -> Result<SslMode, ServerError> {
    let mode = match (all.ssl_mode, &all.ssl_ca) {
        (Some(mode), _) => mode,
        (None, Some(_)) => SslMode::VerifyCa,
        (None, None) => SslMode::default(),
    };
    if matches!(mode, SslMode::VerifyCa | SslMode::VerifyIdentity) && all.ssl_ca.is_none() {
        return Err(bad(
            "ssl-mode",
            "all sources",
            format!("{} needs ssl-ca, the CA for the verification", mode.name()),
        ));
    }
    Ok(mode)
}

pub(super) fn login_name(env: &dyn Fn(&str) -> Option<String>) -> String {
    if rustix::process::geteuid().is_root() {
        return "root".into();
    }
    ["USER", "LOGNAME", "LOGIN"]
        .into_iter()
        .find_map(|name| env(name).filter(|v| !v.is_empty()))
        .unwrap_or_else(|| "UNKNOWN_MYSQL_USER".into())
}

pub(super) fn password(
    all: &Overrides,
    user: &str,
    transport: &Transport,
    prompt: Option<&mut Prompt<'_>>,
    warnings: &mut Vec<String>,
) -> Result<Option<Password>, ServerError> {
    if let Some(path) = &all.password_file {
        return password_file(path, warnings).map(Some);
    }
    if !all.ask_password || all.password.is_some() {
        return Ok(all.password.clone());
    }
    let send = prompt.ok_or_else(|| ServerError::Prompt("no terminal is available".into()))?;
    let answer = send(&format!("Password of '{user}' at {transport}: "))
        .map_err(|e| ServerError::Prompt(e.to_string()))?;
    Ok(Some(Password::new(answer)))
}

/// Reads a password file: its text without a final line end; nothing else is removed.
fn password_file(path: &Path, warnings: &mut Vec<String>) -> Result<Password, ServerError> {
    let fail = |problem: String| ServerError::PasswordFile {
        file: path.to_path_buf(),
        problem,
    };
    let found = secret_file::read(path, "password", PASSWORD_FILE_MAX + 1)
        .map_err(|e| fail(e.to_string()))?;
    if let Some(warning) = found.warning {
        warnings.push(format!("password file {}: {warning}", path.display()));
    }
    let bytes = found.bytes;
    if bytes.len() as u64 > PASSWORD_FILE_MAX {
        return Err(fail(format!(
            "longer than {PASSWORD_FILE_MAX} bytes: expected one line, the password"
        )));
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| fail("is not UTF-8: expected one line, the password".into()))?;
    let text = text
        .strip_suffix('\n')
        .map_or(text, |t| t.strip_suffix('\r').unwrap_or(t));
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
