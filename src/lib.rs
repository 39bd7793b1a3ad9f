//! lsnap: hot full and incremental physical backups of MySQL.
//!
//! The rooms, lowest first; a room may import only what stands above it in this list
//! (`tests/layers.rs` holds the rule):
//!
//! | room | what it knows |
//! |---|---|
//! | [`mem`] | aligned, pooled buffers and maps; the only room with `unsafe` |
//! | [`innodb`] | what InnoDB's bytes mean |
//! | [`xbstream`], [`delta`] | the stream format, the page-delta format |
//! | [`datadir`], [`server`], [`store`] | a data directory, a running server, a repository |
//! | [`backup`], [`restore`] | the two jobs |
//! | [`cli`] | the program |

pub mod backup;
pub mod cli;
pub mod datadir;
pub mod delta;
pub mod innodb;
pub mod mem;
pub mod progress;
pub mod restore;
pub mod server;
pub mod store;
pub mod xbstream;
