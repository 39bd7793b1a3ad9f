//! What comes next.

use super::snapshot::Snapshot;
use super::words;
use crate::agent::schedule::{Outcome, ScheduleStatus, SlotStatus};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

/// Slots of a schedule that are shown.
const SLOTS: usize = 14;

/// Renders the schedules, the next one first.
pub(super) fn section(snapshot: &Snapshot) -> Markup {
    let mut schedules: Vec<&ScheduleStatus> = snapshot.schedules.iter().collect();
    schedules.sort_by_key(|schedule| (schedule.paused, schedule.next.is_none(), schedule.next));
    html! {
        section aria-labelledby="next" {
            h2 id="next" { "Next" }
            @if schedules.is_empty() {
                p { "There is no schedule: jobs run only by request." }
            } @else {
                ul.rows {
                    @for schedule in schedules { li { (one(schedule, snapshot.now)) } }
                }
            }
        }
    }
}

fn one(schedule: &ScheduleStatus, now: DateTime<Utc>) -> Markup {
    html! {
        p {
            strong { (words::plain(&schedule.name)) }
            " (" (words::plain(&schedule.job))
            @if let Some(repository) = &schedule.repository { ", " (words::plain(repository)) }
            ") "
            @match (schedule.paused, schedule.next) {
                (true, _) => span."outcome attention" { "paused" },
                (false, Some(next)) if next < now => { "was due " (words::moment(next, now)) }
                (false, Some(next)) => (words::moment(next, now)),
                (false, None) => "has no next slot",
            }
        }
        p.slots {
            @match schedule.last.first() {
                None => "It has not run yet.",
                Some(last) => { (squares(&schedule.last)) " " (sentence(last, now)) }
            }
        }
    }
}

/// Describes a slot.
pub(super) fn sentence(slot: &SlotStatus, now: DateTime<Utc>) -> Markup {
    let (word, class) = outcome(slot.outcome);
    html! {
        "Last: " span class=(class) { (word) } " "
        (words::relative(slot.ended_at.unwrap_or(slot.slot), now))
        @if let Some(agent) = &slot.agent { ", by " (words::plain(agent)) }
        "."
    }
}

fn outcome(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Running => ("running", "outcome runs"),
        Outcome::Succeeded => ("succeeded", "outcome good"),
        Outcome::Failed => ("failed", "outcome wrong"),
        Outcome::Missed => ("missed", "outcome wrong"),
        Outcome::Skipped => ("skipped", "outcome attention"),
    }
}

/// Draws the last slots, the oldest first: a square for a success, a triangle for a failure, a line for a skipped one.
fn squares(slots: &[SlotStatus]) -> Markup {
    let shown: Vec<&SlotStatus> = slots.iter().take(SLOTS).rev().collect();
    let good = shown
        .iter()
        .filter(|slot| slot.outcome == Outcome::Succeeded);
    let label = format!("{} of the last {} succeeded", good.count(), shown.len());
    html! {
        svg.history role="img" aria-label=(label) width=(shown.len() * 12) height="12" {
            title { (label) }
            @for (n, slot) in shown.iter().enumerate() {
                @let x = n * 12;
                g {
                    title { (slot.slot.format("%Y-%m-%d %H:%M UTC")) ": " (outcome(slot.outcome).0) }
                    @match slot.outcome {
                        Outcome::Succeeded => rect.good x=(x + 1) y="1" width="9" height="10" {},
                        Outcome::Running => rect.runs x=(x + 1) y="1" width="9" height="10" {},
                        Outcome::Skipped => rect.attention x=(x + 1) y="5" width="9" height="2" {},
                        Outcome::Failed | Outcome::Missed => {
                            polygon.wrong points=(format!("{},11 {},1 {},11", x, x + 5, x + 11)) {}
                        }
                    }
                }
            }
        }
    }
}
