//! Errors of the layer, with one variant for each remedy.

use crate::error_kind::ErrorKind;
use std::io;
use std::path::PathBuf;

use super::version::{NEWEST_TESTED, OLDEST_SUPPORTED};
use crate::counted::count;

/// An error of the layer `server`. No variant contains a password or the full text of a user's
/// statement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A line of an option file that MySQL would also refuse.
    #[error("option file {}, line {line}: {problem}", file.display())]
    OptionFile {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1; 0 if the problem is the file as a whole.
        line: usize,
        /// The finding, the expectation and the remedy.
        problem: String,
    },
    /// An option file that can't be read.
    #[error("option file {} can't be read: {source}; check the path and its permissions", file.display())]
    OptionFileRead {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// An option with an invalid value.
    #[error("option {name} ({origin}): {problem}")]
    BadOption {
        /// The name of the option.
        name: String,
        /// The source of the option.
        origin: String,
        /// The finding, the expectation and the remedy.
        problem: String,
    },
    /// A password file that can't be used.
    #[error("password file {}: {problem}", file.display())]
    PasswordFile {
        /// The file.
        file: PathBuf,
        /// The cause.
        problem: String,
    },
    /// The password prompt failed.
    #[error(
        "the password prompt failed: {0}; give the password by Overrides::password_file, LSNAP_PASSWORD or an option file"
    )]
    Prompt(String),
    /// The server has no page tracking.
    #[error(
        "the server has no component_mysqlbackup; for page tracking, run INSTALL COMPONENT \
         'file://component_mysqlbackup'"
    )]
    NoPageTracking,
    /// A request for page tracking failed.
    #[error("page tracking: {what}")]
    PageTracking {
        /// The call and its result.
        what: String,
    },
    /// The server's list of changed pages does not reach back to the requested LSN.
    #[error(
        "page tracking: pages were not tracked without a gap (tracking began later, was stopped, or its data were \
         purged), or nothing was written since it began: {call} returned {code}"
    )]
    PageTrackingGap {
        /// The call.
        call: String,
        /// Its result.
        code: i64,
    },
    /// No server listens at the address.
    #[error("no MySQL server at {target}: {reason}; {advice}")]
    NoServer {
        /// Socket or host and port.
        target: String,
        /// The cause, from the operating system.
        reason: String,
        /// The remedy.
        advice: String,
    },
    /// The server refuses the account.
    #[error("{target} refuses user '{user}': {message}; {advice}")]
    AccessDenied {
        /// Socket or host and port.
        target: String,
        /// The user name.
        user: String,
        /// The message of the server.
        message: String,
        /// The remedy.
        advice: String,
    },
    /// The server refuses the connection for another reason (too many connections, host blocked,
    /// ...).
    #[error("{target} refuses the connection: error {code}: {message}")]
    Refused {
        /// Socket or host and port.
        target: String,
        /// The server's error number.
        code: u16,
        /// The message of the server.
        message: String,
    },
    /// TLS failed.
    #[error("TLS with {target} (ssl-mode={mode}) failed: {detail}; {advice}")]
    Tls {
        /// Host and port.
        target: String,
        /// The effective ssl-mode.
        mode: &'static str,
        /// The cause.
        detail: String,
        /// The remedy.
        advice: String,
    },
    /// The password would be sent over the network with an unauthenticated key.
    #[error(
        "{target}: the account needs a secure connection for its password, but the connection has no TLS; use the \
         unix socket, ssl-mode=REQUIRED, or server-public-key-path (or, on a trusted network, \
         get-server-public-key)"
    )]
    InsecureAuthentication {
        /// Host and port.
        target: String,
    },
    /// The account uses an authentication plugin that lsnap doesn't support.
    #[error(
        "{target}: user '{user}' authenticates by {plugin}, which lsnap doesn't support; expected caching_sha2_password or \
         mysql_native_password: create an account for backups with one of them"
    )]
    AuthenticationPlugin {
        /// Socket or host and port.
        target: String,
        /// The user name.
        user: String,
        /// The plugin's name.
        plugin: String,
    },
    /// The server is MariaDB.
    #[error(
        "the server is MariaDB ({version}): its redo log and pages differ from MySQL's, and lsnap can't back it up; \
         use mariadb-backup"
    )]
    MariaDb {
        /// The server's version string.
        version: String,
    },
    /// The server is older than redo format 6.
    #[error(
        "the server is {version}: lsnap needs {OLDEST_SUPPORTED} or later (redo log format 6); upgrade the server, or \
         use the xtrabackup of its series"
    )]
    TooOld {
        /// The server's version string.
        version: String,
    },
    /// The server is newer than all tested series.
    #[error(
        "the server is {version}: the newest series that lsnap was tested with is {}.{}; set \
         BackupOptions::allow_untested to true to continue, and don't rely on a backup of it before a test restore (Level::Restore) has started a \
         server of this version on it",
        NEWEST_TESTED.0, NEWEST_TESTED.1
    )]
    Untested {
        /// The server's version string.
        version: String,
    },
    /// The version string can't be parsed.
    #[error("the server's version is {found:?}: expected something like 8.4.6 or 9.7.4-2")]
    BadVersion {
        /// The version string.
        found: String,
    },
    /// The account lacks privileges.
    #[error("account {account} lacks: {}; an administrator grants exactly these by:\n  {grant}{hint}", missing.join(", "))]
    MissingPrivileges {
        /// The account in the form `user`@`host`, as the server matched it.
        account: String,
        /// The missing privileges.
        missing: Vec<String>,
        /// The statements that grant them.
        grant: String,
        /// More information (inactive roles), with a leading newline; or empty.
        hint: String,
    },
    /// The server refused a statement because of a missing privilege.
    #[error(
        "{doing}: the server refuses `{statement}`: {message}; run the privilege check to get the GRANT statement"
    )]
    MissingPrivilege {
        /// The action.
        doing: &'static str,
        /// The statement.
        statement: String,
        /// The message of the server.
        message: String,
    },
    /// A lock was not available in time.
    #[error(
        "{statement} failed after {seconds} s; {holders}; end those statements or wait for them, or raise {option}"
    )]
    LockTimeout {
        /// The statement that waited.
        statement: &'static str,
        /// The time limit, in seconds.
        seconds: u64,
        /// The holders of the lock, and how long each has held it.
        holders: String,
        /// The option for the time limit.
        option: &'static str,
    },
    /// The connection was lost.
    #[error(
        "{doing}: the connection to {target} is gone ({detail}): the server was stopped, crashed, or ended the \
         connection; see its error log"
    )]
    Gone {
        /// The action.
        doing: &'static str,
        /// Socket or host and port.
        target: String,
        /// The error of the connection or of the server.
        detail: String,
    },
    /// The server accepted the account, but its `init_connect` failed.
    #[error(
        "{target}: the server accepted the account and ended the session before its first statement ({message}): its \
         init_connect fails for this account. The server's error log has the statement (MY-013130); correct it by \
         SET GLOBAL init_connect, or use an account with CONNECTION_ADMIN, for which it isn't run"
    )]
    InitConnect {
        /// Socket or host and port.
        target: String,
        /// The message of the server.
        message: String,
    },
    /// No answer arrived within the time limit.
    #[error(
        "{doing}: no answer in time from {target} ({seconds} s): the server is overloaded, stopped, or can't be \
         reached any more; check its error log and process list"
    )]
    NoAnswer {
        /// The action.
        doing: &'static str,
        /// Socket or host and port.
        target: String,
        /// The time limit, in seconds.
        seconds: f64,
    },
    /// The job was cancelled during a wait.
    #[error("{doing}: interrupted")]
    Interrupted {
        /// The action.
        doing: &'static str,
    },
    /// Any other error of a statement.
    #[error("{doing}: error {code} of `{statement}`: {message}")]
    Query {
        /// The action.
        doing: &'static str,
        /// The statement.
        statement: String,
        /// The server's error number.
        code: u16,
        /// The message of the server.
        message: String,
    },
    /// A list has fewer or more rows than the server's own count.
    #[error(
        "the server returned {rows} of {list}, expected the {counted} that it counts: a limit of the session cuts \
         the list (sql_select_limit, init_connect), and tables would be left out of the backup; remove the limit", rows = count(rows, "row"), counted = count(counted, "row")
    )]
    CutList {
        /// The table and its condition.
        list: &'static str,
        /// Number of returned rows.
        rows: u64,
        /// Number of rows by `COUNT(*)`.
        counted: u64,
    },
    /// The server returned a value that lsnap can't parse.
    #[error("{what}: the server returned {found}, expected {expected}")]
    Unexpected {
        /// The requested object.
        what: String,
        /// The returned value.
        found: String,
        /// The expected value.
        expected: String,
    },
}

