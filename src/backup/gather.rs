//! What is copied while the redo is followed: the pages, the other files, the position.

use super::binlog::Tail;
use super::changed::ChangedPages;
use super::copy::{CopyCounts, CopyJob};
use super::error::BackupError;
use super::floors::proven_floors;
use super::redo_files::StartPoint;
use super::replica::Moment;
use super::session::{Copied, Session};
use super::spool::Spool;
use super::throttle::ThrottleReport;
use super::workers::Plan;
use super::{
    RANGE_BYTES, binlog, copy, held, log_tables, metadata, object_size, plain, replica, secrets,
    tables, throttle,
};
use crate::cancel::Cancel;
use crate::datadir::{ServerPaths, Survey, Tablespace};
use crate::innodb::Lsn;
use crate::manifest::{EngineTable, Layout, PageMark, PageTracking, RedoMark, ReplicaPosition};
use crate::mem::BufferPool;
use crate::progress::{Phase, Silent};
use crate::server::{LogStatus, Server, TablespaceRow};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the copy found out while redo was followed beside it.
pub(super) struct Gathered {
    survey: Survey,
    other_engines: Vec<EngineTable>,
    counts: Vec<CopyCounts>,
    floors: Option<Vec<Lsn>>,
    throttle: Option<ThrottleReport>,
    tracking: PageTracking,
    plain_bytes: Vec<u64>,
    binary_log: Vec<(String, u64)>,
    pub status: LogStatus,
    pub tables_since: Option<Instant>,
    pages_of_base: Vec<PageMark>,
    binlog_digest: Option<String>,
    replica: Option<ReplicaPosition>,
}

/// The backup's position, and what belongs to it.
struct Position {
    status: LogStatus,
    tail: Option<Tail>,
    replica: Option<ReplicaPosition>,
}

