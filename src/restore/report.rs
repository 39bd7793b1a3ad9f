//! The report of a restore.

use super::next::NextSteps;
use super::queries::CheckedQuery;
use super::settings::Setting;
use super::tables::CheckedTables;
use crate::reader::counters::MemberReport;
use serde::{Serialize, Serializer};
use std::path::PathBuf;
use std::time::Duration;

/// The result of a restore.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RestoreReport {
    /// The backup that was restored.
    pub target: String,
    /// The restored directory, on which a server can be started.
    pub datadir: PathBuf,
    /// The data that were read from each member, newest first.
    pub members: Vec<MemberReport>,
    /// Bytes fetched from the repository.
    pub fetched_bytes: u64,
    /// Length of all objects of the chain's members in the repository, in bytes.
    pub stored_bytes: u64,
    /// Bytes written to files before the redo log was applied (without holes).
    pub written_bytes: u64,
    /// The redo applier and its version.
    pub applier: String,
    /// False if the redo log was left for the first start of a server.
    pub redo_applied: bool,
    /// The binary log position of the data, as the backup recorded it.
    pub gtid_executed: Option<String>,
    /// True if the recovered server's position was compared with it and is the same.
    pub gtid_verified: bool,
    /// True if every table of the recovered server's dictionary has its files. This is checked only
    /// with `mysqld` as the redo applier.
    pub tables_complete: bool,
    /// The results of `CHECK TABLE`, if it was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<CheckedTables>,
    /// Duration of fetching and writing.
    #[serde(rename = "merge_seconds", serialize_with = "seconds")]
    #[cfg_attr(test, schemars(with = "f64"))]
    pub merge_time: Duration,
    /// The results of the user's queries.
    #[serde(skip)]
    pub(crate) queries: Vec<CheckedQuery>,
    /// The part of the duration of the redo applier in which its server checked tables and ran queries.
    #[serde(skip)]
    pub(crate) check_time: Duration,
    /// Duration of the redo applier.
    #[serde(rename = "apply_seconds", serialize_with = "seconds")]
    #[cfg_attr(test, schemars(with = "f64"))]
    pub apply_time: Duration,
    /// Settings for the restored server's my.cnf.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Setting>,
    /// The steps that follow: commands and statements for this directory.
    pub next: NextSteps,
    /// The directory with the old content of the target, if that was moved aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_aside: Option<PathBuf>,
    /// Files of the backup that were not placed in the restored directory, because a server would
    /// act on them, or because they are not known as data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_placed: Vec<String>,
    /// Warnings.
    pub warnings: Vec<String>,
}

fn seconds<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(duration.as_secs_f64())
}
