//! lsnap: hot full and incremental physical backups of MySQL, in a directory or an object store.
//!
//! | task | items |
//! |---|---|
//! | open a repository, list it | [`Repository::open`], [`Repository::open_with`], [`Repository::list`] |
//! | back up | [`back_up`], [`back_up_to_streams`] with [`BackupOptions`] |
//! | restore | [`plan_restore`], then [`run_restore`] with [`RestoreOptions`] |
//! | check | [`verify()`] with [`VerifyOptions`] |
//! | remove | [`prune`] by a [`Policy`], [`delete`] |
//! | make a full backup from a chain | [`consolidate()`] |
//! | copy to another repository | [`copy()`] |
//! | streams | [`xbstream`], [`archive`], [`cloud`] |
//! | follow a job | [`Progress`] |
//! | cancel a job | [`Cancel`], in the field `cancel` of its options |
//! | decide after a failure | [`ErrorKind`], by `kind()` and `is_retryable()` of each error; [`Error`] holds them all |
//!
//! The modules have the details. Programs are in `examples/`: a chain (`chain.rs`), a nightly job of an async service
//! (`nightly.rs`), reading a stream (`read_stream.rs`), listing and verifying (`list_and_verify.rs`).
//!
//! # Features
//! | feature | compiles |
//! |---|---|
//! | none | [`xbstream`], [`archive`], [`manifest`]: streams, directories and formats |
//! | `repository` | also [`store`] and [`cloud`]: repositories in directories and object stores |
//! | `jobs` | also [`server`] and the jobs: [`back_up`], [`run_restore`], [`verify()`], [`consolidate()`]; [`Error`] |
//! | `cli` (default) | also the program `lsnap` |
//!
//! # Blocking
//! Every function that reaches a repository, a server or a disk blocks its thread, for hours if it is a job. Jobs start
//! threads of their own, and a [`Repository`] has a runtime of its own. It can be opened, used and dropped on any
//! thread. In an async program, call all of it in [`tokio::task::spawn_blocking`], and end a job by its [`Cancel`]: a
//! future that is dropped doesn't end the thread.
//!
//! ```no_run
//! use lsnap::{BackupOptions, ConnectOptions, Repository, Silent};
//!
//! # async fn service() -> Result<(), Box<dyn std::error::Error>> {
//! let options = BackupOptions::new(ConnectOptions::for_socket("/run/mysqld/mysqld.sock", "backup"));
//! let cancel = options.cancel.clone();
//! let mut job = tokio::task::spawn_blocking(move || {
//!     let repo = Repository::open("s3://backups/mysql")?;
//!     Ok::<_, lsnap::Error>(lsnap::back_up(&repo, &options, &Silent)?)
//! });
//! let report = tokio::select! {
//!     done = &mut job => done??,
//!     _ = tokio::signal::ctrl_c() => {
//!         cancel.cancel(); // the job removes what it uploaded, and ends
//!         job.await??
//!     }
//! };
//! println!("{}: {} bytes", report.manifest.name, report.stored_bytes);
//! # Ok(())
//! # }
//! ```
//!
//! # Layers
//! Lowest first. A layer imports only layers above it in this list; `tests/layers.rs` has the exact table. The modules
//! that are not in this documentation can change in any version.
//!
//! | layer | contents |
//! |---|---|
//! | `mem` | aligned, pooled buffers and maps; the only layer with `unsafe` code |
//! | `pace` | rates: a token bucket, and a controller that finds a rate |
//! | `counted`, `shown` | parts of messages: numbers with their plural, names without control characters |
//! | `error_kind`, `locked`, `cancel` | the kinds of errors; locks that stay usable after a panic; cancellation of jobs |
//! | `secret_file`, `named_certificate` | files with keys or passwords; TLS to servers whose own certificate is trusted |
//! | `child`, `syncing` | programs that lsnap starts; syncing files while others are written |
//! | [`progress`] | what a job reports while it runs |
//! | `innodb` | pages, flags, checksums, redo |
//! | [`xbstream`], `delta`, `codec` | formats of streams, deltas, compression and encryption |
//! | [`manifest`] | names of backups, the manifest, `xtrabackup_checkpoints`, the MAC |
//! | `datadir`, [`server`], [`store`] | a data directory, a running server, a repository |
//! | [`archive`], [`cloud`] | streams and directories; streams and the objects of xbcloud |
//! | `reader` | the files of a chain: fetched, unwrapped, and checked against the manifest |
//! | [`mod@backup`], [`restore`] | the two jobs |
//! | [`mod@verify`], [`mod@consolidate`], [`mod@copy`] | checks of backups; full backups made from chains; copies to another repository |
//! | `metrics` | metrics for Prometheus |
//! | `agent` | the daemon: schedules, jobs, HTTP |
//! | `cli` | the program |
//! | `compat` | the program under the names of xtrabackup's programs |

