//! The times of a schedule: a cron expression in a time zone.
//!
//! A time that the zone has twice is a slot once, at the first of the two, if the expression fixes the time of the day
//! (`30 2 * * *`); an expression with a wildcard (`*/15 * * * *`) has slots in both hours. A fixed time that the zone
//! doesn't have is a slot at the first time after the gap; an expression with a wildcard has none in the gap. These are
//! the rules of `croner`; the tests hold them.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use std::str::FromStr;

/// The times of a schedule.
#[derive(Debug, Clone)]
pub(crate) struct Timetable {
    cron: Cron,
    zone: Tz,
}

/// A cron expression or a time zone is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TimetableError {
    /// The cron expression.
    #[error(
        "{cron:?} is not a cron expression: {reason}; expected minute, hour, day of the month, month, day of the week"
    )]
    Cron {
        /// The expression.
        cron: String,
        /// The reason.
        reason: String,
    },
    /// The expression has no time.
    #[error("{cron:?} never comes: it has no time in the next years")]
    Never {
        /// The expression.
        cron: String,
    },
    /// The time zone.
    #[error(
        "{zone:?} is not an IANA time zone: write one such as `Europe/Berlin`, or remove it for UTC"
    )]
    Zone {
        /// The zone.
        zone: String,
    },
}

impl Timetable {
    /// Parses a cron expression of 5 fields, or 6 with seconds first, and an IANA time zone.
    pub(crate) fn parse(cron: &str, zone: Option<&str>) -> Result<Self, TimetableError> {
        let parsed = Cron::from_str(cron).map_err(|error| TimetableError::Cron {
            cron: cron.to_owned(),
            reason: error.to_string(),
        })?;
        let zone = match zone {
            None => Tz::UTC,
            Some(zone) => Tz::from_str(zone).map_err(|_| TimetableError::Zone {
                zone: zone.to_owned(),
            })?,
        };
        let table = Self { cron: parsed, zone };
        match table.next_after(DateTime::UNIX_EPOCH + TimeDelta::days(20_000)) {
            Some(_) => Ok(table),
            None => Err(TimetableError::Never {
                cron: cron.to_owned(),
            }),
        }
    }

