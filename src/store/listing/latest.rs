//! The meaning of `latest`, and which newer things in the repository it passes over.
//!
//! `latest` is the newest finished backup. If something newer may have been a finished backup (it is damaged,
//! its manifest is gone, or its base is), then it is not `latest` that a person gets but an older state, so the
//! caller is refused. Backups that were never finished, and those that `latest` never means, are only named.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::innodb::Lsn;
use crate::manifest::{BackupName, Summary};
use crate::store::error::StoreError;
use crate::store::listing::list::{Listed, ListedState};
use crate::store::listing::order::Order;

/// The backup that a text means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its name.
    pub name: BackupName,
    /// Of `latest`: what is newer, the newest name last.
    pub passed_over: Vec<PassedOver>,
}

/// Something newer than the backup that was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// Its name.
    pub name: BackupName,
    /// Why it was not chosen.
    #[serde(flatten)]
    pub why: Unusable,
}

/// Why a backup is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unusable {
    /// It has a manifest, but is not whole.
    Damaged {
        /// What was found and expected.
        reason: String,
    },
    /// It has the summary, which is written right before the manifest, but no manifest.
    ManifestMissing,
    /// A backup that it stands on is gone.
    BaseMissing,
    /// It was never finished: it is being written, or was interrupted.
    Unfinished,
    /// It is being deleted.
    BeingDeleted,
    /// A stream that was put here. It is restored by its name only.
    Stream,
    /// A backup that xtrabackup made.
    Xtrabackup,
}

impl Unusable {
    fn of(listed: &Listed) -> Option<Self> {
        Some(match &listed.state {
            ListedState::Finished(_) => return None,
            ListedState::BaseMissing(_) => Self::BaseMissing,
            ListedState::Damaged { reason } => Self::Damaged {
                reason: reason.clone(),
            },
            ListedState::Deleting => Self::BeingDeleted,
            // Only lsnap writes a summary, and right before the manifest.
            _ if listed.summarized => Self::ManifestMissing,
            ListedState::Unfinished
            | ListedState::Stream { finished: false }
            | ListedState::Foreign { finished: false } => Self::Unfinished,
            ListedState::Stream { finished: true } => Self::Stream,
            ListedState::Foreign { finished: true } => Self::Xtrabackup,
        })
    }

    /// Whether it may have been a finished backup, so that its data are missing from the chosen one.
    #[must_use]
    pub const fn may_have_been_finished(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. } | Self::ManifestMissing | Self::BaseMissing
        )
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.why {
            Unusable::Damaged { reason } => write!(f, "{name} is damaged ({reason})"),
            Unusable::ManifestMissing => write!(
                f,
                "{name} has a summary but no manifest (it is just being finished, was interrupted there, or lost it)"
            ),
            Unusable::BaseMissing => {
                write!(f, "{name} stands on a backup that is not in the repository")
            }
            Unusable::Unfinished => write!(
                f,
                "{name} is unfinished (it is being written, or was interrupted)"
            ),
            Unusable::BeingDeleted => write!(f, "{name} is being deleted"),
            Unusable::Stream => write!(
                f,
                "{name} is a stream that was put here, which only its name means"
            ),
            Unusable::Xtrabackup => write!(f, "{name} was made by xtrabackup"),
        }
    }
}

impl Choice {
    /// The newest finished backup and all that is newer, whether that forbids to take it or not.
    pub(crate) fn newest(listed: &[Listed]) -> Option<Self> {
        let order = Order::of(listed);
        for found in order.disagreements(|l| l.finished().is_some()) {
            tracing::warn!("{found}");
        }
        let finished = listed.iter().filter(|l| l.finished().is_some());
        let newest = finished.max_by(|a, b| order.compare(&a.name, &b.name))?;
        Some(Self {
            name: newest.name.clone(),
            passed_over: newer_than(newest, listed),
        })
    }

    /// The same for who goes on with it.
    ///
    /// # Errors
    /// [`StoreError::NewerInDoubt`].
    pub(in crate::store) fn settled(self, url: &str) -> Result<Self, StoreError> {
        let in_doubt = |passed: &&PassedOver| passed.why.may_have_been_finished();
        let newer: Vec<PassedOver> = self.passed_over.iter().filter(in_doubt).cloned().collect();
        if newer.is_empty() {
            self.warnings()
                .iter()
                .for_each(|text| tracing::warn!("{text}"));
            return Ok(self);
        }
        Err(StoreError::NewerInDoubt {
            chosen: self.name,
            newer,
            url: url.to_owned(),
        })
    }

    /// What a person should know of the choice, one line for each backup that was passed over.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let told = |passed: &PassedOver| format!("{passed}: the older {} is taken", self.name);
        self.passed_over.iter().map(told).collect()
    }
}

/// Everything that is newer than a finished backup and is none itself, in the order of the names.
pub(in crate::store) fn newer_than(chosen: &Listed, listed: &[Listed]) -> Vec<PassedOver> {
    let order = Order::of(listed);
    let newer = listed.iter().filter_map(|l| {
        let why = Unusable::of(l)?;
        is_newer(l, chosen, &order).then(|| PassedOver {
            name: l.name.clone(),
            why,
        })
    });
    newer.collect()
}

/// Whether `other` is newer, or may be. LSNs decide where they are known, then the place in a chain, then time
/// as in [`crate::store::listing::order`]. Of a backup of which nothing can be read there is the time of its name, which
/// another host's clock made, and that of its objects, which a copy makes younger: if one of them is
/// later, it may be newer.
fn is_newer(other: &Listed, chosen: &Listed, order: &Order<'_>) -> bool {
    if other.is_whole() && !other.summarized {
        return order.compare(&other.name, &chosen.name).is_gt();
    }
    let Some(known) = chosen.finished() else {
        return false;
    };
    let stored = other.finished_at_store.unwrap_or(other.newest);
    if let Some(said) = &other.said
        && said.redo_log_uuid.is_some()
        && line(said) == line(known)
        && lsns(said) != lsns(known)
    {
        return lsns(said) > lsns(known);
    }
    if other.name.base() == chosen.name.base() {
        return other.name > chosen.name;
    }
    if let Some(said) = &other.said {
        return earlier(said.started_at, Some(stored))
            > earlier(known.started_at, chosen.finished_at_store);
    }
    let by_name = match (other.name.time(), chosen.name.time()) {
        (Some(other), Some(chosen)) => other > chosen,
        _ => false,
    };
    by_name || Some(stored) > chosen.finished_at_store
}

fn line(summary: &Summary) -> (&str, Option<u32>) {
    (&summary.server_uuid, summary.redo_log_uuid)
}

const fn lsns(summary: &Summary) -> (Lsn, Lsn) {
    (summary.lsn.last_lsn, summary.lsn.to_lsn)
}

/// A host's time is never later than the store's.
fn earlier(host: DateTime<Utc>, store: Option<DateTime<Utc>>) -> DateTime<Utc> {
    store.map_or(host, |store| host.min(store))
}
