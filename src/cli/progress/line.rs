//! One line of progress, fitted to a width.

use super::super::human;
use super::meter::Reading;
use std::time::Duration;

/// Characters of the bar.
const BAR: usize = 20;

/// The properties of the terminal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terminal {
    /// Columns.
    pub(super) width: usize,
    /// Whether it shows characters that are not ASCII.
    pub(super) unicode: bool,
}

/// Returns the longest form of the line that leaves the last column free: a terminal can begin a new
/// line after it.
pub(super) fn fitted(title: &str, reading: &Reading, turn: usize, terminal: Terminal) -> String {
    let room = terminal.width.saturating_sub(1);
    let fits = |line: &String| line.chars().count() <= room;
    let forms = forms(title, reading, turn, terminal.unicode);
    let found = forms.iter().find(|form| fits(form));
    found
        .cloned()
        .unwrap_or_else(|| title.chars().take(room).collect())
}

/// Returns the forms, the longest first.
fn forms(title: &str, reading: &Reading, turn: usize, unicode: bool) -> Vec<String> {
    let rate = reading
        .rate
        .map(|rate| format!("{}/s", human::bytes(rate as u64)));
    let left = reading.left.map(|left| format!("{} left", time(left)));
    let join = |parts: &[Option<&String>]| {
        let words: Vec<&str> = parts.iter().flatten().map(|part| part.as_str()).collect();
        [&[title], words.as_slice()].concat().join(" ")
    };
    let Some(total) = reading.total else {
        let turning = ['|', '/', '-', '\\'][turn % 4].to_string();
        let done = (reading.done > 0).then(|| human::bytes(reading.done));
        let elapsed = time(reading.elapsed);
        let rate = rate.filter(|_| done.is_some());
        return vec![
            join(&[Some(&turning), done.as_ref(), rate.as_ref(), Some(&elapsed)]),
            join(&[Some(&turning), done.as_ref(), Some(&elapsed)]),
            join(&[Some(&elapsed)]),
        ];
    };
    let percent = reading.done.min(total) as f64 / total as f64;
    let bar = bar(percent, unicode);
    let percent = format!("{}%", (percent * 100.0) as u64);
    let of = format!("{} of {}", human::bytes(reading.done), human::bytes(total));
    let (percent, of, bar) = (Some(&percent), Some(&of), Some(&bar));
    let (rate, left) = (rate.as_ref(), left.as_ref());
    vec![
        join(&[bar, percent, of, rate, left]),
        join(&[percent, of, rate, left]),
        join(&[percent, rate, left]),
        join(&[percent, left]),
        join(&[percent]),
    ]
}

fn bar(part: f64, unicode: bool) -> String {
    let full = ((part * BAR as f64) as usize).min(BAR);
    let (done, open) = if unicode {
        ('\u{2588}', '\u{2591}')
    } else {
        ('#', '.')
    };
    let fill = |c: char, count: usize| c.to_string().repeat(count);
    fill(done, full) + &fill(open, BAR - full)
}

/// Formats a time without fractions: `45 s`, `4 min 05 s`, `2 h 10 min`, `3 d 04 h`.
pub(super) fn time(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0..60 => format!("{s} s"),
        60..86400 => human::duration(time),
        _ => format!("{} d {:02} h", s / 86400, s / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READING: Reading = Reading {
        done: 3 << 30,
        total: Some(12 << 30),
        rate: Some(512.0 * 1024.0 * 1024.0),
        elapsed: Duration::from_secs(6),
        left: Some(Duration::from_secs(125)),
    };

    #[test]
    fn the_line_fits_and_drops_parts_by_importance() {
        let line = |width, unicode| fitted("merging", &READING, 0, Terminal { width, unicode });
        assert_eq!(
            line(120, false),
            "merging #####............... 25% 3.00 GiB of 12.00 GiB 512.00 MiB/s 2 min 05 s left"
        );
        assert_eq!(
            line(80, true),
            "merging 25% 3.00 GiB of 12.00 GiB 512.00 MiB/s 2 min 05 s left"
        );
        assert_eq!(line(44, true), "merging 25% 512.00 MiB/s 2 min 05 s left");
        assert_eq!(line(40, true), "merging 25% 2 min 05 s left");
        assert_eq!(line(20, true), "merging 25%");
        assert_eq!(line(6, true), "mergi");
        assert_eq!(line(0, true), "");
        for width in 0..130 {
            let shown = line(width, true);
            assert!(shown.chars().count() < width.max(1), "{width}: {shown}");
            assert!(line(width, false).is_ascii());
        }
    }

    #[test]
    fn without_a_total_the_elapsed_time_is_shown() {
        let terminal = Terminal {
            width: 40,
            unicode: false,
        };
        let unknown = Reading {
            total: None,
            left: None,
            ..READING
        };
        let shown = fitted("redo", &unknown, 1, terminal);
        assert_eq!(shown, "redo / 3.00 GiB 512.00 MiB/s 6 s");
        let nothing = Reading {
            done: 0,
            rate: None,
            ..unknown
        };
        assert_eq!(
            fitted("preparing", &nothing, 0, terminal),
            "preparing | 6 s"
        );
    }

    #[test]
    fn times_are_short() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (65, "1 min 05 s"),
            (7800, "2 h 10 min"),
            (273_600, "3 d 04 h"),
        ] {
            assert_eq!(time(Duration::from_secs(seconds)), text);
        }
    }
}
