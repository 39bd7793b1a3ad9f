//! The meaning of `latest`, and which newer things in the repository it passes over.
//!
//! `latest` is the newest finished backup. If something newer may have been a finished backup (it is damaged,
//! its manifest is gone, or its base is), then it is not `latest` that a person gets but an older state, so the
//! caller is refused. Backups that were never finished, and those that `latest` never means, are only named.

use crate::store::error::backup::BackupFault;
use crate::store::listing::passed_over::{PassedOver, Unusable};

use chrono::{DateTime, Utc};

use crate::innodb::Lsn;
use crate::manifest::{BackupName, Summary};
use crate::store::error::StoreError;
use crate::store::listing::listed::{Listed, ListedState};
use crate::store::listing::order::Order;

/// The backup that a text means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its name.
    pub name: BackupName,
    /// Of `latest`: what is newer, the newest name last.
    pub passed_over: Vec<PassedOver>,
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
    /// [`BackupFault::NewerInDoubt`](crate::store::BackupFault::NewerInDoubt).
    pub(in crate::store) fn settled(self, url: &str) -> Result<Self, StoreError> {
        let in_doubt = |passed: &&PassedOver| passed.why.may_have_been_finished();
        let newer: Vec<PassedOver> = self.passed_over.iter().filter(in_doubt).cloned().collect();
        if newer.is_empty() {
            self.warnings()
                .iter()
                .for_each(|text| tracing::warn!("{text}"));
            return Ok(self);
        }
        Err(StoreError::Backup(BackupFault::NewerInDoubt {
            chosen: self.name,
            newer,
            url: url.to_owned(),
        }))
    }

    /// What a person should know of the choice, one line for each backup that was passed over.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let told = |passed: &PassedOver| format!("{passed}: the older {} is taken", self.name);
        self.passed_over.iter().map(told).collect()
    }
}

/// Why a listed backup is none that `latest` means; `None` of a finished one.
fn unusable(listed: &Listed) -> Option<Unusable> {
    Some(match &listed.state {
        ListedState::Finished(_) => return None,
        ListedState::BaseMissing(_) => Unusable::BaseMissing,
        ListedState::Damaged { reason } => Unusable::Damaged {
            reason: reason.clone(),
        },
        ListedState::Deleting => Unusable::BeingDeleted,
        // Only lsnap writes a summary, and right before the manifest.
        _ if listed.summarized => Unusable::ManifestMissing,
        ListedState::Unfinished
        | ListedState::Stream { finished: false }
        | ListedState::Foreign { finished: false } => Unusable::Unfinished,
        ListedState::Stream { finished: true } => Unusable::Stream,
        ListedState::Foreign { finished: true } => Unusable::Xtrabackup,
    })
}

/// Everything that is newer than a finished backup and is none itself, in the order of the names.
pub(in crate::store) fn newer_than(chosen: &Listed, listed: &[Listed]) -> Vec<PassedOver> {
    let order = Order::of(listed);
    let newer = listed.iter().filter_map(|l| {
        let why = unusable(l)?;
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
