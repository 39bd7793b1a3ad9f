//! What can go wrong while a backup is made.

use crate::codec::CodecError;
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
    Server(#[from] ServerError),
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
         backup), or put the spool on a faster disk (--spool-dir)"
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
    #[error(
        "interrupted: the backup was stopped; what it had uploaded was removed, a stream was cut off within a chunk"
    )]
    Interrupted,
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
