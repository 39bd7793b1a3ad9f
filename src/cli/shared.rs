//! What the programs under xtrabackup's names (`compat`) use of this one: its output, and its signals.

use super::{connect, interrupt, modes, option_names, output, streams};
use crate::cancel::Cancel;
use std::borrow::Cow;
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

/// Returns a text with options of another program instead of the library's fields. `own` returns the option for a type
/// and its field.
pub(crate) fn translated_by<'a>(
    text: &'a str,
    own: &dyn Fn(&str, &str) -> Option<String>,
) -> Cow<'a, str> {
    option_names::translated_by(text, own)
}

/// Returns the option of lsnap that sets a field of a type, with its command.
pub(crate) fn option_with_command(owner: &str, field: &str) -> Option<String> {
    option_names::with_command(owner, field)
}

/// Returns standard output for a stream.
///
/// # Errors
/// It is a terminal, or closed: the message.
pub(crate) fn standard_output() -> Result<File, String> {
    streams::standard_output().map_err(|failure| failure.into_message())
}

/// Syncs standard output if it is a file.
///
/// # Errors
/// The data is not on the disk: the message.
pub(crate) fn sync_output() -> Result<(), String> {
    streams::sync_output().map_err(|failure| failure.into_message())
}

/// Returns standard input for a stream.
///
/// # Errors
/// It is a terminal, or can't be used: the message.
pub(crate) fn standard_input() -> Result<File, String> {
    streams::standard_input().map_err(|failure| failure.into_message())
}

/// Returns the `Cancel` of the process. Without [`on_signal`] it is never cancelled.
pub(crate) fn cancel() -> Cancel {
    interrupt::cancel().clone()
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
