//! The connection itself: TLS, session set-up, statements, and what the driver's errors mean to a person.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use mysql::prelude::Queryable;
use mysql::{ClientIdentity, Conn, DriverError, OptsBuilder, Row, SslOpts, Value};

use super::ServerError;
use super::options::{ConnectOptions, SslMode, Transport};

/// A file that can't exist: stands for "no public key may be asked of the server" (see [`builder`]).
const NO_KEY: &str = "/proc/self/lsnap-asks-no-server-for-its-key";

/// What every session gets first: the statement, and whether a server may lack the variable.
///
/// A lock or a backup may idle for hours (`wait_timeout`), a global `max_execution_time` must not cut a query
/// off, `sql_mode` must not change how `SHOW GRANTS` quotes, and on a group member (or Galera node) our reads
/// must not wait for the group. `sql_log_bin` stays as it is: nothing that lsnap runs is logged.
const SESSION: [(&str, bool); 7] = [
    ("SET NAMES utf8mb4", false),
    ("SET SESSION wait_timeout = 2147483", false),
    ("SET SESSION autocommit = 1", false),
    ("SET SESSION sql_mode = ''", false),
    ("SET SESSION max_execution_time = 0", true),
    (
        "SET SESSION group_replication_consistency = 'EVENTUAL'",
        true,
    ),
    ("SET SESSION wsrep_sync_wait = 0", true),
];

/// One connection to a running server. Its locks end with it, whatever happens to this process.
pub struct Server {
    conn: Conn,
    target: String,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Server({}, connection {})",
            self.target,
            self.conn.connection_id()
        )
    }
}

impl Server {
    /// Connects and sets the session up (spec 5.1).
    ///
    /// # Errors
    /// [`ServerError::NoServer`], [`ServerError::AccessDenied`], [`ServerError::Tls`] and the like, told apart.
    pub fn connect(o: &ConnectOptions) -> Result<Self, ServerError> {
        Self::connect_as_asked(o, None)
    }

