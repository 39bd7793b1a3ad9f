//! What the programs under xtrabackup's names (`compat`) use of this one: its output, and its signals.

use super::{connect, interrupt, modes, output, streams};
use crate::cancel::Cancel;
use std::fs::File;
use std::io;

/// Writes a text to standard output.
pub(crate) fn print(text: &str) {
    output::out(text);
}

/// Writes a text to standard error.
pub(crate) fn print_to_stderr(text: &str) {
    output::err(text);
}

/// Returns a text as it is printed: escaped, with options instead of the library's fields.
pub(crate) fn printed(text: &str) -> String {
    output::printed(text)
}

/// Returns standard output for a stream.
///
/// # Errors
/// It is a terminal, or closed: the message.
pub(crate) fn standard_output() -> Result<File, String> {
    streams::standard_output().map_err(|failure| failure.into_message())
}

/// Returns the `Cancel` of the process, which the first signal cancels; `doing` describes the cleanup.
///
/// # Errors
/// Signals can't be watched: the message.
pub(crate) fn on_signal(doing: &'static str) -> Result<Cancel, String> {
    interrupt::on_signal(doing).map_err(|failure| failure.into_message())
}

/// Lets the owner and the group read the files that are created from now on, as those of xtrabackup.
pub(crate) fn limit_modes() {
    modes::limit(modes::Readers::Group);
}

/// Reads a line: from a terminal without echo, else from standard input.
///
/// # Errors
/// The failure of reading.
pub(crate) fn ask(prompt: &str) -> io::Result<String> {
    connect::ask(prompt)
}
