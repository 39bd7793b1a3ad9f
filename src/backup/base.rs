//! Before anything is read: is this the server, is that its base, is the name free.

use super::error::BackupError;
use super::redo_files::{RedoFiles, StartPoint};
use super::session::Session;
use crate::manifest::{BackupName, Manifest};
use crate::server::{Identity, Server};
use crate::store::StoreError;
use crate::store::UploadFault;
use chrono::{DateTime, TimeDelta, Utc};
use std::path::Path;
use std::time::Duration;

/// Names ahead of the clock that are tried.
const MOST_NAMES: u32 = 200;

/// Takes a name, by means of `take`. Names have a resolution of a second and sort by it: a backup
/// that follows another within the second waits for the next one.
pub(super) fn take_name<T>(
    base: Option<&Manifest>,
    cluster: &str,
    take: impl Fn(&BackupName) -> Result<T, StoreError>,
) -> Result<(DateTime<Utc>, T), BackupError> {
    let (mut tries, mut earliest) = (0, None);
    loop {
        let now = Utc::now();
        let wanted = earliest.map_or(now, |earliest| now.max(earliest));
        let name = match base {
            None => BackupName::full(cluster, wanted),
            Some(base) => BackupName::incremental(&base.name, cluster, wanted),
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
        // the base's name is ahead of the clock, and what an interrupted backup left has the second after it
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

/// A name that is ahead of the clock by more than the resolution of names.
fn warn_of_the_clock(name: &BackupName, now: DateTime<Utc>) {
    let ahead = name.time().map(|time| time.signed_duration_since(now));
    if ahead.is_some_and(|ahead| ahead > TimeDelta::seconds(5)) {
        tracing::warn!(
            "the name of its base is ahead of this host's clock, so that {name} is named after its base and not after \
             the time: check the clock (names only have to sort; what the backup holds is not concerned)"
        );
    }
}

/// The server's directory must be the one that this process sees.
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

/// The base can't be continued, for this reason.
pub(super) fn refusal(base: &Manifest, reason: String) -> BackupError {
    BackupError::BaseUnusable {
        base: base.name.to_string(),
        reason,
    }
}

impl Session<'_> {
    pub(super) fn check_base(
        &self,
        server: &mut Server,
        files: &RedoFiles,
        start: &StartPoint,
    ) -> Result<(), BackupError> {
        let Some(base) = &self.base else {
            return Ok(());
        };
        let refuse = |reason: String| Err(refusal(base, reason));
        if base.server.uuid != self.identity.server_uuid {
            return refuse(format!(
                "it is a backup of server {}, this one is {}",
                base.server.uuid, self.identity.server_uuid
            ));
        }
        if base.server.redo_log_uuid != start.file.log_uuid {
            return refuse(format!(
                "the server's redo log was created anew since then (log uuid {:08x}, the base has {:08x}), as after a \
                 restore or an upgrade: LSNs of before and after can't be compared",
                start.file.log_uuid, base.server.redo_log_uuid
            ));
        }
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
        // Becomes this backup's `to_lsn`, which can't be below its `from_lsn`.
        if start.checkpoint.lsn() < base.lsn.to_lsn {
            return refuse(format!(
                "the server's checkpoint was at LSN {} then, but is only at {} now: this is an older state of the \
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
                "its gtid_executed ({then}) is not contained in the server's ({now}): the server has another history, \
                 or RESET BINARY LOGS AND GTIDS (RESET MASTER) was run since then"
            ),
        ))
    }
}
