//! Redo application by a server's own crash recovery (DESIGN 2.1), isolated from everything.
//!
//! The server runs without network, binary log, events, replication and doublewrite, on a socket in a
//! directory of its own. `--skip-grant-tables` lets us in without any of the source's passwords; it
//! also keeps installed plugins, components and functions of the source from being loaded, so that
//! nothing of theirs runs here (a keyring does not need that: it is configured by options).

mod arguments;
mod log;

use super::RestoreOptions;
use super::error::{RestoreError, io};
use super::owner::Owner;
use super::plan::RestorePlan;
use super::tables::{self, CheckedTables};
use super::target::Target;
use crate::progress::Progress;
use crate::store::Manifest;
use arguments::{arguments, binary_log_index, binary_log_stem};
use log::LogWatch;
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Pause between two looks at a starting or stopping server.
const PAUSE: Duration = Duration::from_millis(20);
/// How long an accepted connection may be silent.
const ANSWER: Duration = Duration::from_secs(120);
/// Longest path of a socket that Linux takes, with room for the file's name.
const LONGEST_SOCKET_DIRECTORY: usize = 90;

/// One recovery run.
pub(crate) struct Recovery<'a> {
    pub(crate) target: &'a Target,
    pub(crate) plan: &'a RestorePlan,
    pub(crate) manifest: &'a Manifest,
    pub(crate) options: &'a RestoreOptions,
    pub(crate) owner: Option<&'a Owner>,
    pub(crate) progress: &'a dyn Progress,
}

/// What the recovered server said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recovered {
    /// Whether its position was compared with the recorded one.
    pub(crate) gtid_verified: bool,
    /// XA transactions that are prepared and wait for their coordinator's word.
    pub(crate) prepared: usize,
    /// What `CHECK TABLE` said, where it was asked for.
    pub(crate) tables: Option<CheckedTables>,
    /// Lines of the level ERROR in its log that are not InnoDB's.
    pub(crate) complaints: Vec<String>,
}

/// The paths of the run, all outside of the data directory.
struct Paths {
    root: PathBuf,
    log: PathBuf,
    output: PathBuf,
    temporary: PathBuf,
    socket: PathBuf,
    pid: PathBuf,
}

