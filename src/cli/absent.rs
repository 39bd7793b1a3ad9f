//! Lists the tablespaces of a server's dictionary that a backup lacks.

use crate::counted::count;
use crate::manifest::{Absence, AbsentSpace, Dictionary};
use std::fmt::Write as _;

/// Number of names in one line.
const NAMED: usize = 20;

/// Counts the tablespaces that the server had not opened; empty if there are none.
pub(super) fn not_opened(dictionary: &Dictionary) -> String {
    match dictionary.not_opened {
        0 => String::new(),
        n => format!(
            "  in the backup, not opened by the server: {}\n",
            count(n, "tablespace")
        ),
    }
}

/// Lists the discarded tablespaces in a line; empty if there are none.
pub(super) fn discarded(dictionary: &Dictionary) -> String {
    let discarded = dictionary.absent.iter();
    let names: Vec<&str> = discarded
        .filter(|space| space.why == Absence::Discarded)
        .map(|space| space.name.as_str())
        .collect();
    if names.is_empty() {
        return String::new();
    }
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>();
    let mut out = format!(
        "  discarded on the server, not in the backup: {}",
        shown.join(", ")
    );
    if names.len() > NAMED {
        let _ = write!(out, " and {} more", names.len() - NAMED);
    }
    out + "\n"
}

/// Lists the tables of the server that a backup lacks, each in a line.
pub(super) fn lacking(dictionary: &Dictionary) -> Vec<String> {
    let files = dictionary.missing().map(|space| {
        format!(
            "a table whose file was missing when it was made: {}",
            missing(space)
        )
    });
    let engines = dictionary.other_engines.iter();
    let engines = engines.map(|table| format!("the rows of {table}"));
    let partial = partial(dictionary)
        .map(|partial| format!("the tables that its filter leaves out: {partial}"));
    partial.into_iter().chain(files).chain(engines).collect()
}

/// Describes what a partial backup lacks; `None` for a whole one.
pub(super) fn partial(dictionary: &Dictionary) -> Option<String> {
    let filter = dictionary.filter.as_ref();
    let filter = filter.filter(|_| dictionary.is_partial())?;
    let left_out = dictionary.filtered().count();
    Some(format!("{} ({filter})", count(left_out, "tablespace")))
}

/// Describes a missing tablespace.
pub(super) fn missing(space: &AbsentSpace) -> String {
    let found = space.found.as_deref().unwrap_or("no file was there");
    format!(
        "{} (space {}): {}: {found}",
        space.name, space.space_id, space.path
    )
}
