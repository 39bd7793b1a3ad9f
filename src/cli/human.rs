//! Formats numbers for people, and parses those that people type.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::counted;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

/// Formats a size with a binary unit: `1.50 GiB`.
pub(super) fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = n as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    match unit {
        "B" => format!("{n} B"),
        unit => format!("{value:.2} {unit}"),
    }
}

/// Formats a duration with few digits: `3.2 s`, `4 min 05 s`, `2 h 10 min`.
pub(super) fn duration(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0..60 => format!("{:.1} s", d.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s / 60 % 60),
    }
}

/// Formats an age: `12 s`, `5 min`, `3 h`, `8 d`.
pub(super) fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min", s / 60),
        s @ 3600..86400 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86400),
    }
}

/// Shortens a set of GTIDs: `3e11fa47:1-5`; of several (by server and tag), the first and the number of
/// the others.
pub(super) fn gtids(set: &str) -> Option<String> {
    let mut sets = set.split(',').map(str::trim).filter(|s| !s.is_empty());
    let (uuid, rest) = sets.next()?.split_once(':')?;
    let short = uuid.split('-').next().unwrap_or(uuid);
    let is_tag = |part: &&str| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let mut parts = rest.split(':').map(str::trim).peekable();
    let tag = parts.next_if(is_tag);
    let tag = tag.map_or(String::new(), |tag| format!("{tag}:"));
    let own = std::iter::from_fn(|| parts.next_if(|part| !is_tag(part)));
    // With gaps, only the last interval.
    let intervals = match own.collect::<Vec<_>>().as_slice() {
        [.., _, last] => format!("{tag}...{last}"),
        one => format!("{tag}{}", one.concat()),
    };
    Some(match sets.count() + parts.filter(is_tag).count() {
        0 => format!("{short}:{intervals}"),
        more => format!("{short}:{intervals} +{more}"),
    })
}

/// Shortens the set of GTIDs in a position of xtrabackup: `... GTID of the last change '...'`.
pub(super) fn gtids_in(position: &str) -> Option<String> {
    let (_, rest) = position.split_once("GTID of the last change '")?;
    gtids(rest.split('\'').next()?)
}

/// Parses a time span: `90s`, `15min`, `24h`, `7d`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let refuse =
        || format!("{text:?} is not a time span: expected a number with s, min, h or d, like 24h");
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let seconds = match unit.trim() {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return Err(refuse()),
    };
    let number: u64 = number.parse().map_err(|_| refuse())?;
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(refuse)
}

/// Parses a time: RFC 3339 with its time zone, a date (its begin in UTC), or a time span before now.
pub(super) fn parse_time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(date.and_time(NaiveTime::MIN).and_utc());
    }
    let span = parse_duration(text).ok();
    let time = span.and_then(|span| {
        let span = TimeDelta::from_std(span).ok()?;
        Utc::now().checked_sub_signed(span)
    });
    time.ok_or_else(|| {
        format!(
            "{text:?} is not a time: expected RFC 3339 with a time zone like 2026-11-30T08:00:00Z, a date like \
             2026-11-30, or a time span before now like 2d"
        )
    })
}

/// Smallest memory limit in bytes: a range of a file and its copy must fit.
const LEAST_MEMORY: usize = 1 << 20;

/// Parses a memory limit: a size of at least 1 MiB.
pub(super) fn parse_memory(text: &str) -> Result<usize, String> {
    let bytes = parse_bytes(text)?;
    if bytes < LEAST_MEMORY {
        return Err(format!(
            "{text:?} is {bytes}, expected at least 1MiB",
            bytes = counted::count(bytes, "byte")
        ));
    }
    Ok(bytes)
}

/// Parses a size: `256MiB`, `1.5G`, `65536`. Units are binary.
pub(super) fn parse_bytes(text: &str) -> Result<usize, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err(no_size(text)),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().map_err(|_| no_size(text))?;
    let bytes =
        (u128::from(whole) << shift) + fraction(part, shift).ok_or_else(|| no_size(text))?;
    usize::try_from(bytes).map_err(|_| format!("{text:?} is more than this machine can address"))
}

fn no_size(text: &str) -> String {
    format!("{text:?} is not a size: expected a number with K, M, G or T, like 256M or 1.5G")
}

/// Returns the bytes of a decimal fraction, rounded down. A number of bytes can't have a fraction.
fn fraction(digits: &str, shift: u32) -> Option<u128> {
    let value: u64 = digits.parse().ok()?;
    if digits.len() > 9 || (shift == 0 && value > 0) {
        return None;
    }
    Some((u128::from(value) << shift) / 10u128.pow(digits.len() as u32))
}

