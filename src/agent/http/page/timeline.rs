//! The chains of each repository, on a line of time.
//!
//! Positions are percentages of the width and sizes are pixels, so that points and texts have one size on every screen.

use super::snapshot::Snapshot;
use super::words;
use crate::agent::status::RepositoryStatus;
use crate::counted::count;
use crate::manifest::BackupKind;
use crate::store::{ChainGroup, Listed, ListedState, chain_groups};
use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

/// Chains of a repository that are shown, the newest.
const CHAINS: usize = 16;
/// Points of a chain that are drawn, the newest.
const POINTS: usize = 400;
/// Marks on the line of time: their texts fit on a phone.
const MARKS: i32 = 3;

/// Renders the repositories.
pub(super) fn section(snapshot: &Snapshot) -> Markup {
    html! {
        section aria-labelledby="backups" {
            h2 id="backups" { "Backups" }
            @for repository in &snapshot.status.repositories {
                (one(repository, snapshot.now))
            }
            @if snapshot.status.repositories.is_empty() { p { "There is no repository." } }
        }
    }
}

fn one(repository: &RepositoryStatus, now: DateTime<Utc>) -> Markup {
    let mut groups = chain_groups(&repository.listed);
    groups.sort_by_key(|group| std::cmp::Reverse(newest(group)));
    let bytes: u64 = repository.listed.iter().map(|one| one.stored_bytes).sum();
    let shown = groups.get(..groups.len().min(CHAINS)).unwrap_or_default();
    let axis = Axis::of(shown, now);
    html! {
        h3 { (words::plain(&repository.name)) " " span.url { (words::plain(&repository.url)) } }
        @match repository.listed_at {
            None => p { "It was not listed yet." },
            Some(at) if groups.is_empty() => p { "No backups, as listed " (words::relative(at, now)) "." },
            Some(at) => {
                p {
                    (count(repository.listed.len(), "backup")) " in " (count(groups.len(), "chain")) ", "
                    (words::size(bytes)) ", as listed " (words::relative(at, now)) "."
                }
                @if !shown.is_empty() {
                    ol.chains { @for group in shown { li { (chain(group, &axis, now)) } } }
                    (axis.marks())
                    (legend())
                }
                @if groups.len() > CHAINS {
                    p { "Older chains are not shown: " (groups.len() - CHAINS) "." }
                }
            }
        }
    }
}

fn newest(group: &ChainGroup<'_>) -> Option<DateTime<Utc>> {
    group.members().map(Listed::made_at).max()
}

/// The time that is shown.
struct Axis {
    start: DateTime<Utc>,
    length: TimeDelta,
}

