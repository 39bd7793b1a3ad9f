//! What runs, and what ended lately.

use super::snapshot::Snapshot;
use super::words;
use crate::agent::jobs::{Job, JobKind, Origin, Progress, State};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

/// Ended jobs that are shown.
const ENDED: usize = 12;

/// Renders the jobs that run or wait.
pub(super) fn running(snapshot: &Snapshot) -> Markup {
    let jobs: Vec<&Job> = snapshot
        .jobs
        .iter()
        .filter(|job| !job.state.is_over())
        .collect();
    html! {
        section aria-labelledby="running" {
            h2 id="running" { "Now" }
            @if jobs.is_empty() {
                p { "Nothing runs." }
            } @else {
                ul.jobs {
                    // the oldest first: in the order in which they run
                    @for job in jobs.iter().rev() { li { (one(job, snapshot.now)) } }
                }
            }
        }
    }
}

fn one(job: &Job, now: DateTime<Utc>) -> Markup {
    html! {
        p.job {
            strong { (title(job)) }
            @match job.started_at {
                Some(at) => { " has run for " (words::span(now - at)) }
                None => { " waits, asked for " (words::relative(job.queued_at, now)) }
            }
            @if job.state == State::Cancelling { ", is being cancelled" }
            (origin(job))
        }
        @if let Some(progress) = &job.progress { (bar(progress, &job.id.0)) }
    }
}

fn bar(progress: &Progress, id: &str) -> Markup {
    let phase = words::plain(&progress.phase.replace('_', " "));
    let done = words::size(progress.bytes);
    match progress.total.filter(|total| *total > 0) {
        Some(total) => {
            let part = progress.bytes.min(total);
            let percent = (part as f64 / total as f64 * 100.0).floor();
            html! {
                div.progress {
                    progress max=(total) value=(part) aria-label=(format!("{phase} of {}", words::plain(id))) {}
                    span { (phase) ": " (percent) "%, " (done) " of " (words::size(total)) }
                }
            }
        }
        None => html! { div.progress { span { (phase) ": " (done) } } },
    }
}

/// Returns the words for a job: `Full backup`, `Verification with test restore of offsite`.
pub(super) fn title(job: &Job) -> String {
    let has = |flag: &str| job.arguments.iter().any(|argument| argument == flag);
    let what = match job.kind {
        JobKind::Backup if has("--full") => "Full backup",
        JobKind::Backup if has("--incremental") => "Incremental backup",
        JobKind::Backup => "Backup",
        JobKind::Consolidate => "Consolidation",
        JobKind::Verify if has("--restore") => "Test restore",
        JobKind::Verify if has("--data") => "Verification of the data",
        JobKind::Verify => "Verification",
        JobKind::Prune => "Deletion by the retention policy",
        JobKind::Delete => "Deletion",
        JobKind::Copy => "Copy",
        JobKind::Check => "Check",
        JobKind::Pin => "Pin",
        JobKind::Unpin => "Removal of a pin",
    };
    match &job.repository {
        Some(repository) => format!("{what} ({})", words::plain(repository)),
        None => what.to_owned(),
    }
}

fn origin(job: &Job) -> Markup {
    html! {
        @match &job.origin {
            Origin::Schedule { schedule, attempt, .. } => {
                ", by the schedule " (words::plain(schedule))
                @if *attempt > 1 { ", try " (attempt) }
            }
            Origin::RunNow { schedule } => { ", the schedule " (words::plain(schedule)) " by request" }
            Origin::Request => ", by request",
        }
    }
}

/// Renders the jobs that ended lately.
pub(super) fn ended(snapshot: &Snapshot) -> Markup {
    let jobs: Vec<&Job> = snapshot
        .jobs
        .iter()
        .filter(|job| job.state.is_over())
        .take(ENDED)
        .collect();
    html! {
        section aria-labelledby="ended" {
            h2 id="ended" { "Last jobs of this agent" }
            @if jobs.is_empty() {
                p { "No job ended since the agent began." }
            } @else {
                ul.rows {
                    @for job in jobs { li { (row(job, snapshot.now)) } }
                }
            }
        }
    }
}

fn row(job: &Job, now: DateTime<Utc>) -> Markup {
    let (word, class) = match job.state {
        State::Succeeded => ("succeeded", "outcome good"),
        State::Cancelled => ("cancelled", "outcome attention"),
        _ => ("failed", "outcome wrong"),
    };
    html! {
        span class=(class) { (word) } " "
        strong { (title(job)) }
        (origin(job))
        @if let (Some(start), Some(end)) = (job.started_at, job.ended_at) {
            ", took " (words::span(end - start)) ", ended " (words::moment(end, now))
        }
        @if let Some(error) = &job.error {
            p.why { (words::sentence(&error.message)) }
            @if let Some(hint) = &error.hint { p.hint { (words::sentence(hint)) } }
        }
    }
}
