//! Decides which backups a retention policy keeps. Nothing is read or deleted here: the decision is
//! a function of a listing and a time.
//!
//! Chains are kept or deleted as a whole ([`crate::store::ChainGroup`]): a member that is kept
//! needs those before it.
//! - `keep_full`: the chains of the newest N finished full backups of each cluster stay (the
//!   cluster is the prefix of the names; names of another form are one cluster). Backups of
//!   xtrabackup count too.
//! - `keep_days`: a chain of which any member is younger stays.
//! - `keep_daily`, `keep_weekly`, `keep_monthly`, `keep_yearly`: of the newest N days (ISO weeks,
//!   months, years; UTC) that have a finished full backup in a cluster, the chain of the newest one
//!   of each stays ([`super::periods`]).
//! - A pinned chain stays.
//! - One of these reasons is enough to keep a chain. The newest finished full backup of a cluster
//!   stays with its chain in any case, unless `keep_full` is 0 and `may_delete_all` confirms it.
//! - A full backup that lacks tables, because their files were missing when it was made, is not one
//!   of those N and doesn't replace another: it is deleted when as many newer ones with all tables
//!   are kept. If there is no newer one with all tables, it stays in any case.
//! - A chain stays if it has no finished full backup (its members may be all that is left of it),
//!   if it is in use, or if it may still grow: it has a young unfinished member.
//! - Leftovers in chains that stay are deleted: backups whose deletion was begun, and unfinished
//!   ones whose newest object is older than `unfinished_older_than`, if they certainly belong to
//!   lsnap or xtrabackup.
//! - LSNs decide which backup is the newest; clocks are used where LSNs don't decide
//!   ([`crate::store::listing::order`]). If a clock and the store's time agree on another one, that
//!   one stays too.
//! - A damaged backup is never deleted for its own sake (the format of a newer lsnap looks like
//!   damage too), nor is a backup whose type (full or incremental) is unknown.

use crate::store::deletion::periods::{self, Full, Period};
use crate::store::error::deletion::DeletionFault;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::manifest::BackupName;
use crate::store::deletion::delete::InUse;
use crate::store::error::StoreError;
use crate::store::listing::chain_group::{ChainGroup, Role, chain_groups};
use crate::store::listing::listed::{Listed, ListedState};
use crate::store::listing::order::Order;

/// The backups to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// This many newest finished full backups of each cluster, with their chains.
    pub keep_full: Option<u64>,
    /// Chains with a member younger than this many days.
    pub keep_days: Option<u32>,
    /// The newest full backup of each of this many days.
    pub keep_daily: Option<u64>,
    /// The newest full backup of each of this many ISO weeks.
    pub keep_weekly: Option<u64>,
    /// The newest full backup of each of this many months.
    pub keep_monthly: Option<u64>,
    /// The newest full backup of each of this many years.
    pub keep_yearly: Option<u64>,
    /// Only chains whose full backup was made by this schedule are deleted, and `keep_full` counts those, of all clusters.
    /// Everything else stays, also unfinished backups outside these chains.
    pub schedule: Option<String>,
    /// Deletes only backups that were never finished or whose deletion was begun; all chains stay.
    pub unfinished_only: bool,
    /// An unfinished backup counts as abandoned if its newest object is at least this old.
    pub unfinished_older_than: Duration,
    /// With `keep_full` 0: permits the deletion of the last finished backup of a cluster.
    pub may_delete_all: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            keep_full: None,
            keep_days: None,
            keep_daily: None,
            keep_weekly: None,
            keep_monthly: None,
            keep_yearly: None,
            schedule: None,
            unfinished_only: false,
            unfinished_older_than: Duration::from_secs(24 * 3600),
            may_delete_all: false,
        }
    }
}

/// The reason for the deletion of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Why {
    /// The policy doesn't keep its chain any longer.
    Expired,
    /// It was never finished.
    Unfinished,
    /// Its deletion was begun before.
    Deleting,
}

/// The reason why a chain stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Keep {
    /// Its full backup is one of the newest.
    Newest,
    /// It has a young member.
    Young,
    /// Its full backup is the newest of one of the days that are kept.
    Daily,
    /// Its full backup is the newest of one of the weeks that are kept.
    Weekly,
    /// Its full backup is the newest of one of the months that are kept.
    Monthly,
    /// Its full backup is the newest of one of the years that are kept.
    Yearly,
    /// It is pinned.
    Pinned,
    /// Its full backup is the last finished one of its cluster.
    Last,
    /// Its full backup lacks tables, and there is no newer one with all of them.
    Incomplete,
    /// The policy deletes only unfinished backups.
    NoPolicy,
    /// Its full backup is the newest of its server by the clocks, but not by LSN.
    Disputed,
    /// It has no finished full backup.
    NoFull,
    /// Its full backup was not made by the schedule of the policy.
    OtherSchedule,
    /// It is in use.
    InUse,
    /// A member may still be written.
    InProgress,
}

