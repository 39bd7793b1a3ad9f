//! lsnap: hot full and incremental physical backups of MySQL.
//!
//! The rooms, lowest first; a room may import only what stands above it in this list
//! (`tests/layers.rs` holds the rule):
//!
//! | room | what it knows |
//! |---|---|
//! | [`mem`] | aligned, pooled buffers and maps; the only room with `unsafe` |
//! | [`pace`] | how fast a thing may go |
//! | `counted` | numbers of things, with their plural; every room may import it |
//! | `shown` | names that others chose, made harmless for a terminal |
//! | `secret_file` | files with a key or a password: who else can read or change them |
//! | `named_certificate` | servers whose own certificate is named as trusted |
//! | `child` | the programs that lsnap starts, and what they inherit |
//! | `locked` | locks that go on after a panic elsewhere |
//! | `syncing` | how files are brought to the disk while others are written |
//! | [`innodb`] | what InnoDB's bytes mean |
//! | [`xbstream`], [`delta`] | the stream format, the page-delta format |
//! | [`manifest`] | what a backup says of itself: names, the manifest, checkpoints, MAC |
//! | [`codec`] | what may lie around a file's bytes: zstd, lz4, xbcrypt |
//! | [`datadir`], [`server`], [`store`] | a data directory, a running server, a repository |
//! | [`archive`] | streams and the directories that they are made of and extracted to |
//! | [`cloud`] | streams and the objects that xbcloud makes of them |
//! | [`reader`] | the files of a chain: fetched, unwrapped, and checked against the manifest |
//! | [`backup`], [`restore`] | the two jobs |
//! | [`verify`], [`consolidate`] | whether backups are whole; full backups made of chains |
//! | [`cli`] | the program |

// Printing panics when nobody reads; `cli::output` does not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod archive;
pub mod backup;
#[doc(hidden)]
pub mod benching;
mod child;
pub mod cli;
pub mod cloud;
pub mod codec;
pub mod consolidate;
mod counted;
pub mod datadir;
pub mod delta;
mod error;
mod error_kind;
#[doc(hidden)]
pub mod fuzzing;
pub mod innodb;
mod locked;
pub mod manifest;
pub mod mem;
mod named_certificate;
pub mod pace;
pub mod progress;
pub mod reader;
pub mod restore;
mod secret_file;
pub mod server;
mod shown;
pub mod store;
mod syncing;
pub mod verify;
pub mod xbstream;

pub use error::Error;
pub use error_kind::ErrorKind;
pub use store::StoreOptions;