// Without `cli`, the code that only the jobs and the program use is dead.
#![cfg_attr(not(feature = "cli"), allow(dead_code, unused_imports))]
// `print!` panics if the pipe is closed; `cli::output` doesn't.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

#[cfg(feature = "cli")]
mod agent;
pub mod archive;
#[cfg(feature = "jobs")]
pub mod backup;
#[doc(hidden)]
#[cfg(feature = "jobs")]
pub mod benching;
mod cancel;
#[cfg(feature = "jobs")]
mod child;
#[doc(hidden)]
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "repository")]
pub mod cloud;
#[doc(hidden)]
pub mod codec;
#[doc(hidden)]
#[cfg(feature = "cli")]
pub mod compat;
#[cfg(feature = "jobs")]
pub mod consolidate;
#[cfg(feature = "jobs")]
pub mod copy;
mod counted;
#[doc(hidden)]
pub mod datadir;
#[doc(hidden)]
pub mod delta;
#[cfg(feature = "jobs")]
mod error;
mod error_kind;
#[doc(hidden)]
#[cfg(feature = "jobs")]
pub mod fuzzing;
#[doc(hidden)]
pub mod innodb;
#[cfg(all(test, feature = "jobs"))]
mod jobs_tests;
mod locked;
pub mod manifest;
#[doc(hidden)]
pub mod mem;
#[cfg(feature = "cli")]
mod metrics;
#[cfg(feature = "repository")]
mod named_certificate;
#[doc(hidden)]
pub mod pace;
pub mod progress;
#[doc(hidden)]
#[cfg(feature = "jobs")]
pub mod reader;
#[cfg(test)]
mod reference_file;
#[cfg(feature = "jobs")]
pub mod restore;
#[cfg(feature = "jobs")]
mod secret_file;
#[cfg(feature = "jobs")]
pub mod server;
mod shown;
#[cfg(feature = "repository")]
pub mod store;
mod syncing;
#[cfg(feature = "jobs")]
pub mod verify;
pub mod xbstream;

