//! An entry of a listing.

use crate::innodb::Lsn;
use crate::manifest::{BackupKind, BackupName, Summary};
use crate::store::listing::foreign::ForeignInfo;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// The state of a directory of the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
// Serialized apart from the fields of `Listed`: a summary has some fields of the same names.
#[serde(tag = "state", content = "detail", rename_all = "snake_case")]
pub enum ListedState {
    /// It has a manifest, and the number of objects and bytes in it. Digests were not checked. For
    /// an incremental, its whole chain exists too.
    Finished(Box<Summary>),
    /// As [`Self::Finished`], but a backup in its chain is missing or was replaced by another of
    /// that name: it can't be restored.
    BaseMissing(Box<Summary>),
    /// It has no manifest: interrupted, or in progress.
    Unfinished,
    /// Its deletion was begun and not completed: delete it again.
    Deleting,
    /// A stream of lsnap, stored chunk by chunk (`lsnap backup --stream | lsnap cloud put`). Its
    /// manifest describes the files of the stream, not these objects.
    Stream {
        /// It has `xtrabackup_tablespaces`, which is stored late.
        finished: bool,
    },
    /// A stream of another program, stored chunk by chunk: by `xtrabackup | xbcloud put`, or by
    /// `lsnap cloud put`.
    Foreign {
        /// It has `xtrabackup_tablespaces`, which xbcloud stores last.
        finished: bool,
    },
    /// It has a manifest, but is not complete.
    Damaged {
        /// What was found and what was expected.
        reason: String,
    },
}

/// A directory of the repository that is a backup, finished or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: BackupName,
    /// Its state.
    #[serde(flatten)]
    pub state: ListedState,
    /// Bytes of all objects under it.
    pub stored_bytes: u64,
    /// Number of these objects.
    pub objects: u64,
    /// The store's time of the newest of them.
    pub newest: DateTime<Utc>,
    /// The store's time of its manifest, if it has one.
    #[serde(skip)]
    pub(in crate::store) finished_at_store: Option<DateTime<Utc>>,
    /// For an unfinished backup: its objects certainly belong to a backup that lsnap or xtrabackup
    /// is making, or has left unfinished. Other data may look like one.
    pub leftover: bool,
    /// It has lsnap's claim: its writer checks the manifest key before it puts the manifest.
    #[serde(skip)]
    pub(in crate::store) claimed: bool,
    /// It has lsnap's summary, which is written immediately before the manifest, and no object at
    /// the manifest key.
    #[serde(skip)]
    pub(crate) summarized: bool,
    /// The summary of a backup that is damaged or has no manifest, if it can be read.
    #[serde(skip)]
    pub(in crate::store) other_summary: Option<Box<Summary>>,
    /// A key under its name that is not part of the backup. The backup can't be deleted then.
    #[serde(skip)]
    pub(in crate::store) unexplained: Option<String>,
    /// Its chain is pinned: retention policies and deletions don't remove it
    /// ([`Repository::pin`](crate::store::Repository::pin)).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// The metadata of a backup made by xtrabackup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Box<ForeignInfo>>,
}

impl Listed {
    /// Returns the summary of a finished backup that can be restored.
    #[must_use]
    pub fn finished(&self) -> Option<&Summary> {
        match &self.state {
            ListedState::Finished(summary) => Some(summary),
            _ => None,
        }
    }

    /// Returns the summary of a backup that has one, whether its base exists or not.
    #[must_use]
    pub fn summary(&self) -> Option<&Summary> {
        match &self.state {
            ListedState::Finished(summary) | ListedState::BaseMissing(summary) => Some(summary),
            _ => None,
        }
    }

    /// Returns whether its summary is of another server. A backup that can't be read isn't.
    pub(super) fn is_of_another_server(&self, server_uuid: &str) -> bool {
        let summary = self.summary().or(self.other_summary.as_deref());
        summary.is_some_and(|summary| summary.server_uuid != server_uuid)
    }

    /// Returns whether it lacks the data of tables ([`Summary::missing_tables`]).
    #[must_use]
    pub fn lacks_tables(&self) -> bool {
        self.summary().is_some_and(|s| s.missing_tables > 0)
    }

    /// Returns whether the backup itself is complete, as far as a listing shows, whatever program
    /// made it.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        matches!(
            self.state,
            ListedState::Finished(_)
                | ListedState::BaseMissing(_)
                | ListedState::Stream { finished: true }
                | ListedState::Foreign { finished: true }
        )
    }

    /// Returns whether the backup was never finished, as far as a listing shows.
    #[must_use]
    pub const fn is_unfinished(&self) -> bool {
        matches!(
            self.state,
            ListedState::Unfinished
                | ListedState::Stream { finished: false }
                | ListedState::Foreign { finished: false }
        )
    }

    /// Returns whether it is full or incremental: by its metadata, else by its position in the
    /// repository.
    #[must_use]
    pub fn kind(&self) -> BackupKind {
        let kind = self.summary().map(|s| s.kind);
        kind.or_else(|| self.foreign.as_ref()?.kind)
            .unwrap_or(if self.name.is_incremental() {
                BackupKind::Incremental
            } else {
                BackupKind::Full
            })
    }

    /// Returns the program that made it and its version, if known.
    #[must_use]
    pub fn made_by(&self) -> Option<String> {
        match &self.state {
            ListedState::Finished(summary) | ListedState::BaseMissing(summary) => {
                Some(format!("lsnap {}", summary.lsnap_version))
            }
            ListedState::Stream { .. } => {
                let tool = self.foreign.as_ref().and_then(|f| f.tool.clone());
                Some(tool.unwrap_or_else(|| "lsnap".to_owned()))
            }
            ListedState::Foreign { .. } => {
                let tool = self.foreign.as_ref().and_then(|f| f.tool.clone());
                Some(tool.unwrap_or_else(|| "xtrabackup".to_owned()))
            }
            _ => self.claimed.then(|| "lsnap".to_owned()),
        }
    }

    /// Returns its `from_lsn` and `to_lsn`, if known.
    #[must_use]
    pub fn lsns(&self) -> Option<(Lsn, Lsn)> {
        if let Some(summary) = self.summary() {
            return Some((summary.lsn.from_lsn, summary.lsn.to_lsn));
        }
        let foreign = self.foreign.as_ref()?;
        Some((foreign.from_lsn?, foreign.to_lsn?))
    }

    /// Returns the end of its redo log, if known.
    pub(in crate::store) fn last_lsn(&self) -> Option<Lsn> {
        match self.summary() {
            Some(summary) => Some(summary.lsn.last_lsn),
            None => self.foreign.as_ref()?.last_lsn,
        }
    }

    /// Returns when it was made, for the order of backups: by its manifest, else by the time in its
    /// name, else by its newest object (which is later in a copied bucket).
    #[must_use]
    pub fn made_at(&self) -> DateTime<Utc> {
        match self.summary() {
            Some(summary) => summary.finished_at,
            None => self.name.time().unwrap_or(self.newest),
        }
    }

    /// Returns the latest time at which it may have been made. Retention uses it so that a young
    /// backup is not deleted.
    #[must_use]
    pub fn made_at_the_latest(&self) -> DateTime<Utc> {
        match self.summary() {
            Some(summary) => summary.finished_at,
            None => self.newest.max(self.name.time().unwrap_or(self.newest)),
        }
    }
}
