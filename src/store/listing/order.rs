//! Which of two backups is the newer one.
//!
//! Names and manifests carry the clock of the host that made the backup, and clocks jump: a backup that was
//! made while a clock ran a year ahead would be the newest for a year. What can't lie comes first:
//!
//! 1. Backups of one server and one redo log (its `server_uuid` and the UUID of the log) are in the order of their
//!    LSNs, which only grow: of those at which their redo ends, then of their `to_lsn`.
//! 2. A backup is newer than its base.
//! 3. Others are in the order of time: the host's, but never later than the store's time of the manifest (a
//!    copied repository has later ones), nor earlier than a backup that 1 and 2 put before.
//! 4. Names break ties.
//!
//! The order is total, and a function of the set alone: every backup gets a key.
//!
//! Where 1 and time disagree, somebody should know ([`Disagreement`]): a clock was wrong, or the server was
//! put back to an older state, which LSNs can't tell from each other.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};

use crate::innodb::Lsn;
use crate::manifest::BackupName;
use crate::store::listing::listed::{Listed, ListedState};

/// What LSNs can be compared within: one server with one redo log. Others stand for themselves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Line {
    Log { server: String, redo: Option<u32> },
    Alone(BackupName),
}

/// The place of a backup in the order; the greatest is the newest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct Age {
    /// Never earlier than that of one before it in its line.
    time: DateTime<Utc>,
    line: Line,
    within: Within,
}

/// The place in a line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Within {
    /// Where its redo ends: the state that it restores. Backups of the same start have the same `to_lsn`, and of
    /// two that ran at the same time the one that began first may end last.
    last_lsn: Lsn,
    to_lsn: Lsn,
    /// Never earlier than its base's.
    time: DateTime<Utc>,
    /// How many backups it stands on.
    depth: u64,
    name: BackupName,
}

/// The keys of backups.
#[derive(Debug)]
pub(in crate::store) struct Order<'a> {
    ages: HashMap<&'a BackupName, Age>,
    /// Whole backups of each line, the oldest first.
    lines: Vec<Vec<&'a Listed>>,
}

impl<'a> Order<'a> {
    /// Orders the whole backups of a listing; others have no place.
    pub fn of(listed: &'a [Listed]) -> Self {
        Self::over(listed.iter())
    }

    /// As [`Self::of`].
    pub fn over(listed: impl Iterator<Item = &'a Listed>) -> Self {
        let whole: HashMap<&BackupName, &Listed> = listed
            .filter(|l| l.is_whole())
            .map(|l| (&l.name, l))
            .collect();
        let mut steps = HashMap::new();
        // sorted: where a circle of links is begun must not depend on the order of a map
        let mut names: Vec<&BackupName> = whole.keys().copied().collect();
        names.sort();
        for name in names {
            step(name, &whole, &mut steps);
        }
        let mut lines: HashMap<Line, Vec<(Within, &Listed)>> = HashMap::new();
        for (name, backup) in &whole {
            let (time, depth) = steps.get(*name).copied().unwrap_or((when(backup), 0));
            let summary = backup.finished();
            let within = Within {
                last_lsn: summary.map_or(Lsn(0), |s| s.lsn.last_lsn),
                to_lsn: summary.map_or(Lsn(0), |s| s.lsn.to_lsn),
                time,
                depth,
                name: backup.name.clone(),
            };
            lines
                .entry(line(backup))
                .or_default()
                .push((within, backup));
        }
        let mut order = Self {
            ages: HashMap::with_capacity(whole.len()),
            lines: Vec::with_capacity(lines.len()),
        };
        let mut lines: Vec<_> = lines.into_iter().collect();
        lines.sort_by(|a, b| a.0.cmp(&b.0));
        for (line, mut members) in lines {
            members.sort_by(|a, b| a.0.cmp(&b.0));
            let mut latest = DateTime::<Utc>::MIN_UTC;
            for (within, backup) in &members {
                latest = latest.max(within.time);
                let age = Age {
                    time: latest,
                    line: line.clone(),
                    within: within.clone(),
                };
                order.ages.insert(&backup.name, age);
            }
            order
                .lines
                .push(members.into_iter().map(|(_, b)| b).collect());
        }
        order
    }

