//! One backup from the connection to the manifest: who is asked what, in which order, under which
//! lock (spec 5.3, DESIGN 2.1).

use super::RANGE_BYTES;
use super::base::{begin, check_datadir};
use super::copy::CopyCounts;
use super::error::BackupError;
use super::options::{BackupOptions, BackupReport, BaseChoice};
use super::redo::{Follower, RedoFiles, StartPoint, StopAt, stop_channel};
use super::spool::{Piece, Spool};
use crate::datadir::Survey;
use crate::innodb::{Lsn, redo};
use crate::progress::{Phase, Progress};
use crate::server::{Identity, LogStatus, Server, Variables};
use crate::store::{BackupKind, BackupName, Manifest, Repository, Upload};
use crate::xbstream;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The redo of the backup, as spec 3.3 names it.
pub(super) const LOGFILE: &str = "xtrabackup_logfile";

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
    // Where xtrabackup --prepare stops to replay what DDL did to files: no DDL comes after it.
    let flushed = Lsn(server.flushed_lsn()?);
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
        flushed,
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

    pub(super) fn interrupted(&self) -> bool {
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
        let behind = server.current_lsn()?.saturating_sub(start.checkpoint.0);
        self.progress.phase(Phase::RedoCatchUp, Some(behind));
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
                    commits_held: g.tables_since.is_some(),
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