/// Parses a rate: bytes a second, in the format of [`parse_bytes`].
pub(super) fn parse_rate(text: &str) -> Result<NonZeroU64, String> {
    let text = text.strip_suffix("/s").unwrap_or(text);
    let bytes = parse_bytes(text)?;
    let none = || "a rate of 0 would send nothing: remove the option for no limit".to_owned();
    u64::try_from(bytes)
        .ok()
        .and_then(NonZeroU64::new)
        .ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_points_or_spans_before_now() {
        for (text, expected) in [
            ("2026-11-30T08:00:00Z", "2026-11-30T08:00:00+00:00"),
            ("2026-11-30T08:00:00+01:00", "2026-11-30T07:00:00+00:00"),
            ("2026-11-30 08:00:00-02:00", "2026-11-30T10:00:00+00:00"),
            ("2026-11-30", "2026-11-30T00:00:00+00:00"),
        ] {
            assert_eq!(parse_time(text).unwrap().to_rfc3339(), expected, "{text}");
        }
        let ago = Utc::now() - parse_time("2d").unwrap();
        assert!((ago - TimeDelta::days(2)).abs() < TimeDelta::minutes(1));
        // without a time zone, it would be that of this host or of the server
        for text in [
            "",
            "2026-11-30T08:00:00",
            "30.11.2026",
            "2",
            "99999999999999999d",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_people_type_them() {
        for (text, bytes) in [
            ("256MiB", 256 << 20),
            ("1G", 1 << 30),
            ("65536", 65536),
            ("4k", 4096),
            ("1.5G", 3 << 29),
            ("0.25 MiB", 1 << 18),
            ("2T", 2 << 40),
            ("0.0001k", 0),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "M",
            "1.5",
            ".5G",
            "1.G",
            "1.2.3G",
            "1.+5G",
            "-1",
            "1 X",
            "99999999999999999999",
            "99999999999G",
        ] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn memory_is_at_least_1_mib() {
        assert_eq!(parse_memory("1MiB"), Ok(1 << 20));
        for text in ["0", "0.1M", "1023k", "some"] {
            assert!(parse_memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn time_spans_are_parsed() {
        for (text, seconds) in [("0s", 0), ("15min", 900), ("24h", 86400), ("7d", 604_800)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in [
            "",
            "7",
            "d",
            "-1s",
            "1.5h",
            "7 weeks",
            "18446744073709551615d",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_sizes_a_second_and_not_0() {
        for (text, rate) in [
            ("100M", 100 << 20),
            ("1.5G", 3 << 29),
            ("50MiB/s", 50 << 20),
        ] {
            assert_eq!(parse_rate(text).map(NonZeroU64::get), Ok(rate), "{text}");
        }
        for text in ["0", "0M", "fast", "/s"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sets_of_gtids_are_shortened() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let of = |rest: &str| gtids(&format!("{uuid}{rest}"));
        assert_eq!(of(":1-5").as_deref(), Some("3e11fa47:1-5"));
        assert_eq!(of(":1-5:7-9").as_deref(), Some("3e11fa47:...7-9"));
        let tagged = of(":1-244:a:1-2:7:b:1,4a2:1");
        assert_eq!(tagged.as_deref(), Some("3e11fa47:1-244 +3"));
        assert_eq!(of(":a:1-2:7").as_deref(), Some("3e11fa47:a:...7"));
        assert_eq!(
            of(&format!(":1-5,\n{uuid}:7")).as_deref(),
            Some("3e11fa47:1-5 +1")
        );
        assert_eq!((gtids(""), gtids("x")), (None, None));
        let position =
            format!("filename 'b.1', position '4', GTID of the last change '{uuid}:1-7'");
        assert_eq!(gtids_in(&position).as_deref(), Some("3e11fa47:1-7"));
    }

    #[test]
    fn sizes_have_binary_units() {
        for (n, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (3 << 29, "1.50 GiB"),
            (u64::MAX, "16.00 EiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn durations_have_few_digits() {
        assert_eq!(duration(Duration::from_millis(3210)), "3.2 s");
        assert_eq!(duration(Duration::from_secs(245)), "4 min 05 s");
        assert_eq!(duration(Duration::from_secs(7800)), "2 h 10 min");
        assert_eq!(age(7 * 3600 + 5), "7 h");
    }
}
