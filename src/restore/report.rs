//! What a restore did.

use super::settings::Setting;
use super::tables::CheckedTables;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The result of a restore.
#[derive(Debug, Clone, Serialize)]
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

/// What one member gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MemberReport {
    /// Its name.
    pub name: String,
    /// Pages taken from it.
    pub pages: u64,
    /// Objects fetched.
    pub objects: u64,
    /// Objects that were not needed.
    pub objects_skipped: u64,
    /// Bytes fetched.
    pub fetched_bytes: u64,
    /// Bytes of all its objects.
    pub stored_bytes: u64,
}

#[derive(Debug, Default)]
struct MemberCounters {
    pages: AtomicU64,
    objects: AtomicU64,
    skipped: AtomicU64,
    fetched: AtomicU64,
}

/// Counts on behalf of all workers.
#[derive(Debug)]
pub(crate) struct Counters {
    members: Vec<MemberCounters>,
    written: AtomicU64,
}

impl Counters {
    /// For a chain of that many members.
    pub(crate) fn new(members: usize) -> Self {
        Self {
            members: (0..members).map(|_| MemberCounters::default()).collect(),
            written: AtomicU64::new(0),
        }
    }

    fn with(&self, member: usize, add: impl FnOnce(&MemberCounters)) {
        if let Some(counters) = self.members.get(member) {
            add(counters);
        }
    }

    pub(crate) fn fetched(&self, member: usize, bytes: u64) {
        self.with(member, |counters| {
            counters.objects.fetch_add(1, Ordering::Relaxed);
            counters.fetched.fetch_add(bytes, Ordering::Relaxed);
        });
    }

    pub(crate) fn skipped(&self, member: usize) {
        self.with(member, |counters| {
            counters.skipped.fetch_add(1, Ordering::Relaxed);
        });
    }

    pub(crate) fn pages(&self, member: usize, pages: u64) {
        self.with(member, |counters| {
            counters.pages.fetch_add(pages, Ordering::Relaxed);
        });
    }

    pub(crate) fn wrote(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn fetched_total(&self) -> u64 {
        let each = self
            .members
            .iter()
            .map(|m| m.fetched.load(Ordering::Relaxed));
        each.sum()
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// What each member gave; of each, newest first, its name and the bytes that it has stored.
    pub(crate) fn members(
        &self,
        members: impl Iterator<Item = (String, u64)>,
    ) -> Vec<MemberReport> {
        self.members
            .iter()
            .zip(members)
            .map(|(counters, (name, stored_bytes))| MemberReport {
                name,
                stored_bytes,
                pages: counters.pages.load(Ordering::Relaxed),
                objects: counters.objects.load(Ordering::Relaxed),
                objects_skipped: counters.skipped.load(Ordering::Relaxed),
                fetched_bytes: counters.fetched.load(Ordering::Relaxed),
            })
            .collect()
    }
}
