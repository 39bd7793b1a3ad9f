//! What is said to people and to programs: the only place that writes to standard output (clippy refuses the
//! macros, and `std::io::stdout` elsewhere; `streams` has the descriptor for streams).
//!
//! A reader that went away (`lsnap show NAME | head`, a `tee` that was killed) is no reason for a backup
//! to end, nor for one that is finished to be called a failure; `print!` would panic. So nothing here
//! fails, and a closed pipe counts as a reader that has read enough. Any other failure (a full disk) is remembered, and
//! a command that was done ends with exit code 1 all the same ([`checked`]): a script must not take half a report
//! for a whole one.
//!
//! Names in a repository or a stream can hold anything, so it is also the place where control characters are
//! escaped, see [`crate::shown`].

use super::exit_code::ExitCode;
use super::option_names::translated;
use crate::shown;
use clap::builder::StyledStr;
use std::io::{ErrorKind, Stdout, Write};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

/// Something that was printed did not reach its place, though there is a reader.
static INCOMPLETE: AtomicBool = AtomicBool::new(false);

/// The exit code of a command that was done: `code`, or 1 if its output lacks something.
pub(super) fn checked(code: ExitCode) -> process::ExitCode {
    let code = if INCOMPLETE.load(Ordering::Relaxed) {
        ExitCode::Failed
    } else {
        code
    };
    code.into()
}

/// Writes a text to standard output.
pub(super) fn out(text: &str) {
    write(&shown::lines(text));
}

/// Standard output, to look at: is it a terminal?
#[allow(clippy::disallowed_methods)] // here it is allowed
pub(super) fn terminal() -> Stdout {
    std::io::stdout()
}

/// A text as it is printed in a line of its own by the caller: escaped, with options instead of the library's fields.
pub(super) fn printed(text: &str) -> String {
    translated(&shown::lines(text)).into_owned()
}

fn write(text: &str) {
    let text = translated(text);
    let mut stdout = terminal().lock();
    note(
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush()),
        "standard output",
    );
}

/// Remembers that a result is not complete, and says so once.
fn note(written: std::io::Result<()>, place: &str) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
        && !INCOMPLETE.swap(true, Ordering::Relaxed)
    {
        err(&format!(
            "lsnap: {place} is not complete: {error}; whatever else the command had to do is not touched by that\n"
        ));
    }
}

/// Help, coloured or not.
pub(super) fn help(text: &StyledStr, coloured: bool) {
    write(&styled(text, coloured));
}

/// The same on standard error.
pub(super) fn help_beside(text: &StyledStr, coloured: bool) {
    write_err(&styled(text, coloured));
}

fn styled(text: &StyledStr, coloured: bool) -> String {
    if coloured {
        shown::coloured(&text.ansi().to_string()).into_owned()
    } else {
        shown::lines(&text.to_string()).into_owned()
    }
}

/// Writes a text to standard error. What can't be said there can be said nowhere.
pub(super) fn err(text: &str) {
    write_err(&shown::lines(text));
}

fn write_err(text: &str) {
    let _ = to_err(text);
}

fn to_err(text: &str) -> std::io::Result<()> {
    std::io::stderr()
        .lock()
        .write_all(translated(text).as_bytes())
}

/// Where the log goes: standard error.
pub(super) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        write_err(&shown::coloured(&String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes a value as JSON, over many lines, to standard output.
pub(super) fn json(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string_pretty(value) {
        write(&shown::json(&(text + "\n")));
    }
}

/// The same in one line on standard error.
pub(super) fn json_beside(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        note(
            to_err(&shown::json(&(text + "\n"))),
            "the report on standard error",
        );
    }
}

impl super::Context {
    /// Prints the result of a command: `value` for a program, `text` of it for a person.
    pub(super) fn tell<T: serde::Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) {
        if self.json {
            json(value);
        } else {
            out(&text(value));
        }
    }

    /// The same on standard error: where standard output is a stream.
    pub(super) fn tell_beside<T: serde::Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) {
        if self.json {
            json_beside(value);
        } else {
            err(&text(value));
        }
    }
}
