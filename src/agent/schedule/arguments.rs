//! The job of a slot, as the arguments of a command.

use super::super::jobs::{JobKind, JobSpec, Origin};
use super::super::settings::{ScheduleSettings, ScheduledJob};
use crate::store::Claimed;
use std::num::NonZeroU32;

/// Returns the command of a schedule.
const fn kind(job: ScheduledJob) -> JobKind {
    match job {
        ScheduledJob::Full | ScheduledJob::Incremental | ScheduledJob::Auto => JobKind::Backup,
        ScheduledJob::Consolidate => JobKind::Consolidate,
        ScheduledJob::Verify => JobKind::Verify,
        ScheduledJob::Prune => JobKind::Prune,
        ScheduledJob::Copy => JobKind::Copy,
        ScheduledJob::Check => JobKind::Check,
    }
}

/// Returns the word for a job in messages and in the API.
pub(super) const fn word(job: ScheduledJob) -> &'static str {
    match job {
        ScheduledJob::Full => "full",
        ScheduledJob::Incremental => "incremental",
        ScheduledJob::Auto => "auto",
        ScheduledJob::Consolidate => "consolidate",
        ScheduledJob::Verify => "verify",
        ScheduledJob::Prune => "prune",
        ScheduledJob::Copy => "copy",
        ScheduledJob::Check => "check",
    }
}

/// Returns the job of a claim. `full`: a full backup in place of an incremental whose base is missing.
pub(super) fn of_slot(settings: &ScheduleSettings, claimed: &Claimed, full: bool) -> JobSpec {
    let slot = claimed.slot.format("%Y-%m-%dT%H:%M:%SZ");
    let slot = format!("{slot}/{}", claimed.token);
    let origin = Origin::Schedule {
        schedule: settings.name.clone(),
        slot: claimed.slot,
        attempt: claimed.attempt,
    };
    spec(settings, origin, full, Some(slot))
}

/// Returns the job of a schedule outside its slots.
pub(super) fn by_request(settings: &ScheduleSettings) -> JobSpec {
    let schedule = settings.name.clone();
    spec(settings, Origin::RunNow { schedule }, false, None)
}

fn spec(settings: &ScheduleSettings, origin: Origin, full: bool, slot: Option<String>) -> JobSpec {
    let mut arguments = Vec::new();
    match settings.job {
        ScheduledJob::Incremental if !full => arguments.push("--incremental".to_owned()),
        ScheduledJob::Full | ScheduledJob::Incremental => arguments.push("--full".to_owned()),
        _ => {}
    }
    if kind(settings.job) == JobKind::Backup {
        arguments.extend(["--schedule".to_owned(), settings.name.clone()]);
        arguments.extend(
            slot.into_iter()
                .flat_map(|slot| ["--slot".to_owned(), slot]),
        );
    }
    arguments.extend(settings.arguments.iter().cloned());
    JobSpec {
        kind: kind(settings.job),
        repository: settings.repository.clone(),
        arguments,
        origin,
        deadline: settings.deadline,
    }
}

/// Returns the job that deletes the full backups of a schedule beyond the newest `keep`, with their chains.
pub(super) fn prune(settings: &ScheduleSettings, claimed: &Claimed, keep: NonZeroU32) -> JobSpec {
    JobSpec {
        kind: JobKind::Prune,
        repository: settings.repository.clone(),
        arguments: vec![
            "--schedule".to_owned(),
            settings.name.clone(),
            "--keep-full".to_owned(),
            keep.to_string(),
        ],
        origin: Origin::Schedule {
            schedule: settings.name.clone(),
            slot: claimed.slot,
            attempt: claimed.attempt,
        },
        deadline: None,
    }
}
