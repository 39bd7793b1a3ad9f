//! The options of a backup, and its report.

use super::{Priority, Throttle, ThrottleReport};
use crate::cancel::Cancel;
use crate::codec::Compression;
use crate::codec::xbcrypt::Key;
use crate::datadir::ReadMode;
use crate::innodb::Lsn;
use crate::manifest::{Manifest, PackChoice, ScheduledRun, TableFilter};
use crate::server::{ConnectOptions, Identity};
use crate::store::DEFAULT_TTL;
use std::path::PathBuf;
use std::time::Duration;

/// The base of an incremental.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseChoice {
    /// The newest complete member of the newest chain of this server.
    Latest,
    /// The backup with this name.
    Named(String),
    /// The backup with this manifest, independent of its location (for a stream; for an incremental
    /// in a repository, the base must be in the same repository).
    Given(Box<Manifest>),
    /// A backup of which only its `to_lsn` is known (for a stream). The incremental has the pages that
    /// changed from this LSN on, and no manifest: it is a backup as xtrabackup writes it. Whether the
    /// backup at this LSN is one of this server can't be checked, except that the LSN is not above
    /// the server's.
    Lsn(Lsn),
}

/// The use of the server's page tracking by an incremental.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TrackingChoice {
    /// Page tracking, if the server has it and its list is reliable; otherwise a scan, with the
    /// reason in the report.
    #[default]
    Auto,
    /// Page tracking; the backup fails if a scan is necessary, or if the server can't track pages
    /// for the next incremental.
    On,
    /// Always a scan; page tracking of the server is neither used nor started.
    Off,
}

/// A dump of the list of pages in the server's buffer pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferPool {
    /// Maximum time to wait for the dump. After that the backup has the list that is there.
    pub timeout: Duration,
    /// The part of the buffer pool that is dumped, in percent; `None`: as the server is configured.
    pub percent: Option<u64>,
}

/// The options of a backup.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackupOptions {
    /// The connection to the server.
    pub connect: ConnectOptions,
    /// `Some`: an incremental on that base.
    pub incremental: Option<BaseChoice>,
    /// The first part of the backup's name; `None`: the server's host name. An incremental is based on
    /// a backup of the same cluster.
    pub cluster: Option<String>,
    /// Threads that read and check pages. For scattered pages up to 16 are used, as far as `memory`
    /// permits.
    pub threads: usize,
    /// Number of concurrent uploads of objects.
    pub uploads: usize,
    /// Memory for pages between read and upload, in bytes.
    pub memory: usize,
    /// Bytes of a tablespace file in an object of a full backup: a power of two from 1 MiB to 256
    /// MiB; `None`: 8 MiB, more for databases above 1 TiB. Streams and incrementals have pieces of
    /// 8 MiB.
    pub object_size: Option<usize>,
    /// Whether files of at most 128 KiB share objects of 4 MiB (not in a stream).
    pub pack_small_files: PackChoice,
    /// How files are compressed; `None`: as in the base, and not at all for a full backup.
    pub compression: Option<Compression>,
    /// Whether files are uncompressed, even if those of the base are compressed.
    pub uncompressed: bool,
    /// The key for the encryption of files. An incremental needs the key of its base.
    pub key: Option<Key>,
    /// Whether the repository accepts only encrypted backups from now on. This can't be undone.
    pub encrypted_only: bool,
    /// How data files are read.
    pub mode: ReadMode,
    /// The throttle of reads of data files; `None`: as fast as possible.
    pub throttle: Option<Throttle>,
    /// The priority of the page workers in the kernel's schedulers.
    pub priority: Priority,
    /// Whether page tracking is started and used.
    pub page_tracking: TrackingChoice,
    /// Directory for redo that is not uploaded yet.
    pub spool_dir: PathBuf,
    /// Maximum time to wait for the backup lock and for the table locks.
    pub lock_timeout: Duration,
    /// `Some`: the appliers of a replica are stopped until the position is read. Stopping them may
    /// take up to this time.
    pub stop_applier: Option<Duration>,
    /// Whether to accept a server version that lsnap was not tested with.
    pub allow_untested: bool,
    /// Whether to make a backup without the tables whose files are missing, instead of failing.
    /// These tables are recorded in [`Manifest::dictionary`].
    pub allow_missing_tables: bool,
    /// Whether to scan from the base's *start* checkpoint (`docs/design.md#overlap`). Otherwise the
    /// scan starts at its `to_lsn`, as in xtrabackup: the backup can't be restored by a merge if
    /// that is above the start checkpoint.
    pub overlap: bool,
    /// Time without a lease renewal after which the next incremental takes over the chain from this
    /// backup.
    pub lease_ttl: Duration,
    /// Whether the streams are extracted into a directory at once, as recorded in `xtrabackup_info` (`format`).
    pub into_directory: bool,
    /// The name in `xtrabackup_info`; `None`: that of the backup.
    pub info_name: Option<String>,
    /// Whether `xtrabackup_slave_info` is written even if it is empty.
    pub slave_info: bool,
    /// Whether `xtrabackup_galera_info` is written, if the server is a member of a Galera cluster. Then tables are locked
    /// while the position is read.
    pub galera_info: bool,
    /// `Some`: the server dumps the list of the pages in its buffer pool for this backup.
    pub dump_buffer_pool: Option<BufferPool>,
    /// The command line, as recorded in `xtrabackup_info`; must not contain secrets.
    pub command: String,
    /// The tables of a partial backup; empty: all. A partial backup is a stream: a repository has whole backups only.
    pub filter: TableFilter,
    /// The schedule that the backup is made for, as recorded in the manifest.
    pub scheduled: Option<ScheduledRun>,
    /// The UUID of the claim of its slot. The backup fails if another agent took the slot over, or if the slot already has
    /// a finished backup.
    pub slot_token: Option<String>,
    /// Cancels the backup.
    pub cancel: Cancel,
}

