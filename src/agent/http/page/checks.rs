//! The last verifications and test restores.

use super::jobs::title;
use super::snapshot::Snapshot;
use super::{schedules, words};
use crate::agent::jobs::{Job, JobKind, State};
use crate::counted::count;
use chrono::{DateTime, Utc};
use maud::{Markup, html};

/// Renders the last verification of each kind, and those of the schedules.
pub(super) fn section(snapshot: &Snapshot) -> Markup {
    let mut last: Vec<&Job> = Vec::new();
    for job in &snapshot.jobs {
        let is_new = last.iter().all(|known| title(known) != title(job));
        if job.kind == JobKind::Verify && job.state.is_over() && is_new {
            last.push(job);
        }
    }
    let mut by_schedule = snapshot.schedules.iter().filter(|s| s.job == "verify");
    let none = last.is_empty() && by_schedule.clone().next().is_none();
    html! {
        section aria-labelledby="checks" {
            h2 id="checks" { "Proof" }
            @if none {
                p {
                    "No backup was verified by this agent. A schedule with " code { "job = \"verify\"" }
                    " proves regularly that the backups can be restored."
                }
            } @else {
                ul.rows {
                    @for job in last { li { (of_job(job, snapshot.now)) } }
                    @for schedule in by_schedule.by_ref() {
                        li {
                            "The schedule " strong { (words::plain(&schedule.name)) } ": "
                            @match schedule.last.first() {
                                Some(slot) => (schedules::sentence(slot, snapshot.now)),
                                None => "it has not run yet.",
                            }
                        }
                    }
                }
            }
        }
    }
}

fn of_job(job: &Job, now: DateTime<Utc>) -> Markup {
    let result = job.report.as_ref().map(|r| r.get("result").unwrap_or(r));
    let members = result.and_then(|result| result["members"].as_array());
    let (word, class) = match job.state {
        State::Succeeded => ("sound", "outcome good"),
        State::Cancelled => ("cancelled", "outcome attention"),
        _ => ("failed", "outcome wrong"),
    };
    html! {
        span class=(class) { (word) } " " strong { (title(job)) }
        @if let Some(members) = members { " of " (count(members.len(), "backup")) }
        @if let (Some(start), Some(end)) = (job.started_at, job.ended_at) {
            ", took " (words::span(end - start)) ", ended " (words::moment(end, now))
        }
        @if let Some(error) = &job.error { p.why { (words::sentence(&error.message)) } }
    }
}
