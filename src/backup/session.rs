//! One backup from the connection to the manifest: who is asked what, in which order, under which
//! lock (spec 5.3, DESIGN 2.1).

use super::RANGE_BYTES;
use super::binlog::{self, Tail};
use super::copy::{self, CopyCounts, CopyJob};
use super::error::BackupError;
use super::plain;
use super::redo::{Follower, RedoFiles, StartPoint, StopAt, stop_channel};
use super::spool::{Piece, Spool};
use crate::datadir::{ReadMode, ServerPaths, ServerTablespace, Survey, survey};
use crate::innodb::{Lsn, SpaceId, redo};
use crate::mem::BufferPool;
use crate::progress::{Phase, Progress};
use crate::server::{ConnectOptions, Identity, LogStatus, Server, TablespaceRow, Variables};
use crate::store::{BackupKind, BackupName, Manifest, Repository, StoreError, Upload};
use crate::xbstream;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The redo of the backup, as spec 3.3 names it.
pub(super) const LOGFILE: &str = "xtrabackup_logfile";

/// Which backup an incremental continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseChoice {
    /// The newest finished member of the newest chain of this server.
    Latest,
    /// This one.
    Named(String),
}

/// How a backup is to be made.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// How to reach the server.
    pub connect: ConnectOptions,
    /// `Some`: an incremental on that base.
    pub incremental: Option<BaseChoice>,
    /// The first part of the backup's name; `None`: the server's host name.
    pub cluster: Option<String>,
    /// Threads that read and check pages.
    pub threads: usize,
    /// Objects that are written at the same time.
    pub uploads: usize,
    /// Memory for pages on their way, in bytes.
    pub memory: usize,
    /// How data files are read.
    pub mode: ReadMode,
    /// Where redo waits while the store is slower than the server.
    pub spool_dir: PathBuf,
    /// How long to wait for the backup lock and the table locks.
    pub lock_timeout: Duration,
    /// Accept a server version that lsnap was not tested with.
    pub allow_untested: bool,
    /// Scan from the base's *start* checkpoint (DESIGN 2.2). Without it the backup is what xtrabackup
    /// would make, and can't be restored by a merge.
    pub overlap: bool,
    /// Recorded in `xtrabackup_info`; must hold no secret.
    pub command: String,
    /// Set to stop the backup.
    pub stop: Arc<AtomicBool>,
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
            mode: ReadMode::Auto,
            spool_dir: std::env::temp_dir(),
            lock_timeout: Duration::from_secs(300),
            allow_untested: false,
            overlap: true,
            command: "lsnap backup".into(),
            stop: Arc::default(),
        }
    }
}

/// What a finished backup was.
#[derive(Debug, Clone, serde::Serialize)]
pub struct BackupReport {
    /// The manifest as it was stored.
    #[serde(flatten)]
    pub manifest: Manifest,
    /// Bytes of all objects.
    pub stored_bytes: u64,
    /// Seconds from start to end.
    pub seconds: f64,
    /// Seconds for which tables were locked (0: not at all).
    pub tables_locked_seconds: f64,
}

/// Makes one backup into `repo`.
///
/// # Errors
/// [`BackupError`]; what had been uploaded is then removed again, and nothing looks finished.
pub fn run(
    repo: &Repository,
    options: &BackupOptions,
    progress: &dyn Progress,
) -> Result<BackupReport, BackupError> {
    progress.phase(Phase::Preparing, None);
    let mut server = Server::connect(&options.connect)?;
    let identity = server.identity()?;
    Server::check_supported(&identity, options.allow_untested)?;
    server.check_privileges()?;
    if !server.redo_enabled()? {
        return Err(BackupError::RedoDisabled);
    }
    let variables = server.variables()?;
    check_datadir(&variables.datadir, &identity)?;
    let base = match &options.incremental {
        None => None,
        Some(BaseChoice::Latest) => Some(repo.latest_base(&identity.server_uuid, None)?),
        Some(BaseChoice::Named(name)) => Some(repo.latest_base(&identity.server_uuid, Some(name))?),
    };
    if let Some(base) = &base {
        progress.note(&format!("base: {} (to LSN {})", base.name, base.lsn.to_lsn));
    }
    server.lock_instance(options.lock_timeout)?;
    // Under the lock it can't be switched any more.
    if !server.redo_enabled()? {
        return Err(BackupError::RedoDisabled);
    }
    let cluster = options.cluster.as_deref().unwrap_or(&identity.hostname);
    let (started, upload) = begin(repo, base.as_ref(), cluster, options.uploads)?;
    let name = upload.name().clone();
    let session = Session {
        options,
        progress,
        identity,
        variables,
        base,
        name,
        started,
        upload: upload.clone(),
    };
    let result = session.copy(&mut server).and_then(|copied| {
        let locked = copied.tables_locked;
        Ok((session.finish(copied)?, locked))
    });
    match result {
        Ok((manifest, tables_locked)) => {
            upload.finish(&manifest)?;
            Ok(session.report(manifest, tables_locked))
        }
        Err(error) => {
            if let Err(left) = upload.abort() {
                tracing::error!("{left}");
            }
            Err(error)
        }
    }
}

