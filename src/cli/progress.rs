//! Shows progress on standard error: a bar on a terminal, lines for a log, or nothing.

use super::{human, output};
use crate::locked::Locked;
use crate::progress::{Phase, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::Duration;

/// How to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Style {
    /// A bar on a terminal, nothing elsewhere.
    Auto,
    /// A bar.
    Bar,
    /// A line for each phase.
    Plain,
    /// Nothing.
    None,
}

/// Shows the progress of a job.
pub(super) struct Shown {
    style: Style,
    bar: Mutex<Option<(Phase, ProgressBar)>>,
}

impl Shown {
    pub(super) fn new(style: Style) -> Self {
        let style = match style {
            Style::Auto if std::io::stderr().is_terminal() => Style::Bar,
            Style::Auto => Style::None,
            other => other,
        };
        Self {
            style,
            bar: Mutex::new(None),
        }
    }

    /// Removes the bar, so that the next output starts on a line of its own.
    pub(super) fn end(&self) {
        if let Some((_, bar)) = self.bar.locked().take() {
            bar.finish_and_clear();
        }
    }
}

fn title(phase: Phase) -> &'static str {
    match phase {
        Phase::Preparing => "preparing",
        Phase::RedoCatchUp => "redo",
        Phase::Copy => "pages",
        Phase::DataCopied => "pages done",
        Phase::Plain => "other files",
        Phase::Redo => "redo end",
        Phase::Finish => "finishing",
        Phase::Merge => "merging",
        Phase::Apply => "applying redo",
        Phase::HandOver => "hand-over",
        Phase::Verify => "checking",
        Phase::Transfer => "objects",
    }
}

fn bar(phase: Phase, total: Option<u64>) -> ProgressBar {
    let template = if total.is_some() {
        "{msg:>14} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left"
    } else {
        "{msg:>14} {spinner} {binary_bytes} {elapsed}"
    };
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.set_draw_target(ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(title(phase));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

impl Progress for Shown {
    fn phase(&self, phase: Phase, total: Option<u64>) {
        match self.style {
            Style::Bar => {
                self.end();
                *self.bar.locked() = Some((phase, bar(phase, total)));
            }
            Style::Plain => match total {
                Some(total) => {
                    output::err(&format!("{}: {}\n", title(phase), human::bytes(total)));
                }
                None => output::err(&format!("{}\n", title(phase))),
            },
            Style::Auto | Style::None => {}
        }
    }

    fn advance(&self, phase: Phase, bytes: u64) {
        let current = self.bar.locked();
        if let Some((shown, bar)) = &*current
            && *shown == phase
        {
            bar.inc(bytes);
        }
    }

    fn note(&self, message: &str) {
        let current = self.bar.locked();
        match (&*current, self.style) {
            (Some((_, bar)), _) => bar.println(output::printed(message)),
            (None, Style::None) => tracing::info!("{message}"),
            (None, _) => output::err(&format!("{message}\n")),
        }
    }
}
