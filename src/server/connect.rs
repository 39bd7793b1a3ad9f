//! The connection to the server: statements, their time limits, and the classification of errors.

use std::sync::Arc;
use std::time::Duration;

use super::login::{LoginError, login};
use super::options::ConnectOptions;
use super::refusal::refused;
use super::wait::{Halt, Wait};
use super::wire::{Answer, Command, Wire, WireError};
use super::{ServerError, login};
use crate::cancel::Cancel;
use crate::counted::count;

/// Time limit for the answer to a statement that reads metadata, including lists of 100,000 tables
/// on a busy server.
const ANSWER_LIMIT: Duration = Duration::from_secs(300);
/// Time limit for statements that wait for transactions or for the disk: `log_status`, the flushes
/// of logs.
pub(super) const SLOW_ANSWER: Duration = Duration::from_secs(900);
/// Time limit for ending an abandoned session on the server.
const KILL_LIMIT: Duration = Duration::from_secs(3);

/// A connection to a running server. Its locks end with it, also if this process is killed.
///
/// Every wait for the server has a limit, and ends when the `Cancel` of [`Self::connect_until`] is
/// cancelled. After a wait that ended early, the connection can't be used any more: its session is
/// also ended on the server (where its statement would continue), and every later statement returns
/// [`ServerError::Gone`].
pub struct Server {
    wire: Wire,
    options: ConnectOptions,
    target: String,
    /// The connection id of the handshake.
    number: u32,
    /// The ids that the session itself reports: behind a proxy they are those of the actual server.
    pub(super) session: Option<SessionId>,
    cancel: Cancel,
    answer_limit: Duration,
    /// The limit of the next statement, if it isn't the usual one.
    next: Option<Duration>,
    is_abandoned: bool,
}

/// Identifies the session and its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionId {
    pub(super) server: String,
    pub(super) connection: String,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({}, connection {})", self.target, self.number)
    }
}

impl Server {
    /// Connects and initialises the session (`docs/design.md#session`).
    ///
    /// # Errors
    /// [`ServerError::NoServer`], [`ServerError::AccessDenied`], [`ServerError::Tls`] and other
    /// variants for each cause.
    pub fn connect(o: &ConnectOptions) -> Result<Self, ServerError> {
        Self::connect_until(o, &Cancel::new())
    }

    /// The same as [`Self::connect`]; when `cancel` is cancelled, connecting and every later wait
    /// end immediately.
    ///
    /// # Errors
    /// The same as [`Self::connect`]; [`ServerError::Interrupted`].
    pub fn connect_until(o: &ConnectOptions, cancel: &Cancel) -> Result<Self, ServerError> {
        Self::open(o, cancel, None)
    }

    /// The same as [`Self::connect`] with a short limit for every answer. If an answer takes longer
    /// than `answer_limit`, the result is an error, which is [`ServerError::NoAnswer`] after the
    /// connection is established.
    ///
    /// # Errors
    /// The same as [`Self::connect`].
    pub fn connect_with_limit(
        o: &ConnectOptions,
        answer_limit: Duration,
    ) -> Result<Self, ServerError> {
        Self::open(o, &Cancel::new(), Some(answer_limit))
    }

    fn open(
        o: &ConnectOptions,
        cancel: &Cancel,
        answer_limit: Option<Duration>,
    ) -> Result<Self, ServerError> {
        let limit = login::limit(o, answer_limit);
        let (wire, number) = login(o, Wait::new(cancel.clone(), limit), limit).map_err(|e| {
            if matches!(e, LoginError::Wire(WireError::Halt(Halt::Cancelled))) {
                let doing = "connecting to the server";
                return ServerError::Interrupted { doing };
            }
            refused(o, limit, e)
        })?;
        let mut server = Self {
            wire,
            options: o.clone(),
            target: o.transport.to_string(),
            number,
            session: None,
            cancel: cancel.clone(),
            answer_limit: answer_limit.unwrap_or(ANSWER_LIMIT),
            next: None,
            is_abandoned: false,
        };
        server.initialise(answer_limit)?;
        Ok(server)
    }

