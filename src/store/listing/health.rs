//! The age and the completeness of the backups of each cluster.

use crate::counted::count;
use crate::manifest::BackupName;
use crate::store::listing::chain_group::Role;
use crate::store::listing::listed::{Listed, ListedState};
use crate::store::listing::order::Order;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// An unfinished backup whose newest object is older than this is reported.
const ABANDONED: TimeDelta = TimeDelta::hours(24);

/// The limits for the backups of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest age of the newest finished backup.
    pub age: Duration,
    /// Largest age of the newest finished full backup; `None`: any age.
    pub full_age: Option<Duration>,
    /// Largest number of incrementals in the chain of the newest backup; `None`: any number.
    pub incrementals: Option<u64>,
}

/// The state of the backups of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClusterHealth {
    /// The first part of the names.
    pub cluster: String,
    /// The newest finished backup.
    pub newest: Option<BackupName>,
    /// The newest finished full backup.
    pub newest_full: Option<BackupName>,
    /// Seconds since the newest backup was finished.
    pub age_seconds: Option<i64>,
    /// Seconds since the newest finished full backup was finished.
    pub full_age_seconds: Option<i64>,
    /// Incrementals in the chain of the newest backup, up to it.
    pub incrementals: u64,
    /// Bytes of all objects of all backups.
    pub stored_bytes: u64,
    /// Number of these objects.
    pub objects: u64,
    /// Number of backups in any state.
    pub backups: u64,
    /// Number of backups that were not finished within 24 hours.
    pub unfinished: u64,
    /// Number of backups that lack objects or their base.
    pub damaged: u64,
    /// Reasons why a restore of the current state is impossible, or gives an older state than wanted.
    pub critical: Vec<String>,
    /// Findings that need attention.
    pub warnings: Vec<String>,
}

/// Examines a listing, cluster by cluster.
#[must_use]
pub fn health(listed: &[Listed], limits: &Limits, now: DateTime<Utc>) -> Vec<ClusterHealth> {
    let mut clusters: BTreeMap<&str, Vec<&Listed>> = BTreeMap::new();
    for backup in listed {
        clusters
            .entry(backup.name.cluster().unwrap_or_default())
            .or_default()
            .push(backup);
    }
    let order = Order::of(listed);
    let of =
        |(cluster, backups): (&str, Vec<&Listed>)| examine(cluster, &backups, &order, limits, now);
    clusters.into_iter().map(of).collect()
}

fn examine(
    cluster: &str,
    backups: &[&Listed],
    order: &Order<'_>,
    limits: &Limits,
    now: DateTime<Utc>,
) -> ClusterHealth {
    // finished backups of xtrabackup count too, because they can be restored
    let is_finished = |l: &Listed| l.is_whole() && !matches!(l.state, ListedState::BaseMissing(_));
    let newest_of = |fits: &dyn Fn(&Listed) -> bool| {
        let finished = backups
            .iter()
            .copied()
            .filter(|l| is_finished(l) && fits(l));
        finished.max_by(|a, b| order.compare(&a.name, &b.name))
    };
    let age = |l: &Listed| now - l.made_at();
    let newest = newest_of(&|_| true);
    let full = newest_of(&|l| l.role() == Role::Full);
    let incrementals = newest.map_or(0, |newest| {
        let before = |l: &&&Listed| {
            l.role() == Role::Member && l.name.base() == newest.name.base() && l.name <= newest.name
        };
        backups.iter().filter(before).count() as u64
    });
    let mut health = ClusterHealth {
        cluster: cluster.to_owned(),
        newest: newest.map(|l| l.name.clone()),
        newest_full: full.map(|l| l.name.clone()),
        age_seconds: newest.map(|l| age(l).num_seconds()),
        full_age_seconds: full.map(|l| age(l).num_seconds()),
        incrementals,
        stored_bytes: backups.iter().map(|l| l.stored_bytes).sum(),
        objects: backups.iter().map(|l| l.objects).sum(),
        backups: backups.len() as u64,
        unfinished: 0,
        damaged: 0,
        critical: Vec::new(),
        warnings: Vec::new(),
    };
    health.check_age(newest, full, limits, now);
    health.check_states(backups, now);
    if newest.is_some_and(Listed::lacks_tables) {
        health
            .critical
            .push("the newest backup lacks tables".to_owned());
    }
    if let Some(limit) = limits.incrementals
        && incrementals > limit
    {
        let found = count(incrementals, "incremental");
        health
            .warnings
            .push(format!("the newest chain has {found}, more than {limit}"));
    }
    health
}

impl ClusterHealth {
    fn check_age(
        &mut self,
        newest: Option<&Listed>,
        full: Option<&Listed>,
        limits: &Limits,
        now: DateTime<Utc>,
    ) {
        let Some(newest) = newest else {
            self.critical.push("no finished backup".to_owned());
            return;
        };
        let is_old = |l: &Listed, limit: Duration| {
            TimeDelta::from_std(limit).is_ok_and(|limit| now - l.made_at() > limit)
        };
        let age_text = |l: &Listed| format!("{} min old", (now - l.made_at()).num_minutes());
        if is_old(newest, limits.age) {
            let text = format!(
                "the newest backup, {}, is {}",
                newest.name,
                age_text(newest)
            );
            self.critical.push(text);
        }
        match (full, limits.full_age) {
            (Some(full), Some(limit)) if is_old(full, limit) => {
                let text = format!(
                    "the newest full backup, {}, is {}",
                    full.name,
                    age_text(full)
                );
                self.critical.push(text);
            }
            (None, Some(_)) => self.critical.push("no finished full backup".to_owned()),
            _ => {}
        }
    }

    fn check_states(&mut self, backups: &[&Listed], now: DateTime<Utc>) {
        for backup in backups {
            match &backup.state {
                ListedState::Damaged { reason } => {
                    self.damaged += 1;
                    self.critical
                        .push(format!("{} is damaged: {reason}", backup.name));
                }
                ListedState::BaseMissing(_) => {
                    self.damaged += 1;
                    self.critical
                        .push(format!("the base of {} is missing", backup.name));
                }
                ListedState::Deleting => {
                    self.warnings
                        .push(format!("the deletion of {} was not completed", backup.name));
                }
                _ if backup.is_unfinished() && now - backup.newest > ABANDONED => {
                    self.unfinished += 1;
                    self.warnings
                        .push(format!("{} was never finished", backup.name));
                }
                _ => {}
            }
        }
    }
}
