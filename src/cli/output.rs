//! Writes all output of the program. Only this module writes to standard output: clippy refuses the macros,
//! and `std::io::stdout` elsewhere. `streams` has the descriptor for streams.
//!
//! If the reader closes the pipe (`lsnap show NAME | head`, a `tee` that was killed), a backup must not end,
//! and a finished one must not be reported as failed; `print!` would panic. So no function here fails, and a
//! closed pipe is ignored. Any other failure (a full disk) is recorded, and a successful command then ends
//! with exit code 1 ([`checked`]), so that a script doesn't mistake half a report for a complete one.
//!
//! Control characters are escaped here ([`crate::shown`]), because names in a repository or a stream can
//! contain any. The library's fields are replaced by options ([`super::option_names`]).

use super::exit_code::ExitCode;
use super::option_names::translated;
use crate::shown;
use clap::builder::StyledStr;
use std::io::{ErrorKind, Stdout, Write};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set when a write failed, other than by a closed pipe.
static INCOMPLETE: AtomicBool = AtomicBool::new(false);

/// Returns the exit code of a successful command: `code`, or 1 if its output is not complete.
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

/// Returns standard output, to find out whether it is a terminal.
#[allow(clippy::disallowed_methods)] // Only here.
pub(super) fn terminal() -> Stdout {
    std::io::stdout()
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

/// Records a failed write, and reports the first one.
fn note(written: std::io::Result<()>, place: &str) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
        && !INCOMPLETE.swap(true, Ordering::Relaxed)
    {
        err(&format!(
            "lsnap: {place} is not complete: {error}; nothing else that the command did is affected\n"
        ));
    }
}

/// Writes help to standard output.
pub(super) fn help(text: &StyledStr, coloured: bool) {
    write(&styled(text, coloured));
}

/// Writes help to standard error.
pub(super) fn help_to_stderr(text: &StyledStr, coloured: bool) {
    write_err(&styled(text, coloured));
}

fn styled(text: &StyledStr, coloured: bool) -> String {
    if coloured {
        shown::coloured(&text.ansi().to_string()).into_owned()
    } else {
        shown::lines(&text.to_string()).into_owned()
    }
}

/// Writes a text to standard error. A failure is ignored, because it can't be reported.
pub(super) fn err(text: &str) {
    write_err(&shown::lines(text));
}

fn write_err(text: &str) {
    let _ = to_err(text);
}

fn to_err(text: &str) -> std::io::Result<()> {
    let mut stderr = std::io::stderr().lock();
    if LINE.swap(false, Ordering::Relaxed) {
        stderr.write_all(CLEAR)?;
    }
    stderr.write_all(translated(text).as_bytes())
}

/// True while a line of progress is on the terminal; changed only with the lock of standard error.
static LINE: AtomicBool = AtomicBool::new(false);
/// Moves to the begin of the line, and clears it.
const CLEAR: &[u8] = b"\r\x1b[K";

/// Draws a line of progress on standard error, in place of the one before it. It is removed before
/// anything else is written there.
pub(super) fn draw_line(text: &str) {
    let text = shown::lines(text);
    let mut stderr = std::io::stderr().lock();
    LINE.store(true, Ordering::Relaxed);
    let _ = stderr.write_all(&[CLEAR, text.as_bytes()].concat());
}

/// Removes the line of progress.
pub(super) fn clear_line() {
    let mut stderr = std::io::stderr().lock();
    if LINE.swap(false, Ordering::Relaxed) {
        let _ = stderr.write_all(CLEAR);
    }
}

/// Writes the log to standard error.
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

/// Writes a value as JSON, in one line, to standard error.
pub(super) fn json_to_stderr(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        note(
            to_err(&shown::json(&(text + "\n"))),
            "the report on standard error",
        );
    }
}

impl super::Context {
    /// Prints the result of a command: `value` as JSON with `--json`, else its `text`.
    pub(super) fn print<T: serde::Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) {
        if self.json {
            json(value);
        } else {
            out(&text(value));
        }
    }

    /// Prints the result of a command to standard error, because standard output is a stream.
    pub(super) fn print_to_stderr<T: serde::Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) {
        if self.json {
            json_to_stderr(value);
        } else {
            err(&text(value));
        }
    }
}
