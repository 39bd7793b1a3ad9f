//! Names and manifests for tests: a full backup and incrementals of one server.

use super::{
    BackupKind, BackupName, BaseRef, FileEntry, LeftOutEntry, LsnRange, Manifest, ServerIdentity,
};
use crate::innodb::Lsn;
use chrono::{DateTime, TimeZone, Utc};

pub(crate) const SERVER: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

pub(crate) fn at(second: i64) -> DateTime<Utc> {
    Utc.timestamp_opt(1_795_000_000 + second, 0).unwrap()
}

pub(crate) fn full_name(second: i64) -> BackupName {
    BackupName::full("prod", at(second)).unwrap()
}

pub(crate) fn incr_name(base: &BackupName, second: i64) -> BackupName {
    BackupName::incremental(base, "prod", at(second)).unwrap()
}

/// Returns the server of `testdata/server.json`, which the tests outside of the crate use too.
fn server() -> ServerIdentity {
    serde_json::from_str(include_str!("../../testdata/server.json")).unwrap()
}

/// Returns a manifest of `name` that ends at LSN `to` and starts where `base` ends.
pub(crate) fn manifest(
    name: &BackupName,
    base: Option<&Manifest>,
    to: u64,
    files: Vec<FileEntry>,
) -> Manifest {
    let from_lsn = base.map_or(Lsn(0), |b| b.lsn.to_lsn);
    let seconds = name.last_part().bytes().map(i64::from).sum::<i64>();
    Manifest {
        lsnap_version: "0.1.0".to_owned(),
        id: format!("id of {name}"),
        kind: if base.is_some() {
            BackupKind::Incremental
        } else {
            BackupKind::Full
        },
        base: base.map(|b| BaseRef {
            name: b.name.clone(),
            id: b.id.clone(),
            to_lsn: b.lsn.to_lsn,
        }),
        started_at: at(i64::try_from(to).unwrap()),
        finished_at: at(i64::try_from(to).unwrap() + seconds),
        server: server(),
        lsn: LsnRange {
            from_lsn,
            scan_floor: from_lsn,
            start_checkpoint: Lsn(to - 1),
            to_lsn: Lsn(to),
            last_lsn: Lsn(to + 5),
        },
        files,
        left_out: vec![LeftOutEntry {
            path: "ibtmp1".to_owned(),
            reason: "temporary".to_owned(),
        }],
        ..Manifest::blank(name.clone())
    }
}
