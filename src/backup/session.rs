//! One backup from the connection to the manifest: who is asked what, in which order, under which
//! lock (`docs/design.md#order-of-a-backup`).

use super::applier::StoppedAppliers;
use super::base::{check_datadir, take_name};
use super::copy::CopyCounts;
use super::error::BackupError;
use super::options::{BackupOptions, BackupReport, BaseChoice};
use super::redo::{Follower, StopAt, stop_channel};
use super::redo_files::{RedoFiles, StartPoint};
use super::sink::{Sink, Treat};
use super::spool::{Piece, Spool};
use super::stream::{Output, Streams};
use super::throttle::ThrottleReport;
use super::{RANGE_BYTES, inherit, object_size, sink, tables, tracked};
use crate::datadir::Survey;
use crate::innodb::{Lsn, redo};
use crate::locked::Locked;
use crate::manifest::{
    BackupKind, BackupName, EngineTable, Manifest, PageMark, PageTracking, RedoMark,
    ReplicaPosition,
};
use crate::progress::{Phase, Progress};
use crate::server::{Identity, LogStatus, Server, Variables};
use crate::store::{NextBase, PassedOver, Repository, Upload};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use std::sync::Mutex;
use std::time::Duration;

/// The redo of the backup, as `docs/format/redo.md#xtrabackup_logfile` names it.
pub(super) const LOGFILE: &str = "xtrabackup_logfile";
/// How often a backup begins at a newer checkpoint because the server reused the redo of the one before.
const STARTS: u32 = 10;

/// Makes one backup into `repo`.
///
/// # Errors
/// [`BackupError`]; what had been uploaded is then removed again, and nothing looks finished.
pub fn run(
    repo: &Repository,
    options: &BackupOptions,
    progress: &dyn Progress,
) -> Result<BackupReport, BackupError> {
    make(To::Repository(repo), Some(repo), options, progress)
}

/// Makes one backup as one xbstream, or as several beside each other. The manifest is its last file.
/// The base of an incremental is looked for in `bases`, if it isn't given.
///
/// # Errors
/// [`BackupError`]; the streams then end within a chunk, so that no reader takes them for whole.
pub fn run_stream(
    outputs: Vec<Output>,
    bases: Option<&Repository>,
    options: &BackupOptions,
    progress: &dyn Progress,
) -> Result<BackupReport, BackupError> {
    let streams = Streams::new(outputs);
    make(To::Streams(streams), bases, options, progress).map_err(|error| match error {
        BackupError::Interrupted => BackupError::InterruptedStream,
        other => other,
    })
}

/// Where the backup goes.
enum To<'a> {
    Repository(&'a Repository),
    Streams(Streams),
}

fn make(
    to: To<'_>,
    bases: Option<&Repository>,
    options: &BackupOptions,
    progress: &dyn Progress,
) -> Result<BackupReport, BackupError> {
    // Whatever fails from here on, a stream that was begun must not look whole.
    let streaming = match to {
        To::Streams(streams) => Ok(Sink::streams(streams, None, options.key.clone())),
        To::Repository(repo) => Err(repo),
    };
    let result = Session::begin(streaming.as_ref(), bases, options, progress);
    let (session, mut server) = match (result, &streaming) {
        (Ok(begun), _) => begun,
        (Err(error), Ok(sink)) => {
            sink.abort();
            return Err(error);
        }
        (Err(error), Err(_)) => return Err(error),
    };
    let result = session.copy(&mut server).and_then(|copied| {
        let (locked, throttle) = (copied.tables_locked, copied.throttle.clone());
        let mut warnings = session.newer_than_base();
        warnings.extend(tables::warnings(&copied.survey, &copied.other_engines));
        Ok((session.finish(copied)?, locked, throttle, warnings))
    });
    let result = result.and_then(|(manifest, locked, throttle, warnings)| {
        session.sink.finish(&manifest)?;
        Ok(BackupReport {
            warnings,
            ..session.report(manifest, locked, throttle)
        })
    });
    if result.is_err() {
        // First: to remove what was uploaded may take long.
        if let Err(error) = session.start_appliers() {
            tracing::error!("{error}");
        }
        session.sink.abort();
    }
    result
}

