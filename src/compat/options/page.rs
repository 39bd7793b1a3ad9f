//! The page of the documentation that describes each option of a program.

use super::{Spec, State};
use crate::counted::count;
use crate::reference_file::compare_or_write;

/// Compares the page with the table, or writes it if LSNAP_WRITE_REFERENCE is set. `page` is its
/// path in the repository, `head` the text before the count.
pub(in crate::compat) fn check(page: &str, head: &str, table: &[Spec]) {
    compare_or_write(page, &text(head, table), "the table");
}

fn text(head: &str, table: &[Spec]) -> String {
    let of = |kind: fn(&State) -> bool| table.iter().filter(|spec| kind(&spec.state)).count();
    let mut page = format!(
        "{head}{}: {} done, {} accepted without effect, {} refused.\n\n| option | state | default | |\n|---|---|---|---|\n",
        count(table.len(), "option"),
        of(|state| *state == State::Done),
        of(|state| matches!(state, State::Accepted(_))),
        of(|state| matches!(state, State::Refused(_))),
    );
    for spec in table {
        let state = match spec.state {
            State::Done => "done".to_owned(),
            State::Accepted(reason) => format!("accepted: {reason}"),
            State::Refused(reason) => format!("refused: {reason}"),
        };
        page += &format!(
            "| `--{}` | {state} | {} | {} |\n",
            spec.name, spec.default, spec.help
        );
    }
    page
}

/// Checks what no table of options may lack.
pub(in crate::compat) fn check_table(table: &[Spec]) {
    use super::{Argument, Kind, usage};
    let mut letters = std::collections::BTreeSet::new();
    let help = usage(table);
    for (at, spec) in table.iter().enumerate() {
        let twice = table[..at].iter().any(|other| other.name == spec.name);
        assert!(!twice, "{spec} is there twice");
        let is_new = spec.short.is_none_or(|letter| letters.insert(letter));
        assert!(is_new, "{spec}");
        assert!(!spec.name.contains('_'), "{spec}");
        assert!(spec.help.ends_with('.'), "{spec}");
        assert!(help.contains(&format!("--{}", spec.name)), "{spec}");
        if spec.argument == Argument::Flag {
            assert_eq!(spec.kind, Kind::Switch, "{spec}");
        }
        if let State::Accepted(reason) | State::Refused(reason) = spec.state {
            assert!(!reason.is_empty() && !reason.ends_with('.'), "{spec}");
        }
    }
}
