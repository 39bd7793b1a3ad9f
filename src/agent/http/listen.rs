//! Addresses and sockets, and the rule on TLS and credentials.
//!
//! A server beyond loopback must have TLS, and must check who connects. A unix socket is protected by its mode.

use crate::agent::settings::HttpSettings;
use crate::error_kind::ErrorKind;
use crate::shown::{shown, shown_path};
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, Permissions};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Why the server can't be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The settings are wrong.
    #[error("{0}")]
    Settings(String),
    /// The address is used by another process.
    #[error("{at} is used by another process: stop it, or set another `listen`")]
    InUse {
        /// The address or the path.
        at: String,
    },
    /// The socket, a file or a certificate can't be used.
    #[error("{at}: {why}")]
    System {
        /// The address or the path.
        at: String,
        /// What failed.
        why: String,
    },
}

impl HttpError {
    /// Returns the kind of the error.
    pub(crate) const fn kind(&self) -> ErrorKind {
        match self {
            Self::Settings(_) => ErrorKind::Arguments,
            Self::InUse { .. } => ErrorKind::Conflict,
            Self::System { .. } => ErrorKind::System,
        }
    }

    pub(super) fn system(at: impl ToString, why: impl ToString) -> Self {
        Self::System {
            at: at.to_string(),
            why: why.to_string(),
        }
    }
}

/// The place where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Listen {
    /// Parses `127.0.0.1:6460`, `localhost:6460`, `[::1]:6460` or the path of a socket.
    pub(super) fn parse(text: &str) -> Result<Self, HttpError> {
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Self::Unix(path.into()));
        }
        let wrong = || {
            HttpError::Settings(format!(
                "listen: {} is neither an address with a port (127.0.0.1:6460) nor the absolute path of a socket",
                shown(text)
            ))
        };
        // A name of another host could be resolved to an address beyond loopback later.
        match text.strip_prefix("localhost:") {
            Some(port) => ("127.0.0.1", port.parse().map_err(|_| wrong())?)
                .to_socket_addrs()
                .ok()
                .and_then(|mut all| all.next())
                .map(Self::Tcp)
                .ok_or_else(wrong),
            None => text.parse().map(Self::Tcp).map_err(|_| wrong()),
        }
    }

    /// Returns whether only processes of this host reach it.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => is_loopback(address.ip()),
            Self::Unix(_) => true,
        }
    }

    /// Refuses settings with which anybody could use the API.
    pub(super) fn check(&self, settings: &HttpSettings) -> Result<(), HttpError> {
        let settings_error = |text: String| Err(HttpError::Settings(text));
        if settings.client_ca.is_some() && settings.tls.is_none() {
            return settings_error(
                "client-ca: certificates of clients need TLS: set `tls-cert` and `tls-key`"
                    .to_owned(),
            );
        }
        if matches!(self, Self::Unix(_)) && settings.tls.is_some() {
            return settings_error(
                "tls-cert: a unix socket has no TLS: its mode and its directory protect it"
                    .to_owned(),
            );
        }
        if self.is_local() {
            return Ok(());
        }
        let at = shown(&settings.listen);
        if settings.tls.is_none() {
            return settings_error(format!(
                "listen: {at} is reached from other hosts: set `tls-cert` and `tls-key`, or listen on 127.0.0.1 or a \
                 unix socket"
            ));
        }
        if settings.token_file.is_none() && settings.client_ca.is_none() {
            return settings_error(format!(
                "listen: {at} is reached from other hosts: set `token-file`, `client-ca` or both, so that not \
                 everybody can use it"
            ));
        }
        Ok(())
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Binds a TCP socket.
pub(super) fn bind_tcp(address: SocketAddr) -> Result<TcpListener, HttpError> {
    TcpListener::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => HttpError::InUse {
            at: address.to_string(),
        },
        _ => HttpError::system(address, error),
    })
}

/// A unix socket that is bound, and its file.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
}

/// The file of a socket, which is removed when the server ends.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
    /// Locked while the server lives. The file stays: a lock of a removed file would protect nothing.
    _lock: File,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The file may be another one by now.
        let found = std::fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds a unix socket that its owner and its group may use. The socket of a dead agent is replaced.
pub(super) fn bind_unix(path: &Path) -> Result<Socket, HttpError> {
    let at = |error: io::Error| HttpError::system(shown_path(path), error);
    let in_use = || HttpError::InUse {
        at: shown_path(path).to_string(),
    };
    let lock = lock(path).map_err(at)?.ok_or_else(in_use)?;
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(HttpError::system(
                shown_path(path),
                "is not a socket: remove it, or set another `listen`",
            ));
        }
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(in_use()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(at(error)),
    }
    // It gets its mode before it has its name. Only the holder of the lock uses this other name.
    let new = with_suffix(path, ".new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&new).map_err(at)?;
    let named = std::fs::set_permissions(&new, Permissions::from_mode(0o660))
        .and_then(|()| std::fs::symlink_metadata(&new))
        .and_then(|found| std::fs::rename(&new, path).map(|()| found))
        .map_err(at)?;
    let file = SocketFile {
        path: path.to_owned(),
        inode: (named.dev(), named.ino()),
        _lock: lock,
    };
    Ok(Socket { listener, file })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Returns the lock of a socket; `None` if another process has it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(with_suffix(path, ".lock"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