/// A backup that is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ToDelete {
    /// The backup.
    pub name: BackupName,
    /// The reason.
    pub why: Why,
    /// Number of its objects.
    pub objects: u64,
    /// Bytes of these objects.
    pub bytes: u64,
}

/// A chain that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Kept {
    /// Its full backup.
    pub name: BackupName,
    /// The reason.
    pub why: Keep,
}

/// A step of a plan.
#[derive(Debug, Clone)]
pub(in crate::store) enum Step<'a> {
    /// Deletes all chains of a group.
    ChainGroup(&'a ChainGroup<'a>),
    /// Deletes one member of a group that stays.
    Leftover(&'a Listed),
}

/// The steps to execute, in this order, and the chains that stay.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan<'a> {
    pub steps: Vec<Step<'a>>,
    pub kept: Vec<Kept>,
}

impl Policy {
    /// Returns how many periods of each length the policy keeps.
    const fn periods(&self) -> [(Period, Option<u64>); 4] {
        [
            (Period::Day, self.keep_daily),
            (Period::Week, self.keep_weekly),
            (Period::Month, self.keep_monthly),
            (Period::Year, self.keep_yearly),
        ]
    }

    fn keeps_by_age(&self) -> bool {
        let by_period = self
            .periods()
            .iter()
            .any(|(_, keep)| keep.is_some_and(|n| n > 0));
        by_period || self.keep_days.is_some()
    }

    /// Checks that the policy is valid.
    ///
    /// # Errors
    /// [`DeletionFault::Policy`](crate::store::DeletionFault::Policy): it has no rule, contradicts
    /// itself, or keeps nothing.
    pub fn check(&self) -> Result<(), StoreError> {
        let refuse = |reason: &str| {
            Err(StoreError::Deletion(DeletionFault::Policy {
                reason: reason.to_owned(),
            }))
        };
        let keeps = self.keep_full.is_some() || self.keeps_by_age();
        if keeps && self.unfinished_only {
            return refuse(
                "the policy has both rules to keep backups and Policy::unfinished_only: set one of them",
            );
        }
        if !keeps && !self.unfinished_only {
            return refuse(
                "the policy has no rule: set what to keep (full backups, days, or the newest of days, weeks, months or \
                 years), or Policy::unfinished_only",
            );
        }
        if self.keep_full == Some(0) && !self.keeps_by_age() && !self.may_delete_all {
            return refuse(
                "to keep 0 full backups would delete every backup; set Policy::may_delete_all to true to confirm it, or keep some",
            );
        }
        Ok(())
    }

    /// Returns whether the policy may delete something of a group. With a schedule, each full backup must be of it, and no
    /// backup of another program may depend on them.
    fn covers(&self, group: &ChainGroup<'_>) -> bool {
        let Some(name) = &self.schedule else {
            return true;
        };
        let of_schedule = |full: &&Listed| {
            let scheduled = full
                .summary()
                .and_then(|summary| summary.scheduled.as_ref());
            scheduled.is_some_and(|run| run.schedule == *name)
        };
        let loose = group.others.iter().any(|l| l.role() == Role::Loose);
        !loose && !group.fulls.is_empty() && group.fulls.iter().all(of_schedule)
    }

    /// Returns whether the newest object of a backup is so old that it counts as abandoned.
    fn is_abandoned(&self, backup: &Listed, now: DateTime<Utc>) -> bool {
        let wait = TimeDelta::from_std(self.unfinished_older_than).unwrap_or(TimeDelta::MAX);
        now.signed_duration_since(backup.newest) >= wait
    }

    fn is_young(&self, backup: &Listed, now: DateTime<Utc>) -> bool {
        let Some(days) = self.keep_days else {
            return false;
        };
        now.signed_duration_since(backup.made_at_the_latest()) < TimeDelta::days(i64::from(days))
    }
}

