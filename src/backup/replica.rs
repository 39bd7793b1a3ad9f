//! The position from which a new replica, restored from this backup, continues.
//!
//! The position must be that of the *data*, which is that of the backup's last LSN. A position that
//! a running applier reports a moment later is ahead of it, and the new replica would lack the
//! transactions in between; a position from a moment before is behind it, and transactions would be
//! applied twice. So the channels are read before and after `log_status`, and a position is
//! recorded only if it is certain:
//!
//! | channel | position |
//! |---|---|
//! | by GTIDs | the GTID set of `log_status`; the source sends all transactions that are not in the
//! set |
//! | by file, `gtid_mode=ON` | the low-water mark before `log_status`: transactions after it are
//! skipped by their GTID |
//! | by file, without GTIDs | the tables of the applier, if they are equal before and after |
//!
//! They are equal if the applier is stopped, if the global read lock is held, or if nothing is
//! applied at that time. If they differ, no position can be read from a running server: none is
//! recorded, and the report has the reason.
//!
//! The GTID set of `log_status` is exact if applied transactions are written to the binary log.
//! Otherwise a transaction is committed in InnoDB first and added to the set afterwards: while an
//! applier runs, the set may lack some transactions of the data. Then no `gtid_purged` is written;
//! the recovered server reads its GTIDs from its own tables.

use crate::manifest::{ReplicaPosition, SourcePosition};
use crate::server::{Channel, Recorded, Replica, SourcePoint, quoted};
use std::time::Duration;

/// Time around `log_status` without applied transactions that makes a position without GTIDs
/// certain. A transaction that InnoDB has committed appears in the tables a few microseconds later.
pub(super) const SETTLE: Duration = Duration::from_millis(100);
/// Maximum number of reads of `log_status` for a replica that applies transactions.
pub(super) const TRIES: u32 = 5;

/// The channels before and after one read of `log_status`.
pub(super) struct Moment<'a> {
    /// The channels before it.
    pub before: &'a Replica,
    /// The channels [`SETTLE`] after it, or immediately after it if the global read lock is held or
    /// no applier runs.
    pub after: &'a Replica,
    /// The GTID set of `log_status`, with the end of the binary log.
    pub gtid_executed: &'a str,
}

/// Returns whether the second read must be delayed: some position is certain only if nothing is
/// applied for a while.
pub(super) fn must_settle(replica: &Replica) -> bool {
    let depends =
        |c: &Channel| c.applier_runs && !c.auto_position && skips_by_gtid(replica, c).is_none();
    replica.channels.iter().any(depends)
}

