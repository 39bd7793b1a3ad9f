//! Times, sizes and names in words.

use crate::shown::{lines, shown};
use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

/// Returns a name without characters that change lines or the direction of a text.
pub(super) fn plain(text: &str) -> String {
    shown(text).to_string()
}

/// Returns a text of any number of lines without such characters.
pub(super) fn message(text: &str) -> String {
    lines(text.trim()).into_owned()
}

/// Returns a text with a capital at its start.
pub(super) fn sentence(text: &str) -> String {
    let text = message(text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if first.is_ascii_lowercase() => {
            first.to_ascii_uppercase().to_string() + chars.as_str()
        }
        _ => text,
    }
}

/// Returns a size in binary units: `42.0 GiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let unit_name = UNITS.get(unit).copied().unwrap_or_default();
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{value:.1} {unit_name}"),
    }
}

/// Returns a span of time with its two largest units: `1 h 30 min`.
pub(super) fn span(time: TimeDelta) -> String {
    let seconds = time.num_seconds().abs();
    let two = |large: i64, a: &str, small: i64, b: &str| match small {
        0 => format!("{large} {a}"),
        _ => format!("{large} {a} {small} {b}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// Returns a time: `2026-12-01 05:00 UTC`.
pub(super) fn clock(time: DateTime<Utc>) -> Markup {
    html! {
        time datetime=(time.to_rfc3339()) { (time.format("%Y-%m-%d %H:%M UTC")) }
    }
}

/// Returns a time relative to now: `in 1 h 30 min`, `5 min ago`, with the time itself.
pub(super) fn moment(time: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    html! { (relative(time, now)) " (" (clock(time)) ")" }
}

/// Returns a time relative to now.
pub(super) fn relative(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let ahead = time - now;
    match ahead.num_seconds() {
        0 => "now".to_owned(),
        1.. => format!("in {}", span(ahead)),
        _ => format!("{} ago", span(ahead)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1023, "1.0 KiB"),
            (45_097_156_608, "42.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (seconds, text) in [
            (-59, "59 s"),
            (3599, "59 min"),
            (3600, "1 h"),
            (5400, "1 h 30 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(span(TimeDelta::seconds(seconds)), text);
        }
        assert_eq!(plain("a\nb\u{202e}c"), "a\\u{a}b\\u{202e}c");
    }
}
