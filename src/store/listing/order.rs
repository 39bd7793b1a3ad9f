//! The order of backups by age.
//!
//! Names and manifests contain the time of the host that made the backup, and clocks jump: a backup
//! made while a clock ran a year ahead would be the newest for a year. Therefore criteria that
//! don't depend on clocks come first:
//!
//! 1. Backups of one server and one redo log (with the same `server_uuid` and UUID of the log) are
//!    ordered by their LSNs, which only grow: by the end of their redo log, then by their `to_lsn`.
//! 2. A backup is newer than its base.
//! 3. Others are ordered by time: the host's, but never later than the store's time of the manifest
//!    (which is later in a copied repository), nor earlier than a backup that precedes it by 1 and
//!    2.
//! 4. Names break ties.
//!
//! The order is total and depends only on the set of backups: every backup gets a key.
//!
//! If 1 and the time disagree, a warning is needed ([`Disagreement`]): a clock was wrong, or the
//! server was restored to an older state, which LSNs can't distinguish.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};

use crate::innodb::Lsn;
use crate::manifest::BackupName;
use crate::store::listing::listed::{Listed, ListedState};

/// A set of backups whose LSNs can be compared: of one server with one redo log. Other backups form
/// a set of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Line {
    Log { server: String, redo: Option<u32> },
    Alone(BackupName),
}

/// The sort key of a backup; the greatest is the newest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Age {
    /// Never earlier than that of an earlier backup of the same line.
    time: DateTime<Utc>,
    line: Line,
    within: Within,
}

/// The sort key within a line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Within {
    /// The end of its redo log, which is the state that it restores. Backups with the same start
    /// have the same `to_lsn`, and of two concurrent backups the one that began first may end last.
    last_lsn: Lsn,
    to_lsn: Lsn,
    /// Never earlier than its base's.
    time: DateTime<Utc>,
    /// Number of backups in the chain before it.
    depth: u64,
    name: BackupName,
}

/// The sort keys of backups.
#[derive(Debug)]
pub(in crate::store) struct Order<'a> {
    ages: HashMap<&'a BackupName, Age>,
    /// The finished backups of each line, the oldest first.
    lines: Vec<Vec<&'a Listed>>,
}

impl<'a> Order<'a> {
    /// Orders the finished backups of a listing; other backups have no key.
    pub fn of(listed: &'a [Listed]) -> Self {
        Self::over(listed.iter())
    }

    /// As [`Self::of`], over an iterator.
    pub fn over(listed: impl Iterator<Item = &'a Listed>) -> Self {
        let whole: HashMap<&BackupName, &Listed> = listed
            .filter(|l| l.is_whole())
            .map(|l| (&l.name, l))
            .collect();
        let mut steps = HashMap::new();
        // sorted, so that the start of a cycle of links doesn't depend on the order of a map
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

    /// Returns the key of a backup; `None` (the least) if it isn't finished.
    fn age(&self, backup: &BackupName) -> Option<&Age> {
        self.ages.get(backup)
    }

    pub fn compare(&self, a: &BackupName, b: &BackupName) -> Ordering {
        self.age(a).cmp(&self.age(b))
    }

    /// Returns the lines whose newest backup by LSN is not the newest by the host's time,
    /// considering only backups that `fits` accepts. The result tells whether the store's time
    /// agrees with the host's.
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

/// Determines the time of a backup, never earlier than its base's, and the number of backups in the
/// chain before it. A cycle of links is cut where the walk began.
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
        // a preliminary value until its base is known; it also ends a cycle
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

/// Returns the base of a backup, if the backup of that name has the recorded ID.
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

/// Returns the time of the state in the backup, by the host's clock.
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

/// Two backups of one server whose LSNs and times give different orders.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disagreement {
    /// The newest by LSN, which decides.
    pub by_lsn: BackupName,
    /// The newest by the clocks.
    pub by_time: BackupName,
    /// Whether the store's clock agrees with the host's.
    pub store_agrees: bool,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is later than {} by the clock of its host, but the latter is newer by the LSN of the same server, which \
             decides: a clock was wrong, or the server was restored to an older state (then give the name of the wanted \
             backup)",
            self.by_time, self.by_lsn
        )
    }
}

/// Returns the backups of a listing whose order by LSN differs from that by time. Check then which
/// backup `latest` means.
#[must_use]
pub fn disagreements(listed: &[Listed]) -> Vec<Disagreement> {
    Order::of(listed).disagreements(|_| true)
}
