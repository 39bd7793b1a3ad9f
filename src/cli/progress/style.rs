//! How progress is shown.

use super::line::Terminal;
use std::io::IsTerminal as _;
use std::time::Duration;

/// How to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Style {
    /// A line that is updated on a terminal, nothing elsewhere.
    Auto,
    /// A line that is updated.
    Bar,
    /// A line for each phase, and one every 10 s.
    Plain,
    /// JSON, one object a line, for programs.
    Json,
    /// Nothing.
    None,
}

impl Style {
    /// Returns the style for the process: never [`Self::Auto`].
    pub(super) fn chosen(self) -> Self {
        if self != Self::Auto {
            return self;
        }
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        match (std::io::stderr().is_terminal(), dumb) {
            (true, false) => Self::Bar,
            (true, true) => Self::Plain,
            (false, _) => Self::None,
        }
    }

    /// Returns the interval of its output.
    pub(super) const fn interval(self) -> Option<Duration> {
        match self {
            Self::Bar => Some(Duration::from_millis(200)),
            Self::Plain => Some(Duration::from_secs(10)),
            Self::Json => Some(Duration::from_secs(1)),
            Self::Auto | Self::None => None,
        }
    }
}

/// Columns if the terminal doesn't say.
const WIDTH: usize = 80;

/// Returns the properties of the terminal on standard error. Its width can change at any time.
pub(super) fn terminal() -> Terminal {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    let width = size.map_or(0, |size| usize::from(size.ws_col));
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let named = variable("COLUMNS").and_then(|columns| columns.parse().ok());
    Terminal {
        width: if width > 0 {
            width
        } else {
            named.unwrap_or(WIDTH)
        },
        unicode: is_utf8(&variable),
    }
}

/// Returns whether the locale's characters are UTF-8. The first of the variables that is set counts.
fn is_utf8(variable: &dyn Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| variable(name));
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides_about_characters() {
        for (set, expected) in [
            (&[][..], false),
            (&[("LANG", "C")], false),
            (&[("LANG", "de_DE.UTF-8")], true),
            (&[("LANG", "C.utf8")], true),
            (&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")], false),
            (&[("LANG", "C"), ("LC_CTYPE", "en_US.UTF-8")], true),
            (&[("LANG", "de_DE@euro")], false),
        ] {
            let variable = |name: &str| {
                let found = set.iter().find(|(set, _)| *set == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(is_utf8(&variable), expected, "{set:?}");
        }
    }
}
