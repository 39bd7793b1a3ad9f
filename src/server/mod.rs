//! A running MySQL server, accessed over SQL: the connection, the identity, the privileges of the
//! account, the locks, the logs and the list of tablespaces.
//!
//! Sources of facts: order and wording of the statements from `docs/design.md#order-of-a-backup`
//! and `docs/format/checkpoints.md`, option files from the MySQL manual ("Using Option Files"),
//! privileges and results from a MySQL 9.7.4 (`tests/server.rs` verifies them).
//!
//! Use:
//! 1. [`OptionFiles::read`] and [`ConnectOptions::resolve`] (or [`ConnectOptions::load`] for both);
//! 2. [`Server::connect`], [`Server::identity`], [`Server::check_supported`],
//!    [`Server::check_privileges`];
//! 3. the locks, the flushes and [`Server::log_status`], in the order of the layer `backup`.
//!
//! A session starts with the same variables independent of the server's globals and `init_connect`
//! (`session`), every wait for the server has a limit and ends when its job is cancelled (`wait`),
//! and tables are locked only when that doesn't block other sessions for long (`quiet`). The
//! protocol is implemented here (`wire`, `login`, `tls`): none of the evaluated drivers can be
//! interrupted, uses TLS over a unix socket, or trusts only the given CA.
//!
//! The layer never reads the terminal and never prints: a password prompt is a callback, warnings
//! are returned. A password is never in a log, a `Debug` output or an error: see [`Password`].
//!
//! Not supported: `.mylogin.cnf` (login paths). Its content is only obfuscated, with a key in the
//! file itself; use an option file with mode 0600, `Overrides::password_file` or `LSNAP_PASSWORD`.

mod activity;
mod backup_history;
mod buffer_pool;
mod connect;
mod engines;
mod error;
mod galera;
mod grants;
mod identity;
mod lag;
mod layers;
mod locks;
mod log_status;
mod login;
mod option_file;
mod option_line;
mod options;
mod page_tracking;
mod password;
mod privileges;
mod quiet;
mod redo;
mod refusal;
mod replica;
mod resolve;
mod session;
mod tablespaces;
mod tls;
mod variables;
mod version;
mod wait;
mod wire;

pub use backup_history::{HistoryEntry, HistoryKey, HistoryRow};
pub use buffer_pool::BufferPoolDump;
pub use connect::Server;
pub use engines::EngineRow;
pub use error::ServerError;
pub use identity::{Flavor, Identity};
pub use log_status::{BinlogPosition, LogStatus};
pub use option_file::{Entry, FileChoice, OptionFiles};
pub use options::{ConnectOptions, Overrides, Prompt, Protocol, SslMode, Transport};
pub use password::Password;
pub use privileges::ListedTables;
pub(crate) use replica::quoted;
pub use replica::{Channel, Recorded, Replica, SourcePoint};
pub use tablespaces::{DictionaryRow, TablespaceRow};
pub use variables::{Keyring, Variables};
pub use version::{NEWEST_TESTED, OLDEST_SUPPORTED, Version};
