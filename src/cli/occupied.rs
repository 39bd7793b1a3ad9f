//! The commands that help if the target of a restore has files.

use super::exit::Failure;
use super::hooks::{Word, words};
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
    let shown = words(typed).filter_map(|word| match word {
        Word::Open(word) => Some(quoted_word(&word)),
        Word::Option(_) | Word::Value | Word::OptionAndValue(_) => None,
    });
    shown.collect::<Vec<_>>().join(" ")
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
