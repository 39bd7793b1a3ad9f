//! Which backups a policy lets go. Nothing is read or deleted here: what is decided is a function of a
//! listing and a time.
//!
//! Chains are kept or go as a whole ([`crate::store::family`]): a member that is kept needs those before it.
//! - `keep_full`: the chains of the newest N finished full backups of each cluster stay (the cluster
//!   is what names begin with; names of another form are one cluster). xtrabackup's count alike.
//! - `keep_days`: a chain of which any member is younger stays.
//! - `keep_daily`, `keep_weekly`, `keep_monthly`, `keep_yearly`: of the newest N days (ISO weeks, months, years; UTC) that
//!   have a finished full backup in a cluster, the chain of the newest one of each stays ([`super::periods`]).
//! - A pinned chain stays.
//! - Of all these, one that keeps is enough. The newest finished full backup of a cluster stays with its
//!   chain in any case, unless `keep_full` is 0 and `may_delete_all` says that this is meant.
//! - A full backup that lacks tables, because their files were missing when it was made, is none of those N and
//!   lets no other go: it goes when as many newer ones that have all tables are kept. One that has no newer one
//!   with all tables stays in any case.
//! - A chain stays that has no finished full backup (its members may be all that is left of it), that
//!   somebody works on, or that may still grow: with an unfinished member that is young.
//! - Of chains that stay, leftovers go: backups whose deletion was begun, and unfinished ones older
//!   than `unfinished_older_than`, by their newest object, when they certainly are lsnap's or
//!   xtrabackup's.
//! - Which is newest, LSNs decide before clocks ([`crate::store::listing::order`]). Where a clock and the store's time agree
//!   on another one, that stays too.
//! - What is damaged never goes by itself (the format of a newer lsnap looks like damage too), nor
//!   what doesn't say whether it is a full backup.

use crate::store::deletion::periods::{self, Full, Period};
use crate::store::error::deletion::DeletionFault;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::manifest::BackupName;
use crate::store::deletion::delete::InUse;
use crate::store::error::StoreError;
use crate::store::listing::chain_group::{ChainGroup, Role};
use crate::store::listing::listed::{Listed, ListedState};
use crate::store::listing::order::Order;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Finished full backups of each cluster, with their chains.
    pub keep_full: Option<u64>,
    /// Chains with a member younger than so many days.
    pub keep_days: Option<u32>,
    /// The newest full backup of each of so many days.
    pub keep_daily: Option<u64>,
    /// The newest full backup of each of so many ISO weeks.
    pub keep_weekly: Option<u64>,
    /// The newest full backup of each of so many months.
    pub keep_monthly: Option<u64>,
    /// The newest full backup of each of so many years.
    pub keep_yearly: Option<u64>,
    /// No chain goes: only what was never finished, or whose deletion was begun.
    pub unfinished_only: bool,
    /// How old the newest object of an unfinished backup must be, for it to be taken for abandoned.
    pub unfinished_older_than: Duration,
    /// With `keep_full` 0: the last finished backup of a cluster may go too.
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
            unfinished_only: false,
            unfinished_older_than: Duration::from_secs(24 * 3600),
            may_delete_all: false,
        }
    }
}

/// Why a backup goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Why {
    /// The policy keeps its chain no longer.
    Expired,
    /// It was never finished.
    Unfinished,
    /// Its deletion was begun before.
    Deleting,
}

/// Why a chain stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
    /// Only what was never finished goes.
    NoPolicy,
    /// Its full backup is the newest of its server by the clocks, though not by LSN.
    Disputed,
    /// It has no finished full backup.
    NoFull,
    /// Somebody works on it.
    InUse,
    /// A member may still be written.
    InProgress,
}

/// A backup that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ToDelete {
    /// Which one.
    pub name: BackupName,
    /// Why.
    pub why: Why,
    /// Number of its objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A chain that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Kept {
    /// Its full backup.
    pub name: BackupName,
    /// Why.
    pub why: Keep,
}

/// One deletion.
#[derive(Debug, Clone)]
pub(in crate::store) enum Step<'a> {
    /// A whole family.
    ChainGroup(&'a ChainGroup<'a>),
    /// One member of a family that stays.
    Leftover(&'a Listed),
}

/// What is to be done, in this order.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Plan<'a> {
    pub steps: Vec<Step<'a>>,
    pub kept: Vec<Kept>,
}

impl Policy {
    /// How many of each period it keeps.
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

    /// Whether it can be followed.
    ///
    /// # Errors
    /// [`DeletionFault::Policy`](crate::store::DeletionFault::Policy): it doesn't say what to keep, contradicts itself, or
    /// keeps nothing.
    pub fn check(&self) -> Result<(), StoreError> {
        let refuse = |reason: &str| {
            Err(StoreError::Deletion(DeletionFault::Policy {
                reason: reason.to_owned(),
            }))
        };
        let says = self.keep_full.is_some() || self.keeps_by_age();
        if says && self.unfinished_only {
            return refuse(
                "what to keep was said, and that only unfinished backups go: say one of them",
            );
        }
        if !says && !self.unfinished_only {
            return refuse(
                "no policy says what to keep: say it (full backups, days, or the newest of days, weeks, months or \
                 years), or that only unfinished backups go",
            );
        }
        if self.keep_full == Some(0) && !self.keeps_by_age() && !self.may_delete_all {
            return refuse(
                "to keep 0 full backups would delete every backup there is; confirm it, or keep some",
            );
        }
        Ok(())
    }

