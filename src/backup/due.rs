//! Chooses between a full and an incremental backup, by the age and the length of the newest chain.

use super::begin::check_server;
use super::error::BackupError;
use super::options::{BackupOptions, BackupReport, BaseChoice};
use super::run::run;
use crate::counted::count;
use crate::manifest::Manifest;
use crate::progress::Progress;
use crate::store::{NextBase, Repository, StoreError};
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// The limits from which a full backup is due. Without a limit a chain grows as long as it can be continued.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FullWhen {
    /// Minimum age of the newest full backup, by its start time.
    pub older_than: Option<Duration>,
    /// Minimum number of incrementals in the newest chain.
    pub incrementals: Option<u64>,
}

/// A decision with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Due {
    Full(String),
    Incremental(String),
}

/// Makes an incremental backup on the newest chain of the server, or a full backup if one is due, if
/// there is no chain, or if the chain can't be continued. [`BackupReport::reason`] is the reason for
/// the choice.
///
/// # Errors
/// The same as [`run`]. A failure that doesn't concern the base is not a reason for a full backup.
pub fn run_due(
    repo: &Repository,
    when: FullWhen,
    options: &BackupOptions,
    progress: &dyn Progress,
) -> Result<BackupReport, BackupError> {
    let identity = check_server(options)?;
    let due = match repo.next_base(
        &identity.server_uuid,
        Some(options.cluster_of(&identity)),
        None,
    ) {
        Ok(next) => when.decide(&next, Utc::now()),
        Err(error) => Due::Full(unusable(error.into())?),
    };
    let mut options = options.clone();
    let full = |mut options: BackupOptions, reason: String| {
        progress.note(&format!("full backup: {reason}"));
        options.incremental = None;
        let report = run(repo, &options, progress)?;
        let reason = Some(reason);
        Ok(BackupReport { reason, ..report })
    };
    match due {
        Due::Full(reason) => full(options, reason),
        Due::Incremental(reason) => {
            progress.note(&format!("incremental backup: {reason}"));
            options.incremental = Some(BaseChoice::Latest);
            match run(repo, &options, progress) {
                Ok(report) => {
                    let reason = Some(reason);
                    Ok(BackupReport { reason, ..report })
                }
                Err(error) => {
                    let reason = unusable(error)?;
                    tracing::warn!("{reason}");
                    full(options, reason)
                }
            }
        }
    }
}

/// Returns the text of an error if its only meaning is that the chain can't be continued; otherwise the
/// error.
fn unusable(error: BackupError) -> Result<String, BackupError> {
    match error {
        BackupError::BaseUnusable { .. }
        | BackupError::Store(
            StoreError::Base(_) | StoreError::BrokenChain { .. } | StoreError::Gap { .. },
        ) => Ok(error.to_string()),
        other => Err(other),
    }
}

impl FullWhen {
    fn decide(self, next: &NextBase, now: DateTime<Utc>) -> Due {
        let full: &Manifest = next.before.first().unwrap_or(&next.base);
        let age = (now - full.started_at).max(TimeDelta::zero());
        let incrementals = next.before.len() as u64;
        let is_old = self
            .older_than
            .is_some_and(|limit| age.to_std().is_ok_and(|age| age >= limit));
        let is_long = self.incrementals.is_some_and(|limit| incrementals >= limit);
        let chain = format!(
            "the chain of {} was started {} ago and has {}",
            full.name,
            days(age),
            count(incrementals, "incremental"),
        );
        if is_old || is_long {
            Due::Full(chain)
        } else {
            Due::Incremental(chain)
        }
    }
}

/// Formats a duration in its two largest units.
fn days(age: TimeDelta) -> String {
    let (days, hours, minutes) = (age.num_days(), age.num_hours() % 24, age.num_minutes() % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min"),
        (0, hours) => format!("{hours} h {minutes} min"),
        (days, hours) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::BackupName;
    use crate::manifest::fixture::manifest;

    fn chain(incrementals: usize, started: DateTime<Utc>) -> NextBase {
        let member = |n: usize| {
            let name = BackupName::full("prod", started).unwrap();
            let mut manifest = manifest(&name, None, 10_000 * (n as u64 + 1), Vec::new());
            manifest.started_at = started + TimeDelta::hours(n as i64);
            manifest
        };
        let mut all: Vec<_> = (0..=incrementals).map(member).collect();
        let base = all.pop().unwrap();
        NextBase {
            before: all,
            base,
            passed_over: Vec::new(),
        }
    }

    #[test]
    fn a_full_backup_is_due_by_age_and_by_length() {
        let now = Utc::now();
        let day = Duration::from_secs(86_400);
        for (incrementals, hours, older_than, limit, full) in [
            (0, 1, None, None, false),
            (40, 24 * 90, None, None, false),
            (2, 167, Some(7 * day), Some(3), false),
            (2, 168, Some(7 * day), Some(3), true),
            (3, 1, Some(7 * day), Some(3), true),
            (0, 1, None, Some(0), true),
            (0, -5, Some(day), None, false),
        ] {
            let next = chain(incrementals, now - TimeDelta::hours(hours));
            let when = FullWhen {
                older_than,
                incrementals: limit,
            };
            let due = when.decide(&next, now);
            assert_eq!(
                matches!(due, Due::Full(_)),
                full,
                "{incrementals} {hours}: {due:?}"
            );
        }
    }

    #[test]
    fn only_an_unusable_base_is_a_reason_for_a_full_backup() {
        let base = BackupError::BaseUnusable {
            base: "x".to_owned(),
            reason: "y".to_owned(),
        };
        assert!(unusable(base).is_ok());
        assert!(unusable(BackupError::Interrupted).is_err());
        assert!(unusable(BackupError::RedoDisabled).is_err());
    }
}