impl Recovery<'_> {
    /// Starts the server, waits until it has recovered, compares its position, stops it, and removes
    /// what only this run left.
    ///
    /// # Errors
    /// [`RestoreError::Applier`] with the end of the server's log, or [`RestoreError::Gtid`].
    pub(crate) fn run(&self) -> Result<Recovered, RestoreError> {
        let private = socket_directory()?;
        let work = self.target.work();
        let paths = Paths {
            root: self.target.root(),
            log: work.join("mysqld.log"),
            output: work.join("mysqld.out"),
            temporary: work.join("tmp"),
            socket: private.path().join("s"),
            pid: private.path().join("pid"),
        };
        std::fs::create_dir(&paths.temporary).map_err(io("create", &paths.temporary))?;
        File::create(&paths.log).map_err(io("create", &paths.log))?;
        if let Some(owner) = self.owner {
            for path in [private.path(), work, &paths.temporary, &paths.log] {
                owner.give(path)?;
            }
            owner.give_all(&paths.root)?;
        }
        let mut server = self.start(&paths)?;
        let mut watch = LogWatch::new(
            &paths.log,
            self.manifest.lsn.start_checkpoint.block_start().0,
        );
        let mut connection = self.ready(&mut server, &paths, &mut watch)?;
        let mut recovered = Recovered {
            gtid_verified: self.compare(&mut connection, &paths)?,
            prepared: self.prepared(&mut connection, &paths)?,
            tables: self.check_tables(&paths)?,
            complaints: Vec::new(),
        };
        self.stop(&mut server, connection, &paths, &mut watch)?;
        recovered.complaints = self.judge(&paths)?;
        clean(&paths.root)?;
        remove_binary_log(self.manifest, &paths.root)?;
        Ok(recovered)
    }

    fn start(&self, paths: &Paths) -> Result<Server, RestoreError> {
        let program = &self.plan.applier.program;
        let out = File::create(&paths.output).map_err(io("create", &paths.output))?;
        let err = out.try_clone().map_err(io("open", &paths.output))?;
        let arguments = arguments(self, paths)?;
        tracing::debug!(?program, ?arguments, "starting the recovery");
        let child = Command::new(program)
            .args(arguments)
            // The lock of the work directory goes on with the server, should this process be killed.
            .stdin(Stdio::from(self.target.lock_for_child()?))
            .stdout(out)
            .stderr(err)
            .env_remove("MYSQL_HOME")
            .current_dir(&paths.root)
            .spawn()
            .map_err(|error| RestoreError::Program {
                program: program.clone(),
                what: format!("cannot be started: {error}"),
            })?;
        Ok(Server(child))
    }

    /// Waits for the first connection. Recovery may take hours, so there is no time limit: the
    /// server's death ends it, and its log says how far it is.
    fn ready(
        &self,
        server: &mut Server,
        paths: &Paths,
        watch: &mut LogWatch,
    ) -> Result<Conn, RestoreError> {
        loop {
            watch.poll(self.progress);
            if let Some(status) = server.ended(&self.plan.applier.program)? {
                watch.poll(self.progress);
                return Err(self.failed(paths, format!("it ended during recovery with {status}")));
            }
            let options = OptsBuilder::new()
                .user(Some("root"))
                .socket(paths.socket.to_str())
                .prefer_socket(false)
                .read_timeout(Some(ANSWER))
                .write_timeout(Some(ANSWER));
            if paths.socket.exists() {
                match Conn::new(options) {
                    Ok(connection) => return Ok(connection),
                    Err(error) => tracing::debug!(%error, "not ready yet"),
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Compares `gtid_executed` as sets, with the server's own function.
    fn compare(&self, connection: &mut Conn, paths: &Paths) -> Result<bool, RestoreError> {
        let Some(expected) = recorded_gtids(self.manifest) else {
            return Ok(false);
        };
        let asked: Option<(String, Option<i64>, Option<i64>)> = connection
            .exec_first(
                "SELECT @@GLOBAL.gtid_executed, GTID_SUBSET(?, @@GLOBAL.gtid_executed), \
                 GTID_SUBSET(@@GLOBAL.gtid_executed, ?)",
                (expected, expected),
            )
            .map_err(|error| self.failed(paths, format!("it could not be asked: {error}")))?;
        match asked {
            Some((_, Some(1), Some(1))) => Ok(true),
            // The set was read while transactions were being committed: it may lack some that are there.
            Some((_, Some(1), _)) if !gtids_are_exact(self.manifest) => Ok(true),
            Some((found, _, _)) => Err(RestoreError::Gtid {
                expected: expected.to_owned(),
                found,
                log: paths.log.clone(),
            }),
            None => Err(self.failed(paths, "it did not say its gtid_executed".to_owned())),
        }
    }

    fn prepared(&self, connection: &mut Conn, paths: &Paths) -> Result<usize, RestoreError> {
        connection
            .query::<mysql::Row, _>("XA RECOVER")
            .map(|rows| rows.len())
            .map_err(|error| self.failed(paths, format!("it could not be asked: {error}")))
    }

    /// Has every table checked, when that was asked for.
    fn check_tables(&self, paths: &Paths) -> Result<Option<CheckedTables>, RestoreError> {
        if !self.options.check_tables {
            return Ok(None);
        }
        self.progress.note("checking the tables");
        // No time limit: a large table takes long, and a server that died ends the connection.
        let options = OptsBuilder::new()
            .user(Some("root"))
            .socket(paths.socket.to_str())
            .prefer_socket(false);
        Conn::new(options)
            .and_then(|mut connection| tables::check(&mut connection))
            .map(Some)
            .map_err(|error| {
                self.failed(paths, format!("its tables could not be checked: {error}"))
            })
    }

    fn stop(
        &self,
        server: &mut Server,
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
            match server.ended(&self.plan.applier.program)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(self.failed(paths, format!("its shutdown ended with {status}")));
                }
                None => std::thread::sleep(PAUSE),
            }
        }
    }

    /// What the log of a run that ended well says: an error of InnoDB's, or a recovery that stopped
    /// short (the server takes a bad redo block for the end of the log), is a failed restore.
    fn judge(&self, paths: &Paths) -> Result<Vec<String>, RestoreError> {
        let (innodb, other) = log::errors(&paths.log);
        if let Some(line) = innodb.first() {
            return Err(self.failed(paths, format!("its log has an error: {line}")));
        }
        let last = self.manifest.lsn.last_lsn;
        match log::scanned_to(&paths.log) {
            Some(lsn) if lsn < last.0 => Err(self.failed(
                paths,
                format!("it read the redo log up to LSN {lsn}, the backup's goes to {last}"),
            )),
            _ => Ok(other),
        }
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

/// A running server, killed when the restore gives up.
struct Server(Child);

impl Server {
    fn ended(&mut self, program: &Path) -> Result<Option<ExitStatus>, RestoreError> {
        self.0.try_wait().map_err(io("wait for", program))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// A private directory (mode 0700) whose path is short enough for a socket.
fn socket_directory() -> Result<tempfile::TempDir, RestoreError> {
    let mut place = std::env::temp_dir();
    if place.as_os_str().len() > LONGEST_SOCKET_DIRECTORY {
        place = PathBuf::from("/tmp");
    }
    tempfile::Builder::new()
        .prefix("lsnap-")
        .tempdir_in(&place)
        .map_err(io("create a directory for the socket in", &place))
}

/// The end of a log.
pub(crate) fn log_tail(path: &Path) -> String {
    log::tail(path)
}

/// The position that the backup recorded, where it is one that can be compared.
/// Whether the recorded set is all that the backup holds.
fn gtids_are_exact(manifest: &Manifest) -> bool {
    let replica = manifest.replica.as_ref();
    replica.is_none_or(|replica| replica.gtid_executed_is_exact)
}

pub(crate) fn recorded_gtids(manifest: &Manifest) -> Option<&str> {
    let gtids = manifest.binlog.as_ref()?.gtid_executed.trim();
    (!gtids.is_empty()).then_some(gtids)
}

/// Removes the binary log once recovery has used it: its GTIDs are in the tables now, and a restored
/// server begins a binary log of its own.
fn remove_binary_log(manifest: &Manifest, root: &Path) -> Result<(), RestoreError> {
    let (Some(index), Some(stem)) = (binary_log_index(manifest), binary_log_stem(manifest)) else {
        return Ok(());
    };
    for entry in std::fs::read_dir(root).map_err(io("list", root))? {
        let path = entry.map_err(io("list", root))?.path();
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        let number = name
            .strip_prefix(stem)
            .and_then(|rest| rest.strip_prefix('.'));
        let numbered =
            number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        if numbered || name == index {
            std::fs::remove_file(&path).map_err(io("remove", &path))?;
        }
    }
    Ok(())
}

/// Removes what only the recovery run left: its identity (the restored server must make its own),
/// and temporary tablespaces. A source that never wrote its list of warm pages gets an empty one:
/// without the file the restored server would begin its log with an error.
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
