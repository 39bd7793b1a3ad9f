//! A running MySQL server, seen over SQL: how to reach it, what it is, whether this account may back it up,
//! its locks, its logs and its list of tablespaces.
//!
//! Where the facts come from: the order and wording of the statements from
//! `docs/design.md#order-of-a-backup` and `docs/format/checkpoints.md`, option files from the MySQL manual
//! ("Using Option Files"), privileges and
//! answers from a MySQL 9.7.4 that ran them (`tests/server.rs` runs them again).
//!
//! How a caller uses it:
//! 1. [`OptionFiles::read`] and [`ConnectOptions::resolve`] (or [`ConnectOptions::load`] for both);
//! 2. [`Server::connect`], [`Server::identity`], [`Server::check_supported`], [`Server::check_privileges`];
//! 3. the locks, the flushes and [`Server::log_status`], in the order of the layer `backup`.
//!
//! A session begins with the same variables whatever the server's globals and `init_connect` say (`session`), every
//! wait for the server has a limit and ends when its job is cancelled (`wait`), and tables are locked only when that stops
//! nobody for long (`quiet`). The protocol is spoken here (`wire`, `login`, `tls`): no driver that was looked at can
//! be interrupted, uses TLS over a unix socket, or trusts the given authority alone.
//!
//! The layer never reads the terminal and never prints: a password prompt is a callback, warnings are
//! returned. A password never reaches a log, a `Debug` or an error: see [`Password`].
//!
//! Not here: `.mylogin.cnf` (login paths). Its content is only obfuscated, with a key in the file itself;
//! use an option file with mode 0600, `--password-file` or `LSNAP_PASSWORD`.

mod activity;
mod connect;
mod engines;
mod error;
mod grants;
mod identity;
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

pub use connect::Server;
pub use engines::EngineRow;
pub use error::ServerError;
pub use identity::{Flavor, Identity};
pub use log_status::{BinlogPosition, ChannelStatus, LogStatus};
pub use option_file::{Entry, FileChoice, OptionFiles};
pub use options::{ConnectOptions, Overrides, Prompt, Protocol, SslMode, Transport};
pub use password::Password;
pub use replica::{Channel, Recorded, Replica, SourcePoint};
pub use tablespaces::{DictionaryRow, TablespaceRow};
pub use variables::{Keyring, Variables};
pub use version::{NEWEST_TESTED, OLDEST_SUPPORTED, Version};
