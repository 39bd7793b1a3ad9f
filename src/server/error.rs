//! What can go wrong between lsnap and a server, told apart by what a person would do about it.

use crate::error_kind::ErrorKind;
use std::io;
use std::path::PathBuf;

use super::version::{NEWEST_TESTED, OLDEST_SUPPORTED};
use crate::counted::count;

/// Any failure of the layer `server`. No variant ever holds a password or the text of a user's statement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A line of an option file that MySQL would refuse too.
    #[error("option file {}, line {line}: {problem}", file.display())]
    OptionFile {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1; 0 when the problem is the file as a whole.
        line: usize,
        /// What was found, what was expected and what to do.
        problem: String,
    },
    /// An option file that can't be read.
    #[error("option file {} can't be read: {source}; check the path and its permissions", file.display())]
    OptionFileRead {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// An option whose value makes no sense.
    #[error("option {name} ({origin}): {problem}")]
    BadOption {
        /// The option as a person writes it.
        name: String,
        /// Where it was given.
        origin: String,
        /// What was found, what was expected and what to do.
        problem: String,
    },
    /// The file of `--password-file` is of no use.
    #[error("password file {}: {problem}", file.display())]
    PasswordFile {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A password was to be asked for, and couldn't be.
    #[error(
        "the password can't be asked for: {0}; give it by --password-file, LSNAP_PASSWORD or an option file"
    )]
    Prompt(String),
    /// The server can't say which pages changed.
    #[error(
        "the server has no component_mysqlbackup; to have changed pages tracked: INSTALL COMPONENT \
         'file://component_mysqlbackup'"
    )]
    NoPageTracking,
    /// The server was asked for changed pages in vain.
    #[error("page tracking: {what}")]
    PageTracking {
        /// What was asked, what was answered.
        what: String,
    },
    /// The server's list of changed pages does not reach back to the LSN that was asked for.
    #[error(
        "page tracking: pages were not tracked without a gap (tracking began later, was stopped, or its data were \
         purged), or nothing was written since it began: {call} answered {code}"
    )]
    PageTrackingGap {
        /// What was asked.
        call: String,
        /// What was answered.
        code: i64,
    },
    /// Nothing listens there.
    #[error("no MySQL server at {target}: {reason}; {advice}")]
    NoServer {
        /// Socket or host and port.
        target: String,
        /// The operating system's reason.
        reason: String,
        /// What to do.
        advice: String,
    },
    /// The server doesn't let this user in.
    #[error("{target} refuses user '{user}': {message}; {advice}")]
    AccessDenied {
        /// Socket or host and port.
        target: String,
        /// The user that was tried.
        user: String,
        /// The server's words.
        message: String,
        /// What to do.
        advice: String,
    },
    /// The server answered the connection with another refusal (too many connections, host blocked, ...).
    #[error("{target} refuses the connection: error {code}: {message}")]
    Refused {
        /// Socket or host and port.
        target: String,
        /// The server's error number.
        code: u16,
        /// The server's words.
        message: String,
    },
    /// TLS failed.
    #[error("TLS with {target} (ssl-mode={mode}) failed: {detail}; {advice}")]
    Tls {
        /// Host and port.
        target: String,
        /// The ssl-mode in force.
        mode: &'static str,
        /// What happened.
        detail: String,
        /// What to do.
        advice: String,
    },
    /// The password would cross the network under a key that nobody vouches for.
    #[error(
        "{target}: the account needs a secure connection for its password, but the connection has no TLS; use the \
         unix socket, ssl-mode=REQUIRED, or server-public-key-path (or, on a trusted network, \
         get-server-public-key)"
    )]
    InsecureAuthentication {
        /// Host and port.
        target: String,
    },
    /// The account uses an authentication plugin that lsnap can't speak.
    #[error(
        "{target}: user '{user}' authenticates by {plugin}, which lsnap can't; expected caching_sha2_password or \
         mysql_native_password: create an account for backups with one of them"
    )]
    AuthenticationPlugin {
        /// Socket or host and port.
        target: String,
        /// The user that was tried.
        user: String,
        /// The plugin's name.
        plugin: String,
    },
    /// A MariaDB server.
    #[error(
        "the server is MariaDB ({version}): its redo log and pages differ from MySQL's and lsnap can't back it up; \
         use mariadb-backup"
    )]
    MariaDb {
        /// The server's version string.
        version: String,
    },
    /// A server from before redo format 6.
    #[error(
        "the server is {version}: lsnap needs {OLDEST_SUPPORTED} or later (redo log format 6); upgrade the server, or \
         use the xtrabackup of its series"
    )]
    TooOld {
        /// The server's version string.
        version: String,
    },
    /// A server that is newer than all that were tested.
    #[error(
        "the server is {version}: the newest series that lsnap was tested with is {}.{}; add --allow-untested-server to go \
         on, and trust no backup of it before `lsnap verify --restore` has started a server of this version on it",
        NEWEST_TESTED.0, NEWEST_TESTED.1
    )]
    Untested {
        /// The server's version string.
        version: String,
    },
    /// A version string that says nothing.
    #[error("the server's version is {found:?}: expected something like 8.4.6 or 9.7.4-2")]
    BadVersion {
        /// What the server said.
        found: String,
    },
    /// The account lacks privileges, all named at once.
    #[error("account {account} lacks: {}; an administrator gives exactly these by:\n  {grant}{hint}", missing.join(", "))]
    MissingPrivileges {
        /// `user`@`host` as the server matched it.
        account: String,
        /// What is missing.
        missing: Vec<String>,
        /// The statement(s) that give it.
        grant: String,
        /// More to say (roles that aren't active), with a leading newline; or empty.
        hint: String,
    },
    /// The server refused one statement for want of a privilege.
    #[error(
        "{doing}: the server refuses `{statement}`: {message}; run the privilege check for the GRANT to give"
    )]
    MissingPrivilege {
        /// What was being done.
        doing: &'static str,
        /// The statement.
        statement: String,
        /// The server's words.
        message: String,
    },
    /// A lock wasn't to be had in time.
    #[error(
        "{statement} waited {seconds} s in vain; {holders}; end those statements or wait for them, or raise {option}"
    )]
    LockTimeout {
        /// The statement that waited.
        statement: &'static str,
        /// How long, in seconds.
        seconds: u64,
        /// Who holds it, and for how long.
        holders: String,
        /// The option that sets the time.
        option: &'static str,
    },
    /// The connection broke in the middle.
    #[error(
        "{doing}: the connection to {target} is gone ({detail}): the server was stopped, crashed, or ended the \
         connection; see its error log"
    )]
    Gone {
        /// What was being done.
        doing: &'static str,
        /// Socket or host and port.
        target: String,
        /// The driver's or the server's words.
        detail: String,
    },
    /// The server let the account in, but its own `init_connect` failed.
    #[error(
        "{target}: the server let the account in and ended the session before its first statement ({message}): its \
         init_connect fails for this account. The server's error log names the statement (MY-013130); correct it by \
         SET GLOBAL init_connect, or use an account with CONNECTION_ADMIN, for which it isn't run"
    )]
    InitConnect {
        /// Socket or host and port.
        target: String,
        /// The server's words.
        message: String,
    },
    /// The answer didn't come in the time that it was given.
    #[error(
        "{doing}: no answer in time from {target} ({seconds} s): the server is overloaded, stopped, or can't be \
         reached any more; look at its error log and process list"
    )]
    NoAnswer {
        /// What was being done.
        doing: &'static str,
        /// Socket or host and port.
        target: String,
        /// How long was waited, in seconds.
        seconds: f64,
    },
    /// The job was cancelled while an answer was waited for.
    #[error("{doing}: interrupted")]
    Interrupted {
        /// What was being done.
        doing: &'static str,
    },
    /// Any other error of a statement.
    #[error("{doing}: error {code} of `{statement}`: {message}")]
    Query {
        /// What was being done.
        doing: &'static str,
        /// The statement.
        statement: String,
        /// The server's error number.
        code: u16,
        /// The server's words.
        message: String,
    },
    /// A list of the server's is shorter or longer than the server counts it.
    #[error(
        "the server gave {rows} of {list}, expected the {counted} that it counts: a limit of the session cuts \
         the list (sql_select_limit, init_connect), and tables would be left out of the backup; remove the limit", rows = count(rows, "row"), counted = count(counted, "row")
    )]
    CutList {
        /// The table and its condition.
        list: &'static str,
        /// Rows that came.
        rows: u64,
        /// Rows that `COUNT(*)` found.
        counted: u64,
    },
    /// The server answered something that lsnap doesn't understand.
    #[error("{what}: the server answered {found}, expected {expected}")]
    Unexpected {
        /// The object asked for.
        what: String,
        /// What came.
        found: String,
        /// What should have come.
        expected: String,
    },
}

impl ServerError {
    /// Whether the connection can't be used any more.
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
    /// Returns the kind of the failure.
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
