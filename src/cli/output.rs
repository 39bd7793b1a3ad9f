//! What is said to people and to programs.
//!
//! A reader that went away (`lsnap show NAME | head`, a `tee` that was killed) is no reason for a backup
//! to end, nor for one that is finished to be called a failure; `print!` would panic. So nothing here
//! fails, and the rest of this room prints by it alone (clippy refuses the macros).

use std::io::{ErrorKind, Write as _};

/// Writes a text to standard output, as it is.
pub(super) fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        err(&format!(
            "lsnap: standard output is not complete: {error}\n"
        ));
    }
}

/// Writes a text to standard error, as it is. What can't be said there can be said nowhere.
pub(super) fn err(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Writes a value as JSON, over many lines, to standard output.
pub(super) fn json(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string_pretty(value) {
        out(&(text + "\n"));
    }
}

/// The same in one line on standard error.
pub(super) fn json_beside(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        err(&(text + "\n"));
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