    /// As [`Self::connect`], for who would rather lose the connection than wait: what takes longer than
    /// `patience` to come is an error, [`ServerError::Gone`] once it is connected. Such a connection is to be
    /// dropped: what comes next over it may be the answer that was too late.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_with_patience(
        o: &ConnectOptions,
        patience: Duration,
    ) -> Result<Self, ServerError> {
        let o = ConnectOptions {
            connect_timeout: patience.min(o.connect_timeout),
            ..o.clone()
        };
        Self::connect_as_asked(&o, Some(patience))
    }

    fn connect_as_asked(
        o: &ConnectOptions,
        patience: Option<Duration>,
    ) -> Result<Self, ServerError> {
        let conn = match open(o, ssl_opts(o), patience) {
            // PREFERRED: a server without TLS is no error.
            Err(mysql::Error::DriverError(DriverError::TlsNotSupported))
                if o.ssl_mode == SslMode::Preferred =>
            {
                open(o, None, patience)
            }
            other => other,
        };
        let conn = conn.map_err(|e| refused(o, &e))?;
        let mut server = Self {
            conn,
            target: o.transport.to_string(),
        };
        server.set_up()?;
        Ok(server)
    }

    fn set_up(&mut self) -> Result<(), ServerError> {
        const UNKNOWN_VARIABLE: u16 = 1193;
        for (statement, may_lack) in SESSION {
            match self.run("setting up the session", statement) {
                Err(ServerError::Query {
                    code: UNKNOWN_VARIABLE,
                    ..
                }) if may_lack => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// The server's number for this connection.
    #[must_use]
    pub fn connection_id(&self) -> u32 {
        self.conn.connection_id()
    }

    /// Where this connection goes, for messages.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Asks whether the server is still there.
    ///
    /// # Errors
    /// [`ServerError::Gone`].
    pub fn ping(&mut self) -> Result<(), ServerError> {
        let doing = "asking whether the server is still there";
        let answer = self.conn.ping();
        answer.map_err(|e| self.failed(doing, "ping", &e))
    }

    /// Runs a statement that gives no rows.
    pub(super) fn run(&mut self, doing: &'static str, statement: &str) -> Result<(), ServerError> {
        let answer = self.conn.query_drop(statement);
        answer.map_err(|e| self.failed(doing, statement, &e))
    }

    /// Runs a query and gives its rows as text, column by column.
    pub(super) fn rows(
        &mut self,
        doing: &'static str,
        statement: &str,
    ) -> Result<Vec<Cells>, ServerError> {
        let answer = self.conn.query::<Row, _>(statement);
        let rows = answer.map_err(|e| self.failed(doing, statement, &e))?;
        rows.into_iter().map(|row| Cells::of(doing, row)).collect()
    }

    /// As [`Self::rows`] with parameters, which are sent apart from the statement.
    pub(super) fn rows_with(
        &mut self,
        doing: &'static str,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<Vec<Cells>, ServerError> {
        let answer = self.conn.exec::<Row, _, _>(statement, parameters);
        let rows = answer.map_err(|e| self.failed(doing, statement, &e))?;
        rows.into_iter().map(|row| Cells::of(doing, row)).collect()
    }

    /// The one row that a query must give.
    pub(super) fn row(
        &mut self,
        doing: &'static str,
        statement: &str,
    ) -> Result<Cells, ServerError> {
        let mut rows = self.rows(doing, statement)?;
        match (rows.pop(), rows.len()) {
            (Some(row), 0) => Ok(row),
            (None, _) => Err(ServerError::unexpected(statement, "no row", "one row")),
            (Some(_), more) => Err(ServerError::unexpected(
                statement,
                format!("{} rows", more + 1),
                "one row",
            )),
        }
    }

    fn failed(&self, doing: &'static str, statement: &str, error: &mysql::Error) -> ServerError {
        // Access denied for an operation, a database, a table, a column, a routine.
        const DENIED: [u16; 5] = [1227, 1044, 1142, 1143, 1370];
        // Shutdown in progress, connection killed, server gone, session killed, idle too long.
        const GONE: [u16; 5] = [1053, 1927, 2006, 3169, 4031];
        let statement = statement.to_string();
        match error {
            mysql::Error::MySqlError(e) if DENIED.contains(&e.code) => {
                ServerError::MissingPrivilege {
                    doing,
                    statement,
                    message: e.message.clone(),
                }
            }
            mysql::Error::MySqlError(e) if !GONE.contains(&e.code) => ServerError::Query {
                doing,
                statement,
                code: e.code,
                message: e.message.clone(),
            },
            other => ServerError::Gone {
                doing,
                target: self.target.clone(),
                detail: words(other),
            },
        }
    }
}

/// One row of an answer, each column as text.
#[derive(Debug)]
pub(super) struct Cells {
    names: Vec<String>,
    values: Vec<Option<String>>,
}

impl Cells {
    fn of(what: &str, row: Row) -> Result<Self, ServerError> {
        let names: Vec<String> = row
            .columns_ref()
            .iter()
            .map(|c| c.name_str().into_owned())
            .collect();
        let mut values = Vec::with_capacity(names.len());
        for (name, value) in names.iter().zip(row.unwrap()) {
            values.push(match value {
                Value::NULL => None,
                Value::Bytes(bytes) => Some(String::from_utf8(bytes).map_err(|_| {
                    ServerError::unexpected(
                        format!("{what}: column {name}"),
                        "bytes that are not UTF-8",
                        "text",
                    )
                })?),
                Value::Int(n) => Some(n.to_string()),
                Value::UInt(n) => Some(n.to_string()),
                other => Some(other.as_sql(true).trim_matches('\'').to_string()),
            });
        }
        Ok(Self { names, values })
    }

    /// The column by its place; `None` for NULL.
    pub(super) fn get(&self, at: usize) -> Option<&str> {
        self.values.get(at).and_then(Option::as_deref)
    }

    /// The column by its name, case ignored; `None` for NULL and for a column that isn't there.
    pub(super) fn named(&self, name: &str) -> Option<&str> {
        let at = self
            .names
            .iter()
            .position(|n| n.eq_ignore_ascii_case(name))?;
        self.get(at)
    }

    /// The column by its place, as text that must be there.
    pub(super) fn text(&self, at: usize, what: &str) -> Result<String, ServerError> {
        let found = self
            .get(at)
            .ok_or_else(|| ServerError::unexpected(what, "NULL", "a value"))?;
        Ok(found.to_string())
    }

    /// The column by its place, as a number that must be there.
    pub(super) fn number<T: std::str::FromStr>(
        &self,
        at: usize,
        what: &str,
    ) -> Result<T, ServerError> {
        let text = self.text(at, what)?;
        text.parse()
            .map_err(|_| ServerError::unexpected(what, format!("'{text}'"), "a number"))
    }
}

fn ssl_opts(o: &ConnectOptions) -> Option<SslOpts> {
    let unchecked = match o.ssl_mode {
        SslMode::Disabled => return None,
        SslMode::Preferred | SslMode::Required => true,
        SslMode::VerifyCa | SslMode::VerifyIdentity => false,
    };
    let mut ssl = SslOpts::default()
        .with_danger_accept_invalid_certs(unchecked)
        .with_danger_skip_domain_validation(o.ssl_mode != SslMode::VerifyIdentity);
    if !unchecked {
        ssl = ssl.with_root_cert_path(o.ssl_ca.clone());
    }
    if let (Some(cert), Some(key)) = (o.ssl_cert.clone(), o.ssl_key.clone()) {
        ssl = ssl.with_client_identity(Some(ClientIdentity::new(cert, key)));
    }
    Some(ssl)
}

/// Opens a connection. The driver panics on an RSA key that is none, be it from a file or from whoever answers.
fn open(
    o: &ConnectOptions,
    ssl: Option<SslOpts>,
    patience: Option<Duration>,
) -> mysql::Result<Conn> {
    let opts = builder(o, ssl)
        .read_timeout(patience)
        .write_timeout(patience);
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Conn::new(opts)));
    opened.unwrap_or_else(|_| {
        let what = "the answer, or the RSA key (server-public-key-path), can't be understood";
        Err(mysql::Error::IoError(io::Error::other(what)))
    })
}

