//! What is wrong, in words.

use super::super::probes::{LEAST_FREE, is_old};
use super::snapshot::Snapshot;
use super::words;
use crate::agent::jobs::{Job, JobKind, Origin, State};
use crate::agent::schedule::{Outcome, ScheduleStatus};
use crate::agent::status::RepositoryStatus;
use crate::counted::count;
use crate::store::{self, Limits};
use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};
use std::time::Duration;

/// The scheduler makes a step at least this often.
const STEP: Duration = Duration::from_secs(300);
/// A slot may begin this late before it is reported.
const LATE: TimeDelta = TimeDelta::minutes(15);

/// Something that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// A backup or a restore is impossible, or failed.
    pub(super) is_critical: bool,
    /// What is wrong: a sentence.
    pub(super) what: String,
    /// More about it: the text of an error.
    pub(super) why: Option<String>,
    /// When it was found.
    pub(super) at: Option<DateTime<Utc>>,
}

fn finding(is_critical: bool, what: String) -> Finding {
    Finding {
        is_critical,
        what,
        why: None,
        at: None,
    }
}

impl Finding {
    fn because(self, why: Option<&str>) -> Self {
        Self {
            why: why.map(words::sentence),
            ..self
        }
    }

    fn at(self, at: Option<DateTime<Utc>>) -> Self {
        Self { at, ..self }
    }
}

/// Returns what is wrong, the worst first.
pub(super) fn of(snapshot: &Snapshot) -> Vec<Finding> {
    let mut all = of_agent(snapshot);
    for repository in &snapshot.status.repositories {
        all.extend(of_repository(repository, snapshot));
    }
    for schedule in &snapshot.schedules {
        all.extend(of_schedule(schedule, snapshot.now));
    }
    all.extend(of_jobs(&snapshot.jobs));
    all.sort_by_key(|finding| !finding.is_critical);
    all
}

fn of_agent(snapshot: &Snapshot) -> Vec<Finding> {
    let mut all = Vec::new();
    let status = &snapshot.status;
    if status.shutting_down {
        let what = "The agent is shutting down: no new job begins.";
        all.push(finding(false, what.to_owned()));
    }
    if snapshot.idle > STEP {
        let minutes = count(snapshot.idle.as_secs() / 60, "minute");
        let what = format!("The scheduler has not moved for {minutes}: restart the agent.");
        all.push(finding(true, what));
    }
    if let Some(server) = &status.server
        && let Err(why) = &server.reached
    {
        let what = "The MySQL server is not reached.".to_owned();
        all.push(finding(true, what).because(Some(why)).at(Some(server.at)));
    } else if let Some(server) = &status.server
        && is_old(server.at, status, &snapshot.settings)
    {
        let before = words::relative(server.at, snapshot.now);
        let what = format!("The MySQL server was asked last {before}: restart the agent.");
        all.push(finding(true, what));
    }
    match snapshot.free {
        Some(free) if free < LEAST_FREE => {
            let free = words::size(free);
            let what = format!("The agent's directory has only {free} of free space.");
            all.push(finding(true, what));
        }
        None => {
            let what = "The agent's directory can't be read.".to_owned();
            all.push(finding(true, what));
        }
        Some(_) => {}
    }
    all
}

fn of_repository(repository: &RepositoryStatus, snapshot: &Snapshot) -> Vec<Finding> {
    let now = snapshot.now;
    let name = words::plain(&repository.name);
    let mut all = Vec::new();
    if let Some(why) = &repository.error {
        let before = match repository.listed_at {
            Some(at) => format!("it was listed last {}", words::relative(at, now)),
            None => "it was never listed since the agent began".to_owned(),
        };
        let what = format!("The repository {name} can't be listed; {before}.");
        all.push(finding(true, what).because(Some(why)));
    }
    let Some(listed_at) = repository.listed_at else {
        if repository.error.is_none() {
            let what = format!("The repository {name} was not listed yet.");
            all.push(finding(false, what));
        }
        return all;
    };
    if repository.error.is_none() && is_old(listed_at, &snapshot.status, &snapshot.settings) {
        let before = words::relative(listed_at, now);
        let what = format!("The repository {name} was listed last {before}: restart the agent.");
        all.push(finding(true, what));
    }
    if repository.listed.is_empty() {
        let what = format!("The repository {name} has no backup.");
        all.push(finding(false, what));
    }
    // Schedules tell whether a backup is too old.
    let limits = Limits {
        age: Duration::MAX,
        full_age: None,
        incrementals: None,
    };
    let health = store::health(&repository.listed, &limits, now);
    for cluster in &health {
        let critical = cluster.critical.iter().map(|text| (true, text));
        let warnings = cluster.warnings.iter().map(|text| (false, text));
        for (is_critical, text) in critical.chain(warnings) {
            let cluster = words::plain(&cluster.cluster);
            let text = words::message(text);
            let what = format!("Backups of {cluster} in {name}: {text}.");
            all.push(finding(is_critical, what));
        }
    }
    all
}