impl Axis {
    fn of(groups: &[ChainGroup<'_>], now: DateTime<Utc>) -> Self {
        let times = groups.iter().flat_map(ChainGroup::members);
        let first = times.map(Listed::made_at).min().unwrap_or(now).min(now);
        Self {
            start: first,
            length: (now - first).max(TimeDelta::hours(1)),
        }
    }

    /// Returns the position of a time, in percent of the width: from 2 to 98, so that points are not cut.
    fn at(&self, time: DateTime<Utc>) -> String {
        let part = (time - self.start).as_seconds_f64() / self.length.as_seconds_f64();
        format!("{:.2}%", 2.0 + 96.0 * part.clamp(0.0, 1.0))
    }

    fn marks(&self) -> Markup {
        let format = if self.length > TimeDelta::days(3) {
            "%-d %b"
        } else {
            "%-d %b %H:%M"
        };
        html! {
            svg.axis width="100%" height="24" aria-hidden="true" {
                line x1="2%" x2="98%" y1="1" y2="1" {}
                @for n in 0..MARKS {
                    @let time = self.start + self.length * n / (MARKS - 1);
                    @let anchor = match n { 0 => "start", n if n + 1 == MARKS => "end", _ => "middle" };
                    line x1=(self.at(time)) x2=(self.at(time)) y1="1" y2="6" {}
                    text x=(self.at(time)) y="19" text-anchor=(anchor) {
                        @if n + 1 == MARKS { "now" } @else { (time.format(format)) }
                    }
                }
            }
        }
    }
}

/// Renders a chain: its words, and a line with a square for a full backup and a point for an incremental.
fn chain(group: &ChainGroup<'_>, axis: &Axis, now: DateTime<Utc>) -> Markup {
    let members: Vec<&Listed> = group.members().collect();
    let bytes: u64 = members.iter().map(|one| one.stored_bytes).sum();
    let pinned = members.iter().any(|one| one.pinned);
    let unfinished = members.iter().filter(|one| one.is_unfinished()).count();
    let bad = members.iter().filter(|one| is_broken(one)).count();
    let last = newest(group).unwrap_or(now);
    let first = members.iter().map(|one| one.made_at()).min().unwrap_or(now);
    let drawn = members.get(members.len().saturating_sub(POINTS)..);
    html! {
        p {
            strong { (words::plain(group.name.as_str())) }
            @if pinned { " " span."outcome runs" { "pinned" } }
            @if unfinished > 0 { " " span."outcome attention" { (unfinished) " unfinished" } }
            @if bad > 0 { " " span."outcome wrong" { (bad) " not usable" } }
        }
        p.facts {
            (count(group.fulls.len(), "full backup")) " and " (count(group.others.len(), "incremental")) ", "
            (words::size(bytes)) ", the newest " (words::relative(last, now))
        }
        svg.chain width="100%" height="20" aria-hidden="true" {
            line x1=(axis.at(first)) x2=(axis.at(last)) y1="10" y2="10" {}
            @for one in drawn.unwrap_or_default() { (point(one, axis)) }
        }
    }
}

fn is_broken(backup: &Listed) -> bool {
    let is_bad = matches!(
        backup.state,
        ListedState::BaseMissing(_) | ListedState::Damaged { .. }
    );
    is_bad || backup.lacks_tables()
}

fn point(backup: &Listed, axis: &Axis) -> Markup {
    let x = axis.at(backup.made_at());
    let (word, class) = match &backup.state {
        _ if backup.lacks_tables() => ("lacks tables", "wrong"),
        ListedState::BaseMissing(_) => ("its base is missing", "wrong"),
        ListedState::Damaged { .. } => ("damaged", "wrong"),
        ListedState::Deleting => ("being deleted", "attention"),
        _ if backup.is_unfinished() => ("unfinished", "attention"),
        _ => ("finished", "good"),
    };
    let text = format!(
        "{}: {word}, {}",
        words::plain(backup.name.last_part()),
        words::size(backup.stored_bytes)
    );
    html! {
        g class=(class) {
            title { (text) }
            @match (class, backup.kind()) {
                ("wrong", _) => {
                    // a cross, which is seen without colours too
                    svg x=(x) y="10" overflow="visible" {
                        path d="M-5,-5 L5,5 M-5,5 L5,-5" {}
                    }
                }
                (_, BackupKind::Full) => {
                    svg x=(x) y="10" overflow="visible" { rect x="-7" y="-7" width="14" height="14" {} }
                }
                (_, BackupKind::Incremental) => circle cx=(x) cy="10" r="5" {},
            }
        }
    }
}

fn legend() -> Markup {
    html! {
        ul.legend aria-hidden="true" {
            li { svg width="14" height="14" { g.good { rect x="1" y="1" width="12" height="12" {} } } " full" }
            li { svg width="14" height="14" { g.good { circle cx="7" cy="7" r="5" {} } } " incremental" }
            li { svg width="14" height="14" { g.attention { circle cx="7" cy="7" r="5" {} } } " unfinished" }
            li { svg width="14" height="14" { g.wrong { path d="M2,2 L12,12 M2,12 L12,2" {} } } " not usable" }
        }
    }
}
