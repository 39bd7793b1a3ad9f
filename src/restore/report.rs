//! What a restore did.

use super::settings::Setting;
use super::tables::CheckedTables;
use crate::reader::counters::MemberReport;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// The result of a restore.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RestoreReport {
    /// The backup that was restored.
    pub target: String,
    /// The directory, ready to be started.
    pub datadir: PathBuf,
    /// What each member gave, newest first.
    pub members: Vec<MemberReport>,
    /// Bytes fetched from the repository.
    pub fetched_bytes: u64,
    /// Bytes that the members of the chain have there, all of them together.
    pub chain_bytes: u64,
    /// Bytes written to files before the redo log was applied (holes not counted).
    pub written_bytes: u64,
    /// The redo applier and its version.
    pub applier: String,
    /// The position in the binary log that the data are at, as the backup recorded it.
    pub gtid_executed: Option<String>,
    /// Whether the recovered server was asked for its position and agreed.
    pub gtid_verified: bool,
    /// Whether every table of the recovered server's dictionary was found to have its files. Only a
    /// `mysqld` as the redo applier can be asked.
    pub tables_complete: bool,
    /// What `CHECK TABLE` said of every table, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<CheckedTables>,
    /// Time of fetching and writing.
    pub merge_time: Duration,
    /// Time of the redo applier.
    pub apply_time: Duration,
    /// Lines of the restored server's my.cnf.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Setting>,
    /// Files of the backup that the restored directory did not get: a server would act on them, or no rule names
    /// them as data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_placed: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
}
