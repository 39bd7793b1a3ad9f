//! The backup of a running server: the order of locks, the redo follower, the page workers, the
//! metadata files, the manifest.
//!
//! The order of things is that of `docs/design.md#order-of-a-backup`. What makes the result consistent:
//!
//! 1. `LOCK INSTANCE FOR BACKUP`: no DDL from here to the end.
//! 2. The redo is followed from the newest checkpoint (the *start checkpoint*), and has been caught
//!    up with before the first page is read: a change to a page that was read too early is in it.
//! 3. Pages are read in any order while the server writes, each one verified.
//! 4. `performance_schema.log_status` names one LSN, one binary log position and one GTID set that
//!    belong together; the redo is cut exactly at that LSN.
//! 5. Only when all of it is in the repository is the manifest put. No manifest, not finished.

mod applier;
mod base;
mod begin;
pub(crate) mod binlog;
mod changed;
mod copied;
mod copy;
mod copy_job;
mod due;
mod engines;
mod error;
mod error_kind;
mod finish;
mod gather;
mod held;
mod history;
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
mod secrets;
mod session;
mod sink;
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

pub use begin::check_server;
pub use due::{FullWhen, run_due};
pub use error::BackupError;
pub(crate) use open_file::changed_pages;
pub use options::{BackupOptions, BackupReport, BaseChoice, TrackingChoice};
pub use priority::{IoClass, Priority};
pub use run::{run, run_stream};
pub use spaces::CopyCounts;
pub use stream::Output;
pub use throttle::{Throttle, ThrottleReport};

/// The payload of one chunk and the size of a compressed frame, in bytes; of an incremental and of a full
/// backup that is not very large also what is read at once and the size of an object.
pub const RANGE_BYTES: usize = 8 << 20;
