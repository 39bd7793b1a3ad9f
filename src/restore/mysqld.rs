//! Redo application by the crash recovery of a server (`docs/design.md#recovery`), in isolation.
//!
//! The server runs without network, binary log, events, replication and doublewrite, with a socket
//! in a private directory. With `--skip-grant-tables` no password of the source is needed; it also
//! prevents the server from loading plugins, components and functions of the source, so that none
//! of their code is run (a keyring doesn't need that: it is configured by options).

mod arguments;
mod ask;
mod export;
mod log;
mod missing;
mod own;

use super::binary_log::BinaryLog;
use super::complete::Absent;
use super::error::{RestoreError, io};
use super::held::WorkDirectories;
use super::owner::Owner;
use super::plan::RestorePlan;
use super::queries::CheckedQuery;
use super::running::{PAUSE, Running};
use super::scratch_dir::ScratchDir;
use super::tables::CheckedTables;
use super::{RestoreOptions, held, reach};
use crate::child;
use crate::manifest::Manifest;
use crate::progress::Progress;
use crate::reader::redo_log::needed_end;
use arguments::arguments;
pub(crate) use export::ExportedTables;
use log::LogWatch;
use missing::MayLack;
use mysql::Conn;
use mysql::prelude::Queryable;
pub(crate) use own::refused;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Longest path of a directory for sockets, in bytes: the limit of Linux for a socket is 107, and
/// up to 26 are added.
const LONGEST_SOCKET_DIRECTORY: usize = 80;

/// The directories of a recovery.
pub(crate) struct Workplace {
    /// The data directory that is recovered.
    pub(crate) root: PathBuf,
    /// The directory for the log and temporary files.
    pub(crate) work: PathBuf,
    /// A lock that the server inherits, in case this process is killed.
    pub(crate) lock: File,
    /// True if the directory is the only copy of its data: a killed recovery is continued, so
    /// torn pages must be repaired; and the owners of the files are kept.
    pub(crate) in_place: bool,
}

/// One run of the recovery.
pub(crate) struct Recovery<'a> {
    pub(crate) place: &'a Workplace,
    pub(crate) plan: &'a RestorePlan,
    pub(crate) manifest: &'a Manifest,
    pub(crate) options: &'a RestoreOptions,
    pub(crate) owner: Option<&'a Owner>,
    /// The end of the source's binary log.
    pub(super) log: Option<&'a BinaryLog>,
    /// The directories during the recovery.
    pub(super) directories: &'a WorkDirectories,
    /// Tablespaces that may have no file.
    pub(super) absent: &'a Absent,
    pub(crate) progress: &'a dyn Progress,
}

/// The results of a recovery.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recovered {
    /// True if its position was compared with the recorded one.
    pub(crate) gtid_verified: bool,
    /// True if every table of its dictionary has its files.
    pub(crate) tables_complete: bool,
    /// Number of XA transactions that are prepared and wait for their coordinator.
    pub(crate) prepared: usize,
    /// Number of XA transactions that were rolled back.
    pub(crate) rolled_back: usize,
    /// The results of `CHECK TABLE`, if it was requested.
    pub(crate) tables: Option<CheckedTables>,
    /// The results of the user's queries.
    pub(crate) queries: Vec<CheckedQuery>,
    /// Duration of `CHECK TABLE` and of the queries.
    pub(crate) check_time: Duration,
    /// Lines of the level ERROR in its log that don't mean that the data are wrong.
    pub(crate) complaints: Vec<String>,
    /// The result of the export, if it was requested.
    pub(crate) exported: Option<ExportedTables>,
}

/// A run of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    /// Only applies redo, and ignores missing files ([`missing`]).
    First,
    /// The recovery.
    Whole,
}

/// The paths of the run, all outside of the data directory except for the root.
struct Paths {
    root: PathBuf,
    log: PathBuf,
    output: PathBuf,
    temporary: PathBuf,
    binlog: PathBuf,
    socket: PathBuf,
    pid: PathBuf,
}

