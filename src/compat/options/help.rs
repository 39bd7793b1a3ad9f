//! The help of a program. Scripts search it for the names of options to learn whether the program has
//! them, so every name is in it.

use super::{Argument, Kind, Spec, State};
use std::fmt::Write as _;

/// The column of the sentences.
const COLUMN: usize = 32;

/// Returns the lines for the options of a table.
pub(in crate::compat) fn usage(table: &[Spec]) -> String {
    let mut text = String::new();
    for spec in table {
        let short = match spec.short {
            Some(letter) => format!("-{letter}, "),
            None => String::new(),
        };
        let argument = match (spec.argument, spec.kind) {
            (Argument::Flag, _) => "",
            (Argument::Optional, _) => "[=name]",
            (Argument::Required, Kind::Number { .. }) => "=#",
            (Argument::Required, _) => "=name",
        };
        let name = format!("  {short}--{}{argument}", spec.name);
        if name.len() < COLUMN {
            let _ = write!(text, "{name:<COLUMN$}");
        } else {
            let _ = write!(text, "{name}\n{:COLUMN$}", "");
        }
        text += spec.help;
        if !spec.default.is_empty() {
            let _ = write!(text, " [default: {}]", spec.default);
        }
        match spec.state {
            State::Done => {}
            State::Accepted(reason) => {
                let _ = write!(text, " Accepted without effect: {reason}.");
            }
            State::Refused(reason) => {
                let _ = write!(text, " Refused: {reason}.");
            }
        }
        text.push('\n');
    }
    text
}
