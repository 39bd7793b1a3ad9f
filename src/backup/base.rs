//! Checks before the backup reads anything: the data directory is the server's, the base is from
//! this server, the name is free.

use super::error::BackupError;
use super::redo_files::{RedoFiles, StartPoint};
use super::session::{Base, Session};
use crate::cancel::Cancel;
use crate::innodb::Lsn;
use crate::manifest::{BackupName, Manifest};
use crate::server::{ConnectOptions, Identity, Server};
use crate::store::StoreError;
use crate::store::UploadFault;
use chrono::{DateTime, TimeDelta, Utc};
use std::path::Path;
use std::time::Duration;

/// Maximum number of names later than the clock that are tried.
const MOST_NAMES: u32 = 200;

/// Reserves a name by means of `take`. Names have a resolution of one second and sort by time: if a
/// name is taken, the function waits for the next second.
pub(super) fn reserve_name<T>(
    base: Option<&Base>,
    cluster: &str,
    take: impl Fn(&BackupName) -> Result<T, StoreError>,
) -> Result<(DateTime<Utc>, T), BackupError> {
    let (mut tries, mut earliest) = (0, None);
    loop {
        let now = Utc::now();
        let wanted = earliest.map_or(now, |earliest| now.max(earliest));
        let name = match base {
            None => BackupName::full(cluster, wanted),
            Some(Base::Backup(base)) => BackupName::incremental(&base.name, cluster, wanted),
            Some(Base::Lsn(_)) => BackupName::incremental_alone(cluster, wanted),
        }
        .map_err(StoreError::from)?;
        let taken = match take(&name) {
            Ok(got) => {
                warn_of_the_clock(&name, now);
                return Ok((now, got));
            }
            Err(error) => error,
        };
        let is_free_later = matches!(taken, StoreError::Upload(UploadFault::Exists { .. }));
        tries += 1;
        // The name of the base is later than the clock, and the name of an interrupted backup is in
        // use for the following second.
        let ahead = name.time().filter(|time| *time > now);
        if is_free_later && ahead.is_some() && tries < MOST_NAMES {
            earliest = ahead.map(|time| time + TimeDelta::seconds(1));
            continue;
        }
        if !is_free_later || tries > 2 {
            return Err(taken.into());
        }
        std::thread::sleep(Duration::from_millis(
            1001 - u64::from(now.timestamp_subsec_millis().min(1000)),
        ));
    }
}

/// Logs a warning if the name is later than the clock by more than the resolution of names.
fn warn_of_the_clock(name: &BackupName, now: DateTime<Utc>) {
    let ahead = name.time().map(|time| time.signed_duration_since(now));
    if ahead.is_some_and(|ahead| ahead > TimeDelta::seconds(5)) {
        tracing::warn!(
            "the name of the base is later than this host's clock, so {name} follows the name of the base instead of \
             the time. Check the clock (names only have to sort; the contents of the backup are not affected)"
        );
    }
}

/// Checks that the data directory of the server is the one at this path.
pub(super) fn check_datadir(datadir: &Path, identity: &Identity) -> Result<(), BackupError> {
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

/// Returns the error for a base that can't be continued.
pub(super) fn refusal(base: &Manifest, reason: String) -> BackupError {
    BackupError::BaseUnusable {
        base: base.name.to_string(),
        reason,
    }
}

/// Checks an LSN that is the only fact about the base. It becomes the `from_lsn` of this backup, which must not be
/// above its `to_lsn`.
fn check_lsn(lsn: Lsn, start: &StartPoint) -> Result<(), BackupError> {
    let checkpoint = start.checkpoint.lsn();
    if checkpoint < lsn {
        return Err(BackupError::LsnAhead { lsn, checkpoint });
    }
    Ok(())
}

/// Checks that a base is of this server, and of its present redo log: else the LSNs of the two can't be compared.
fn same_origin(base: &Manifest, server_uuid: &str, log_uuid: u32) -> Result<(), BackupError> {
    if base.server.uuid != server_uuid {
        return Err(refusal(
            base,
            format!(
                "it is a backup of server {}, this one is {server_uuid}",
                base.server.uuid
            ),
        ));
    }
    if base.server.redo_log_uuid != log_uuid {
        return Err(refusal(
            base,
            format!(
                "the server's redo log was created again since the base (log uuid {log_uuid:08x}, the base has {:08x}), for \
                 example by a restore or an upgrade: LSNs of the two can't be compared",
                base.server.redo_log_uuid
            ),
        ));
    }
    Ok(())
}

/// Checks that a base of which only the LSN is used is a backup of this server, and of its present redo log.
///
/// # Errors
/// [`BackupError::BaseUnusable`]; an error of the server, or of its redo log.
pub fn check_origin(
    connect: &ConnectOptions,
    cancel: &Cancel,
    base: &Manifest,
) -> Result<(), BackupError> {
    let mut server = Server::connect_until(connect, cancel)?;
    let identity = server.identity()?;
    let variables = server.variables()?;
    let home = &variables.innodb_log_group_home_dir;
    let redo = variables.datadir.join(home).join("#innodb_redo");
    let start = RedoFiles::open(&redo)?.start_point()?;
    same_origin(base, &identity.server_uuid, start.file.log_uuid)
}

impl Session<'_> {
    pub(super) fn check_base(
        &self,
        server: &mut Server,
        files: &RedoFiles,
        start: &StartPoint,
    ) -> Result<(), BackupError> {
        let base = match &self.base {
            None => return Ok(()),
            Some(Base::Lsn(lsn)) => return check_lsn(*lsn, start),
            Some(Base::Backup(base)) => base,
        };
        let refuse = |reason: String| Err(refusal(base, reason));
        same_origin(base, &self.identity.server_uuid, start.file.log_uuid)?;
        let now = server.current_lsn()?;
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
        self.check_gtids(server, base)?;
        self.check_logs(server, base, files)?;
        // It becomes the `to_lsn` of this backup, which must not be below its `from_lsn`.
        if start.checkpoint.lsn() < base.lsn.to_lsn {
            return refuse(format!(
                "the server's checkpoint was at LSN {} at the base, but is only at {} now: this is an older state of the \
                 server",
                base.lsn.to_lsn, start.checkpoint
            ));
        }
        Ok(())
    }

    fn check_gtids(&self, server: &mut Server, base: &Manifest) -> Result<(), BackupError> {
        let of_replica = || base.replica.as_ref().map(|r| &r.gtid_executed);
        let then = base.binlog.as_ref().map(|b| &b.gtid_executed);
        let Some(then) = then.or_else(of_replica).filter(|gtids| !gtids.is_empty()) else {
            return Ok(());
        };
        let now = server.gtid_executed()?.unwrap_or_default();
        if server.gtid_subset(then, &now)? {
            return Ok(());
        }
        Err(refusal(
            base,
            format!(
                "its gtid_executed ({then}) is not contained in the server's ({now}): the server has a different history, \
                 or RESET BINARY LOGS AND GTIDS (RESET MASTER) was run since then"
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_of_another_server_or_redo_log_is_refused() {
        let mut base = Manifest::blank(BackupName::unnamed());
        base.server.uuid = "u1".to_owned();
        base.server.redo_log_uuid = 7;
        assert!(same_origin(&base, "u1", 7).is_ok());
        for (uuid, log, words) in [
            ("u2", 7, "it is a backup of server u1, this one is u2"),
            ("u1", 8, "(log uuid 00000008, the base has 00000007)"),
        ] {
            let error = same_origin(&base, uuid, log).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