/// Creates the plan. The oldest chains come first, so that an interrupted run has deleted the least
/// important ones.
pub(super) fn plan<'a>(
    groups: &'a [ChainGroup<'a>],
    policy: &Policy,
    now: DateTime<Utc>,
    in_use: &InUse<'_>,
) -> Result<Plan<'a>, StoreError> {
    policy.check()?;
    let order = Order::over(groups.iter().flat_map(ChainGroup::members));
    let ranks = ranks(groups, policy, &order);
    let disputed = disputed(&order);
    let by_period = by_period(groups, policy, &order);
    let mut plan = Plan::default();
    let mut expired = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        if !policy.covers(group) {
            plan.kept.push(Kept {
                name: group.name.clone(),
                why: Keep::OtherSchedule,
            });
            continue;
        }
        let rank = ranks.get(&at).copied();
        let why = match (keep(group, rank, policy, now, in_use)?, by_period.get(&at)) {
            (None | Some(Keep::Last), Some(why)) => *why,
            (Some(why), _) => why,
            (None, None) if group.fulls.iter().any(|f| disputed.contains(&f.name)) => {
                Keep::Disputed
            }
            (None, None) => {
                expired.push(group);
                continue;
            }
        };
        plan.kept.push(Kept {
            name: group.name.clone(),
            why,
        });
        let leftovers = leftovers(group, policy, now);
        if !leftovers.is_empty() && why != Keep::InUse && !is_in_use(group, in_use)? {
            plan.steps.extend(leftovers.into_iter().map(Step::Leftover));
        }
    }
    expired.sort_by_key(|group| (newest(group), &group.name));
    plan.steps.extend(expired.into_iter().map(Step::ChainGroup));
    Ok(plan)
}

/// Returns the backups, in any state, of the chains that a policy keeps.
///
/// # Errors
/// [`DeletionFault::Policy`](crate::store::DeletionFault::Policy).
pub(crate) fn kept_backups(
    listed: &[Listed],
    policy: &Policy,
    now: DateTime<Utc>,
) -> Result<BTreeSet<BackupName>, StoreError> {
    let groups = chain_groups(listed);
    let kept = plan(&groups, policy, now, &|_| Ok(false))?.kept;
    let kept: BTreeSet<BackupName> = kept.into_iter().map(|kept| kept.name).collect();
    let members = groups
        .iter()
        .filter(|group| kept.contains(&group.name))
        .flat_map(ChainGroup::members);
    Ok(members.map(|l| l.name.clone()).collect())
}

impl Step<'_> {
    pub(in crate::store) fn name(&self) -> &BackupName {
        match self {
            Self::ChainGroup(group) => &group.name,
            Self::Leftover(backup) => &backup.name,
        }
    }

    /// Returns the backups that the step deletes, in order.
    pub(in crate::store) fn to_delete(&self) -> Vec<ToDelete> {
        let to_delete = |why| {
            move |backup: &Listed| ToDelete {
                name: backup.name.clone(),
                why,
                objects: backup.objects,
                bytes: backup.stored_bytes,
            }
        };
        match self {
            Self::ChainGroup(group) => group.members().rev().map(to_delete(Why::Expired)).collect(),
            Self::Leftover(backup) => {
                let why = match backup.state {
                    ListedState::Deleting => Why::Deleting,
                    _ => Why::Unfinished,
                };
                vec![to_delete(why)(backup)]
            }
        }
    }
}

/// Returns the rank of each group's newest finished full backup in its cluster: the number of newer
/// ones that have all tables.
fn ranks(groups: &[ChainGroup<'_>], policy: &Policy, order: &Order<'_>) -> BTreeMap<usize, u64> {
    // (name, index of the group, whether it has all tables)
    type Full<'a> = (&'a BackupName, usize, bool);
    let mut clusters: BTreeMap<&str, Vec<Full<'_>>> = BTreeMap::new();
    for (at, group) in groups.iter().enumerate() {
        if !policy.covers(group) {
            continue;
        }
        for full in whole_fulls(group) {
            // the agents of one schedule may run on several hosts
            let cluster = full.name.cluster().filter(|_| policy.schedule.is_none());
            let cluster = cluster.unwrap_or_default();
            let fulls = clusters.entry(cluster).or_default();
            fulls.push((&full.name, at, !full.lacks_tables()));
        }
    }
    let mut ranks = BTreeMap::new();
    for mut fulls in clusters.into_values() {
        fulls.sort_by(|a, b| order.compare(b.0, a.0));
        let mut rank = 0u64;
        for (_, at, counts) in fulls {
            let best = ranks.entry(at).or_insert(rank);
            *best = rank.min(*best);
            rank += u64::from(counts);
        }
    }
    ranks
}

