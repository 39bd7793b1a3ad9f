//! The agent, its server, its repositories and its schedules, as they are now.

use super::super::api::Api;
use super::super::probes::free_bytes;
use super::report::url;
use crate::agent::jobs::{Job, State};
use crate::agent::schedule::{Outcome, ScheduleStatus};
use crate::agent::status::Status;
use crate::metrics::families::{
    AGENT, AGENT_ENDS, AGENT_FREE, AGENT_JOBS, AGENT_START, AGENT_STEP, Family, HOLDER, JOB_DONE,
    JOB_EXPECTED, JOB_START, NEXT, PAUSED, REACHABLE, SERVER, SERVER_LAG, SERVER_REPLICA, SLOT,
    SLOT_END, SLOT_OUTCOME, SLOT_SUCCESS,
};
use crate::metrics::{Sample, last_backups, of_listing};
use chrono::{DateTime, Utc};

fn seconds(time: DateTime<Utc>) -> f64 {
    time.timestamp_millis() as f64 / 1000.0
}

fn flag(set: bool) -> f64 {
    f64::from(u8::from(set))
}

pub(super) fn of_agent(status: &Status, api: &dyn Api) -> Vec<Sample> {
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("agent", status.name.as_str()),
    ];
    let mut samples = vec![
        Sample::new(&AGENT, &labels, 1.0),
        Sample::new(&AGENT_START, &[], seconds(status.started_at)),
        Sample::new(&AGENT_STEP, &[], api.since_last_step().as_secs_f64()),
        Sample::new(&AGENT_ENDS, &[], flag(status.shutting_down)),
    ];
    let free = free_bytes(&api.settings().state_dir);
    samples.extend(free.map(|free| Sample::new(&AGENT_FREE, &[], free as f64)));
    samples
}

pub(super) fn of_jobs(jobs: &[Job], status: &Status) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (name, state) in [
        ("queued", State::Queued),
        ("running", State::Running),
        ("cancelling", State::Cancelling),
    ] {
        let count = jobs.iter().filter(|job| job.state == state).count();
        samples.push(Sample::new(&AGENT_JOBS, &[("state", name)], count as f64));
    }
    // The oldest first: the first of a series is kept.
    let running = jobs.iter().rev();
    for job in running.filter(|job| matches!(job.state, State::Running | State::Cancelling)) {
        let mut labels = vec![
            ("command", job.kind.command()),
            ("repository", url(status, job.repository.as_deref())),
        ];
        let started = job.started_at;
        samples.extend(started.map(|at| Sample::new(&JOB_START, &labels, seconds(at))));
        if let Some(progress) = &job.progress {
            labels.push(("phase", &progress.phase));
            let done = progress.bytes as f64;
            samples.push(Sample::new(&JOB_DONE, &labels, done));
            let expected = progress.total.map(|total| total as f64);
            samples.extend(expected.map(|total| Sample::new(&JOB_EXPECTED, &labels, total)));
        }
    }
    samples
}

pub(super) fn of_server(status: &Status) -> Vec<Sample> {
    let Some(server) = &status.server else {
        return Vec::new();
    };
    let mut samples = vec![Sample::new(&SERVER, &[], flag(server.reached.is_ok()))];
    if server.reached.is_ok() {
        let replica = flag(server.replica.is_some());
        samples.push(Sample::new(&SERVER_REPLICA, &[], replica));
        let lag = server.replica.flatten();
        samples.extend(lag.map(|lag| Sample::new(&SERVER_LAG, &[], lag as f64)));
    }
    samples
}

pub(super) fn of_repositories(status: &Status) -> Vec<Sample> {
    let mut samples = Vec::new();
    for repository in &status.repositories {
        let url = &repository.url;
        let reached = repository.error.is_none() && repository.listed_at.is_some();
        let labels = [("repository", url.as_str())];
        samples.push(Sample::new(&REACHABLE, &labels, flag(reached)));
        if let Some(at) = repository.listed_at {
            samples.extend(of_listing(&repository.listed, url, at));
            samples.extend(last_backups(&repository.listed, url));
        }
    }
    samples
}

pub(super) fn of_schedules(schedules: &[ScheduleStatus]) -> Vec<Sample> {
    schedules.iter().flat_map(of_schedule).collect()
}

fn of_schedule(schedule: &ScheduleStatus) -> Vec<Sample> {
    let labels = [
        ("schedule", schedule.name.as_str()),
        ("job", schedule.job.as_str()),
    ];
    let value = |family: &'static Family, value: f64| Sample::new(family, &labels, value);
    let mut samples = vec![value(&PAUSED, flag(schedule.paused))];
    samples.extend(schedule.next.map(|at| value(&NEXT, seconds(at))));
    let last = &schedule.last;
    if let Some(ended) = last.iter().find(|slot| slot.outcome != Outcome::Running) {
        samples.push(value(&SLOT, seconds(ended.slot)));
        samples.extend(ended.ended_at.map(|at| value(&SLOT_END, seconds(at))));
        for (name, outcome) in [
            ("succeeded", Outcome::Succeeded),
            ("failed", Outcome::Failed),
            ("missed", Outcome::Missed),
            ("skipped", Outcome::Skipped),
        ] {
            let labels = [labels[0], labels[1], ("outcome", name)];
            let set = flag(ended.outcome == outcome);
            samples.push(Sample::new(&SLOT_OUTCOME, &labels, set));
        }
    }
    let success = last
        .iter()
        .filter(|slot| slot.outcome == Outcome::Succeeded)
        .map(|slot| slot.ended_at.unwrap_or(slot.slot))
        .max();
    samples.extend(success.map(|at| value(&SLOT_SUCCESS, seconds(at))));
    let running = last.iter().find(|slot| slot.outcome == Outcome::Running);
    if let Some(agent) = running.and_then(|slot| slot.agent.as_deref()) {
        let labels = [labels[0], labels[1], ("agent", agent)];
        samples.push(Sample::new(&HOLDER, &labels, 1.0));
    }
    samples
}
