//! The position of a backup: a consistent point of the redo log, of the binary log and of the
//! replication sources.

use super::binlog::{self, Tail};
use super::error::BackupError;
use super::replica::{self, Moment};
use super::session::Session;
use crate::manifest::ReplicaPosition;
use crate::server::{LogStatus, Server};
use std::time::Instant;

/// The position of a backup.
pub(super) struct Position {
    pub status: LogStatus,
    pub tail: Option<Tail>,
    pub replica: Option<ReplicaPosition>,
}

impl Session<'_> {
    /// Reads the position of the backup. The positions of a replica's sources are exact only if
    /// they are equal before and after the read of `log_status`; if they differ, the function
    /// retries a few times.
    pub(super) fn position(
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

    /// Returns `log_status` and the end of the binary log that belongs to it.
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
            // In this file, prepared transactions can't be distinguished from committed ones, so
            // there must be none: under the lock every commit has ended.
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
}
