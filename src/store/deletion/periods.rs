//! The newest full backup of each of the last days, weeks, months or years.
//!
//! A period counts only if it has a finished full backup with all tables, so that a pause in the
//! backups doesn't cause deletions. Periods are in UTC, so they are the same on every host.

use crate::manifest::BackupName;
use chrono::{DateTime, Datelike, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// A calendar period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Day,
    /// From Monday on (ISO 8601).
    Week,
    Month,
    Year,
}

impl Period {
    /// Returns the period that a time is in, as the year and the number in it.
    fn of(self, time: DateTime<Utc>) -> (i32, u32) {
        match self {
            Self::Day => (time.year(), time.ordinal()),
            Self::Week => (time.iso_week().year(), time.iso_week().week()),
            Self::Month => (time.year(), time.month()),
            Self::Year => (time.year(), 0),
        }
    }
}

/// A full backup that can stay because of a period: its name, the index of its group, its time.
pub(in crate::store) type Full<'a> = (&'a BackupName, usize, DateTime<Utc>);

/// Returns the groups that stay because of a period, by their indices. If several periods apply,
/// the first of `numbers` is given. `fulls` are the full backups of one cluster, the newest first.
pub(super) fn kept(
    fulls: &[Full<'_>],
    numbers: [(Period, Option<u64>); 4],
) -> BTreeMap<usize, Period> {
    let mut kept = BTreeMap::new();
    for (period, number) in numbers {
        let mut seen = BTreeSet::new();
        for (_, at, time) in fulls {
            let is_new = !seen.contains(&period.of(*time));
            if is_new && (seen.len() as u64) < number.unwrap_or(0) {
                seen.insert(period.of(*time));
                kept.entry(*at).or_insert(period);
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_and_days_at_the_ends_of_years() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(Period::Week.of(at("2026-12-31T23:59:59Z")), (2026, 53));
        assert_eq!(
            Period::Week.of(at("2027-01-03T23:59:59Z")),
            (2026, 53),
            "a Sunday"
        );
        assert_eq!(Period::Week.of(at("2027-01-04T00:00:00Z")), (2027, 1));
        assert_eq!(Period::Day.of(at("2024-12-31T12:00:00Z")), (2024, 366));
        assert_ne!(
            Period::Month.of(at("2026-01-31T00:00:00Z")),
            Period::Month.of(at("2027-01-31T00:00:00Z"))
        );
        for (period, first, second, same) in [
            (
                Period::Day,
                "2025-03-01T00:00:00Z",
                "2026-03-01T00:00:00Z",
                false,
            ),
            (
                Period::Day,
                "2026-03-01T00:00:00Z",
                "2026-03-01T23:59:59Z",
                true,
            ),
            (
                Period::Day,
                "2026-03-01T23:59:59Z",
                "2026-03-02T00:00:00Z",
                false,
            ),
            (
                Period::Week,
                "2025-03-03T00:00:00Z",
                "2026-03-02T00:00:00Z",
                false,
            ),
            (
                Period::Month,
                "2026-01-31T00:00:00Z",
                "2026-02-01T00:00:00Z",
                false,
            ),
            (
                Period::Month,
                "2026-01-01T00:00:00Z",
                "2026-01-31T00:00:00Z",
                true,
            ),
            (
                Period::Year,
                "2026-01-01T00:00:00Z",
                "2026-12-31T23:59:59Z",
                true,
            ),
            (
                Period::Year,
                "2026-12-31T23:59:59Z",
                "2027-01-01T00:00:00Z",
                false,
            ),
        ] {
            let (one, other) = (period.of(at(first)), period.of(at(second)));
            assert_eq!(one == other, same, "{period:?} {first} {second}");
        }
    }

    #[test]
    fn the_newest_of_each_of_the_last_periods_stays() {
        let at = |text: &str| format!("{text}:00Z").parse::<DateTime<Utc>>().unwrap();
        let times = [
            "2026-11-30T09:00",
            "2026-11-30T01:00",
            "2026-11-28T01:00",
            "2026-10-01T01:00",
        ];
        let names: Vec<_> = times
            .iter()
            .map(|time| BackupName::full("prod", at(time)).unwrap())
            .collect();
        let fulls: Vec<Full<'_>> = names
            .iter()
            .enumerate()
            .map(|(n, name)| (name, n, at(times[n])))
            .collect();
        let of = |day, week, month| {
            let numbers = [
                (Period::Day, day),
                (Period::Week, week),
                (Period::Month, month),
                (Period::Year, None),
            ];
            kept(&fulls, numbers).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(of(None, None, None), []);
        assert_eq!(of(Some(0), Some(0), Some(0)), []);
        assert_eq!(of(Some(1), None, None), [(0, Period::Day)]);
        assert_eq!(
            of(Some(2), None, None),
            [(0, Period::Day), (2, Period::Day)]
        );
        assert_eq!(
            of(None, None, Some(9)),
            [(0, Period::Month), (3, Period::Month)]
        );
        // the first period gives the reason; 2026-11-28 is in the week before
        assert_eq!(
            of(Some(1), Some(2), None),
            [(0, Period::Day), (2, Period::Week)]
        );
    }
}
