//! `--unset KEY`: ignores the value of a key in the environment and the file.

use super::keys::Key;
use super::nearest;
use clap::Command;
use std::collections::BTreeSet;

/// Returns the paths of the keys that are named: `backup.full-every`, or all of a table: `retention`.
///
/// # Errors
/// An unknown name, with the most similar known one.
pub(super) fn keys<'a>(
    program: &Command,
    named: impl Iterator<Item = &'a str>,
) -> Result<Vec<String>, String> {
    let known = super::keys::keys(program);
    let known: Vec<Key> = known.into_iter().chain([Key::url()]).collect();
    let mut unset = Vec::new();
    for name in named {
        let is_named = |key: &&Key| key.path() == name || (!name.is_empty() && key.section == name);
        let found: Vec<String> = known.iter().filter(is_named).map(Key::path).collect();
        if found.is_empty() {
            let sections: BTreeSet<String> = known.iter().map(|key| key.section.clone()).collect();
            let names: Vec<String> = known.iter().map(Key::path).chain(sections).collect();
            let hint = nearest(name, names.iter().map(String::as_str));
            return Err(format!("--unset {name}: there is no such key{hint}"));
        }
        unset.extend(found);
    }
    Ok(unset)
}
