//! Errors of a backup.

use crate::cancel::Cancelled;
use crate::codec::CodecError;
use crate::counted::count;
use crate::datadir::DatadirError;
use crate::delta::DeltaError;
use crate::innodb::{InnodbError, Lsn};
use crate::manifest::PatternError;
use crate::server::ServerError;
use crate::store::StoreError;
use crate::xbstream::XbstreamError;
use std::path::PathBuf;

/// The cause of a failed backup. A failed backup never looks complete.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// An error of the data directory.
    #[error(transparent)]
    Datadir(#[from] DatadirError),
    /// An error of the delta format.
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// InnoDB structures that can't be parsed.
    #[error(transparent)]
    Innodb(#[from] InnodbError),
    /// An error of the server.
    #[error(transparent)]
    Server(ServerError),
    /// The session that holds the instance lock ended.
    #[error(
        "the server session that blocks DDL (LOCK INSTANCE FOR BACKUP) was lost while files were copied: {0}. \
         Statements that ran since then may have changed files that were already copied, so the backup may be \
         inconsistent. Find out what ended the session (KILL, a restart, a proxy, the network), then run the backup again"
    )]
    SessionLost(ServerError),
    /// An error of the repository.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An error of the stream format.
    #[error(transparent)]
    Xbstream(#[from] XbstreamError),
    /// An error of compression or encryption.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The stream can't be written.
    #[error(
        "the backup stream can't be written: {0}; the stream is cut off within a chunk, so that no reader accepts it \
         as a complete backup; check the program that reads the pipe, then run the backup again"
    )]
    Stream(std::io::Error),
    /// Reading or writing a local file.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The action that failed.
        action: &'static str,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The object size is not valid.
    #[error("BackupOptions::object_size {bytes}: {why}")]
    ObjectSize {
        /// The given size in bytes.
        bytes: usize,
        /// The cause, and the expected size.
        why: String,
    },
    /// The given encryption doesn't match the base or the repository.
    #[error("{backup}: {why}")]
    Key {
        /// The base, or the repository.
        backup: String,
        /// The cause, and the remedy.
        why: String,
    },
    /// Redo logging is off.
    #[error(
        "redo logging is disabled on this server (ALTER INSTANCE DISABLE INNODB REDO_LOG): a copy of a server that \
         writes no redo can't be made consistent; run ALTER INSTANCE ENABLE INNODB REDO_LOG first"
    )]
    RedoDisabled,
    /// The data directory belongs to another server.
    #[error(
        "{path} belongs to server {found}, but the server that answered is {expected}: run lsnap on the host of the \
         server, or point the connection at the server of this data directory"
    )]
    OtherDatadir {
        /// The `auto.cnf` that was read.
        path: PathBuf,
        /// `server_uuid` in it.
        found: String,
        /// The `server_uuid` of the server.
        expected: String,
    },
    /// No usable redo log file exists.
    #[error(
        "{dir}: no usable redo log file found ({detail}); expected files named #ib_redo<N> of format 6"
    )]
    NoRedo {
        /// The `#innodb_redo` directory.
        dir: PathBuf,
        /// The files that were found.
        detail: String,
    },
    /// The server overwrote redo before it was copied.
    #[error(
        "the server overwrote redo log that was not copied yet: LSN {needed} was needed, the oldest available is \
         {oldest} ({behind} behind); raise innodb_redo_log_capacity (it is too small for the write rate during the \
         backup, or was lowered during it), or put the spool on a faster disk (BackupOptions::spool_dir)"
    )]
    RedoOverwritten {
        /// The next LSN to read.
        needed: Lsn,
        /// The oldest LSN in the files.
        oldest: Lsn,
        /// The difference, in readable form.
        behind: String,
    },
    /// Redo encryption was switched on during the backup.
    #[error(
        "the redo log is encrypted at LSN {at}, but was not at the start of the backup (innodb_redo_log_encrypt was \
         switched on during it), so its end can't be read without the key: run the backup again"
    )]
    RedoKey {
        /// The LSN of the first encrypted block.
        at: Lsn,
    },
    /// The redo did not reach the LSN of the server's position.
    #[error(
        "the redo log was followed up to LSN {reached}, but the server's position is {wanted}, and no redo was added \
         for {seconds} s: the disk of the redo log or the server is stuck; check the server's error log"
    )]
    RedoShort {
        /// The end of the redo that was read.
        reached: Lsn,
        /// The LSN of the server's position.
        wanted: Lsn,
        /// The time without new redo, in seconds.
        seconds: u64,
    },
    /// The redo log can't be checked.
    #[error(
        "innodb_log_checksums is OFF: redo without checksums can't be verified, and a server with the default setting \
         interprets it as the end of the log; run SET GLOBAL innodb_log_checksums=ON, then run the backup again"
    )]
    LogChecksumsOff,
    /// The redo log holds blocks that were written without checksums.
    #[error(
        "the redo block at LSN {at} was written with innodb_log_checksums=OFF: it can't be verified, and a server with \
         the default setting interprets it as the end of the log; run SET GLOBAL innodb_log_checksums=ON, then run the \
         backup again when the server's checkpoint (Innodb_redo_log_checkpoint_lsn) is above that LSN"
    )]
    NoLogChecksum {
        /// The start LSN of the block.
        at: Lsn,
    },
    /// The applier of a replica can't be stopped or started.
    #[error("the replica's applier: {what}")]
    Applier {
        /// The cause.
        what: String,
    },
    /// The end of the binary log can't be copied.
    #[error(
        "{path}: {what}; without the end of the binary log the backup's position would be wrong"
    )]
    Binlog {
        /// The file.
        path: PathBuf,
        /// The cause: found and expected.
        what: String,
    },
    /// The server returned an empty list of tablespaces.
    #[error(
        "the server's list of tablespaces (INFORMATION_SCHEMA.FILES) is empty: the account needs PROCESS"
    )]
    NoTablespaces,
    /// Tablespace files are missing.
    #[error(
        "{} of the server's dictionary can't be backed up, because the file is missing:{}\nBring the files back \
         (mount their disk, then restart the server), or drop the tables; BackupOptions::allow_missing_tables makes \
         a backup that lacks them and records that",
        count(tables.len(), "tablespace"), lines(tables)
    )]
    MissingTables {
        /// The name, the id, the path and the finding for each.
        tables: Vec<String>,
    },
    /// Tables whose rows are outside of the data that a physical backup copies.
    #[error(
        "{} of storage engines that can't be backed up:{}\nAlter the tables to InnoDB, or drop them; \
         BackupOptions::allow_missing_tables makes a backup that lacks their rows and records that (save these rows \
         in another way, for example by a dump)",
        count(tables.len(), "table"), lines(tables)
    )]
    OtherEngines {
        /// The schema, the name and the engine for each.
        tables: Vec<String>,
    },
    /// The engine of a table can't be determined.
    #[error(
        "{path}: the storage engine of a table can't be read: {why}; a description of a table in JSON was expected. \
         Without a privilege on all tables, the account depends on these files: run GRANT SHOW VIEW ON *.* for it, or, \
         if the file does not belong to a table, move it out of the data directory"
    )]
    UnreadableSdi {
        /// The `.sdi` file.
        path: PathBuf,
        /// The cause.
        why: String,
    },
    /// A log table can't be copied consistently.
    #[error(
        "the log table {table} can't be copied: {what}. Run SET GLOBAL log_output='FILE' (or switch the log off) for \
         the time of the backup, or ALTER TABLE {table} ENGINE=CSV"
    )]
    LogTable {
        /// The table.
        table: String,
        /// The cause.
        what: String,
    },
    /// The filter of a partial backup can't be used.
    #[error("the filter of the backup: {0}")]
    Filter(#[from] PatternError),
    /// No table is in a partial backup.
    #[error(
        "the filter of the backup matches no table of the server ({filter}), so that the backup would have no data; correct \
         the names, or remove the filter"
    )]
    NothingMatches {
        /// The filter.
        filter: String,
    },
    /// A partial backup into a repository.
    #[error(
        "a partial backup can't be stored in a repository, where it could be taken for a whole one: make it as a stream or \
         in a directory"
    )]
    PartialInRepository,
    /// Tables of the base are missing now.
    #[error(
        "base {base} has {} of the server's dictionary whose file is missing now:{}\nA restore of this incremental \
         would lack tables that its base has, so it is refused. Bring the files back (mount their disk, then restart the \
         server), or drop the tables; or take a full backup with BackupOptions::allow_missing_tables",
        count(tables.len(), "tablespace"), lines(tables)
    )]
    LostSinceBase {
        /// The base's name.
        base: String,
        /// The name, the id, the path and the finding for each.
        tables: Vec<String>,
    },
    /// A page is newer than the end of the redo.
    #[error(
        "{file}: a page with LSN {page_lsn} was read, which is newer than the backup's last LSN {last_lsn}: the file \
         belongs to another server, or the server's redo log was re-created; the backup can't be consistent"
    )]
    PageFromTheFuture {
        /// The tablespace file.
        file: String,
        /// The highest page LSN in it.
        page_lsn: Lsn,
        /// The end LSN of the copied redo.
        last_lsn: Lsn,
    },
    /// A schema's directory has the name of a metadata file.
    #[error(
        "the schema {schema} has the name of a file that every stream contains, so the stream could not be \
         extracted: back up to a repository without a stream, or rename the schema"
    )]
    SchemaName {
        /// The schema.
        schema: String,
    },
    /// An undo tablespace was truncated during the backup.
    #[error(
        "the space id of undo tablespace {name} changed during the backup ({before} before, {after} now: it was \
         truncated): run the backup again"
    )]
    UndoTruncated {
        /// Its name.
        name: String,
        /// Space id at the start.
        before: String,
        /// Space id at the end.
        after: String,
    },
    /// The base can't be continued.
    #[error(
        "base {base} can't be continued: {reason}; take a full backup (without BackupOptions::incremental)"
    )]
    BaseUnusable {
        /// The base's name.
        base: String,
        /// The cause.
        reason: String,
    },
    /// The LSN of an incremental is above the server's.
    #[error(
        "the incremental is to begin at LSN {lsn}, but the server's checkpoint is only at {checkpoint}: the LSN is of another \
         server, or this is an older state of the server. Take a full backup, or correct the LSN"
    )]
    LsnAhead {
        /// The LSN of the base.
        lsn: Lsn,
        /// The server's newest checkpoint.
        checkpoint: Lsn,
    },
    /// An incremental on an LSN alone was requested in a repository.
    #[error(
        "an incremental on LSN {lsn} has no base in the repository, so it can't be a member of a chain there; write it as a \
         stream, or choose a backup of the repository as its base"
    )]
    LsnInRepository {
        /// The LSN of the base.
        lsn: Lsn,
    },
    /// The history of backups on the server can't be read or written.
    #[error("history of backups (PERCONA_SCHEMA.xtrabackup_history): {what}")]
    History {
        /// What failed, and the remedy.
        what: String,
    },
    /// Page tracking is required, but not available.
    #[error(
        "page tracking can't be used, but TrackingChoice::On requires it: {reason}; \
         TrackingChoice::Auto would scan all pages"
    )]
    PageTracking {
        /// The cause.
        reason: String,
    },
    /// The priority of the page workers can't be set.
    #[error(
        "{what} of the page workers can't be set: {problem}; leave Priority::nice and Priority::io unset, or fix the cause"
    )]
    Priority {
        /// The part of the priority.
        what: &'static str,
        /// The error of the system.
        problem: String,
    },
    /// A thread of the engine panicked.
    #[error(
        "internal error: the {0} thread panicked; the backup is not finished; please report this"
    )]
    Panicked(&'static str),
    /// The backup was cancelled.
    #[error("interrupted: the backup was stopped; the objects that it had uploaded were removed")]
    Interrupted,
    /// A backup as a stream was cancelled.
    #[error(
        "interrupted: the backup was stopped; the stream is cut off within a chunk, so that no reader accepts it as a \
         complete backup"
    )]
    InterruptedStream,
}

impl From<Cancelled> for BackupError {
    fn from(_: Cancelled) -> Self {
        Self::Interrupted
    }
}

impl From<ServerError> for BackupError {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Interrupted { .. } => Self::Interrupted,
            other => Self::Server(other),
        }
    }
}

impl BackupError {
    /// Wraps an I/O error with its file and the action that failed.
    pub(super) fn io(
        path: impl Into<PathBuf>,
        action: &'static str,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            path,
            action,
            source,
        }
    }
}

/// Maximum number of tables that a message lists.
pub(super) const NAMED: usize = 20;

/// Returns a line for each table, up to [`NAMED`] lines.
pub(super) fn lines(tables: &[String]) -> String {
    let shown = tables.iter().take(NAMED);
    let mut out: String = shown.map(|table| format!("\n  {table}")).collect();
    if let more @ 1.. = tables.len().saturating_sub(NAMED) {
        out += &format!("\n  and {more} more");
    }
    out
}