impl<'a> Session<'a> {
    /// Asks the server who it is, finds the base, takes the lock and the name.
    fn begin(
        streaming: Result<&Sink, &&Repository>,
        bases: Option<&Repository>,
        options: &'a BackupOptions,
        progress: &'a dyn Progress,
    ) -> Result<(Self, Server), BackupError> {
        progress.phase(Phase::Preparing, None);
        if options.object_size.is_some() {
            // rather now than when the lock is held
            object_size::choose(
                0,
                options.object_size,
                options.memory,
                object_size::held(options),
            )?;
        }
        options.priority.check()?;
        // Before the server is asked anything: it is the answer to a forgotten option.
        let encrypted_only = match &streaming {
            Err(repo) => inherit::guard(repo, options)?,
            Ok(_) => false,
        };
        let mut server = Server::connect_until(&options.connect, &options.cancel)?;
        let identity = server.identity()?;
        Server::check_supported(&identity, options.allow_untested)?;
        server.check_privileges()?;
        if options.stop_applier.is_some() && !server.may_stop_appliers()? {
            return Err(BackupError::Applier {
                what: "this account may not stop it: GRANT REPLICATION_SLAVE_ADMIN ON *.* to it"
                    .to_owned(),
            });
        }
        if !server.redo_enabled()? {
            return Err(BackupError::RedoDisabled);
        }
        let variables = server.variables()?;
        if !variables.log_checksums {
            return Err(BackupError::LogChecksumsOff);
        }
        check_datadir(&variables.datadir, &identity)?;
        let (base, before, passed_over) = match find_base(bases, options, &identity.server_uuid)? {
            Some(found) => (Some(found.base), found.before, found.passed_over),
            None => (None, Vec::new(), Vec::new()),
        };
        if let Some(base) = &base {
            progress.note(&format!(
                "base: {} (ends at LSN {})",
                base.name, base.lsn.last_lsn
            ));
            for text in newer(&passed_over, &base.name) {
                tracing::warn!("{text}");
            }
            inherit::check_encryption(base, &before, options.key.as_ref())?;
        }
        let compression = inherit::compression(base.as_ref(), options)?;
        if let Err(repo) = streaming {
            // Rather now than when the lock is held.
            repo.reach()?;
        }
        // Before anything is read and before the lock: see `tracked`.
        let tracking = tracked::begin(&mut server, &variables.datadir, options, progress)?;
        let stopped = stop_appliers(&mut server, options)?;
        server.lock_instance(options.lock_timeout)?;
        // Under the lock it can't be switched any more.
        if !server.redo_enabled()? {
            return Err(BackupError::RedoDisabled);
        }
        // Where xtrabackup --prepare stops to replay what DDL did to files: no DDL comes after it.
        let flushed = Lsn(server.flushed_lsn()?);
        let cluster = options.cluster.as_deref().unwrap_or(&identity.hostname);
        let (started, name, sink) = match streaming {
            Ok(sink) => {
                let (now, name) = take_name(base.as_ref(), cluster, |name| Ok(name.clone()))?;
                if let Some(how) = compression {
                    sink.compress(how);
                }
                (now, name, sink.clone())
            }
            Err(repo) => {
                if encrypted_only && repo.require_encryption()?.encrypted_only {
                    progress.note("from now on the repository takes encrypted backups only");
                }
                let begin = |name: &BackupName| repo.begin(name, options.uploads);
                let (now, upload) = take_name(base.as_ref(), cluster, begin)?;
                enter_chain(&upload, base.as_ref(), options)?;
                let name = upload.name().clone();
                let sink = Sink::objects(upload, compression, options.key.clone());
                (now, name, sink)
            }
        };
        let session = Self {
            options,
            progress,
            identity,
            variables,
            base,
            name,
            started,
            flushed,
            tracking,
            stopped: Mutex::new(stopped),
            passed_over,
            sink,
        };
        Ok((session, server))
    }
}

/// Stops the appliers of a replica, if that was asked for.
fn stop_appliers(
    server: &mut Server,
    options: &BackupOptions,
) -> Result<Option<StoppedAppliers>, BackupError> {
    let Some(limit) = options.stop_applier else {
        return Ok(None);
    };
    StoppedAppliers::stop(server, &options.connect, limit, &options.cancel).map(Some)
}

/// Makes sure that nobody else appends to the chain. A full backup begins its own.
fn enter_chain(
    upload: &Upload,
    base: Option<&Manifest>,
    options: &BackupOptions,
) -> Result<(), BackupError> {
    let Some(base) = base else {
        return Ok(());
    };
    upload
        .follow(&base.name, options.lease_ttl)
        .map_err(|error| {
            if let Err(left) = upload.clone().abort() {
                tracing::error!("{left}");
            }
            error.into()
        })
}

/// What a person should know of the choice of the base.
fn newer(passed_over: &[PassedOver], base: &BackupName) -> Vec<String> {
    let told = |passed: &PassedOver| {
        format!(
            "{passed}: the incremental is made on {base}, which is older, and holds all changes since then"
        )
    };
    passed_over.iter().map(told).collect()
}

