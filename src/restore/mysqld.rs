//! Redo application by a server's own crash recovery (DESIGN 2.1), isolated from everything.
//!
//! The server runs without network, binary log, events, replication and doublewrite, on a socket in a
//! directory of its own. `--skip-grant-tables` lets us in without any of the source's passwords; it
//! also keeps installed plugins, components and functions of the source from being loaded, so that
//! nothing of theirs runs here (a keyring does not need that: it is configured by options).

mod log;

use super::RestoreOptions;
use super::error::{RestoreError, io};
use super::owner::Owner;
use super::plan::RestorePlan;
use super::target::Target;
use crate::progress::Progress;
use crate::store::Manifest;
use log::LogWatch;
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Pause between two looks at a starting or stopping server.
const PAUSE: Duration = Duration::from_millis(100);
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
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Recovered {
    /// Whether its position was compared with the recorded one.
    pub(crate) gtid_verified: bool,
    /// XA transactions that are prepared and wait for their coordinator's word.
    pub(crate) prepared: usize,
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
        let mut watch = LogWatch::new(&paths.log);
        let mut connection = self.ready(&mut server, &paths, &mut watch)?;
        let recovered = Recovered {
            gtid_verified: self.compare(&mut connection, &paths)?,
            prepared: self.prepared(&mut connection, &paths)?,
        };
        self.stop(&mut server, connection, &paths, &mut watch)?;
        if let Some(line) = log::first_error(&paths.log) {
            return Err(self.failed(&paths, format!("its log has an error: {line}")));
        }
        clean(&paths.root)?;
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
pub(crate) fn recorded_gtids(manifest: &Manifest) -> Option<&str> {
    let gtids = manifest.binlog.as_ref()?.gtid_executed.trim();
    (!gtids.is_empty()).then_some(gtids)
}

/// The whole command line. Options that not every supported release knows are `--loose-` ones.
fn arguments(run: &Recovery<'_>, paths: &Paths) -> Result<Vec<OsString>, RestoreError> {
    let server = &run.manifest.server;
    let mut arguments: Vec<OsString> = vec!["--no-defaults".into()];
    let mut path = |option: &str, value: &Path| {
        let mut argument = OsString::from(option);
        argument.push(value);
        arguments.push(argument);
    };
    path("--datadir=", &paths.root);
    path("--innodb-data-home-dir=", &paths.root);
    path("--innodb-undo-directory=", &paths.root);
    path("--innodb-log-group-home-dir=", &paths.root);
    path("--tmpdir=", &paths.temporary);
    path("--innodb-tmpdir=", &paths.temporary);
    path("--socket=", &paths.socket);
    path("--pid-file=", &paths.pid);
    path("--log-error=", &paths.log);
    let data_file_path =
        base_names(&server.data_file_path).map_err(|what| RestoreError::Damaged {
            backup: run.plan.target.clone(),
            path: "lsnap_manifest.json".to_owned(),
            what,
        })?;
    arguments.push(format!("--innodb-data-file-path={data_file_path}").into());
    arguments.push(format!("--innodb-page-size={}", server.page_size).into());
    arguments.push(format!("--innodb-buffer-pool-size={}", run.options.use_memory).into());
    for option in [
        "--log-error-verbosity=3",
        "--skip-networking",
        "--loose-mysqlx=OFF",
        "--skip-grant-tables",
        "--skip-name-resolve",
        "--skip-replica-start",
        "--event-scheduler=DISABLED",
        "--disable-log-bin",
        "--skip-slow-query-log",
        "--skip-general-log",
        "--performance-schema=OFF",
        "--secure-file-priv=",
        "--innodb-fast-shutdown=1",
        "--innodb-doublewrite=OFF",
        "--innodb-buffer-pool-load-at-startup=OFF",
        "--innodb-buffer-pool-dump-at-shutdown=OFF",
        "--loose-auto-generate-certs=OFF",
        "--loose-sha256-password-auto-generate-rsa-keys=OFF",
        "--loose-caching-sha2-password-auto-generate-rsa-keys=OFF",
    ] {
        arguments.push(option.into());
    }
    if recorded_gtids(run.manifest).is_some() {
        arguments.push("--enforce-gtid-consistency=ON".into());
        arguments.push("--gtid-mode=ON".into());
    }
    if let Some(owner) = run.owner {
        arguments.push(format!("--user={}", owner.name).into());
    }
    arguments.extend(run.options.mysqld_args.iter().map(OsString::from));
    Ok(arguments)
}

/// `ibdata1:12M;/fast/ibdata2:50M:autoextend` with the files where the restore puts them.
fn base_names(data_file_path: &str) -> Result<String, String> {
    let files = data_file_path
        .split(';')
        .map(|file| {
            let (path, rest) = file.split_once(':').unwrap_or((file, ""));
            let name = path.rsplit('/').next().unwrap_or(path);
            let raw = rest
                .rsplit(':')
                .next()
                .is_some_and(|word| word.ends_with("raw"));
            if name.is_empty() || raw {
                return Err(format!(
                    "its innodb_data_file_path {data_file_path:?} has a file that cannot be restored as one: {file:?}"
                ));
            }
            Ok(format!("{name}:{rest}"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(files.join(";"))
}

/// Removes what only the recovery run left: its identity (the restored server must make its own),
/// and temporary tablespaces.
fn clean(root: &Path) -> Result<(), RestoreError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_files_are_looked_for_in_the_restored_directory() {
        assert_eq!(
            base_names("ibdata1:12M:autoextend").unwrap(),
            "ibdata1:12M:autoextend"
        );
        assert_eq!(
            base_names("ibdata1:12M;/fast/disk/ibdata2:50M:autoextend:max:5G").unwrap(),
            "ibdata1:12M;ibdata2:50M:autoextend:max:5G"
        );
        assert!(base_names("/dev/sdb1:10Graw").is_err());
        assert!(base_names("").is_err());
    }
}