    /// Returns the server's id of this connection.
    #[doc(hidden)]
    #[must_use]
    pub fn connection_id(&self) -> u32 {
        self.number
    }

    /// Returns the address of the server for messages.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Checks that the connection to the server works.
    ///
    /// # Errors
    /// [`ServerError::Gone`].
    pub fn ping(&mut self) -> Result<(), ServerError> {
        let doing = "checking the connection to the server";
        self.send(doing, "ping", Command::Ping, "").map(drop)
    }

    pub(super) fn options(&self) -> &ConnectOptions {
        &self.options
    }

    /// Returns the token that ends every wait.
    pub(super) const fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Sets the limit of the next statement.
    pub(super) fn within(&mut self, limit: Duration) -> &mut Self {
        self.next = Some(limit);
        self
    }

    /// Runs a statement without a result set.
    pub(super) fn run(&mut self, doing: &'static str, statement: &str) -> Result<(), ServerError> {
        self.send(doing, statement, Command::Query, statement)
            .map(drop)
    }

    /// Runs a query and returns its rows, with each column as text.
    pub(super) fn rows(
        &mut self,
        doing: &'static str,
        statement: &str,
    ) -> Result<Vec<Row>, ServerError> {
        let answer = self.send(doing, statement, Command::Query, statement)?;
        Row::all(doing, answer)
    }

    /// The same as [`Self::rows`]; each `?` of the statement is a parameter. Parameters are sent as
    /// hexadecimal literals, which have the same meaning in every `sql_mode` and character set.
    pub(super) fn rows_with(
        &mut self,
        doing: &'static str,
        statement: &str,
        parameters: Vec<Parameter>,
    ) -> Result<Vec<Row>, ServerError> {
        let mut filled = String::new();
        let mut parameters = parameters.iter();
        for (i, part) in statement.split('?').enumerate() {
            if i > 0 {
                let value = parameters.next().map_or("NULL", |p| p.0.as_str());
                filled.push_str(value);
            }
            filled.push_str(part);
        }
        let answer = self.send(doing, statement, Command::Query, &filled)?;
        Row::all(doing, answer)
    }

    /// Runs a query that must return exactly one row.
    pub(super) fn row(&mut self, doing: &'static str, statement: &str) -> Result<Row, ServerError> {
        let mut rows = self.rows(doing, statement)?;
        match (rows.pop(), rows.len()) {
            (Some(row), 0) => Ok(row),
            (None, _) => Err(ServerError::unexpected(statement, "no row", "one row")),
            (Some(_), more) => Err(ServerError::unexpected(
                statement,
                format!("{}", count(more + 1, "row")),
                "one row",
            )),
        }
    }

    /// Sends a command and waits for its answer; `shown` is the command's name in errors.
    pub(super) fn send(
        &mut self,
        doing: &'static str,
        shown: &str,
        command: Command,
        argument: &str,
    ) -> Result<Answer, ServerError> {
        let limit = self.next.take().unwrap_or(self.answer_limit);
        if self.is_abandoned {
            return Err(ServerError::Gone {
                doing,
                target: self.target.clone(),
                detail: "the wait for an earlier answer was abandoned".into(),
            });
        }
        let answer = self.wire.command(command, argument, limit);
        answer.map_err(|error| {
            self.is_abandoned = !matches!(error, WireError::Server { .. });
            if matches!(error, WireError::Halt(_)) {
                self.end_session();
            }
            self.failed(doing, shown, limit, &error)
        })
    }

    /// Ends this session on the server through another connection: a statement doesn't end on the
    /// server when the client stops waiting for it. Only if the other connection certainly reaches
    /// the same server.
    fn end_session(&self) {
        let Some(session_id) = &self.session else {
            return;
        };
        let ended = Self::connect_with_limit(&self.options, KILL_LIMIT).and_then(|mut other| {
            let same = other
                .session
                .as_ref()
                .is_some_and(|o| o.server == session_id.server);
            if !same {
                return Ok(());
            }
            // If this connection is abandoned too, it must not end another session.
            other.session = None;
            let kill = format!("KILL {}", session_id.connection);
            other.run("ending a session that was given up", &kill)
        });
        if let Err(error) = ended {
            tracing::debug!("connection {}: {error}", session_id.connection);
        }
    }