/// The backup that an incremental continues.
fn find_base(
    bases: Option<&Repository>,
    options: &BackupOptions,
    server: &str,
) -> Result<Option<NextBase>, BackupError> {
    let (pinned, choice) = match &options.incremental {
        None => return Ok(None),
        Some(BaseChoice::Given(manifest)) => {
            return Ok(Some(NextBase {
                before: Vec::new(),
                base: (**manifest).clone(),
                passed_over: Vec::new(),
            }));
        }
        Some(BaseChoice::Latest) => (None, "the latest"),
        Some(BaseChoice::Named(name)) => (Some(name.as_str()), name.as_str()),
    };
    let repo = bases.ok_or_else(|| BackupError::BaseUnusable {
        base: choice.to_owned(),
        reason: "no repository was named to look for it in".to_owned(),
    })?;
    Ok(Some(repo.next_base(server, pinned)?))
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
    /// The end of the redo on disk when the instance was locked.
    pub flushed: Lsn,
    /// What the server tracks, since before the lock.
    pub tracking: PageTracking,
    /// Appliers that are stopped until the position is read.
    pub stopped: Mutex<Option<StoppedAppliers>>,
    /// Newer than the base, and perhaps backups of this server.
    pub passed_over: Vec<PassedOver>,
    pub sink: Sink,
}

/// What was copied under the locks, before the metadata.
pub(super) struct Copied {
    pub survey: Survey,
    /// Tables whose rows are not in the backup.
    pub other_engines: Vec<EngineTable>,
    pub counts: Vec<CopyCounts>,
    /// Of an incremental: the LSN from which on the delta of each tablespace file holds every page.
    pub floors: Option<Vec<Lsn>>,
    pub throttle: Option<ThrottleReport>,
    pub tracking: PageTracking,
    pub plain_bytes: Vec<u64>,
    /// Paths and lengths.
    pub binary_log: Vec<(String, u64)>,
    pub start: StartPoint,
    pub status: LogStatus,
    pub tables_locked: Duration,
    pub redo_bytes: u64,
    /// Pages that the base recorded, as they were when this backup began.
    pub pages_of_base: Vec<PageMark>,
    /// By what the end of the redo can be known again.
    pub redo_mark: Option<RedoMark>,
    /// The digest of the beginning of the binary log file.
    pub binlog_digest: Option<String>,
    pub replica: Option<ReplicaPosition>,
}