    /// Returns the first slot after a time.
    pub(crate) fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // slots are whole seconds: the first one after 01.5 s is one after 01 s
        let time = time.duration_trunc(TimeDelta::seconds(1)).unwrap_or(time);
        let local = time.with_timezone(&self.zone);
        let next = self.cron.find_next_occurrence(&local, false).ok()?;
        let next = next.with_timezone(&Utc);
        (next > time).then_some(next)
    }

    /// Returns the slots after `from` and up to `to`, oldest first, at most `limit`.
    pub(crate) fn between(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        limit: usize,
    ) -> Vec<DateTime<Utc>> {
        let mut at = from;
        let next = || {
            at = self.next_after(at).filter(|next| *next <= to)?;
            Some(at)
        };
        std::iter::from_fn(next).take(limit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn slots(cron: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
        let table = Timetable::parse(cron, Some(zone)).unwrap();
        let found = table.between(time(from), time(to), 1000);
        found
            .iter()
            .map(|slot| slot.format("%m-%dT%H:%M").to_string())
            .collect()
    }

    #[test]
    fn an_hour_that_happens_twice_has_a_daily_slot_once() {
        for (zone, cron, from, to, expected) in [
            // 03:00 CEST becomes 02:00 CET at 01:00 UTC
            (
                "Europe/Berlin",
                "30 2 * * *",
                "2026-10-24T12:00:00Z",
                "2026-10-26T12:00:00Z",
                vec!["10-25T00:30", "10-26T01:30"],
            ),
            // 02:00 EDT becomes 01:00 EST at 06:00 UTC
            (
                "America/New_York",
                "30 1 * * *",
                "2026-10-31T12:00:00Z",
                "2026-11-02T12:00:00Z",
                vec!["11-01T05:30", "11-02T06:30"],
            ),
            // 02:00 +11 becomes 01:30 +10:30 at 15:00 UTC: only half an hour happens twice
            (
                "Australia/Lord_Howe",
                "45 1 * * *",
                "2026-04-03T20:00:00Z",
                "2026-04-05T20:00:00Z",
                vec!["04-04T14:45", "04-05T15:15"],
            ),
        ] {
            assert_eq!(slots(cron, zone, from, to), expected, "{zone}");
        }
    }

    #[test]
    fn an_hour_that_never_happens_has_its_slot_after_the_gap() {
        for (zone, cron, from, to, expected) in [
            // 02:00 CET becomes 03:00 CEST at 01:00 UTC
            (
                "Europe/Berlin",
                "30 2 * * *",
                "2026-03-28T12:00:00Z",
                "2026-03-30T12:00:00Z",
                vec!["03-29T01:00", "03-30T00:30"],
            ),
            (
                "America/New_York",
                "30 2 * * *",
                "2026-03-07T12:00:00Z",
                "2026-03-09T12:00:00Z",
                vec!["03-08T07:00", "03-09T06:30"],
            ),
            // 02:00 +10:30 becomes 02:30 +11 at 15:30 UTC
            (
                "Australia/Lord_Howe",
                "15 2 * * *",
                "2026-10-02T20:00:00Z",
                "2026-10-04T20:00:00Z",
                vec!["10-03T15:30", "10-04T15:15"],
            ),
        ] {
            assert_eq!(slots(cron, zone, from, to), expected, "{zone}");
        }
    }

    #[test]
    fn an_hourly_schedule_has_a_slot_in_each_real_hour() {
        let autumn = slots(
            "0 * * * *",
            "Europe/Berlin",
            "2026-10-24T23:30:00Z",
            "2026-10-25T03:30:00Z",
        );
        assert_eq!(
            autumn,
            ["10-25T00:00", "10-25T01:00", "10-25T02:00", "10-25T03:00"]
        );
        let spring = slots(
            "0 * * * *",
            "Europe/Berlin",
            "2026-03-28T23:30:00Z",
            "2026-03-29T03:30:00Z",
        );
        assert_eq!(
            spring,
            ["03-29T00:00", "03-29T01:00", "03-29T02:00", "03-29T03:00"]
        );
    }

    #[test]
    fn a_restart_in_the_repeated_hour_finds_the_same_slots() {
        let table = Timetable::parse("30 2 * * *", Some("Europe/Berlin")).unwrap();
        let begin = time("2026-10-25T00:00:00Z");
        for minutes in 0..180 {
            let at = begin + TimeDelta::minutes(minutes);
            let expected = match minutes < 30 {
                true => time("2026-10-25T00:30:00Z"),
                false => time("2026-10-26T01:30:00Z"),
            };
            assert_eq!(table.next_after(at), Some(expected), "{at}");
        }
    }

    #[test]
    fn seconds_are_a_sixth_field() {
        let table = Timetable::parse("*/10 * * * * *", None).unwrap();
        let next = table.next_after(time("2026-12-01T00:00:05.5Z"));
        assert_eq!(next, Some(time("2026-12-01T00:00:10Z")));
    }

    #[test]
    fn wrong_expressions_are_refused() {
        for (cron, zone) in [
            ("", None),
            ("61 * * * *", None),
            ("0 0 30 2 *", None),
            ("0 2 * * *", Some("Europe/Bonn")),
        ] {
            assert!(Timetable::parse(cron, zone).is_err(), "{cron} {zone:?}");
        }
    }

    proptest! {
        #[test]
        fn slots_are_the_same_from_wherever_they_are_looked_for(
            start in 1_700_000_000i64..1_900_000_000,
            step in 1i64..200_000,
            cron in prop::sample::select(vec!["30 2 * * *", "*/20 1-3 * * *", "0 0 * * 0", "15 1,2 * * *"]),
            zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
        ) {
            let table = Timetable::parse(cron, Some(zone)).unwrap();
            let at = |second| DateTime::<Utc>::from_timestamp(second, 0).unwrap();
            let (from, to) = (at(start), at(start + 400_000));
            let all = table.between(from, to, 10_000);
            let middle = at(start + step);
            let mut halves = table.between(from, middle, 10_000);
            halves.extend(table.between(middle, to, 10_000));
            prop_assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(all, halves);
        }
    }
}
