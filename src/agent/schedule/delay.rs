//! When an agent claims a slot: jitter and preference.
//!
//! Agents that share a repository don't talk to each other. Each delays its claim by its role and its lag, so that the
//! preferred one is first, and the others find the slot claimed. A preferred agent that is gone costs the delay of the
//! next one.

use super::super::settings::{Prefer, ScheduleSettings, ScheduledJob};
use super::super::status::ServerStatus;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// The lag of a replica delays its claim by as much, up to this.
const MAX_LAG: u64 = 40;
/// The delay of a replica whose lag is unknown.
const UNKNOWN_LAG: u64 = 50;
/// The delay of a server that is not of the preferred role, on top of its lag.
const OTHER_ROLE: u64 = 60;

/// Returns whether a job reads the server.
pub(super) const fn reads_server(job: ScheduledJob) -> bool {
    matches!(
        job,
        ScheduledJob::Full | ScheduledJob::Incremental | ScheduledJob::Auto
    )
}

/// Returns how long this agent waits for better ones.
pub(super) fn preference(settings: &ScheduleSettings, server: Option<&ServerStatus>) -> TimeDelta {
    let Some(server) = server.filter(|_| reads_server(settings.job)) else {
        return TimeDelta::zero();
    };
    let lag = server
        .replica
        .map_or(0, |lag| lag.map_or(UNKNOWN_LAG, |lag| lag.min(MAX_LAG)));
    let other = match settings.prefer {
        Prefer::Any => return TimeDelta::zero(),
        Prefer::Replica => server.replica.is_none(),
        Prefer::Primary => server.replica.is_some(),
    };
    seconds(lag + if other { OTHER_ROLE } else { 0 })
}

/// Returns the jitter of a slot: from 0 to that of the settings, the same for all agents of the repository, so that it
/// doesn't change their order.
pub(super) fn jitter(
    settings: &ScheduleSettings,
    repository: &str,
    slot: DateTime<Utc>,
) -> TimeDelta {
    let max = u64::try_from(settings.jitter.as_millis()).unwrap_or(u64::MAX);
    let mut hasher = blake3::Hasher::new();
    for part in [repository, &settings.name, &slot.to_rfc3339()] {
        hasher.update(part.as_bytes()).update(&[0]);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    // the high bits of the product: spread evenly, without a remainder
    let part = (u128::from(u64::from_le_bytes(first)) * u128::from(max)) >> 64;
    TimeDelta::milliseconds(i64::try_from(part).unwrap_or(i64::MAX / 1000))
}

/// Returns the longest delay of a slot, which ends at `next`, by jitter and preference together: half of its window, and
/// half of the time to the next slot.
pub(super) fn bound(
    settings: &ScheduleSettings,
    slot: DateTime<Utc>,
    next: Option<DateTime<Utc>>,
) -> TimeDelta {
    let window = settings.window.map(delta);
    let interval = next.map(|next| next - slot);
    let bounds = [window, interval].into_iter().flatten();
    bounds.min().map_or(TimeDelta::MAX, |least| least / 2)
}

/// Returns a duration as the difference of two times; at most some thousand years.
pub(super) fn delta(duration: Duration) -> TimeDelta {
    const MAX: TimeDelta = TimeDelta::days(1_000_000);
    TimeDelta::from_std(duration).unwrap_or(MAX).min(MAX)
}

fn seconds(n: u64) -> TimeDelta {
    delta(Duration::from_secs(n))
}