/// The driver asks the server for its RSA key by itself when a password must cross a TCP connection without
/// TLS, and would so give the password to whoever sits in between. MySQL's own clients do that only when told
/// to; lsnap too: a key file that can't be read stops the driver before it asks.
fn builder(o: &ConnectOptions, ssl: Option<SslOpts>) -> OptsBuilder {
    let key = o
        .server_public_key
        .clone()
        .or_else(|| (!o.get_server_public_key).then(|| PathBuf::from(NO_KEY)));
    let attributes = [("program_name".to_string(), "lsnap".to_string())].into();
    let builder = OptsBuilder::new()
        .user(Some(o.user.clone()))
        .pass(o.password.as_ref().map(|p| p.expose().to_string()))
        .prefer_socket(false)
        .connect_attrs(Some::<std::collections::HashMap<_, _>>(attributes))
        .stmt_cache_size(0)
        .server_key_path(key);
    match &o.transport {
        Transport::Socket(path) => builder.socket(Some(path.to_string_lossy().into_owned())),
        Transport::Tcp { host, port } => builder
            .ip_or_hostname(Some(host.clone()))
            .tcp_port(*port)
            .tcp_connect_timeout(Some(o.connect_timeout))
            .tcp_keepalive_time_ms(Some(60_000))
            .ssl_opts(ssl),
    }
}

/// A driver error in plain words, without the driver's own wrapping.
fn words(error: &mysql::Error) -> String {
    if let Some(e) = io_of(error) {
        return if is_late(e) {
            "no answer in time".into()
        } else {
            e.to_string()
        };
    }
    match error {
        mysql::Error::MySqlError(e) => format!("error {}: {}", e.code, e.message),
        mysql::Error::DriverError(e) => e.to_string(),
        mysql::Error::TlsError(e) => e.to_string(),
        other => other.to_string(),
    }
}

/// The operating system's or TLS's error, which the driver wraps in one of two ways.
fn io_of(error: &mysql::Error) -> Option<&io::Error> {
    match error {
        mysql::Error::IoError(e) => Some(e),
        mysql::Error::CodecError(e) => std::error::Error::source(e)?.downcast_ref(),
        _ => None,
    }
}