impl Moment<'_> {
    /// Returns the position, as far as it is certain; `None` if this server is not a replica.
    pub(super) fn position(&self) -> Option<ReplicaPosition> {
        if self.before.channels.is_empty() {
            return None;
        }
        let stopped = |r: &Replica| r.channels.iter().all(|c| !c.applier_runs);
        let still = stopped(self.before) && stopped(self.after);
        Some(ReplicaPosition {
            gtid_executed: self.gtid_executed.to_owned(),
            gtid_executed_is_exact: self.before.logs_updates || still,
            channels: self.before.channels.iter().map(|c| self.of(c)).collect(),
        })
    }

    fn of(&self, channel: &Channel) -> SourcePosition {
        let mut position = SourcePosition {
            channel: channel.name.clone(),
            host: channel.host.clone(),
            port: channel.port,
            auto_position: channel.auto_position,
            file: None,
            position: None,
            unknown: None,
        };
        if channel.auto_position {
            return position;
        }
        match self.point(channel) {
            Ok(point) => {
                position.file = Some(point.file);
                position.position = Some(point.position);
            }
            Err(why) => position.unknown = Some(why),
        }
        position
    }

    fn point(&self, before: &Channel) -> Result<SourcePoint, String> {
        if let Some(low) = skips_by_gtid(self.before, before) {
            return Ok(low.clone());
        }
        let after = self.after.channels.iter().find(|c| c.name == before.name);
        let Some(after) = after else {
            return Err("the channel was removed while its position was read".to_owned());
        };
        let stopped = !before.applier_runs && !after.applier_runs;
        match (&before.recorded, &after.recorded) {
            (Some(recorded), Some(same)) if recorded == same => self.exact(recorded, stopped),
            (Some(recorded), Some(_)) => Err(self.moved(recorded)),
            _ if self.before.tables_denied && !stopped => Err(
                "the account can't read the position of the running applier: GRANT it SELECT on \
                 mysql.slave_relay_log_info and mysql.slave_worker_info"
                    .to_owned(),
            ),
            _ => self.reported(before, after, stopped),
        }
    }

    /// Returns the position from tables that did not change.
    fn exact(&self, recorded: &Recorded, stopped: bool) -> Result<SourcePoint, String> {
        let low = &recorded.low;
        let mut highest = low;
        for worker in &recorded.workers {
            let (Some(at), Some(end)) = (rank(highest), rank(worker)) else {
                return Err(unordered(low, worker));
            };
            if at.0 != end.0 {
                return Err(unordered(low, worker));
            }
            if end > at {
                highest = worker;
            }
        }
        if highest == low {
            return Ok(low.clone());
        }
        if stopped {
            return Err(format!(
                "the applier was interrupted: some transactions up to {}:{} are applied, but all only up to {}:{}; \
                 run START REPLICA, which closes the gap, then run the backup again",
                highest.file, highest.position, low.file, low.position
            ));
        }
        if !self.before.preserves_order {
            return Err(format!(
                "transactions between {}:{} and {}:{} are applied out of order \
                 (replica_preserve_commit_order is OFF), so no position has all transactions before it and none after it; \
                 stop the applier for the backup (BackupOptions::stop_applier)",
                low.file, low.position, highest.file, highest.position
            ));
        }
        Ok(highest.clone())
    }

    /// Returns the reported position of a stopped applier, if the tables can't be read. An applier
    /// closes the gaps when it stops, unless it stops because of an error and transactions may
    /// commit out of order.
    fn reported(
        &self,
        before: &Channel,
        after: &Channel,
        stopped: bool,
    ) -> Result<SourcePoint, String> {
        if !stopped {
            return Err(
                "the position of the running applier can't be read from the server's tables \
                 (relay_log_info_repository=FILE?); stop it for the backup (BackupOptions::stop_applier)"
                    .to_owned(),
            );
        }
        match (&before.reported, &after.reported) {
            (Some(point), Some(same)) if point == same && self.before.preserves_order => {
                Ok(point.clone())
            }
            (Some(_), Some(_)) => Err(
                "whether the stopped applier left gaps can't be determined: GRANT the account SELECT on \
                 mysql.slave_relay_log_info and mysql.slave_worker_info"
                    .to_owned(),
            ),
            _ => Err("no transaction of its source was applied yet".to_owned()),
        }
    }

    fn moved(&self, recorded: &Recorded) -> String {
        let mut why = "the applier continued while the position was read, and its transactions have no GTIDs; stop it \
                       for the backup (BackupOptions::stop_applier)"
            .to_owned();
        if recorded.workers.is_empty() {
            why += ", or take the position in mysql.slave_relay_log_info of the restored server";
        } else if self.before.preserves_order {
            why += ", or take the highest position in mysql.slave_relay_log_info and mysql.slave_worker_info of the \
                    restored server";
        }
        why
    }
}

/// Returns the position from which a channel by file may continue although later transactions are
/// applied: the server skips transactions whose GTID it has.
fn skips_by_gtid<'a>(replica: &Replica, channel: &'a Channel) -> Option<&'a SourcePoint> {
    let recorded = channel.recorded.as_ref()?;
    (replica.gtid_mode_on && !recorded.assigns_gtids).then_some(&recorded.low)
}

fn unordered(low: &SourcePoint, worker: &SourcePoint) -> String {
    format!(
        "the applier's tables contain binary log names that can't be compared, {} and {}",
        low.file, worker.file
    )
}

/// Returns base name, number and offset: the numbers of binary logs are compared as numbers,
/// because they get more digits after 999,999.
fn rank(point: &SourcePoint) -> Option<(&str, u64, u64)> {
    let (stem, number) = point.file.rsplit_once('.')?;
    Some((stem, number.parse().ok()?, point.position))
}

/// Returns the text of `xtrabackup_slave_info`: the statements that make a restored copy a replica
/// of the same sources.
///
/// The content is that of `docs/format/checkpoints.md#xtrabackup_slave_info` (`CHANGE REPLICATION
/// SOURCE TO ... SOURCE_*`; MySQL 8.4 removed the old syntax). `None` if no position is certain.
pub(super) fn statements(replica: &ReplicaPosition) -> Option<String> {
    let mut out = String::new();
    let by_gtid = replica.channels.iter().any(|c| c.auto_position);
    if by_gtid && replica.gtid_executed_is_exact {
        out.push_str(&format!(
            "SET GLOBAL gtid_purged='{}';\n",
            replica.gtid_executed
        ));
    }
    for channel in &replica.channels {
        let how = match (channel.auto_position, &channel.file, channel.position) {
            (true, _, _) => "SOURCE_AUTO_POSITION=1".to_owned(),
            (false, Some(file), Some(position)) => {
                format!(
                    "SOURCE_LOG_FILE={}, SOURCE_LOG_POS={position}",
                    quoted(file)
                )
            }
            _ => continue,
        };
        out.push_str(&format!("CHANGE REPLICATION SOURCE TO {how}"));
        if !channel.channel.is_empty() {
            out.push_str(&format!(" FOR CHANNEL {}", quoted(&channel.channel)));
        }
        out.push_str(";\n");
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
#[path = "replica_tests.rs"]
mod tests;