impl BackupOptions {
    /// Returns the cluster of the backups of a server.
    pub(super) fn cluster_of<'a>(&'a self, identity: &'a Identity) -> &'a str {
        self.cluster.as_deref().unwrap_or(&identity.hostname)
    }

    /// Creates options with defaults for most servers.
    #[must_use]
    pub fn new(connect: ConnectOptions) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            connect,
            incremental: None,
            cluster: None,
            threads: cores.max(2),
            uploads: 4,
            memory: 256 << 20,
            object_size: None,
            pack_small_files: PackChoice::Auto,
            compression: None,
            uncompressed: false,
            key: None,
            encrypted_only: false,
            mode: ReadMode::Auto,
            throttle: None,
            priority: Priority::default(),
            page_tracking: TrackingChoice::Auto,
            spool_dir: std::env::temp_dir(),
            lock_timeout: Duration::from_secs(300),
            stop_applier: None,
            allow_untested: false,
            allow_missing_tables: false,
            overlap: true,
            lease_ttl: DEFAULT_TTL,
            into_directory: false,
            info_name: None,
            slave_info: false,
            galera_info: false,
            dump_buffer_pool: None,
            command: "lsnap backup".into(),
            filter: TableFilter::default(),
            scheduled: None,
            slot_token: None,
            cancel: Cancel::new(),
        }
    }
}

/// The report of a finished backup.
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct BackupReport {
    /// The manifest as stored.
    #[serde(flatten)]
    pub manifest: Manifest,
    /// The reason for a full or an incremental backup, if [`run_due`](super::run_due) made the choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Bytes that were read from the server's tablespaces: without holes and, with page tracking,
    /// only those of changed pages and of the pages between them.
    pub read_bytes: u64,
    /// Bytes of the objects of all files.
    pub stored_bytes: u64,
    /// Seconds from start to end.
    pub seconds: f64,
    /// Warnings: files that look like tables and are not in the backup, tables that are missing
    /// from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Time for which tables were locked, in seconds (0: not at all).
    pub tables_locked_seconds: f64,
    /// The text of `xtrabackup_checkpoints`.
    #[serde(skip)]
    pub checkpoints: String,
    /// The text of `xtrabackup_info`.
    #[serde(skip)]
    pub info: String,
    /// How much the throttle slowed the backup; `None` without a throttle.
    pub throttle: Option<ThrottleReport>,
}