    fn failed(
        &self,
        doing: &'static str,
        statement: &str,
        limit: Duration,
        error: &WireError,
    ) -> ServerError {
        // Access denied for an operation, a database, a table, a column, a routine.
        const DENIED: [u16; 5] = [1227, 1044, 1142, 1143, 1370];
        // Shutdown in progress, connection killed, server gone, session killed, idle too long.
        const GONE: [u16; 5] = [1053, 1927, 2006, 3169, 4031];
        let (statement, target) = (statement.to_string(), self.target.clone());
        match error {
            WireError::Halt(Halt::Cancelled) => ServerError::Interrupted { doing },
            WireError::Halt(Halt::TimedOut) => ServerError::NoAnswer {
                doing,
                target,
                seconds: limit.as_secs_f64(),
            },
            WireError::Server { code, message } if DENIED.contains(code) => {
                ServerError::MissingPrivilege {
                    doing,
                    statement,
                    message: message.clone(),
                }
            }
            WireError::Server { code, message } if !GONE.contains(code) => ServerError::Query {
                doing,
                statement,
                code: *code,
                message: message.clone(),
            },
            other => ServerError::Gone {
                doing,
                target,
                detail: other.to_string(),
            },
        }
    }
}

/// A parameter of a statement, as the literal that is sent.
pub(super) struct Parameter(String);

impl From<&str> for Parameter {
    fn from(text: &str) -> Self {
        use std::fmt::Write as _;
        let mut literal = String::from("_utf8mb4 x'");
        for byte in text.bytes() {
            // Writing to a String never fails.
            let _ = write!(literal, "{byte:02x}");
        }
        literal.push('\'');
        Self(literal)
    }
}

impl From<String> for Parameter {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

/// A row of a result set, with each column as text.
#[derive(Debug)]
pub(super) struct Row {
    names: Arc<Vec<String>>,
    values: Vec<Option<String>>,
}

impl Row {
    fn all(what: &str, answer: Answer) -> Result<Vec<Self>, ServerError> {
        let names = Arc::new(answer.names);
        let rows = answer.rows.into_iter();
        rows.map(|row| Self::of(what, &names, row)).collect()
    }

    fn of(
        what: &str,
        names: &Arc<Vec<String>>,
        row: Vec<Option<Vec<u8>>>,
    ) -> Result<Self, ServerError> {
        let mut values = Vec::with_capacity(names.len());
        for (name, value) in names.iter().zip(row) {
            let text = value.map(String::from_utf8).transpose();
            values.push(text.map_err(|_| {
                ServerError::unexpected(
                    format!("{what}: column {name}"),
                    "bytes that are not UTF-8",
                    "text",
                )
            })?);
        }
        Ok(Self {
            names: Arc::clone(names),
            values,
        })
    }

    /// Returns the column at this index; `None` for NULL.
    pub(super) fn get(&self, at: usize) -> Option<&str> {
        self.values.get(at).and_then(Option::as_deref)
    }

    /// Returns the column with this name, ignoring case; `None` for NULL and for a missing column.
    pub(super) fn named(&self, name: &str) -> Option<&str> {
        let at = self
            .names
            .iter()
            .position(|n| n.eq_ignore_ascii_case(name))?;
        self.get(at)
    }

    /// Returns the column at this index as text that must not be NULL.
    pub(super) fn text(&self, at: usize, what: &str) -> Result<String, ServerError> {
        let found = self
            .get(at)
            .ok_or_else(|| ServerError::unexpected(what, "NULL", "a value"))?;
        Ok(found.to_string())
    }

    /// Returns the column at this index as a number that must not be NULL.
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
