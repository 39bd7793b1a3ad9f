//! Messages in the form of xtrabackup 8.0.30 and newer, on standard error:
//!
//! ```text
//! 2026-11-30T18:40:12.123456+00:00 0 [Note] [MY-011825] [Xtrabackup] the text
//! ```
//!
//! Callers split the lines at blanks: five fields come before the text.

use super::option_names;
use crate::shown;
use chrono::{SecondsFormat, Utc};
use std::fmt;
use std::io::Write as _;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Writes a message for information.
pub(super) fn note(text: &str) {
    write("Note", text);
}

/// Writes a warning.
pub(super) fn warning(text: &str) {
    write("Warning", text);
}

/// Writes an error.
pub(super) fn error(text: &str) {
    write("ERROR", text);
}

fn write(level: &str, text: &str) {
    let time = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, false);
    for line in option_names::translated(text).lines() {
        let line = format!("{time} 0 [{level}] [MY-011825] [Xtrabackup] {line}\n");
        // A failure can't be reported.
        let _ = std::io::stderr()
            .lock()
            .write_all(shown::lines(&line).as_bytes());
    }
}

/// Writes a line of a program without a log: `xbstream: the text`.
pub(super) fn plain(program: &str, text: &str) {
    let line = format!("{program}: {}\n", option_names::translated(text));
    // A failure can't be reported.
    let _ = std::io::stderr()
        .lock()
        .write_all(shown::lines(&line).as_bytes());
}

/// Sends warnings and errors of the library to this log.
pub(super) fn start() {
    start_with(|level, text| {
        if level == Level::ERROR {
            error(text);
        } else {
            warning(text);
        }
    });
}

/// Sends warnings and errors of the library to `show`.
pub(super) fn start_with(show: fn(Level, &str)) {
    // It fails if there is one already: then the messages are in that one.
    let _ = tracing_subscriber::registry().with(Events(show)).try_init();
}

struct Events(fn(Level, &str));

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Events {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let meta = event.metadata();
        if !meta.target().starts_with("lsnap") || *meta.level() > Level::WARN {
            return;
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0(*meta.level(), &text.0);
    }
}

/// The message of an event.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