fn of_schedule(schedule: &ScheduleStatus, now: DateTime<Utc>) -> Vec<Finding> {
    let name = words::plain(&schedule.name);
    let mut all = Vec::new();
    if schedule.paused {
        let what = format!("The schedule {name} is paused.");
        all.push(finding(false, what));
    }
    let ended = |slot: &&_| !is_running(slot);
    if let Some(last) = schedule.last.iter().find(ended) {
        let at = words::plain(&last.slot.format("%Y-%m-%d %H:%M UTC").to_string());
        let what = match last.outcome {
            Outcome::Failed => Some(format!("The schedule {name} failed in its slot of {at}.")),
            Outcome::Missed => Some(format!(
                "The schedule {name} missed its slot of {at}: no agent ran it."
            )),
            Outcome::Running | Outcome::Succeeded | Outcome::Skipped => None,
        };
        all.extend(what.map(|what| {
            let found = finding(true, what).because(last.error.as_deref());
            found.at(last.ended_at)
        }));
    }
    let runs = schedule.last.first().is_some_and(is_running);
    if let Some(next) = schedule.next
        && now - next > LATE
        && !runs
        && !schedule.paused
    {
        let late = words::span(now - next);
        let what = format!("The schedule {name} is {late} late.");
        all.push(finding(true, what));
    }
    all
}

fn is_running(slot: &crate::agent::schedule::SlotStatus) -> bool {
    slot.outcome == Outcome::Running
}

/// Returns the last job of each kind and repository, if it failed. The jobs of slots are reported with their schedules.
fn of_jobs(jobs: &[Job]) -> Vec<Finding> {
    let mut seen: Vec<(JobKind, Option<&str>)> = Vec::new();
    let mut all = Vec::new();
    for job in jobs.iter().filter(|job| job.state.is_over()) {
        let key = (job.kind, job.repository.as_deref());
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        let is_of_a_slot = matches!(job.origin, Origin::Schedule { .. });
        if job.state == State::Failed && !is_of_a_slot {
            let what = format!("The last lsnap {} failed.", job.kind.command());
            let why = job.error.as_ref().map(|error| error.message.as_str());
            all.push(finding(true, what).because(why).at(job.ended_at));
        }
    }
    all
}

/// Returns what was found to be well.
fn all_is_well(snapshot: &Snapshot) -> &'static str {
    match (&snapshot.status.server, snapshot.schedules.is_empty()) {
        (Some(_), false) => {
            "The server and the repositories are reached, and no schedule failed or is late."
        }
        (None, false) => "The repositories are reached, and no schedule failed or is late.",
        (Some(_), true) => "The server and the repositories are reached. Nothing is scheduled.",
        (None, true) => "The repositories are reached. Nothing is scheduled.",
    }
}

/// Renders the first section.
pub(super) fn section(findings: &[Finding], snapshot: &Snapshot) -> Markup {
    let now = snapshot.now;
    let critical = findings.iter().filter(|found| found.is_critical).count();
    let headline = match (critical, findings.len()) {
        (_, 0) => "All is well".to_owned(),
        (0, 1) => "1 thing needs attention".to_owned(),
        (0, n) => format!("{} need attention", count(n, "thing")),
        (1, _) => "1 thing is wrong".to_owned(),
        (n, _) => format!("{} are wrong", count(n, "thing")),
    };
    let state = match (critical, findings.is_empty()) {
        (_, true) => "verdict good",
        (0, false) => "verdict attention",
        (_, false) => "verdict wrong",
    };
    html! {
        section class=(state) aria-labelledby="verdict" {
            h2 id="verdict" { (headline) }
            @if findings.is_empty() {
                p { (all_is_well(snapshot)) }
            } @else {
                ul.findings {
                    @for found in findings {
                        li class=(if found.is_critical { "wrong" } else { "attention" }) {
                            p {
                                strong { (if found.is_critical { "Wrong: " } else { "Attention: " }) }
                                (found.what)
                            }
                            @if let Some(why) = &found.why { p.why { (why) } }
                            @if let Some(at) = found.at { p.when { (words::moment(at, now)) } }
                        }
                    }
                }
            }
        }
    }
}