impl Session<'_> {
    pub(super) fn gather(
        &self,
        server: &mut Server,
        start: &StartPoint,
        spool: &Spool,
        parts: &Cancel,
    ) -> Result<Gathered, BackupError> {
        let known = server.tablespaces()?;
        if known.is_empty() {
            return Err(BackupError::NoTablespaces);
        }
        let other_engines = self.tables_elsewhere(server)?;
        let mut survey = self.survey(server, &known)?;
        for warning in tables::warnings(&survey, &other_engines) {
            tracing::warn!("{warning}");
        }
        secrets::leave_out(
            &mut survey,
            &self.variables.datadir,
            &self.variables.keyring,
        );
        self.refuse_schemas_named_like_metadata(&survey)?;
        log_tables::check(&survey)?;
        let pages_of_base = self.check_pages_of_base(&survey, start)?;
        let floors = self.floors(&survey);
        let (changed, tracking) = self.changed_pages(server, &survey, floors.as_deref())?;
        let total = bytes_to_read(&survey, changed.as_ref());
        self.progress.phase(Phase::Copy, Some(total));
        self.pack_where_it_pays(&survey);
        let (settled, live) = plain::apart(&survey.plain);
        let pages = || self.copy_pages(&survey, floors.clone(), changed.as_ref(), parts);
        let ((counts, throttle), settled) = held::while_held(server, parts, || {
            self.copy_beside_pages(&settled, parts, pages)
        })?;
        let floors = floors.map(|floors| proven_floors(floors, changed.as_ref(), &counts));
        self.progress.phase(Phase::DataCopied, None);
        self.options.cancel.check()?;
        // An encrypted redo block can't be cut at an LSN without the key: the lock keeps commits out
        // of the rest of the last one. Asked again: it can be switched on at any time.
        let lock = server.variables()?.redo_log_encrypt || server.has_non_innodb_tables()?;
        let mut tables_since = None;
        if lock {
            self.progress.note("tables are locked: there are tables of other engines, or the redo log is encrypted");
            server.lock_tables(self.options.lock_timeout)?;
            tables_since = Some(Instant::now());
            // A store that is away must not prolong the lock.
            self.sink.stage(&self.options.spool_dir);
        }
        let total = live.iter().map(|(_, p)| p.bytes).sum();
        self.progress.phase(Phase::Plain, Some(total));
        let (logs, live) = log_tables::apart(live);
        let live = plain::copy_all(&self.sink, &live, self.progress)?;
        let logs = log_tables::copy_all(&self.sink, &logs, self.progress)?;
        let copied = settled.into_iter().chain(live).chain(logs);
        let plain_bytes = copied.collect::<BTreeMap<_, _>>();
        let plain_bytes = plain_bytes.into_values().collect();
        if self.identity.log_bin {
            server.flush_binary_logs()?;
        }
        spool.hold();
        let position = self.position(server, &mut tables_since)?;
        self.start_appliers()?;
        let Position {
            status,
            tail,
            replica,
        } = position;
        // Until the last LSN, so after that is known.
        check_undo(&known, &server.tablespaces()?)?;
        let index = self
            .variables
            .log_bin_index
            .as_deref()
            .and_then(Path::file_name);
        let index = index.map_or("binlog.index".into(), |name| name.to_string_lossy());
        let (binary_log, binlog_digest) = match tail {
            Some(tail) => tail.put(&self.sink, &index)?,
            None => (Vec::new(), None),
        };
        Ok(Gathered {
            binary_log,
            survey,
            other_engines,
            counts,
            floors,
            throttle,
            tracking,
            plain_bytes,
            status,
            tables_since,
            pages_of_base,
            binlog_digest,
            replica,
        })
    }

    /// In a stream, and in the directory that it is extracted to, a schema's directory and a file that
    /// describes the backup can't have the same name. In a repository they can.
    fn refuse_schemas_named_like_metadata(&self, survey: &Survey) -> Result<(), BackupError> {
        if self.sink.layout() != Layout::Stream {
            return Ok(());
        }
        let mut schemas = survey.schemas.iter();
        match schemas.find(|schema| metadata::FILES.contains(&schema.as_str())) {
            None => Ok(()),
            Some(schema) => Err(BackupError::SchemaName {
                schema: schema.clone(),
            }),
        }
    }

    fn pack_where_it_pays(&self, survey: &Survey) {
        let choice = self.options.pack_small_files;
        if choice.packs(survey.tablespaces.len()) && self.sink.layout() == Layout::Objects {
            self.sink.pack_small_files();
        }
    }

    /// Copies the pages, and beside them the files that the instance lock keeps as they are.
    fn copy_beside_pages<T>(
        &self,
        settled: &[plain::Numbered<'_>],
        parts: &Cancel,
        pages: impl FnOnce() -> Result<T, BackupError>,
    ) -> Result<(T, plain::Lengths), BackupError> {
        std::thread::scope(|scope| {
            let copying = scope.spawn(|| {
                let copied = plain::copy_all(&self.sink, settled, &Silent);
                // Nobody shall copy a terabyte of pages first and then hear of it.
                if copied.is_err() {
                    parts.cancel();
                }
                copied
            });
            let pages = pages();
            let settled = copying.join();
            let settled = settled.map_err(|_| BackupError::Panicked("copy of .sdi files"))?;
            match (pages, settled) {
                (Ok(pages), Ok(settled)) => Ok((pages, settled)),
                (pages, settled) => {
                    Err(self.reason([settled.err(), pages.err()].into_iter().flatten()))
                }
            }
        })
    }

    /// The position of the backup. What is certain of a replica's sources is found by looking before and after
    /// `log_status` is read; of one that was not still, a few times.
    fn position(
        &self,
        server: &mut Server,
        tables_since: &mut Option<Instant>,
    ) -> Result<Position, BackupError> {
        for attempt in 1.. {
            let before = server.replica()?;
            let settle = replica::must_settle(&before) && tables_since.is_none();
            let (status, tail) = self.log_status(server, tables_since)?;
            server.flush_engine_logs()?;
            if settle {
                std::thread::sleep(replica::SETTLE);
            }
            let after = server.replica()?;
            let of_log = status.binlog.as_ref().map(|b| &b.gtid_executed);
            let moment = Moment {
                before: &before,
                after: &after,
                gtid_executed: of_log.unwrap_or(&status.gtid_executed),
            };
            let replica = moment.position();
            let unknown = replica.iter().flat_map(|r| &r.channels);
            let unknown: Vec<_> = unknown.filter(|c| c.unknown.is_some()).collect();
            if settle && !unknown.is_empty() && attempt < replica::TRIES && !self.interrupted() {
                continue;
            }
            for channel in unknown {
                self.progress.note(&format!(
                    "the position of the source {}:{} (channel '{}') is not recorded: {}",
                    channel.host,
                    channel.port,
                    channel.channel,
                    channel.unknown.as_deref().unwrap_or_default()
                ));
            }
            return Ok(Position {
                status,
                tail,
                replica,
            });
        }
        Err(BackupError::Interrupted)
    }

    /// `log_status`, and the end of the binary log that belongs to it.
    fn log_status(
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
            self.sink.stage(&self.options.spool_dir);
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
        floors: Option<Vec<Lsn>>,
        changed: Option<&ChangedPages>,
        parts: &Cancel,
    ) -> Result<(Vec<CopyCounts>, Option<ThrottleReport>), BackupError> {
        let object_bytes = self.object_bytes(survey)?;
        let workers = Plan {
            threads: self.options.threads,
            uploads: self.options.uploads,
            memory: self.options.memory,
            object_bytes,
            incremental: self.base.is_some(),
            ordered: self.sink.ordered(),
            packs: self.sink.packs(),
            // Who is to be slow needs no depth.
            scattered: changed.is_some() && self.options.throttle.is_none(),
        };
        let workers = workers.workers();
        tracing::debug!(?workers, "page workers");
        throttle::with_limiter(self, |limiter| {
            copy::copy_all(&CopyJob {
                tablespaces: &survey.tablespaces,
                floors,
                changed,
                mode: self.options.mode,
                pool: &BufferPool::new(workers.pool_bytes, workers.buffer_bytes),
                threads: workers.threads,
                priority: self.options.priority,
                limiter,
                sink: &self.sink,
                spool_dir: &self.options.spool_dir,
                progress: self.progress,
                cancel: parts,
            })
        })
    }

    /// Of a full backup in a repository it grows with the database. A delta is small, and the readers of
    /// a stream expect what they know.
    fn object_bytes(&self, survey: &Survey) -> Result<usize, BackupError> {
        if self.base.is_some() || self.sink.layout() == Layout::Stream {
            return Ok(RANGE_BYTES);
        }
        let total = survey.tablespaces.iter().map(|t| t.bytes).sum();
        let held = object_size::held(self.options);
        object_size::choose(total, self.options.object_size, self.options.memory, held)
    }

    pub(super) fn paths(&self) -> ServerPaths {
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
}

impl Gathered {
    /// Lets tables and DDL go on; to be called when the redo is here, up to the LSN that belongs to the position.
    /// Where the redo goes from here may take its time: no lock waits for it. Returns how long tables were locked.
    pub(super) fn unlock(&self, server: &mut Server) -> Result<Duration, BackupError> {
        let mut tables_locked = Duration::ZERO;
        if let Some(since) = self.tables_since {
            server.unlock_tables()?;
            tables_locked = since.elapsed();
        }
        if !server.redo_enabled()? {
            return Err(BackupError::RedoDisabled);
        }
        server.unlock_instance()?;
        Ok(tables_locked)
    }

    pub(super) fn copied(
        self,
        start: StartPoint,
        redo_mark: Option<RedoMark>,
        redo_bytes: u64,
        tables_locked: Duration,
    ) -> Copied {
        Copied {
            survey: self.survey,
            other_engines: self.other_engines,
            counts: self.counts,
            floors: self.floors,
            throttle: self.throttle,
            tracking: self.tracking,
            plain_bytes: self.plain_bytes,
            binary_log: self.binary_log,
            start,
            status: self.status,
            tables_locked,
            redo_bytes,
            pages_of_base: self.pages_of_base,
            redo_mark,
            binlog_digest: self.binlog_digest,
            replica: self.replica,
        }
    }
}

fn bytes_to_read(survey: &Survey, changed: Option<&ChangedPages>) -> u64 {
    let bytes = |(file, ts): (usize, &Tablespace)| {
        let pages = changed.and_then(|changed| changed.of(file));
        pages.map_or(ts.bytes, |p| p.count() * ts.page_size.bytes() as u64)
    };
    survey.tablespaces.iter().enumerate().map(bytes).sum()
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