/// Takes a name in the repository. Names have a resolution of a second and sort by it: a backup that
/// follows another within the second waits for the next one.
fn begin(
    repo: &Repository,
    base: Option<&Manifest>,
    cluster: &str,
    uploads: usize,
) -> Result<(DateTime<Utc>, Upload), BackupError> {
    let mut tries = 0;
    loop {
        let now = Utc::now();
        let name = match base {
            None => BackupName::full(cluster, now),
            Some(base) => BackupName::incremental(&base.name, cluster, now),
        };
        let taken = match name.and_then(|name| repo.begin(&name, uploads)) {
            Ok(upload) => return Ok((now, upload)),
            Err(error) => error,
        };
        let in_this_second = matches!(taken, StoreError::Exists { .. })
            || base.is_some() && matches!(taken, StoreError::BadName { .. });
        tries += 1;
        if !in_this_second || tries > 2 {
            return Err(taken.into());
        }
        std::thread::sleep(Duration::from_millis(
            1001 - u64::from(now.timestamp_subsec_millis().min(1000)),
        ));
    }
}

/// The server's directory must be the one that this process sees.
fn check_datadir(datadir: &Path, identity: &Identity) -> Result<(), BackupError> {
    let path = datadir.join("auto.cnf");
    let text = std::fs::read_to_string(&path).map_err(BackupError::io(
        &path,
        "read (lsnap must run on the host of the server, as a user that may read its files)",
    ))?;
    let found = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .find(|(key, _)| matches!(key.trim(), "server-uuid" | "server_uuid"))
        .map_or(String::new(), |(_, value)| value.trim().to_owned());
    if found == identity.server_uuid {
        return Ok(());
    }
    Err(BackupError::OtherDatadir {
        path,
        found,
        expected: identity.server_uuid.clone(),
    })
}

/// What the whole of one backup knows.
pub(super) struct Session<'a> {
    pub options: &'a BackupOptions,
    pub progress: &'a dyn Progress,
    pub identity: Identity,
    pub variables: Variables,
    pub base: Option<Manifest>,
    pub name: BackupName,
    pub started: DateTime<Utc>,
    pub upload: Upload,
}

/// What was copied under the locks, before the metadata.
pub(super) struct Copied {
    pub survey: Survey,
    pub counts: Vec<CopyCounts>,
    pub plain_bytes: Vec<u64>,
    /// Paths and lengths.
    pub binary_log: Vec<(String, u64)>,
    pub start: StartPoint,
    pub status: LogStatus,
    pub tables_locked: Duration,
    pub redo_bytes: u64,
    pub replica_info: Option<String>,
}

/// What the copy found out while redo was followed beside it.
struct Gathered {
    survey: Survey,
    counts: Vec<CopyCounts>,
    plain_bytes: Vec<u64>,
    binary_log: Vec<(String, u64)>,
    status: LogStatus,
    tables_since: Option<Instant>,
    replica_info: Option<String>,
}

