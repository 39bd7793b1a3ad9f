//! What can go wrong while a backup is made.

use crate::cancel::Cancelled;
use crate::codec::CodecError;
use crate::counted::count;
use crate::datadir::DatadirError;
use crate::delta::DeltaError;
use crate::innodb::{InnodbError, Lsn};
use crate::server::ServerError;
use crate::store::StoreError;
use crate::xbstream::XbstreamError;
use std::path::PathBuf;

/// Why a backup failed. Nothing of a failed backup looks finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The data directory.
    #[error(transparent)]
    Datadir(#[from] DatadirError),
    /// The delta format.
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// Bytes of InnoDB's that mean nothing.
    #[error(transparent)]
    Innodb(#[from] InnodbError),
    /// The server.
    #[error(transparent)]
    Server(ServerError),
    /// The session with the instance lock ended.
    #[error(
        "the server session that keeps DDL out (LOCK INSTANCE FOR BACKUP) was lost while files were copied: {0}. What \
         ran on the server since may have changed files that were copied already, so the backup can't be right; find \
         out who ended the session (KILL, a restart, a proxy, the network), then run the backup again"
    )]
    SessionLost(ServerError),
    /// The repository.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stream format.
    #[error(transparent)]
    Xbstream(#[from] XbstreamError),
    /// Compression or encryption.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The stream can't be written.
    #[error(
        "the backup stream can't be written: {0}; what was written is cut off within a chunk, so that no reader takes it \
         for a whole backup; look at the program behind the pipe, then run the backup again"
    )]
    Stream(std::io::Error),
    /// Reading or writing a local file.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// No size for objects.
    #[error("--object-size {bytes}: {why}")]
    ObjectSize {
        /// What was asked for, in bytes.
        bytes: usize,
        /// What is wrong, and what is right.
        why: String,
    },
    /// The encryption that was asked for doesn't fit the base or the repository.
    #[error("{backup}: {why}")]
    Key {
        /// The base, or the repository.
        backup: String,
        /// What is wrong, and what to do.
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
        /// `server_uuid` that the server gave.
        expected: String,
    },
    /// No redo file can be used.
    #[error(
        "{dir}: no usable redo log file found ({detail}); expected files named #ib_redo<N> of format 6"
    )]
    NoRedo {
        /// The `#innodb_redo` directory.
        dir: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The server overwrote redo before it was copied.
    #[error(
        "the server overwrote redo log that was not copied yet: LSN {needed} was needed, the oldest that is left is \
         {oldest} ({behind} behind); raise innodb_redo_log_capacity (now too small for the write rate during the \
         backup, or lowered meanwhile), or put the spool on a faster disk (--spool-dir)"
    )]
    RedoOverwritten {
        /// The LSN that was to be read.
        needed: Lsn,
        /// The oldest LSN that the files still hold.
        oldest: Lsn,
        /// The difference, for people.
        behind: String,
    },
    /// Redo encryption was switched on meanwhile.
    #[error(
        "the redo log is encrypted at LSN {at}, but was not when the backup looked (innodb_redo_log_encrypt was \
         switched on meanwhile), so its end can't be read without the key: run the backup again"
    )]
    RedoKey {
        /// Where it was seen.
        at: Lsn,
    },
    /// The redo did not reach the LSN that the server named.
    #[error(
        "the redo log was followed up to LSN {reached}, but the server's position is {wanted}, and nothing more came \
         for {seconds} s: the disk of the redo log or the server is stuck; look at its error log"
    )]
    RedoShort {
        /// How far it was read.
        reached: Lsn,
        /// What was wanted.
        wanted: Lsn,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The redo log can't be checked.
    #[error(
        "innodb_log_checksums is OFF: redo without checksums can't be checked, and a server with the default setting \
         takes it for the end of the log; run SET GLOBAL innodb_log_checksums=ON, then the backup again"
    )]
    LogChecksumsOff,
    /// The redo log holds blocks that were written without checksums.
    #[error(
        "the redo block at LSN {at} was written with innodb_log_checksums=OFF: it can't be checked, and a server with \
         the default setting takes it for the end of the log; run SET GLOBAL innodb_log_checksums=ON, and the backup \
         again when the server's checkpoint (Innodb_redo_log_checkpoint_lsn) is above that LSN"
    )]
    NoLogChecksum {
        /// The start of the block.
        at: Lsn,
    },
    /// The applier of a replica can't be held.
    #[error("the replica's applier: {what}")]
    Applier {
        /// What failed.
        what: String,
    },
    /// The end of the binary log can't be copied.
    #[error(
        "{path}: {what}; without the end of the binary log the backup's position would be wrong"
    )]
    Binlog {
        /// The file.
        path: PathBuf,
        /// Found and expected.
        what: String,
    },
    /// The server gave no list of its tablespaces.
    #[error(
        "the server's list of tablespaces (INFORMATION_SCHEMA.FILES) is empty: the account needs PROCESS"
    )]
    NoTablespaces,
    /// Files of tables are missing.
    #[error(
        "{} of the server's dictionary can't be backed up, because the file is missing:{}\nBring the files back \
         (mount their disk, then start the server again), or drop the tables; --allow-missing-tables makes a backup \
         that lacks them and says so",
        count(tables.len(), "tablespace"), lines(tables)
    )]
    MissingTables {
        /// Each with its name, id and path, and what was found there.
        tables: Vec<String>,
    },
    /// Tables whose rows lie where no backup of this kind finds them.
    #[error(
        "{} of storage engines that can't be backed up:{}\nAlter the tables to InnoDB, or drop them; \
         --allow-missing-tables makes a backup that lacks their rows and says so (save these in another way, as by \
         a dump)",
        count(tables.len(), "table"), lines(tables)
    )]
    OtherEngines {
        /// Each with its schema, name and engine.
        tables: Vec<String>,
    },
    /// A log table can't be copied whole.
    #[error(
        "the log table {table} can't be copied: {what}. Run SET GLOBAL log_output='FILE' (or switch the log off) while \
         a backup is made, or ALTER TABLE {table} ENGINE=CSV"
    )]
    LogTable {
        /// The table.
        table: String,
        /// What was found.
        what: String,
    },
    /// The base has tables that are missing now.
    #[error(
        "base {base} has {} of the server's dictionary whose file is missing now:{}\nA restore of this incremental \
         would lack what its base has, so it is not made. Bring the files back (mount their disk, then start the \
         server again), or drop the tables; or take a full backup with --allow-missing-tables",
        count(tables.len(), "tablespace"), lines(tables)
    )]
    LostSinceBase {
        /// The base's name.
        base: String,
        /// Each with its name, id and path, and what was found there.
        tables: Vec<String>,
    },
    /// A page is newer than the end of the redo.
    #[error(
        "{file}: a page with LSN {page_lsn} was read, which is newer than the backup's last LSN {last_lsn}: the file \
         is not of this server, or the server's redo log was re-created; the backup can't be consistent"
    )]
    PageFromTheFuture {
        /// The tablespace file.
        file: String,
        /// The highest page LSN in it.
        page_lsn: Lsn,
        /// The end of the redo that was copied.
        last_lsn: Lsn,
    },
    /// A schema's directory has the name of a file that every backup has.
    #[error(
        "the schema {schema} has the name of a file that every stream holds, so the stream could not be \
         extracted: back up to a repository (--to without --stream), or give the schema another name"
    )]
    SchemaName {
        /// The schema.
        schema: String,
    },
    /// An undo tablespace was truncated meanwhile.
    #[error(
        "undo tablespace {name} changed its identity during the backup (space id {before} before, {after} now: it was \
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
    /// The server can't be a successor of the base.
    #[error(
        "base {base} can't be continued: {reason}; take a full backup (lsnap backup without --incremental)"
    )]
    BaseUnusable {
        /// The base's name.
        base: String,
        /// Why not.
        reason: String,
    },
    /// Page tracking was demanded.
    #[error(
        "page tracking can't be used, which --page-tracking=on demands: {reason}; --page-tracking=auto would scan"
    )]
    PageTracking {
        /// Why not.
        reason: String,
    },
    /// The page workers can't be given the priority that was asked for.
    #[error(
        "{what} of the page workers can't be set: {problem}; leave --nice and --ionice out, or mend this"
    )]
    Priority {
        /// What of it.
        what: &'static str,
        /// What the system says.
        problem: String,
    },
    /// A thread of the engine panicked.
    #[error(
        "internal error: the {0} thread panicked; the backup is not finished; please report this"
    )]
    Panicked(&'static str),
    /// The job was asked to stop.
    #[error("interrupted: the backup was stopped; what it had uploaded was removed")]
    Interrupted,
    /// The same, of a backup as a stream.
    #[error(
        "interrupted: the backup was stopped; the stream was cut off within a chunk, so that no reader takes it for a \
         whole backup"
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
    /// Wraps an I/O error with its file and what was tried.
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

/// Tables that a message names one by one.
pub(super) const NAMED: usize = 20;

/// A line for each, as far as a person reads them.
pub(super) fn lines(tables: &[String]) -> String {
    let shown = tables.iter().take(NAMED);
    let mut out: String = shown.map(|table| format!("\n  {table}")).collect();
    if let more @ 1.. = tables.len().saturating_sub(NAMED) {
        out += &format!("\n  and {more} more");
    }
    out
}