impl Session<'_> {
    pub(super) fn kind(&self) -> BackupKind {
        if self.base.is_some() {
            BackupKind::Incremental
        } else {
            BackupKind::Full
        }
    }

    /// The LSN from which pages go into the deltas (`docs/design.md#overlap`).
    pub(super) fn floor(&self) -> Option<Lsn> {
        self.base.as_ref().map(|base| {
            if self.options.overlap {
                // Also where its `to_lsn` is above that.
                base.lsn.start_checkpoint
            } else {
                base.lsn.to_lsn
            }
        })
    }

    /// Starts the appliers that were stopped for the position; once.
    pub(super) fn start_appliers(&self) -> Result<(), BackupError> {
        let stopped = self.stopped.locked().take();
        stopped.map_or(Ok(()), |mut stopped| stopped.start())
    }

    pub(super) fn interrupted(&self) -> bool {
        self.options.cancel.is_cancelled()
    }

    /// Everything that needs the instance lock; the redo is followed beside it. As long as no page was read, nothing
    /// is lost by a newer start.
    fn copy(&self, server: &mut Server) -> Result<Copied, BackupError> {
        let mut starts = 0;
        loop {
            starts += 1;
            let files = RedoFiles::open(&self.paths().redo_dir.join("#innodb_redo"))?;
            let start = files.start_point()?;
            self.check_base(server, &files, &start)?;
            let spool = Spool::new(&self.options.spool_dir)?;
            let stamp = self.started.format("%y%m%d %H:%M:%S").to_string();
            let checkpoint = start.checkpoint;
            spool.append(&redo::logfile_header(&start.header, checkpoint, &stamp)?)?;
            let mut follower = Follower::new(files, &start, &spool);
            let behind = server.current_lsn()?.saturating_sub(checkpoint.0);
            self.progress.phase(Phase::RedoCatchUp, Some(behind));
            match follower.catch_up(|n| self.progress.advance(Phase::RedoCatchUp, n)) {
                Ok(()) => return self.copy_beside(server, &start, &spool, follower),
                Err(error @ BackupError::RedoOverwritten { .. }) if starts < STARTS => {
                    tracing::debug!("{error}");
                    self.progress
                        .note("the server reused redo log that was just to be read: beginning again at a newer checkpoint");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Copies what there is while the follower, which has caught up, goes on.
    fn copy_beside(
        &self,
        server: &mut Server,
        start: &StartPoint,
        spool: &Spool,
        follower: Follower<'_>,
    ) -> Result<Copied, BackupError> {
        let (stop, stopped) = stop_channel();
        // A part that fails ends the others.
        let parts = self.options.cancel.child();
        std::thread::scope(|scope| {
            let uploading = scope.spawn(|| self.send_redo(spool));
            let parts = &parts;
            let following = scope.spawn(move || {
                let result = follower.run(&stopped);
                spool.close(result.is_ok());
                if result.is_err() {
                    parts.cancel();
                }
                result
            });
            let gathered = self.gather(server, start, spool, parts);
            if let Ok(g) = &gathered {
                self.progress.phase(Phase::Redo, None);
                // A follower that is gone says why when it is joined.
                let _ = stop.send(StopAt {
                    lsn: Lsn(g.status.lsn),
                    commits_held: g.tables_since.is_some(),
                });
            }
            drop(stop);
            let followed = following
                .join()
                .map_err(|_| BackupError::Panicked("redo follower"))?;
            // The redo is in the spool: nothing is locked any more while it waits for the repository.
            let unlocked = match (&gathered, &followed) {
                (Ok(gathered), Ok(_)) => gathered.unlock(server),
                _ => {
                    // It failed, and why is known: whoever waits for tables need not wait for the rest.
                    let _ = server
                        .unlock_tables()
                        .and_then(|()| server.unlock_instance());
                    Ok(Duration::ZERO)
                }
            };
            self.sink.unstage();
            let uploaded = uploading
                .join()
                .map_err(|_| BackupError::Panicked("redo upload"))?;
            match (gathered, followed, unlocked, uploaded) {
                (Ok(g), Ok(mark), Ok(tables_locked), Ok(redo)) => {
                    Ok(g.copied(start.clone(), mark, redo, tables_locked))
                }
                (gathered, followed, unlocked, uploaded) => {
                    let errors = [
                        gathered.err(),
                        followed.err(),
                        unlocked.err(),
                        uploaded.err(),
                    ];
                    Err(self.reason(errors.into_iter().flatten()))
                }
            }
        })
    }

    /// Of the errors of several threads the one that made the others stop.
    pub(super) fn reason(&self, errors: impl Iterator<Item = BackupError>) -> BackupError {
        let mut errors = errors.filter(|error| !matches!(error, BackupError::Interrupted));
        match errors.next() {
            Some(error) if !self.interrupted() => error,
            _ => BackupError::Interrupted,
        }
    }

    fn report(
        &self,
        manifest: Manifest,
        tables_locked: Duration,
        throttle: Option<ThrottleReport>,
    ) -> BackupReport {
        let objects = manifest.files.iter().flat_map(|f| &f.objects);
        BackupReport {
            stored_bytes: objects.map(|o| o.bytes).sum(),
            seconds: (manifest.finished_at - self.started).as_seconds_f64(),
            warnings: Vec::new(),
            tables_locked_seconds: tables_locked.as_secs_f64(),
            throttle,
            manifest,
        }
    }
}

impl Session<'_> {
    fn newer_than_base(&self) -> Vec<String> {
        let base = self.base.iter();
        base.flat_map(|base| newer(&self.passed_over, &base.name))
            .collect()
    }

    /// Carries the redo from the spool to where the backup goes; returns its length.
    fn send_redo(&self, spool: &Spool) -> Result<u64, BackupError> {
        let (mut offset, mut index) = (0u64, 0u64);
        loop {
            let mut data = vec![0; RANGE_BYTES];
            let len = match spool.read(offset, &mut data)? {
                Piece::Data(len) => len,
                Piece::End | Piece::Failed => 0,
            };
            data.truncate(len);
            let last = len < RANGE_BYTES;
            let piece = sink::Piece {
                index,
                offset,
                hole: 0,
                data: Bytes::from(data),
                last,
            };
            self.sink.put(LOGFILE, self.redo_treat(), piece)?;
            spool.release(offset, offset + len as u64);
            offset += len as u64;
            index += 1;
            if last {
                return Ok(offset);
            }
        }
    }

    /// As the server writes it: what is encrypted can't be compressed.
    pub(super) const fn redo_treat(&self) -> Treat {
        if self.variables.redo_log_encrypt {
            Treat::Ciphertext
        } else {
            Treat::All
        }
    }
}
