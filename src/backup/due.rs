//! Chooses between a full and an incremental backup, by the age and the length of the newest chain.

use super::error::BackupError;
use crate::counted::count;
use crate::manifest::Manifest;
use crate::store::{BaseFault, NextBase, StoreError};
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
pub(super) enum Due {
    Full(String),
    Incremental(String),
}

/// Returns the reason for a full backup, if the only meaning of the error is that there is no chain that can be
/// continued; otherwise the error. A damaged chain is logged as a warning.
pub(super) fn unusable(error: BackupError) -> Result<String, BackupError> {
    match error {
        BackupError::Store(StoreError::Base(BaseFault::NoBase {
            ref other_cluster, ..
        })) => {
            // The name of the host, from which the cluster is taken if it isn't set, may have changed.
            if other_cluster.is_some() {
                tracing::warn!("a full backup is made: {error}");
            }
            Ok(
                "no base: the repository has no finished full backup of this server and cluster"
                    .to_owned(),
            )
        }
        BackupError::Store(StoreError::BrokenChain { .. } | StoreError::Gap { .. }) => {
            tracing::warn!("a full backup is made because the chain can't be continued: {error}");
            Ok(error.to_string())
        }
        BackupError::BaseUnusable { .. } | BackupError::Store(StoreError::Base(_)) => {
            Ok(error.to_string())
        }
        other => Err(other),
    }
}

/// A full backup can be made this much before it is due, if that is at most a 24th of the time.
const EARLY: Duration = Duration::from_secs(30 * 60);

impl FullWhen {
    pub(super) fn decide(self, next: &NextBase, now: DateTime<Utc>) -> Due {
        let full: &Manifest = next.before.first().unwrap_or(&next.base);
        let age = (now - full.started_at).max(TimeDelta::zero());
        let incrementals = next.before.len() as u64;
        // Timers aren't exact, and a backup starts later than the choice: a little early is better than a period late.
        let is_old = self.older_than.is_some_and(|limit| {
            let early = (limit / 24).min(EARLY);
            age.to_std()
                .is_ok_and(|age| age >= limit.saturating_sub(early))
        });
        // A clock that was ahead once would put the next full backup off until then.
        let is_ahead = self.older_than.is_some() && full.started_at - now > TimeDelta::days(1);
        let is_old = is_old || is_ahead;
        let is_long = self.incrementals.is_some_and(|limit| incrementals >= limit);
        let (name, age, incrementals) = (&full.name, days(age), count(incrementals, "incremental"));
        if is_old {
            Due::Full(format!("{name} is {age} old"))
        } else if is_long {
            Due::Full(format!("{name} has {incrementals}"))
        } else {
            Due::Incremental(format!("{name} is {age} old and has {incrementals}"))
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
    use crate::store::{BackupFault, ChainFault};

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
    fn a_reason_has_the_age_and_the_length() {
        let now = Utc::now();
        let day = Duration::from_secs(86_400);
        let when = FullWhen {
            older_than: Some(7 * day),
            incrementals: Some(3),
        };
        let text = |incrementals, age: TimeDelta| match when
            .decide(&chain(incrementals, now - age), now)
        {
            Due::Full(text) => format!("full: {text}"),
            Due::Incremental(text) => format!("incremental: {text}"),
        };
        for (incrementals, age, start, end) in [
            (2, TimeDelta::hours(195), "full: prod-", " is 8 d 3 h old"),
            (3, TimeDelta::minutes(90), "full: ", " has 3 incrementals"),
            (
                1,
                TimeDelta::minutes(90),
                "incremental: ",
                " is 1 h 30 min old and has 1 incremental",
            ),
            (
                0,
                TimeDelta::minutes(59),
                "incremental: ",
                " is 59 min old and has 0 incrementals",
            ),
            (
                0,
                TimeDelta::hours(-5),
                "incremental: ",
                " is 0 min old and has 0 incrementals",
            ),
        ] {
            let text = text(incrementals, age);
            assert!(text.starts_with(start) && text.ends_with(end), "{text}");
        }
    }

    #[test]
    fn only_an_unusable_base_is_a_reason_for_a_full_backup() {
        let base = BackupError::BaseUnusable {
            base: "x".to_owned(),
            reason: "y".to_owned(),
        };
        assert!(unusable(base).is_ok());
        let none = StoreError::Base(BaseFault::NoBase {
            server_uuid: "u".to_owned(),
            url: "/r".to_owned(),
            hint: "of full backups there are 0".to_owned(),
            other_cluster: None,
        });
        let reason = unusable(none.into()).unwrap();
        assert!(
            reason.starts_with("no base") && !reason.contains("there are 0"),
            "{reason}"
        );
        let name = BackupName::full("prod", Utc::now()).unwrap();
        let missing = ChainFault::MissingBase {
            member: name.clone(),
            base: name.clone(),
            url: "/r".to_owned(),
        };
        let broken = StoreError::BrokenChain {
            name: name.clone(),
            why: Box::new(missing),
        };
        assert!(unusable(broken.into()).is_ok());
        let key = BackupError::Key {
            backup: name.to_string(),
            why: "wrong".to_owned(),
        };
        assert!(
            unusable(key).is_err(),
            "a full backup with a wrong key would begin another chain"
        );
        let denied = StoreError::Backup(BackupFault::NotFound {
            name: "x".to_owned(),
            url: "/r".to_owned(),
            hint: String::new(),
        });
        assert!(unusable(denied.into()).is_err());
        assert!(unusable(BackupError::Interrupted).is_err());
        assert!(unusable(BackupError::RedoDisabled).is_err());
    }
}