    /// The key of a backup; `None` (the least) of one that is not whole.
    pub fn age(&self, backup: &BackupName) -> Option<&Age> {
        self.ages.get(backup)
    }

    pub fn compare(&self, a: &BackupName, b: &BackupName) -> Ordering {
        self.age(a).cmp(&self.age(b))
    }

    /// Where the newest of a line by LSN is not the newest by both the host's time and the store's, of
    /// those that `fits` takes.
    pub fn disagreements(&self, fits: impl Fn(&Listed) -> bool) -> Vec<Disagreement> {
        let mut found = Vec::new();
        for line in &self.lines {
            let of = || line.iter().copied().filter(|l| fits(l));
            let Some(by_lsn) = of().next_back() else {
                continue;
            };
            let Some(by_time) = of().max_by_key(|l| (started(l), &l.name)) else {
                continue;
            };
            let lsns = |l: &Listed| l.finished().map(|s| (s.lsn.last_lsn, s.lsn.to_lsn));
            if started(by_time) > started(by_lsn) && lsns(by_time) < lsns(by_lsn) {
                let by_store = of().max_by_key(|l| (l.finished_at_store, &l.name));
                found.push(Disagreement {
                    by_lsn: by_lsn.name.clone(),
                    by_time: by_time.name.clone(),
                    store_agrees: by_store.is_some_and(|l| l.name == by_time.name),
                });
            }
        }
        found
    }
}

/// The time of a backup, never earlier than its base's, and how many it stands on. Links that form a
/// circle end where they began.
fn step<'a>(
    name: &'a BackupName,
    whole: &HashMap<&'a BackupName, &'a Listed>,
    steps: &mut HashMap<&'a BackupName, (DateTime<Utc>, u64)>,
) {
    let mut path = Vec::new();
    let mut at = Some(name);
    while let Some(name) = at
        && !steps.contains_key(name)
        && let Some(backup) = whole.get(name)
    {
        // until its base is known; also what ends a circle
        steps.insert(name, (when(backup), 0));
        path.push((name, *backup));
        at = base(backup, whole);
    }
    for (name, backup) in path.into_iter().rev() {
        let below = base(backup, whole).and_then(|base| steps.get(base).copied());
        let own = when(backup);
        let (time, depth) = below.map_or((own, 0), |(time, depth)| {
            (own.max(time), depth.saturating_add(1))
        });
        steps.insert(name, (time, depth));
    }
}

/// The base of a backup, if it is the very one.
fn base<'a>(
    backup: &'a Listed,
    whole: &HashMap<&'a BackupName, &'a Listed>,
) -> Option<&'a BackupName> {
    let reference = backup.finished()?.base.as_ref()?;
    let base = whole.get(&reference.name)?;
    let same = base.finished().is_some_and(|s| s.id == reference.id);
    (same && base.name != backup.name).then_some(&base.name)
}

fn line(backup: &Listed) -> Line {
    match &backup.state {
        ListedState::Finished(summary) => Line::Log {
            server: summary.server_uuid.clone(),
            redo: summary.redo_log_uuid,
        },
        _ => Line::Alone(backup.name.clone()),
    }
}

/// The time of the state that the backup holds, by the host's clock.
fn started(backup: &Listed) -> DateTime<Utc> {
    match backup.finished() {
        Some(summary) => summary.started_at,
        None => backup.made_at(),
    }
}

fn when(backup: &Listed) -> DateTime<Utc> {
    let started = started(backup);
    backup
        .finished_at_store
        .map_or(started, |stored| started.min(stored))
}

/// Two backups of one server whose LSNs and times put them in different orders.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disagreement {
    /// The newest by the LSN, which counts.
    pub by_lsn: BackupName,
    /// The newest by the clocks.
    pub by_time: BackupName,
    /// The store's clock says so too.
    pub store_agrees: bool,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is later than {} by the clock of its host, but the latter is newer by the LSN of the same server, which \
             counts: a clock was wrong, or the server was put back to an older state (then name the backup that is \
             meant)",
            self.by_time, self.by_lsn
        )
    }
}

/// What of a listing is in one order by LSN and in another by time: what `latest` may mean is then better
/// looked at.
#[must_use]
pub fn disagreements(listed: &[Listed]) -> Vec<Disagreement> {
    Order::of(listed).disagreements(|_| true)
}