impl Recovery<'_> {
    /// Starts the server, waits until it has recovered, compares its position, stops it, and
    /// removes the files of this run.
    ///
    /// # Errors
    /// [`RestoreError::Applier`] with the end of the server's log, [`RestoreError::Gtid`],
    /// [`RestoreError::MissingTables`], or [`RestoreError::Interrupted`].
    pub(crate) fn run(&self) -> Result<Recovered, RestoreError> {
        let recovered = self.recover();
        // A server that was killed by a cancellation causes various errors.
        self.options.cancel.check()?;
        recovered
    }

    fn recover(&self) -> Result<Recovered, RestoreError> {
        let (private, sockets) = socket_directory(self.owner)?;
        let work = self.place.work.as_path();
        let paths = Paths {
            root: self.place.root.clone(),
            log: work.join("mysqld.log"),
            output: work.join("mysqld.out"),
            temporary: work.join("tmp"),
            binlog: self.directories.binlog.clone(),
            socket: sockets.join("s"),
            pid: sockets.join("pid"),
        };
        std::fs::create_dir(&paths.temporary).map_err(io("create", &paths.temporary))?;
        File::create(&paths.log).map_err(io("create", &paths.log))?;
        if let Some(config) = &self.options.keyring_config {
            held::copy_keyring(config, &paths.root)?;
        }
        if let Some(owner) = self.owner {
            if self.log.is_some() {
                owner.give_all(&paths.binlog)?;
            }
            for path in [sockets.as_path(), work, &paths.temporary, &paths.log] {
                owner.give(path)?;
            }
            if !self.place.in_place {
                owner.give_all(&paths.root)?;
            }
        }
        let mut may = self.may_lack()?;
        self.skip_missing(&paths, &mut may)?;
        let server = self.start(&paths, Run::Whole)?;
        let mut watch = LogWatch::new(
            &paths.log,
            self.manifest.lsn.start_checkpoint.block_start().0,
        );
        let mut connection = self.ready(&server, &paths, &mut watch)?;
        self.complete(&paths, &may)?;
        let gtid_verified = self.compare(&mut connection, &paths)?;
        let rolled_back = match self.options.rollback_prepared {
            true => self.roll_back(&mut connection, &paths)?,
            false => 0,
        };
        let prepared = self.prepared(&mut connection, &paths)?;
        let begun = Instant::now();
        let tables = self.check_tables(&paths)?;
        let queries = self.run_queries(&paths)?;
        let mut recovered = Recovered {
            gtid_verified,
            tables_complete: true,
            prepared,
            rolled_back,
            tables,
            queries,
            check_time: begun.elapsed(),
            complaints: Vec::new(),
            exported: None,
        };
        let exported = match self.options.export {
            true => Some(self.export(&paths)?),
            false => None,
        };
        self.stop(&server, connection, &paths, &mut watch)?;
        recovered.complaints = self.check_log(&paths, &may)?;
        recovered.exported = exported
            .map(|exported| exported.place(&paths.root))
            .transpose()?;
        clean(&paths.root)?;
        let path = private.path().to_path_buf();
        private.close().map_err(io("remove", &path))?;
        Ok(recovered)
    }

    fn start(&self, paths: &Paths, run: Run) -> Result<Running, RestoreError> {
        let program = &self.plan.applier.program;
        let out = File::create(&paths.output).map_err(io("create", &paths.output))?;
        let err = out.try_clone().map_err(io("open", &paths.output))?;
        let arguments = arguments(self, paths, run)?;
        tracing::debug!(?program, ?arguments, "starting the recovery");
        let mut command = child::command(program);
        command
            .args(arguments)
            // The server inherits the lock of the work directory, in case this process is killed.
            .stdin(Stdio::from(
                self.place
                    .lock
                    .try_clone()
                    .map_err(io("share", &self.place.work))?,
            ))
            .stdout(out)
            .stderr(err)
            .current_dir(&paths.root);
        if let Some(owner) = self.owner {
            owner.lend(&mut command);
        }
        command.args(&self.options.mysqld_args);
        Running::start(&mut command, program, &self.options.cancel)
    }

    /// Waits for the first connection. Recovery can take hours, so there is no time limit: the wait
    /// ends when the server ends, and its log shows the progress.
    fn ready(
        &self,
        server: &Running,
        paths: &Paths,
        watch: &mut LogWatch,
    ) -> Result<Conn, RestoreError> {
        loop {
            watch.poll(self.progress);
            if let Some(status) = server.ended()? {
                watch.poll(self.progress);
                return Err(self.failed(paths, format!("it ended during recovery with {status}")));
            }
            if paths.socket.exists() {
                match ask::connect(&paths.socket, true) {
                    Ok(connection) => return Ok(connection),
                    Err(error) => tracing::debug!(%error, "not ready yet"),
                }
            }
            if self.options.cancel.wait(PAUSE) {
                return Err(RestoreError::Interrupted);
            }
        }
    }

    fn stop(
        &self,
        server: &Running,
        mut connection: Conn,
        paths: &Paths,
        watch: &mut LogWatch,
    ) -> Result<(), RestoreError> {
        connection
            .query_drop("SHUTDOWN")
            .map_err(|error| self.failed(paths, format!("it could not be shut down: {error}")))?;
        drop(connection);
        loop {
            watch.poll(self.progress);
            match server.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(self.failed(paths, format!("its shutdown ended with {status}")));
                }
                None if self.options.cancel.wait(PAUSE) => return Err(RestoreError::Interrupted),
                None => {}
            }
        }
    }

    /// Checks the log of a successful run: an error of InnoDB that is not known to be harmless, or
    /// a recovery that ended early (the server takes an invalid redo block for the end of the log),
    /// fails the restore.
    fn check_log(&self, paths: &Paths, may: &MayLack) -> Result<Vec<String>, RestoreError> {
        let reported = self.check_errors(paths, may)?;
        let last = self.manifest.lsn.last_lsn;
        match log::scanned_to(&paths.log) {
            Some(lsn) if lsn < needed_end(last).0 => Err(self.failed(
                paths,
                format!(
                    "it read the redo log up to LSN {lsn}, expected {last}, the end of the backup's"
                ),
            )),
            _ => Ok(reported),
        }
    }

    /// Refuses a log with an error of InnoDB that is not known to be harmless. Returns other errors.
    fn check_errors(&self, paths: &Paths, may: &MayLack) -> Result<Vec<String>, RestoreError> {
        let may_lack = |path: &str| may.has_path(path);
        let errors = log::errors(&paths.log, &self.options.accepted_errors, &may_lack);
        if let Some(line) = errors.fatal.first() {
            let way_out = log::code(line).map_or(String::new(), |code| {
                format!(
                    ". If it is known to be harmless, add {code} to RestoreOptions::accepted_errors"
                )
            });
            return Err(self.failed(paths, format!("its log has an error: {line}{way_out}")));
        }
        Ok(errors.reported)
    }

    fn failed(&self, paths: &Paths, what: String) -> RestoreError {
        let mut tail = log::tail(&paths.log);
        if tail.is_empty() {
            tail = log::tail(&paths.output);
        }
        let what = log::advice(&tail).map_or(what.clone(), |advice| format!("{what}. {advice}"));
        RestoreError::Applier {
            program: "mysqld",
            what,
            log: paths.log.clone(),
            tail,
        }
    }
}