/// Returns the groups that stay because of a period, by their indices in `groups`.
fn by_period(
    groups: &[ChainGroup<'_>],
    policy: &Policy,
    order: &Order<'_>,
) -> BTreeMap<usize, Keep> {
    let mut clusters: BTreeMap<&str, Vec<Full<'_>>> = BTreeMap::new();
    for (at, group) in groups.iter().enumerate() {
        for full in whole_fulls(group).filter(|full| !full.lacks_tables()) {
            let cluster = full.name.cluster().unwrap_or_default();
            let fulls = clusters.entry(cluster).or_default();
            fulls.push((&full.name, at, full.made_at()));
        }
    }
    let mut all = BTreeMap::new();
    for mut fulls in clusters.into_values() {
        fulls.sort_by(|a, b| order.compare(b.0, a.0));
        let kept = periods::kept(&fulls, policy.periods()).into_iter();
        all.extend(kept.map(|(at, period)| (at, Keep::from(period))));
    }
    all
}

impl From<Period> for Keep {
    fn from(period: Period) -> Self {
        match period {
            Period::Day => Self::Daily,
            Period::Week => Self::Weekly,
            Period::Month => Self::Monthly,
            Period::Year => Self::Yearly,
        }
    }
}

/// Returns full backups that are the newest of their server by every clock, but not by LSN. If the
/// server was restored to an older state, such a backup is in fact the newest.
fn disputed(order: &Order<'_>) -> BTreeSet<BackupName> {
    let found = order.disagreements(|l| l.role() == Role::Full);
    found
        .into_iter()
        .inspect(|found| tracing::warn!("{found}"))
        .filter(|found| found.store_agrees)
        .map(|found| found.by_time)
        .collect()
}

fn whole_fulls<'a>(group: &'a ChainGroup<'a>) -> impl Iterator<Item = &'a Listed> {
    let whole = |l: &&Listed| l.role() == Role::Full && l.is_whole();
    group.fulls.iter().copied().filter(whole)
}

/// Returns the reason why a group stays, or `None` if it is deleted.
fn keep(
    group: &ChainGroup<'_>,
    rank: Option<u64>,
    policy: &Policy,
    now: DateTime<Utc>,
    in_use: &InUse<'_>,
) -> Result<Option<Keep>, StoreError> {
    if group.members().any(|l| l.pinned) {
        return Ok(Some(Keep::Pinned));
    }
    let Some(rank) = rank else {
        return Ok(Some(Keep::NoFull));
    };
    if policy.unfinished_only {
        return Ok(Some(Keep::NoPolicy));
    }
    if policy.keep_full.is_some_and(|keep| rank < keep) {
        return Ok(Some(Keep::Newest));
    }
    let has_bytes = |l: &Listed| l.is_whole() || matches!(l.state, ListedState::Damaged { .. });
    if group
        .members()
        .any(|l| has_bytes(l) && policy.is_young(l, now))
    {
        return Ok(Some(Keep::Young));
    }
    if rank == 0 && !(policy.keep_full == Some(0) && policy.may_delete_all) {
        let lacks = whole_fulls(group).all(Listed::lacks_tables);
        return Ok(Some(if lacks { Keep::Incomplete } else { Keep::Last }));
    }
    let is_being_written = |l: &Listed| l.is_unfinished() && !policy.is_abandoned(l, now);
    if group.members().any(is_being_written) {
        return Ok(Some(Keep::InProgress));
    }
    Ok(is_in_use(group, in_use)?.then_some(Keep::InUse))
}

fn is_in_use(group: &ChainGroup<'_>, in_use: &InUse<'_>) -> Result<bool, StoreError> {
    let mut roots: Vec<BackupName> = group.members().map(|l| l.name.base()).collect();
    roots.sort();
    roots.dedup();
    for root in &roots {
        match in_use(root) {
            Ok(false) => {}
            Ok(true) => return Ok(true),
            // a chain that can't be judged must not prevent the deletion of others
            Err(error) if !error.is_of_the_store() => {
                tracing::warn!("the chain of {root} is not changed: {error}");
                return Ok(true);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Returns the leftovers that may be removed from a group that stays, the newest first.
fn leftovers<'a>(
    group: &'a ChainGroup<'a>,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Vec<&'a Listed> {
    let mut found: Vec<&Listed> = Vec::new();
    for backup in group.members().rev() {
        let over = match backup.state {
            ListedState::Deleting => true,
            _ => backup.is_unfinished() && backup.leftover && policy.is_abandoned(backup, now),
        };
        // a full backup is deleted after all others in its chain, or not at all
        let needed = || {
            let mut needing = group.needing(backup).into_iter();
            needing.any(|l| !found.iter().any(|f| f.name == l.name))
        };
        if over && (backup.role() != Role::Full || !needed()) {
            found.push(backup);
        }
    }
    found
}

fn newest(group: &ChainGroup<'_>) -> Option<DateTime<Utc>> {
    group.members().map(Listed::made_at).max()
}
