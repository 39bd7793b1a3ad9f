//! The keys of slots.

use crate::store::error::StoreError;
use crate::store::objects::key;
use chrono::{DateTime, NaiveDateTime, Utc};
use object_store::path::Path;

/// The directory of all schedules. It is hidden, as that of the readers, so that listings and earlier versions don't
/// count it as a backup.
pub(super) const DIRECTORY: &str = ".lsnap/slots";
/// The object that pauses a schedule.
pub(super) const PAUSED: &str = "paused";
const TIME: &str = "%Y%m%dT%H%M%SZ";
/// Longest name of a schedule, in bytes.
const MAX_NAME: usize = 63;

/// Returns whether a name is that of a schedule: 1 to 63 letters, digits, `-`, `_` and `.`, not `.` first.
pub(crate) fn valid_schedule_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

/// Returns the text of a nominal time: `20261201T020000Z`.
pub(super) fn time_text(time: DateTime<Utc>) -> String {
    time.format(TIME).to_string()
}

/// Parses [`time_text`].
pub(super) fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let time = NaiveDateTime::parse_from_str(text, TIME).ok()?.and_utc();
    (time_text(time) == text).then_some(time)
}

/// Returns the name of a record.
pub(super) fn record(slot: DateTime<Utc>, number: u64) -> String {
    format!("{}.{number:020}", time_text(slot))
}

/// Returns the name of a heartbeat of a record.
pub(super) fn beat(slot: DateTime<Utc>, number: u64, n: u64) -> String {
    format!("{}.beat.{n:020}", record(slot, number))
}

/// Returns the name of a mark.
pub(super) fn mark(time: DateTime<Utc>) -> String {
    format!("since.{}", time_text(time))
}

/// Returns the key of an object of a schedule.
pub(super) fn at(schedule: &str, name: &str) -> Result<Path, StoreError> {
    key::raw(&format!("{DIRECTORY}/{schedule}/{name}"), None)
}

/// An object of a schedule, parsed from its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// A record of a slot.
    Record(DateTime<Utc>, u64),
    /// A heartbeat of a record.
    Beat(DateTime<Utc>, u64),
    /// A mark: slots up to this time are over.
    Mark(DateTime<Utc>),
    /// The schedule is paused.
    Paused,
}

impl Name {
    /// Returns `None` for other objects, which are ignored.
    pub(super) fn parse(name: &str) -> Option<Self> {
        if name == PAUSED {
            return Some(Self::Paused);
        }
        let (first, rest) = name.split_once('.')?;
        if first == "since" {
            return parse_time(rest).map(Self::Mark);
        }
        let slot = parse_time(first)?;
        match rest.split_once('.') {
            None => Some(Self::Record(slot, number(rest)?)),
            Some((digits, rest)) => {
                let n = rest.strip_prefix("beat.")?;
                number(n)?;
                Some(Self::Beat(slot, number(digits)?))
            }
        }
    }
}

/// Parses a number of exactly 20 digits.
fn number(digits: &str) -> Option<u64> {
    let plain = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    // `u64::MAX` has no successor
    plain
        .then(|| digits.parse().ok())?
        .filter(|n| *n < u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_objects_are_parsed() {
        let slot = parse_time("20261201T020000Z").unwrap();
        assert_eq!(Name::parse(&record(slot, 7)), Some(Name::Record(slot, 7)));
        assert_eq!(Name::parse(&beat(slot, 7, 3)), Some(Name::Beat(slot, 7)));
        assert_eq!(Name::parse(&mark(slot)), Some(Name::Mark(slot)));
        assert_eq!(Name::parse("paused"), Some(Name::Paused));
        for other in [
            "",
            "since.",
            "clock.1",
            "20261201T020000Z",
            "20261201T020000Z.7",
            "20261301T020000Z.00000000000000000000",
            "20261201T020000Z.00000000000000000007.beat.1",
            "20261201T020000Z.18446744073709551615",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }

    #[test]
    fn names_of_schedules_have_no_path() {
        for good in ["a", "nightly-full", "A.b_c-1"] {
            assert!(valid_schedule_name(good), "{good}");
        }
        let long = "x".repeat(64);
        for bad in ["", ".", "..", ".a", "a/b", "a b", "ä", "a\n", long.as_str()] {
            assert!(!valid_schedule_name(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_parsed_without_panic(name in any::<String>()) {
            let _ = Name::parse(&name);
            let _ = Name::parse(&format!("20261201T020000Z.{name}"));
        }
    }
}