/// Creates a private directory (mode 0700) whose path is short enough for a socket; returns the
/// scratch directory that contains it, and its path.
fn socket_directory(owner: Option<&Owner>) -> Result<(ScratchDir, PathBuf), RestoreError> {
    let mut place = std::env::temp_dir();
    let closed = owner.and_then(|owner| reach::blocked(&place, owner));
    if place.as_os_str().len() > LONGEST_SOCKET_DIRECTORY || closed.is_some() {
        place = PathBuf::from("/tmp");
    }
    let refuse = "create a directory for the socket in";
    let scratch = ScratchDir::make(&place, "lsnap-socket-").map_err(io(refuse, &place))?;
    let private = scratch.path().join("d");
    DirBuilder::new()
        .mode(0o700)
        .create(&private)
        .map_err(io(refuse, scratch.path()))?;
    Ok((scratch, private))
}

/// Returns the end of a log.
pub(crate) fn log_tail(path: &Path) -> String {
    log::tail(path)
}

/// Returns whether the recorded GTID set is exactly that of the backup.
fn gtids_are_exact(manifest: &Manifest) -> bool {
    let replica = manifest.replica.as_ref();
    replica.is_none_or(|replica| replica.gtid_executed_is_exact)
}

/// Returns the GTID set that the backup recorded; `None` if it is empty.
pub(crate) fn recorded_gtids(manifest: &Manifest) -> Option<&str> {
    let gtids = manifest.binlog.as_ref()?.gtid_executed.trim();
    (!gtids.is_empty()).then_some(gtids)
}

/// Removes files of the recovery run: its identity (the restored server must create its own), and
/// temporary tablespaces. If the source never wrote its list of warm pages, an empty one is
/// created: without the file, the log of the restored server would begin with an error.
fn clean(root: &Path) -> Result<(), RestoreError> {
    let warm = root.join("ib_buffer_pool");
    if !warm.exists() {
        super::plain::create(&warm)?;
    }
    for name in ["auto.cnf", "ibtmp1"] {
        let path = root.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io("remove", &path)(error));
            }
            _ => {}
        }
    }
    let temporary = root.join("#innodb_temp");
    match std::fs::remove_dir_all(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io("remove", &temporary)(error))
        }
        _ => Ok(()),
    }
}