/// What the kernel says when [`Server::connect_with_patience`] has waited long enough.
fn is_late(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn refused(o: &ConnectOptions, error: &mysql::Error) -> ServerError {
    let target = o.transport.to_string();
    let tls = |detail: String, advice: &str| ServerError::Tls {
        target: target.clone(),
        mode: o.ssl_mode.name(),
        detail,
        advice: advice.to_string(),
    };
    match io_of(error) {
        Some(e) if e.kind() == io::ErrorKind::InvalidData => {
            return tls(
                e.to_string(),
                "check ssl-ca and the host name in the server's certificate",
            );
        }
        Some(e) if e.kind() == io::ErrorKind::NotFound => return no_key(o, target, e),
        Some(e) if is_late(e) => {
            return ServerError::NoServer {
                target,
                reason: words(error),
                advice:
                    "it takes connections but says nothing: is it overloaded, or standing still?"
                        .into(),
            };
        }
        _ => {}
    }
    match error {
        mysql::Error::DriverError(DriverError::CouldNotConnect(why)) => no_server(o, why.as_ref()),
        mysql::Error::DriverError(DriverError::ConnectTimeout) => ServerError::NoServer {
            target,
            reason: format!("no answer within {} s", o.connect_timeout.as_secs()),
            advice: "check host, port and firewall, or raise connect-timeout".into(),
        },
        mysql::Error::DriverError(DriverError::TlsNotSupported) => {
            tls("the server has no TLS".into(), "configure it there, or use ssl-mode=PREFERRED or the unix socket")
        }
        mysql::Error::DriverError(DriverError::UnknownAuthPlugin(plugin)) => {
            ServerError::AuthenticationPlugin { target, user: o.user.clone(), plugin: plugin.clone() }
        }
        mysql::Error::TlsError(e) => {
            tls(e.to_string(), "check ssl-ca, ssl-cert, ssl-key and the host name in the server's certificate")
        }
        mysql::Error::MySqlError(e) => denied(o, target, e),
        other => ServerError::NoServer {
            target,
            reason: words(other),
            advice: "something answers there, but not as a MySQL server does: check socket, host and port".into(),
        },
    }
}

/// A file that isn't there: one that was named, or [`NO_KEY`].
fn no_key(o: &ConnectOptions, target: String, e: &io::Error) -> ServerError {
    for file in [&o.ssl_ca, &o.ssl_cert, &o.ssl_key, &o.server_public_key]
        .into_iter()
        .flatten()
    {
        if !file.exists() {
            return ServerError::Tls {
                target,
                mode: o.ssl_mode.name(),
                detail: format!("{}: {e}", file.display()),
                advice: "check the path".into(),
            };
        }
    }
    ServerError::InsecureAuthentication { target }
}

fn denied(o: &ConnectOptions, target: String, e: &mysql::MySqlError) -> ServerError {
    let advice = match e.code {
        1045 | 1698 if o.password.is_none() => {
            "no password was given: use --password-file, LSNAP_PASSWORD or an option file"
        }
        1045 | 1698 => {
            "check user name and password, and that the account is for this host (the same name may exist for others)"
        }
        1044 => "give the account the rights of a backup user",
        1862 | 1820 => "the password has expired: set a new one",
        3118 => "the account is locked: ALTER USER ... ACCOUNT UNLOCK",
        3159 => "the server wants TLS or the unix socket: use ssl-mode=REQUIRED",
        _ => {
            return ServerError::Refused {
                target,
                code: e.code,
                message: e.message.clone(),
            };
        }
    };
    ServerError::AccessDenied {
        target,
        user: o.user.clone(),
        message: e.message.clone(),
        advice: advice.to_string(),
    }
}

fn no_server(o: &ConnectOptions, why: Option<&(String, String, io::ErrorKind)>) -> ServerError {
    let (reason, kind) = why.map_or(("no reason given".to_string(), io::ErrorKind::Other), |w| {
        (w.1.clone(), w.2)
    });
    let advice = match (&o.transport, kind) {
        (Transport::Socket(_), io::ErrorKind::NotFound) => {
            "the socket doesn't exist: is the server running? --socket names another one, --host=127.0.0.1 uses TCP"
        }
        (_, io::ErrorKind::ConnectionRefused) => "nobody listens: is the server running there?",
        (Transport::Socket(_), io::ErrorKind::PermissionDenied) => {
            "this user may not open the socket: run as the server's user or root"
        }
        (Transport::Tcp { .. }, _) => "check host, port and firewall",
        (Transport::Socket(_), _) => "check the socket's path",
    };
    ServerError::NoServer {
        target: o.transport.to_string(),
        reason,
        advice: advice.to_string(),
    }
}
