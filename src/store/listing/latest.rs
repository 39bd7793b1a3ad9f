//! The meaning of `latest`, and the newer backups that it passes over.
//!
//! `latest` is the newest finished backup. If a newer one may have been finished (it is damaged,
//! its manifest is missing, or its base is), `latest` would be an older state than expected, so it
//! is refused. [`crate::store::listing::scope`] has the backups from which it is chosen. Backups that were never finished, and those that `latest` never means, are only
//! reported.

use crate::store::error::backup::BackupFault;
use crate::store::listing::passed_over::{PassedOver, Unusable};
use crate::store::listing::scope::in_turns;

use chrono::{DateTime, Utc};

use crate::innodb::Lsn;
use crate::manifest::{BackupName, Summary};
use crate::store::error::StoreError;
use crate::store::listing::listed::{Listed, ListedState};
use crate::store::listing::order::Order;

/// A chosen backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its name.
    pub name: BackupName,
    /// For `latest`: newer backups, the newest name last.
    pub passed_over: Vec<PassedOver>,
    /// For `latest`: a text about another server with backups in the same cluster.
    pub other_server: Option<String>,
}

impl Choice {
    /// Returns the newest finished backup of `candidates` and all newer ones, whether they make the
    /// choice doubtful or not.
    pub(crate) fn newest(candidates: &[&Listed]) -> Option<Self> {
        let order = Order::over(candidates.iter().copied());
        for found in order.disagreements(|l| l.finished().is_some()) {
            tracing::warn!("{found}");
        }
        let finished = candidates.iter().filter(|l| l.finished().is_some());
        let newest = finished.max_by(|a, b| order.compare(&a.name, &b.name))?;
        Some(Self {
            name: newest.name.clone(),
            passed_over: newer_than(newest, candidates),
            other_server: in_turns(newest, candidates, &order),
        })
    }

    /// Refuses the choice if it is doubtful; logs the other newer backups as warnings.
    ///
    /// # Errors
    /// [`BackupFault::NewerInDoubt`](crate::store::BackupFault::NewerInDoubt).
    pub(super) fn settled(self, url: &str) -> Result<Self, StoreError> {
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

    /// Returns one warning for each backup that was passed over, and one if the cluster has backups of
    /// several servers from the same time.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let warning = |passed: &PassedOver| format!("{passed}: the older {} is taken", self.name);
        let passed = self.passed_over.iter().map(warning);
        passed.chain(self.other_server.clone()).collect()
    }
}

/// Returns the reason why `latest` doesn't mean a listed backup; `None` for a finished one.
fn unusable(listed: &Listed) -> Option<Unusable> {
    Some(match &listed.state {
        ListedState::Finished(_) => return None,
        ListedState::BaseMissing(_) => Unusable::BaseMissing,
        ListedState::Damaged { reason } => Unusable::Damaged {
            reason: reason.clone(),
        },
        ListedState::Deleting => Unusable::BeingDeleted,
        // Only lsnap writes a summary, immediately before the manifest.
        _ if listed.summarized => Unusable::ManifestMissing,
        ListedState::Unfinished
        | ListedState::Stream { finished: false }
        | ListedState::Foreign { finished: false } => Unusable::Unfinished,
        ListedState::Stream { finished: true } => Unusable::Stream,
        ListedState::Foreign { finished: true } => Unusable::Xtrabackup,
    })
}

/// Returns all backups that are newer than a finished one and not finished themselves, by name.
pub(super) fn newer_than(chosen: &Listed, listed: &[&Listed]) -> Vec<PassedOver> {
    let order = Order::over(listed.iter().copied());
    let newer = listed.iter().filter_map(|l| {
        let why = unusable(l)?;
        is_newer(l, chosen, &order).then(|| PassedOver {
            name: l.name.clone(),
            why,
        })
    });
    newer.collect()
}

/// Returns whether `other` is newer, or may be. LSNs decide if they are known, then the position in
/// a chain, then the time as in [`crate::store::listing::order`]. A backup that can't be read has
/// only the time in its name, by another host's clock, and the time of its objects, which is later
/// after a copy: if one of them is later, the backup may be newer.
fn is_newer(other: &Listed, chosen: &Listed, order: &Order<'_>) -> bool {
    if other.is_whole() && !other.summarized {
        return order.compare(&other.name, &chosen.name).is_gt();
    }
    let Some(known) = chosen.finished() else {
        return false;
    };
    let stored = other.finished_at_store.unwrap_or(other.newest);
    if let Some(summary) = &other.other_summary
        && summary.redo_log_uuid.is_some()
        && line(summary) == line(known)
        && lsns(summary) != lsns(known)
    {
        return lsns(summary) > lsns(known);
    }
    if other.name.base() == chosen.name.base() {
        return other.name > chosen.name;
    }
    if let Some(summary) = &other.other_summary {
        return earlier(summary.started_at, Some(stored))
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

/// Returns the earlier time. A host's time counts at most as late as the store's.
fn earlier(host: DateTime<Utc>, store: Option<DateTime<Utc>>) -> DateTime<Utc> {
    store.map_or(host, |store| host.min(store))
}