impl ServerError {
    /// Returns whether the connection can't be used any more.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::NoAnswer { .. })
    }

    pub(super) fn unexpected(
        what: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Unexpected {
            what: what.into(),
            found: found.into(),
            expected: expected.into(),
        }
    }
}

impl ServerError {
    /// Returns the kind of the error.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::OptionFile { .. }
            | Self::OptionFileRead { .. }
            | Self::BadOption { .. }
            | Self::PasswordFile { .. }
            | Self::Prompt(_) => ErrorKind::Arguments,
            Self::PageTracking { .. }
            | Self::PageTrackingGap { .. }
            | Self::InitConnect { .. }
            | Self::CutList { .. }
            | Self::NoPageTracking => ErrorKind::Precondition,
            Self::NoServer { .. }
            | Self::Refused { .. }
            | Self::Gone { .. }
            | Self::NoAnswer { .. } => ErrorKind::Unreachable,
            Self::AccessDenied { .. }
            | Self::MissingPrivileges { .. }
            | Self::MissingPrivilege { .. } => ErrorKind::AccessDenied,
            Self::Tls { .. }
            | Self::InsecureAuthentication { .. }
            | Self::AuthenticationPlugin { .. }
            | Self::MariaDb { .. }
            | Self::TooOld { .. }
            | Self::Untested { .. }
            | Self::BadVersion { .. }
            | Self::Unexpected { .. } => ErrorKind::Incompatible,
            Self::LockTimeout { .. } => ErrorKind::Busy,
            Self::Interrupted { .. } => ErrorKind::Interrupted,
            Self::Query { .. } => ErrorKind::System,
        }
    }

    /// Returns whether the same call can succeed later ([`ErrorKind::is_retryable`]).
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}