impl Session<'_> {
    pub(super) fn kind(&self) -> BackupKind {
        if self.base.is_some() {
            BackupKind::Incremental
        } else {
            BackupKind::Full
        }
    }

    /// The LSN from which pages go into the deltas (DESIGN 2.2).
    pub(super) fn floor(&self) -> Option<Lsn> {
        self.base.as_ref().map(|base| {
            if self.options.overlap {
                base.lsn.start_checkpoint
            } else {
                base.lsn.to_lsn
            }
        })
    }

    fn interrupted(&self) -> bool {
        self.options.stop.load(Ordering::Acquire)
    }

    /// Everything that needs the instance lock; the redo is followed beside it.
    fn copy(&self, server: &mut Server) -> Result<Copied, BackupError> {
        let files = RedoFiles::open(&self.paths().redo_dir.join("#innodb_redo"))?;
        let start = files.start_point()?;
        self.check_base(server, &start)?;
        let spool = Spool::new(&self.options.spool_dir)?;
        let stamp = self.started.format("%y%m%d %H:%M:%S").to_string();
        spool.append(&redo::logfile_header(
            &start.header,
            start.checkpoint,
            &stamp,
        )?)?;
        let mut follower = Follower::new(files, &start, &spool);
        self.progress.phase(Phase::RedoCatchUp, None);
        follower.catch_up(|n| self.progress.advance(Phase::RedoCatchUp, n))?;
        let (stop, stopped) = stop_channel();
        let give_up = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let uploading = scope.spawn(|| upload_redo(&self.upload, &spool));
            let (spool, give_up) = (&spool, &give_up);
            let following = scope.spawn(move || {
                let result = follower.run(&stopped);
                spool.close(result.is_ok());
                give_up.store(result.is_err(), Ordering::Release);
                result
            });
            let gathered = self.gather(server, spool, give_up);
            if let Ok(g) = &gathered {
                self.progress.phase(Phase::Redo, None);
                // A follower that is gone says why when it is joined.
                let _ = stop.send(StopAt {
                    lsn: Lsn(g.status.lsn),
                });
            }
            drop(stop);
            let followed = following
                .join()
                .map_err(|_| BackupError::Panicked("redo follower"))?;
            let uploaded = uploading
                .join()
                .map_err(|_| BackupError::Panicked("redo upload"))?;
            match (gathered, followed) {
                // The follower's reason explains why the copy was told to stop.
                (Err(BackupError::Interrupted), Err(why)) if !self.interrupted() => Err(why),
                (Err(why), _) | (Ok(_), Err(why)) => Err(why),
                (Ok(g), Ok(_)) => g.unlock(server, start.clone(), uploaded?),
            }
        })
    }

    fn gather(
        &self,
        server: &mut Server,
        spool: &Spool,
        give_up: &AtomicBool,
    ) -> Result<Gathered, BackupError> {
        let known = server.tablespaces()?;
        if known.is_empty() {
            return Err(BackupError::NoTablespaces);
        }
        let survey = survey(&self.paths(), &known_spaces(&known))?;
        let total = survey.tablespaces.iter().map(|t| t.bytes).sum();
        self.progress.phase(Phase::Copy, Some(total));
        let counts = self.copy_pages(&survey, give_up)?;
        self.progress.phase(Phase::DataCopied, None);
        // An encrypted redo block can't be cut at an LSN without the key: the lock keeps commits out
        // of the rest of the last one.
        let lock = self.variables.redo_log_encrypt || server.has_non_innodb_tables()?;
        let mut tables_since = None;
        if lock {
            self.progress.note("tables are locked: there are tables of other engines, or the redo log is encrypted");
            server.lock_tables(self.options.lock_timeout)?;
            tables_since = Some(Instant::now());
        }
        let total = survey.plain.iter().map(|p| p.bytes).sum();
        self.progress.phase(Phase::Plain, Some(total));
        let plain_bytes = survey
            .plain
            .iter()
            .map(|file| plain::copy_file(&self.upload, file, self.progress))
            .collect::<Result<_, _>>()?;
        check_undo(&known, &server.tablespaces()?)?;
        if self.identity.log_bin {
            server.flush_binary_logs()?;
        }
        spool.hold();
        let (status, tail) = self.position(server, &mut tables_since)?;
        server.flush_engine_logs()?;
        let index = self
            .variables
            .log_bin_index
            .as_deref()
            .and_then(Path::file_name);
        let index = index.map_or("binlog.index".into(), |name| name.to_string_lossy());
        let binary_log = match tail {
            Some(tail) => tail.put(&self.upload, &index)?,
            None => Vec::new(),
        };
        Ok(Gathered {
            binary_log,
            survey,
            counts,
            plain_bytes,
            status,
            tables_since,
            replica_info: server.replica_info()?,
        })
    }

    /// The position of the backup, and the end of the binary log that belongs to it.
    fn position(
        &self,
        server: &mut Server,
        tables_since: &mut Option<Instant>,
    ) -> Result<(LogStatus, Option<Tail>), BackupError> {
        let mut status = server.log_status()?;
        let Some(basename) = server.binary_log_basename()? else {
            return Ok((status, None));
        };
        let basename = binlog::basename(&self.variables.datadir, &basename);
        let read = |status: &LogStatus| -> Result<Option<Tail>, BackupError> {
            let at = status.binlog.as_ref();
            at.map(|b| Tail::read(&basename, &b.file, b.position))
                .transpose()
        };
        let mut tail = read(&status)?;
        if tail.as_ref().is_some_and(|t| t.gtids.unreadable) && tables_since.is_none() {
            // What is between the stages can't be told apart in this file, so there must be nothing:
            // under the lock every commit has ended.
            server.lock_tables(self.options.lock_timeout)?;
            *tables_since = Some(Instant::now());
            status = server.log_status()?;
            tail = read(&status)?;
        }
        if let (Some(b), Some(t)) = (&mut status.binlog, &tail)
            && !t.gtids.numbers.is_empty()
        {
            let both = format!("{},{}", b.gtid_executed, t.gtids.text());
            b.gtid_executed = server.gtid_union(&both)?;
        }
        Ok((status, tail))
    }

    fn copy_pages(
        &self,
        survey: &Survey,
        give_up: &AtomicBool,
    ) -> Result<Vec<CopyCounts>, BackupError> {
        // What is on its way outside of the pool: a delta piece for each upload and each open file.
        let outside = RANGE_BYTES * (self.options.uploads + self.options.threads);
        let inside = self
            .options
            .memory
            .saturating_sub(outside)
            .max(RANGE_BYTES * 2);
        copy::copy_all(&CopyJob {
            tablespaces: &survey.tablespaces,
            floor: self.floor(),
            mode: self.options.mode,
            pool: &BufferPool::new(inside, RANGE_BYTES),
            threads: self.options.threads,
            upload: &self.upload,
            progress: self.progress,
            stop: &self.options.stop,
            give_up,
        })
    }

    fn paths(&self) -> ServerPaths {
        let v = &self.variables;
        // Relative ones are relative to the datadir; an absolute one replaces it.
        let inside = |dir: &str| v.datadir.join(dir);
        ServerPaths {
            datadir: v.datadir.clone(),
            data_home: PathBuf::from(&v.innodb_data_home_dir),
            data_file_path: v.innodb_data_file_path.clone(),
            undo_dir: inside(&v.innodb_undo_directory),
            redo_dir: inside(&v.innodb_log_group_home_dir),
            doublewrite_dir: v.innodb_doublewrite_dir.as_deref().map(inside),
            temp_dir: inside(&v.innodb_temp_tablespaces_dir),
            page_size: v.page_size,
        }
    }

    /// Whether the server as it is now can be a continuation of the base.
    fn check_base(&self, server: &mut Server, start: &StartPoint) -> Result<(), BackupError> {
        let Some(base) = &self.base else {
            return Ok(());
        };
        let refuse = |reason: String| {
            Err(BackupError::BaseUnusable {
                base: base.name.to_string(),
                reason,
            })
        };
        if base.server.redo_log_uuid != start.file.log_uuid {
            return refuse(format!(
                "the server's redo log was created anew since then (log uuid {:08x}, the base has {:08x}), as after a \
                 restore or an upgrade: LSNs of before and after can't be compared",
                start.file.log_uuid, base.server.redo_log_uuid
            ));
        }
        let now = Lsn(server.current_lsn()?);
        if now < base.lsn.last_lsn {
            return refuse(format!(
                "it ends at LSN {}, but the server is only at {now}: this is an older state of the server",
                base.lsn.last_lsn
            ));
        }
        if base.server.page_size != self.variables.page_size {
            return refuse(format!(
                "its page size is {}, the server's is {}",
                base.server.page_size, self.variables.page_size
            ));
        }
        let (Some(then), Some(now)) = (&base.binlog, server.gtid_executed()?) else {
            return Ok(());
        };
        if !then.gtid_executed.is_empty() && !server.gtid_subset(&then.gtid_executed, &now)? {
            return refuse(format!(
                "its gtid_executed ({}) is not contained in the server's ({now}): the server has another history",
                then.gtid_executed
            ));
        }
        Ok(())
    }

    fn report(&self, manifest: Manifest, tables_locked: Duration) -> BackupReport {
        let objects = manifest.files.iter().flat_map(|f| &f.objects);
        BackupReport {
            stored_bytes: objects.map(|o| o.bytes).sum(),
            seconds: (manifest.finished_at - self.started).as_seconds_f64(),
            tables_locked_seconds: tables_locked.as_secs_f64(),
            manifest,
        }
    }
}

