//! The commands that help if the target of a restore has files.

use super::exit::Failure;
use super::hooks::HIDDEN_VALUES;
use crate::restore::{Occupied, RestoreError, quoted_word};
use std::path::Path;

/// Converts the error of a plan; adds the commands if the target is not empty.
pub(super) fn failure(error: RestoreError) -> Failure {
    let hint = match &error {
        RestoreError::NotEmpty { path, .. } => commands(path, std::env::args()),
        _ => return error.into(),
    };
    Failure::from(error).with_hint(&hint)
}

/// Returns a command line without the options whose values can be secrets.
fn without_hidden(typed: impl Iterator<Item = String>) -> String {
    let mut words = Vec::new();
    let mut hide_next = false;
    for word in typed {
        let option = word.split('=').next().unwrap_or_default();
        let is_hidden = HIDDEN_VALUES.contains(&option);
        if std::mem::take(&mut hide_next) {
            continue;
        }
        if is_hidden {
            hide_next = !word.contains('=');
            continue;
        }
        words.push(quoted_word(&word));
    }
    words.join(" ")
}

/// Returns the commands, with the arguments as they were typed.
fn commands(target: &Path, typed: impl Iterator<Item = String>) -> String {
    let occupied = Occupied::of(target);
    let again = without_hidden(typed);
    let mut out = String::from("To move the old content away by hand:\n");
    if let Some(stop) = &occupied.stop {
        out += &format!("  {stop}\n");
    }
    for line in occupied.make_room {
        out += &format!("  {line}\n");
    }
    out += &format!("  {again}\n");
    out += &format!(
        "Or, to let the restore move it at its end{}:\n  {again} --force-move-aside",
        if occupied.stop.is_some() {
            " (stop the server first)"
        } else {
            ""
        }
    );
    out
}
