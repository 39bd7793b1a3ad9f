//! What is said to people and to programs.
//!
//! A reader that went away (`lsnap show NAME | head`, a `tee` that was killed) is no reason for a backup
//! to end, nor for one that is finished to be called a failure; `print!` would panic. So nothing here
//! fails, and the rest of this module prints by it alone (clippy refuses the macros). A command whose work is its
//! output ends with an error if that is not complete ([`is_incomplete`]).
//!
//! Names in a repository or a stream can hold anything, so it is also the place where control characters are
//! escaped, see [`crate::shown`].

use crate::shown;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Something that was printed did not reach standard output, though there is a reader.
static INCOMPLETE: AtomicBool = AtomicBool::new(false);

/// Whether standard output lacks something (a full disk): what a command that only prints has then failed to do.
/// That a reader went away counts as its having read enough.
pub(super) fn is_incomplete() -> bool {
    INCOMPLETE.load(Ordering::Relaxed)
}

/// Writes a text to standard output.
pub(super) fn out(text: &str) {
    write(&shown::lines(text));
}

fn write(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        INCOMPLETE.store(true, Ordering::Relaxed);
        err(&format!(
            "lsnap: standard output is not complete: {error}\n"
        ));
    }
}

/// Writes a text to standard error. What can't be said there can be said nowhere.
pub(super) fn err(text: &str) {
    write_err(&shown::lines(text));
}

fn write_err(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
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
        write_err(&shown::json(&(text + "\n")));
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
