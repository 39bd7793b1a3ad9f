//! The options of a backup, and its report.

use super::{Priority, Throttle, ThrottleReport};
use crate::cancel::Cancel;
use crate::codec::Compression;
use crate::codec::xbcrypt::Key;
use crate::datadir::ReadMode;
use crate::manifest::{Manifest, PackChoice};
use crate::server::ConnectOptions;
use crate::store::DEFAULT_TTL;
use std::path::PathBuf;
use std::time::Duration;

/// Which backup an incremental continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseChoice {
    /// The newest finished member of the newest chain of this server.
    Latest,
    /// This one.
    Named(String),
    /// The backup with this manifest, wherever it is (for a stream; a repository's chain needs the
    /// base in the repository).
    Given(Box<Manifest>),
}

/// Whether an incremental finds its pages by the server's page tracking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TrackingChoice {
    /// Where the server has it and nothing is in doubt; else a scan, and the report says why.
    #[default]
    Auto,
    /// The backup fails where a scan would be needed, or the server can't track for the next one.
    On,
    /// Always a scan; page tracking of the server is neither used nor begun.
    Off,
}

/// How a backup is to be made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackupOptions {
    /// How to reach the server.
    pub connect: ConnectOptions,
    /// `Some`: an incremental on that base.
    pub incremental: Option<BaseChoice>,
    /// The first part of the backup's name; `None`: the server's host name.
    pub cluster: Option<String>,
    /// Threads that read and check pages; of scattered ones up to 16 do, as far as `memory` has room.
    pub threads: usize,
    /// Objects that are written at the same time.
    pub uploads: usize,
    /// Memory for pages on their way, in bytes.
    pub memory: usize,
    /// Bytes of a tablespace file in an object of a full backup: a power of two from 1 MiB to 256 MiB;
    /// `None`: 8 MiB, more for databases of terabytes. Streams and incrementals have pieces of 8 MiB.
    pub object_size: Option<usize>,
    /// Whether files of at most 128 KiB share objects of 4 MiB (not in a stream).
    pub pack_small_files: PackChoice,
    /// How files are compressed; `None`: as those of the base, those of a full backup not at all.
    pub compression: Option<Compression>,
    /// Files are not compressed, also if those of the base are.
    pub uncompressed: bool,
    /// The key that files are encrypted with. An incremental needs the key of its base.
    pub key: Option<Key>,
    /// From now on the repository takes encrypted backups only, which can't be undone.
    pub encrypted_only: bool,
    /// How data files are read.
    pub mode: ReadMode,
    /// The throttle of reads of data files; `None`: as fast as possible.
    pub throttle: Option<Throttle>,
    /// The place of the page workers in the kernel's queues.
    pub priority: Priority,
    /// Whether page tracking is begun and used.
    pub page_tracking: TrackingChoice,
    /// Where redo waits while the store is slower than the server.
    pub spool_dir: PathBuf,
    /// How long to wait for the backup lock and the table locks.
    pub lock_timeout: Duration,
    /// `Some`: the appliers of a replica are stopped until the position is read; to stop them may take so long.
    pub stop_applier: Option<Duration>,
    /// Accept a server version that lsnap was not tested with.
    pub allow_untested: bool,
    /// Back up what is there when files of tables are missing, rather than to fail. Recorded in
    /// [`Manifest::dictionary`].
    pub allow_missing_tables: bool,
    /// Scan from the base's *start* checkpoint (`docs/design.md#overlap`). Without it from its `to_lsn`, as
    /// xtrabackup does: the backup can't be restored by a merge if that is above the start checkpoint.
    pub overlap: bool,
    /// How long the next incremental waits for this one after its last sign of life.
    pub lease_ttl: Duration,
    /// Recorded in `xtrabackup_info`; must hold no secret.
    pub command: String,
    /// Ends the backup early.
    pub cancel: Cancel,
}

impl BackupOptions {
    /// What fits most servers.
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
            command: "lsnap backup".into(),
            cancel: Cancel::new(),
        }
    }
}

/// What a finished backup was.
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct BackupReport {
    /// The manifest as it was stored.
    #[serde(flatten)]
    pub manifest: Manifest,
    /// Why it is a full backup or an incremental, if [`run_due`](super::run_due) decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Bytes of all objects.
    pub stored_bytes: u64,
    /// Seconds from start to end.
    pub seconds: f64,
    /// What a person should know of it: files that look like tables and aren't in it, tables that it lacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Seconds for which tables were locked (0: not at all).
    pub tables_locked_seconds: f64,
    /// How much the throttle slowed the backup; `None` without a throttle.
    pub throttle: Option<ThrottleReport>,
}
