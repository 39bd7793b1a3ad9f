//! A backup as it is listed.

use crate::innodb::Lsn;
use crate::manifest::{BackupKind, BackupName, Summary};
use crate::store::listing::foreign::ForeignInfo;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// What a directory of the repository is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
// Apart from the fields of `Listed`: a summary has some of the same names.
#[serde(tag = "state", content = "detail", rename_all = "snake_case")]
pub enum ListedState {
    /// It has a manifest, and as many objects and bytes as that says. Digests were not checked. If it is
    /// incremental, all that it stands on is there too.
    Finished(Box<Summary>),
    /// As [`Self::Finished`], but a backup that it stands on is gone, or another one of that name: it can't
    /// be restored.
    BaseMissing(Box<Summary>),
    /// No manifest: interrupted, or still running.
    Unfinished,
    /// Its deletion was begun and not completed: delete it again.
    Deleting,
    /// A stream of lsnap's, chunk by chunk (`lsnap backup --stream | lsnap cloud put`). Its manifest
    /// describes the files of the stream, not these objects.
    Stream {
        /// It has `xtrabackup_tablespaces`, which is stored late.
        finished: bool,
    },
    /// Another program's stream, chunk by chunk: made by `xtrabackup | xbcloud put`, or anything
    /// `| lsnap cloud put`.
    Foreign {
        /// It has `xtrabackup_tablespaces`, which xbcloud stores last.
        finished: bool,
    },
    /// It has a manifest, but is not whole.
    Damaged {
        /// What was found and expected.
        reason: String,
    },
}

/// A directory of the repository that is a backup, or was to become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: BackupName,
    /// What it is.
    #[serde(flatten)]
    pub state: ListedState,
    /// Bytes of all objects under it.
    pub stored_bytes: u64,
    /// Number of these objects.
    pub objects: u64,
    /// The store's time of the newest of them.
    pub newest: DateTime<Utc>,
    /// The store's time of its manifest, where it has one.
    #[serde(skip)]
    pub(in crate::store) finished_at_store: Option<DateTime<Utc>>,
    /// Of an unfinished one: what is there is certainly part of a backup that lsnap or xtrabackup
    /// makes, or made and left. Other things may look like one.
    pub leftover: bool,
    /// It has lsnap's claim: its writer looks at its manifest's key before it puts it.
    #[serde(skip)]
    pub(in crate::store) claimed: bool,
    /// It has lsnap's summary, which is written right before the manifest, and no object of the manifest.
    #[serde(skip)]
    pub(crate) summarized: bool,
    /// The summary of one that is damaged or has no manifest, where it can be read.
    #[serde(skip)]
    pub(in crate::store) said: Option<Box<Summary>>,
    /// A key under its name that is not the backup's own, or why the whole is not: then it is not deleted.
    #[serde(skip)]
    pub(in crate::store) unexplained: Option<String>,
    /// What a backup of xtrabackup's says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Box<ForeignInfo>>,
}

impl Listed {
    /// The summary of a finished backup that can be restored.
    #[must_use]
    pub fn finished(&self) -> Option<&Summary> {
        match &self.state {
            ListedState::Finished(summary) => Some(summary),
            _ => None,
        }
    }

    /// The summary of a backup that has one, whether its base is there or not.
    #[must_use]
    pub fn summary(&self) -> Option<&Summary> {
        match &self.state {
            ListedState::Finished(summary) | ListedState::BaseMissing(summary) => Some(summary),
            _ => None,
        }
    }

    /// Whether it says that it is of another server; one of which nothing can be read does not.
    pub(in crate::store) fn is_of_another_server(&self, server_uuid: &str) -> bool {
        let said = self.summary().or(self.said.as_deref());
        said.is_some_and(|summary| summary.server_uuid != server_uuid)
    }

    /// Whether it lacks the data of tables ([`Summary::missing_tables`]).
    #[must_use]
    pub fn lacks_tables(&self) -> bool {
        self.summary().is_some_and(|s| s.missing_tables > 0)
    }

    /// Whether everything of the backup itself is there, as far as a listing can tell; whoever made it.
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

    /// Whether nothing says that it is whole, nor that it ever was.
    #[must_use]
    pub const fn is_unfinished(&self) -> bool {
        matches!(
            self.state,
            ListedState::Unfinished
                | ListedState::Stream { finished: false }
                | ListedState::Foreign { finished: false }
        )
    }

    /// Full or incremental: what it says of itself, else what its place says.
    #[must_use]
    pub fn kind(&self) -> BackupKind {
        let said = self.summary().map(|s| s.kind);
        said.or_else(|| self.foreign.as_ref()?.kind)
            .unwrap_or(if self.name.is_incremental() {
                BackupKind::Incremental
            } else {
                BackupKind::Full
            })
    }

    /// The program that made it and its version, where known.
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

    /// Its place in a chain: `from_lsn` and `to_lsn`, where known.
    #[must_use]
    pub fn lsns(&self) -> Option<(Lsn, Lsn)> {
        if let Some(summary) = self.summary() {
            return Some((summary.lsn.from_lsn, summary.lsn.to_lsn));
        }
        let foreign = self.foreign.as_ref()?;
        Some((foreign.from_lsn?, foreign.to_lsn?))
    }

    /// Where its redo ends, where known.
    pub(in crate::store) fn last_lsn(&self) -> Option<Lsn> {
        match self.summary() {
            Some(summary) => Some(summary.lsn.last_lsn),
            None => self.foreign.as_ref()?.last_lsn,
        }
    }

    /// When it was made, to put backups in an order: by its manifest, else by the time in its name,
    /// else by its newest object (which a copied bucket makes younger).
    #[must_use]
    pub fn made_at(&self) -> DateTime<Utc> {
        match self.summary() {
            Some(summary) => summary.finished_at,
            None => self.name.time().unwrap_or(self.newest),
        }
    }

    /// The latest time that it may have been made, for what must not be too young to go.
    #[must_use]
    pub fn made_at_the_latest(&self) -> DateTime<Utc> {
        match self.summary() {
            Some(summary) => summary.finished_at,
            None => self.newest.max(self.name.time().unwrap_or(self.newest)),
        }
    }
}
