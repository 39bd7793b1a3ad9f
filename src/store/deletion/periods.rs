//! The newest full backup of each of the last days, weeks, months or years.
//!
//! A period counts only if it has a finished full backup that lacks no tables, so that a pause of the backups lets nothing
//! go. Periods are those of UTC: the same on every host.

use crate::manifest::BackupName;
use crate::store::deletion::retention::{Keep, Policy, whole_fulls};
use crate::store::listing::chain_group::ChainGroup;
use crate::store::listing::order::Order;
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

/// The groups that stay because of a period, by their places in `groups`; of several reasons the shortest period.
pub(in crate::store) fn kept(
    groups: &[ChainGroup<'_>],
    policy: &Policy,
    order: &Order<'_>,
) -> BTreeMap<usize, Keep> {
    /// The name, the group's place, the time.
    type Full<'a> = (&'a BackupName, usize, DateTime<Utc>);
    let mut clusters: BTreeMap<&str, Vec<Full<'_>>> = BTreeMap::new();
    for (at, group) in groups.iter().enumerate() {
        for full in whole_fulls(group).filter(|full| !full.lacks_tables()) {
            let fulls = clusters
                .entry(full.name.cluster().unwrap_or_default())
                .or_default();
            fulls.push((&full.name, at, full.made_at()));
        }
    }
    let mut kept = BTreeMap::new();
    for fulls in clusters.values_mut() {
        fulls.sort_by(|a, b| order.compare(b.0, a.0));
        for (period, number, why) in policy.periods() {
            let mut seen = BTreeSet::new();
            for (_, at, time) in fulls.iter() {
                let is_new = !seen.contains(&period.of(*time));
                if is_new && (seen.len() as u64) < number.unwrap_or(0) {
                    seen.insert(period.of(*time));
                    kept.entry(*at).or_insert(why);
                }
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