    /// Whether nothing was written to it for so long that nobody will.
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

/// Decides. Oldest chains go first, so that what is interrupted has deleted what matters least.
pub(in crate::store) fn plan<'a>(
    groups: &'a [ChainGroup<'a>],
    policy: &Policy,
    now: DateTime<Utc>,
    in_use: &InUse<'_>,
) -> Result<Plan<'a>, StoreError> {
    policy.check()?;
    let order = Order::over(groups.iter().flat_map(ChainGroup::members));
    let ranks = ranks(groups, &order);
    let disputed = disputed(&order);
    let by_period = by_period(groups, policy, &order);
    let mut plan = Plan::default();
    let mut expired = Vec::new();
    for (at, family) in groups.iter().enumerate() {
        let rank = ranks.get(&at).copied();
        let why = match (keep(family, rank, policy, now, in_use)?, by_period.get(&at)) {
            (None | Some(Keep::Last), Some(why)) => *why,
            (Some(why), _) => why,
            (None, None) if family.fulls.iter().any(|f| disputed.contains(&f.name)) => {
                Keep::Disputed
            }
            (None, None) => {
                expired.push(family);
                continue;
            }
        };
        plan.kept.push(Kept {
            name: family.name.clone(),
            why,
        });
        let leftovers = leftovers(family, policy, now);
        if !leftovers.is_empty() && why != Keep::InUse && !worked_on(family, in_use)? {
            plan.steps.extend(leftovers.into_iter().map(Step::Leftover));
        }
    }
    expired.sort_by_key(|family| (newest(family), &family.name));
    plan.steps.extend(expired.into_iter().map(Step::ChainGroup));
    Ok(plan)
}

impl Step<'_> {
    pub(in crate::store) fn name(&self) -> &BackupName {
        match self {
            Self::ChainGroup(family) => &family.name,
            Self::Leftover(backup) => &backup.name,
        }
    }

    /// The backups that it deletes, in their order.
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
            Self::ChainGroup(family) => family
                .members()
                .rev()
                .map(to_delete(Why::Expired))
                .collect(),
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

/// The place of each family's newest finished full backup in its cluster, from 0, the newest: the number of
/// newer ones that lack no tables.
fn ranks(groups: &[ChainGroup<'_>], order: &Order<'_>) -> BTreeMap<usize, u64> {
    // (name, which family, whether it lacks no tables)
    type Full<'a> = (&'a BackupName, usize, bool);
    let mut clusters: BTreeMap<&str, Vec<Full<'_>>> = BTreeMap::new();
    for (at, family) in groups.iter().enumerate() {
        for full in whole_fulls(family) {
            let cluster = full.name.cluster().unwrap_or_default();
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

/// The groups that stay because of a period, by their places in `groups`.
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

/// Full backups that are the newest of their server by every clock, though not by LSN: when the server was put
/// back to an older state, such a one is the newest indeed.
fn disputed(order: &Order<'_>) -> BTreeSet<BackupName> {
    let found = order.disagreements(|l| l.role() == Role::Full);
    found
        .into_iter()
        .inspect(|found| tracing::warn!("{found}"))
        .filter(|found| found.store_agrees)
        .map(|found| found.by_time)
        .collect()
}

fn whole_fulls<'a>(family: &'a ChainGroup<'a>) -> impl Iterator<Item = &'a Listed> {
    let whole = |l: &&Listed| l.role() == Role::Full && l.is_whole();
    family.fulls.iter().copied().filter(whole)
}

/// Why a family stays; `None`: it goes.
fn keep(
    family: &ChainGroup<'_>,
    rank: Option<u64>,
    policy: &Policy,
    now: DateTime<Utc>,
    in_use: &InUse<'_>,
) -> Result<Option<Keep>, StoreError> {
    if family.members().any(|l| l.pinned) {
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
    if family
        .members()
        .any(|l| has_bytes(l) && policy.is_young(l, now))
    {
        return Ok(Some(Keep::Young));
    }
    if rank == 0 && !(policy.keep_full == Some(0) && policy.may_delete_all) {
        let lacks = whole_fulls(family).all(Listed::lacks_tables);
        return Ok(Some(if lacks { Keep::Incomplete } else { Keep::Last }));
    }
    let is_being_written = |l: &Listed| l.is_unfinished() && !policy.is_abandoned(l, now);
    if family.members().any(is_being_written) {
        return Ok(Some(Keep::InProgress));
    }
    Ok(worked_on(family, in_use)?.then_some(Keep::InUse))
}

fn worked_on(family: &ChainGroup<'_>, in_use: &InUse<'_>) -> Result<bool, StoreError> {
    let mut roots: Vec<BackupName> = family.members().map(|l| l.name.base()).collect();
    roots.sort();
    roots.dedup();
    for root in &roots {
        match in_use(root) {
            Ok(false) => {}
            Ok(true) => return Ok(true),
            // one chain that can't be judged keeps no other
            Err(error) if !error.is_of_the_store() => {
                tracing::warn!("the chain of {root} is left alone: {error}");
                return Ok(true);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// What may be cleaned up of a family that stays, the newest first.
fn leftovers<'a>(
    family: &'a ChainGroup<'a>,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Vec<&'a Listed> {
    let mut found: Vec<&Listed> = Vec::new();
    for backup in family.members().rev() {
        let over = match backup.state {
            ListedState::Deleting => true,
            _ => backup.is_unfinished() && backup.leftover && policy.is_abandoned(backup, now),
        };
        // a full backup goes after all that lies in its chain, or not at all
        let needed = || {
            let mut needing = family.needing(backup).into_iter();
            needing.any(|l| !found.iter().any(|f| f.name == l.name))
        };
        if over && (backup.role() != Role::Full || !needed()) {
            found.push(backup);
        }
    }
    found
}

fn newest(family: &ChainGroup<'_>) -> Option<DateTime<Utc>> {
    family.members().map(Listed::made_at).max()
}