impl Gathered {
    /// Only now may the tables go on: the redo is here, up to the LSN that belongs to the position.
    fn unlock(
        self,
        server: &mut Server,
        start: StartPoint,
        redo_bytes: u64,
    ) -> Result<Copied, BackupError> {
        let mut tables_locked = Duration::ZERO;
        if let Some(since) = self.tables_since {
            server.unlock_tables()?;
            tables_locked = since.elapsed();
        }
        if !server.redo_enabled()? {
            return Err(BackupError::RedoDisabled);
        }
        server.unlock_instance()?;
        Ok(Copied {
            survey: self.survey,
            counts: self.counts,
            plain_bytes: self.plain_bytes,
            binary_log: self.binary_log,
            start,
            status: self.status,
            tables_locked,
            redo_bytes,
            replica_info: self.replica_info,
        })
    }
}

fn known_spaces(rows: &[TablespaceRow]) -> Vec<ServerTablespace> {
    rows.iter()
        .map(|row| ServerTablespace {
            space_id: SpaceId(row.space_id),
            name: row.name.clone(),
            path: PathBuf::from(&row.path),
            undo: row.undo,
        })
        .collect()
}

/// An undo tablespace that was truncated while it was copied has another space id.
fn check_undo(before: &[TablespaceRow], after: &[TablespaceRow]) -> Result<(), BackupError> {
    let ids = |rows: &[TablespaceRow]| -> BTreeMap<String, u32> {
        let undo = rows.iter().filter(|row| row.undo);
        undo.map(|row| (row.name.clone(), row.space_id)).collect()
    };
    let (before, after) = (ids(before), ids(after));
    for name in before.keys().chain(after.keys()) {
        let (was, is) = (before.get(name), after.get(name));
        if was != is {
            let text = |id: Option<&u32>| id.map_or("none".to_owned(), u32::to_string);
            return Err(BackupError::UndoTruncated {
                name: name.clone(),
                before: text(was),
                after: text(is),
            });
        }
    }
    Ok(())
}

/// Carries the redo from the spool to the store; returns its length.
fn upload_redo(upload: &Upload, spool: &Spool) -> Result<u64, BackupError> {
    let (mut offset, mut index) = (0u64, 0u64);
    loop {
        let mut data = vec![0; RANGE_BYTES];
        let len = match spool.read(offset, &mut data)? {
            Piece::Data(len) => len,
            Piece::End | Piece::Failed => 0,
        };
        data.truncate(len);
        let mut parts = Vec::with_capacity(3);
        if len > 0 {
            parts.push(xbstream::payload_head(
                LOGFILE,
                offset,
                len as u64,
                xbstream::crc(&data),
            )?);
            parts.push(Bytes::from(data));
        }
        let last = len < RANGE_BYTES;
        if last {
            parts.push(xbstream::end_chunk(LOGFILE)?);
        }
        upload.put(LOGFILE, index, offset, parts)?;
        spool.release(offset, offset + len as u64);
        offset += len as u64;
        index += 1;
        if last {
            return Ok(offset);
        }
    }
}
