//! The backup of a running server: the order of locks, the redo follower, the page workers, the
//! metadata files, the manifest.
//!
//! The steps have the order of `docs/design.md#order-of-a-backup`. The result is consistent for
//! these reasons:
//!
//! 1. `LOCK INSTANCE FOR BACKUP`: no DDL from here to the end.
//! 2. The redo is followed from the newest checkpoint (the *start checkpoint*), and the follower
//!    has caught up with the end of the log before the first page is read: if a page changes after it
//!    was read, the change is in the redo.
//! 3. Pages are read in any order while the server writes, each one verified.
//! 4. `performance_schema.log_status` returns one LSN, one binary log position and one GTID set
//!    that belong together; the redo is cut exactly at that LSN.
//! 5. The manifest is put only after all files are in the repository. A backup without a manifest
//!    is incomplete.

mod applier;
mod base;
mod begin;
pub(crate) mod binlog;
mod changed;
mod contents;
mod copied;
mod copy;
mod copy_job;
mod due;
mod dump;
mod engines;
mod error;
mod error_kind;
mod finish;
mod held;
mod history;
mod history_table;
mod inherit;
mod log_myisam;
mod log_tables;
mod metadata;
mod object_size;
#[doc(hidden)]
pub mod offline;
mod open_file;
mod options;
mod page_copy;
mod page_set;
mod partial;
mod plain;
mod position;
mod priority;
mod ranges;
mod read_limiter;
mod redo;
mod redo_copy;
mod redo_files;
mod redo_start;
mod replica;
mod run;
mod sdi;
mod secrets;
mod server_settings;
mod session;
mod sink;
mod space_entries;
mod spaces;
mod spool;
mod spot_check;
mod stream;
mod tables;
mod throttle;
mod throttled;
mod tracked;
mod tracking_limit;
mod waiting;
mod watch;
mod workers;
mod wrap;

pub use base::check_origin;
pub use begin::check_server;
pub use due::FullWhen;
pub use error::BackupError;
pub use history_table::{BackupHistory, history_lsn};
pub use metadata::XTRABACKUP_VERSION;
pub(crate) use open_file::changed_pages;
pub use options::{BackupOptions, BackupReport, BaseChoice, BufferPool, TrackingChoice};
pub use priority::{IoClass, Priority};
pub use run::{run, run_due, run_stream};
pub use spaces::CopyCounts;
pub use stream::Output;
pub use throttle::{Throttle, ThrottleReport};

/// Payload of one chunk and size of a compressed frame, in bytes. For incrementals, and for full
/// backups of up to 1 TiB, also the size of one read and of an object.
pub const RANGE_BYTES: usize = 8 << 20;
