//! Escapes text from outside (paths of a stream, keys of a repository) for a terminal and a log.
//!
//! A control character can move the cursor, change the title or hide what was printed; a
//! bidirectional mark can make a name read as another one. Each is replaced by its number:
//! `\u{1b}`. A newline in a name is escaped too, because it could forge a line; a newline between
//! the lines of a message is kept.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::path::Path;

/// Returns whether a character can mislead a terminal or a reader. The callers handle newlines and
/// tabs.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // arabic letter mark, left-to-right and right-to-left marks
            '\u{61c}' | '\u{200e}' | '\u{200f}'
            // line and paragraph separator, embeddings and overrides
            | '\u{2028}'..='\u{202e}'
            // isolates
            | '\u{2066}'..='\u{2069}')
}

/// A name, escaped to one line.
pub(crate) struct Shown<'a>(Cow<'a, str>);

/// Escapes a name.
pub(crate) fn shown(name: &str) -> Shown<'_> {
    Shown(Cow::Borrowed(name))
}

/// Escapes a path.
pub(crate) fn shown_path(path: &Path) -> Shown<'_> {
    Shown(path.to_string_lossy())
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_harmful(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Escapes a text of any number of lines.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false, |c| c.escape_unicode().to_string())
}

/// Escapes a JSON text: its value is unchanged, because the harmful characters can only be in
/// strings.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false, |c| format!("\\u{:04x}", u32::from(c)))
}

/// Escapes lines of a log that may be coloured: sequences that only set a colour are kept. Escape
/// sequences in the logged values must have been escaped before.
pub(crate) fn coloured(text: &str) -> Cow<'_, str> {
    let colour = |rest: &str| {
        rest.strip_prefix("\u{1b}[")
            .map(|tail| tail.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';'))
            .is_some_and(|tail| tail.starts_with('m'))
    };
    escaped(text, colour, |c| c.escape_unicode().to_string())
}

fn escaped(
    text: &str,
    passes: impl Fn(&str) -> bool,
    escape: impl Fn(char) -> String,
) -> Cow<'_, str> {
    let harmful = |c: char| is_harmful(c) && !matches!(c, '\n' | '\t');
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        if harmful(c) && !passes(&text[at..]) {
            out += &escape(c);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let evil = "a\u{1b}[2J\r\n\u{9b}31m\u{7f}\u{202e}b\u{2066}ü\t";
        let name = shown(evil).to_string();
        assert_eq!(
            name,
            "a\\u{1b}[2J\\u{d}\\u{a}\\u{9b}31m\\u{7f}\\u{202e}b\\u{2066}ü\\u{9}"
        );
        assert_eq!(shown_path(Path::new("db/t.ibd")).to_string(), "db/t.ibd");
        let text = lines(evil);
        assert_eq!(
            text,
            "a\\u{1b}[2J\\u{d}\n\\u{9b}31m\\u{7f}\\u{202e}b\\u{2066}ü\t"
        );
        assert!(matches!(lines("plain\ntext ü"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_keeps_its_value() {
        let value = serde_json::json!({"path": "a\u{9b}31m\u{7f}\u{202e}\u{1b}b\n"});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let safe = json(&text);
        assert!(
            !safe.contains(['\u{9b}', '\u{7f}', '\u{202e}', '\u{1b}']),
            "{safe}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&safe).unwrap(),
            value
        );
    }

    #[test]
    fn only_colour_sequences_are_kept_in_a_log() {
        let line = "\u{1b}[33m WARN\u{1b}[0m x\u{1b}[2J\u{1b}]0;title\u{7}\n";
        assert_eq!(
            coloured(line),
            "\u{1b}[33m WARN\u{1b}[0m x\\u{1b}[2J\\u{1b}]0;title\\u{7}\n"
        );
    }
}
