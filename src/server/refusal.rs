//! Converts a failed login into an error with a remedy.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::ServerError;
use super::login::LoginError;
use super::options::{ConnectOptions, SslMode, Transport};
use super::tls;
use super::wait::Halt;
use super::wire::WireError;

pub(super) fn refused(o: &ConnectOptions, limit: Duration, error: LoginError) -> ServerError {
    let target = o.transport.to_string();
    let tls = |detail: String, advice: &str| ServerError::Tls {
        target: target.clone(),
        mode: o.ssl_mode.name(),
        detail,
        advice: advice.to_string(),
    };
    match error {
        LoginError::Connect(e) if e.kind() == io::ErrorKind::TimedOut => no_answer(o, limit),
        LoginError::Wire(WireError::Halt(Halt::TimedOut)) => no_answer(o, limit),
        LoginError::Connect(e) => no_server(o, &e),
        LoginError::NoTls => tls(
            "the server has no TLS".into(),
            "enable TLS on the server, or use ssl-mode=PREFERRED",
        ),
        LoginError::Tls(detail) => tls(
            detail,
            "check ssl-ca, ssl-cert, ssl-key and the host name in the server's certificate",
        ),
        LoginError::Plugin(plugin) => ServerError::AuthenticationPlugin {
            target,
            user: o.user.clone(),
            plugin,
        },
        LoginError::Insecure => ServerError::InsecureAuthentication { target },
        LoginError::Key(path, detail) => {
            let path = path.as_deref().unwrap_or(Path::new("the server's answer"));
            tls(
                format!("{}: {detail}", path.display()),
                "check server-public-key-path",
            )
        }
        LoginError::Wire(WireError::Server { code, message }) => denied(o, target, code, message),
        LoginError::Wire(other) => ServerError::NoServer {
            target,
            reason: other.to_string(),
            advice:
                "a program answers there, but not with the MySQL protocol: check socket, host and port"
                    .into(),
        },
    }
}

fn no_answer(o: &ConnectOptions, limit: Duration) -> ServerError {
    let advice = match o.transport {
        Transport::Socket(_) => "the server is overloaded or stopped: check its error log",
        Transport::Tcp { .. } => {
            "the server is overloaded or stopped, or a firewall is in between: check host and port, or raise \
             connect-timeout in an option file"
        }
    };
    ServerError::NoServer {
        target: o.transport.to_string(),
        reason: format!("no answer in time ({} s)", limit.as_secs_f64()),
        advice: advice.into(),
    }
}

pub(super) fn denied(
    o: &ConnectOptions,
    target: String,
    code: u16,
    message: String,
) -> ServerError {
    let by_socket = matches!(o.transport, Transport::Socket(_));
    let advice = match code {
        1045 | 1698 if o.password.is_none() => {
            "no password was given: use Overrides::password_file, LSNAP_PASSWORD or an option file"
        }
        1045 | 1698 if by_socket && !tls::is_wanted(o) => {
            "check user name and password, and that the account is for this host (the same name may exist for others); \
             if the account has REQUIRE SSL, use ssl-mode=REQUIRED"
        }
        1045 | 1698 if o.ssl_mode == SslMode::Disabled => {
            "check user name and password, and that the account is for this host (the same name may exist for others); \
             if the account has REQUIRE SSL, use another ssl-mode than DISABLED"
        }
        1045 | 1698 => {
            "check user name and password, and that the account is for this host (the same name may exist for others)"
        }
        1044 => "GRANT the account the privileges of a backup user",
        1862 | 1820 => "the password has expired: set a new one",
        3118 => "the account is locked: ALTER USER ... ACCOUNT UNLOCK",
        3159 => "the server requires TLS or the unix socket: use ssl-mode=REQUIRED",
        _ => {
            return ServerError::Refused {
                target,
                code,
                message,
            };
        }
    };
    ServerError::AccessDenied {
        target,
        user: o.user.clone(),
        message,
        advice: advice.to_string(),
    }
}

fn no_server(o: &ConnectOptions, error: &io::Error) -> ServerError {
    let advice = match (&o.transport, error.kind()) {
        (Transport::Socket(_), io::ErrorKind::NotFound) => {
            "the socket doesn't exist: is the server running? Set Overrides::socket to another path, or \
             Overrides::host to 127.0.0.1 for TCP"
        }
        (_, io::ErrorKind::ConnectionRefused) => "no program listens there: is the server running?",
        (Transport::Socket(_), io::ErrorKind::PermissionDenied) => {
            "this user lacks the permission to open the socket: run as the server's user or root"
        }
        (Transport::Tcp { .. }, _) => "check host, port and firewall",
        (Transport::Socket(_), _) => "check the socket's path",
    };
    ServerError::NoServer {
        target: o.transport.to_string(),
        reason: error.to_string(),
        advice: advice.to_string(),
    }
}