/// # Example
/// ```no_run
/// use lsnap::{BackupOptions, BaseChoice, ConnectOptions, Repository, Silent};
///
/// # fn main() -> Result<(), lsnap::Error> {
/// let repo = Repository::open("file:///backups/mysql")?;
/// let server = ConnectOptions::for_socket("/run/mysqld/mysqld.sock", "backup");
/// let mut options = BackupOptions::new(server);
/// options.incremental = Some(BaseChoice::Latest); // without this line: a full backup
/// let report = lsnap::back_up(&repo, &options, &Silent)?;
/// println!("{}", report.manifest.name);
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "jobs")]
#[doc(inline)]
pub use backup::run as back_up;
/// # Example
/// ```no_run
/// use lsnap::{BackupOptions, ConnectOptions, Silent};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let file = std::fs::File::create_new("/backups/full.xbstream")?;
/// let server = ConnectOptions::for_socket("/run/mysqld/mysqld.sock", "backup");
/// lsnap::back_up_to_streams(vec![Box::new(file)], None, &BackupOptions::new(server), &Silent)?;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "jobs")]
#[doc(inline)]
pub use backup::run_stream as back_up_to_streams;
#[cfg(feature = "jobs")]
#[doc(inline)]
pub use backup::{BackupOptions, BackupReport, BaseChoice, Throttle};
#[doc(inline)]
pub use cancel::{Cancel, Cancelled};
/// # Example
/// ```no_run
/// use lsnap::{ConsolidateOptions, Repository, Silent};
///
/// # fn main() -> Result<(), lsnap::Error> {
/// let repo = Repository::open("s3://backups/mysql")?;
/// let full = lsnap::consolidate(&repo, "latest", &ConsolidateOptions::default(), &Silent)?;
/// println!("{} equals {}", full.name, full.of);
/// # Ok(())
/// # }
/// ```
#[doc(inline)]
pub use codec::{Compression, xbcrypt::Key};
#[cfg(feature = "jobs")]
#[doc(inline)]
pub use consolidate::consolidate;
#[cfg(feature = "jobs")]
#[doc(inline)]
pub use consolidate::{ConsolidateOptions, ConsolidateReport};
/// # Example
/// ```no_run
/// use lsnap::{CopyOptions, CopyWhich, Repository, Silent};
///
/// # fn main() -> Result<(), lsnap::Error> {
/// let (from, to) = (Repository::open("file:///backups/mysql")?, Repository::open("s3://offsite/mysql")?);
/// let report = lsnap::copy(&from, &to, CopyWhich::All, &CopyOptions::default(), &Silent)?;
/// println!("{} copied, {} there before", report.copied.len(), report.present.len());
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "jobs")]
#[doc(inline)]
pub use copy::copy;
#[cfg(feature = "jobs")]
#[doc(inline)]
pub use copy::{CopyError, CopyOptions, CopyReport, CopyWhich};
/// # Example
/// ```
/// use lsnap::{BackupName, ErrorKind};
///
/// let error = lsnap::Error::from(BackupName::parse("../x").unwrap_err());
/// assert_eq!(error.kind(), ErrorKind::Arguments);
/// assert!(!error.is_retryable());
/// ```
#[cfg(feature = "jobs")]
#[doc(inline)]
pub use error::Error;
#[doc(inline)]
pub use error_kind::ErrorKind;
#[doc(inline)]
pub use innodb::Lsn;
#[doc(inline)]
pub use manifest::{BackupName, Manifest};
/// # Example
/// ```
/// use lsnap::{Phase, Progress};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// #[derive(Default)]
/// struct Copied(AtomicU64);
///
/// impl Progress for Copied {
///     fn advance(&self, phase: Phase, bytes: u64) {
///         if phase == Phase::Copy {
///             self.0.fetch_add(bytes, Ordering::Relaxed);
///         }
///     }
/// }
/// ```
#[doc(inline)]
pub use progress::Progress;
#[doc(inline)]
pub use progress::{Phase, Silent};
#[cfg(feature = "jobs")]
#[doc(inline)]
pub use restore::plan as plan_restore;
/// # Example
/// ```no_run
/// use lsnap::{Repository, RestoreOptions, Silent};
///
/// # fn main() -> Result<(), lsnap::Error> {
/// let repo = Repository::open("file:///backups/mysql")?;
/// let options = RestoreOptions::new("/var/lib/mysql");
/// let plan = lsnap::plan_restore(&repo, "latest", &options)?;
/// println!("{plan}"); // nothing was written yet
/// let report = lsnap::run_restore(&repo, &plan, &options, &Silent)?;
/// println!("{} is ready to be started", report.datadir.display());
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "jobs")]
#[doc(inline)]
pub use restore::run as run_restore;
#[cfg(feature = "jobs")]
#[doc(inline)]
pub use restore::{RestoreOptions, RestorePlan, RestoreReport};
#[cfg(feature = "jobs")]
#[doc(inline)]
pub use server::ConnectOptions;
/// # Example
/// ```no_run
/// use lsnap::Repository;
///
/// # fn main() -> Result<(), lsnap::Error> {
/// for backup in Repository::open("gs://backups/mysql")?.list()? {
///     let finished = backup.finished().is_some();
///     println!("{} {} bytes, can be restored: {finished}", backup.name, backup.stored_bytes);
/// }
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "repository")]
#[doc(inline)]
pub use store::Repository;
/// # Example
/// ```no_run
/// use chrono::Utc;
/// use lsnap::{DeleteOptions, Policy, Repository, Silent};
///
/// # fn main() -> Result<(), lsnap::Error> {
/// let repo = Repository::open("s3://backups/mysql")?;
/// let mut policy = Policy::default();
/// policy.keep_full = Some(4);
/// let mut options = DeleteOptions::default();
/// options.dry_run = true;
/// let report = lsnap::prune(&repo, &policy, &options, Utc::now(), &Silent)?;
/// for backup in report.deleted {
///     println!("would be deleted: {}", backup.name);
/// }
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "repository")]
#[doc(inline)]
pub use store::prune;
#[cfg(feature = "repository")]
#[doc(inline)]
pub use store::{DeleteOptions, DeleteReport, delete};
#[cfg(feature = "repository")]
#[doc(inline)]
pub use store::{Listed, ListedState, Policy, PruneReport, StoreOptions};
/// # Example
/// ```no_run
/// use lsnap::{Level, Outcome, Repository, Silent, VerifyOptions, Which};
///
/// # fn main() -> Result<(), lsnap::Error> {
/// let repo = Repository::open("s3://backups/mysql")?;
/// let mut options = VerifyOptions::default();
/// options.level = Level::Data;
/// let report = lsnap::verify(&repo, Which::All, &options, &Silent)?;
/// if report.outcome() != Outcome::Sound {
///     for problem in report.problems() {
///         println!("{}: found {}, expected {}", problem.object, problem.found, problem.expected);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "jobs")]
#[doc(inline)]
pub use verify::verify;
#[cfg(feature = "jobs")]
#[doc(inline)]
pub use verify::{Level, Outcome, VerifyOptions, VerifyReport, Which};
