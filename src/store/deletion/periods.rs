//! The newest full backup of each of the last days, weeks, months or years.
//!
//! A period counts only if it has a finished full backup that lacks no tables, so that a pause of the backups lets nothing
//! go. Periods are those of UTC: the same on every host.

use crate::manifest::BackupName;
use chrono::{DateTime, Datelike, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// A length of time by the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Period {
    Day,
    /// From Monday on (ISO 8601).
    Week,
    Month,
    Year,
}

impl Period {
    /// The period that a time lies in, as the year and the number in it.
    fn of(self, time: DateTime<Utc>) -> (i32, u32) {
        match self {
            Self::Day => (time.year(), time.ordinal()),
            Self::Week => (time.iso_week().year(), time.iso_week().week()),
            Self::Month => (time.year(), time.month()),
            Self::Year => (time.year(), 0),
        }
    }
}

/// A full backup that can stay because of a period: its name, the place of its group, its time.
pub(in crate::store) type Full<'a> = (&'a BackupName, usize, DateTime<Utc>);

/// The groups that stay because of a period, by their places; of several periods the first of `numbers`. `fulls` are the
/// full backups of one cluster, the newest first.
pub(in crate::store) fn kept(
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
    }
}
