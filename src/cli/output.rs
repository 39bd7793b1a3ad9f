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
use super::json::{Envelope, ErrorDocument};
use super::option_names::translated;
use crate::shown;
use clap::builder::StyledStr;
use std::io::{ErrorKind, IsTerminal as _, Stdout, Write};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// Returns a text as this module prints it: escaped, with options instead of the library's fields.
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

/// Writes a value as JSON, in one line, to standard error.
pub(super) fn json_line(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        let _ = to_err(&shown::json(&(text + "\n")));
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

/// The document that a command prints at its end.
struct Document {
    /// Whether `--json` was given.
    wanted: bool,
    /// Standard output is a stream: the document is one line on standard error.
    to_stderr: bool,
    command: String,
    /// The result as JSON.
    result: Option<String>,
}

static DOCUMENT: Mutex<Document> = Mutex::new(Document {
    wanted: false,
    to_stderr: false,
    command: String::new(),
    result: None,
});

fn document() -> MutexGuard<'static, Document> {
    DOCUMENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets the parts of the document that are determined by the arguments. `stream`: standard output is a stream.
pub(super) fn begin(command: String, wanted: bool, stream: bool) {
    *document() = Document {
        wanted,
        to_stderr: stream,
        command,
        result: None,
    };
}

/// Keeps the result of the command for its document. [`end`] prints the document, so that it contains the error too
/// if the command fails after its report.
pub(super) fn json(value: &impl serde::Serialize) {
    let mut document = document();
    let text = if document.to_stderr {
        serde_json::to_string(value)
    } else {
        serde_json::to_string_pretty(value)
    };
    let kept = text.map(|text| document.result = Some(text));
    note(kept.map_err(std::io::Error::other), "the JSON document");
}

/// Prints the document, if `--json` was given.
pub(super) fn end(error: Option<&ErrorDocument>) {
    let document = document();
    if !document.wanted {
        return;
    }
    match enveloped(&document, error) {
        Ok(text) if document.to_stderr => {
            note(to_err(&shown::json(&text)), "the report on standard error");
        }
        Ok(text) => write(&shown::json(&text)),
        Err(error) => note(Err(error.into()), "the JSON document"),
    }
}

/// Returns the text of the document.
fn enveloped(document: &Document, error: Option<&ErrorDocument>) -> serde_json::Result<String> {
    // A number that the result replaces: the result is a text already, and its order must be kept.
    const PLACE: u64 = u64::MAX;
    let result = match (&document.result, error) {
        (Some(text), _) => Some(text.as_str()),
        (None, None) => Some("null"),
        (None, Some(_)) => None,
    };
    let envelope = Envelope::new(&document.command, result.map(|_| PLACE), error);
    let (text, result) = if document.to_stderr {
        let result = result.map(str::to_owned);
        (serde_json::to_string(&envelope)?, result)
    } else {
        // Newlines in strings are escaped.
        let result = result.map(|text| text.replace('\n', "\n  "));
        (serde_json::to_string_pretty(&envelope)?, result)
    };
    let text = match result {
        Some(result) => text.replacen(&PLACE.to_string(), &result, 1),
        None => text,
    };
    Ok(text + "\n")
}

/// Returns the document for hooks, also without `--json`.
pub(super) fn of_hooks(error: Option<&ErrorDocument>) -> Option<serde_json::Value> {
    let text = enveloped(&document(), error).ok()?;
    serde_json::from_str(&translated(&text)).ok()
}

impl super::Context {
    /// Keeps the result for the document, if there is one.
    fn keep(&self, value: &impl serde::Serialize) {
        if self.json || self.facts.has_hooks() {
            json(value);
        }
    }

    /// Prints the result of a command: `value` with `--json` in the document, else its `text`.
    pub(super) fn print<T: serde::Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) {
        self.keep(value);
        if !self.json {
            out(&text(value));
        }
    }

    /// Prints the report of a job: `value` as JSON with `--json`, its `text` on a terminal and with `--verbose`, else
    /// the line `brief`, for the mail of cron; nothing with `--quiet`.
    pub(super) fn print_report<T: serde::Serialize>(
        &self,
        value: &T,
        brief: impl FnOnce(&T) -> String,
        text: impl FnOnce(&T) -> String,
    ) {
        self.keep(value);
        if self.json || self.quiet {
            return;
        }
        if self.is_brief() {
            out(&brief(value));
        } else {
            out(&text(value));
        }
    }

    /// Returns whether a report is one line: without `--verbose`, if no person watches a terminal.
    pub(super) fn is_brief(&self) -> bool {
        self.verbose == 0 && !std::io::stderr().is_terminal() && !terminal().is_terminal()
    }

    /// Prints the result of a command to standard error, because standard output is a stream.
    pub(super) fn print_to_stderr<T: serde::Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) {
        self.keep(value);
        if !self.json && !self.quiet {
            err(&text(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_kind::ErrorKind;
    use serde_json::{Value, json};

    fn text(result: Option<&Value>, error: Option<&ErrorDocument>, to_stderr: bool) -> String {
        let kept = |value| match to_stderr {
            true => serde_json::to_string(value).unwrap(),
            false => serde_json::to_string_pretty(value).unwrap(),
        };
        let document = Document {
            wanted: true,
            to_stderr,
            command: "cloud put".to_owned(),
            result: result.map(kept),
        };
        enveloped(&document, error).unwrap()
    }

    #[test]
    fn the_document_has_the_result_the_error_or_both() {
        let result = json!({"a\nb": [1, {"c": "x\n  y"}], "n": u64::MAX});
        let error = ErrorDocument {
            kind: ErrorKind::Busy.into(),
            message: "m\nn".to_owned(),
            hint: None,
            exit_code: ExitCode::Conflict,
        };
        let error_value = json!({"kind": "busy", "message": "m\nn", "hint": null, "exit_code": 11});
        for to_stderr in [false, true] {
            for (result, error) in [
                (Some(&result), None),
                (None, Some(&error)),
                (Some(&result), Some(&error)),
            ] {
                let text = text(result, error, to_stderr);
                let found: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(found.get("result"), result);
                assert_eq!(found.get("error"), error.map(|_| &error_value));
                assert_eq!(found["command"], "cloud put");
                assert_eq!(to_stderr, text.lines().count() == 1, "{text}");
            }
            assert!(text(None, None, to_stderr).contains("\"result\":"));
        }
    }
}
