//! The keys of the configuration, out of the options of the commands: an option is defined once, by clap, and its key in
//! the file, its name in the environment, its line in the reference and its help come from there.

use super::file::Value;
use clap::{Arg, ArgAction, Command};
use std::collections::BTreeMap;

/// The sections of options that several commands have, by the heading of their group in the help.
const SECTIONS: &[(&str, &str)] = &[
    ("Store", "repository"),
    ("Connection", "server"),
    ("Encryption", "encryption"),
    ("Load on the server", "backup"),
    ("Retention", "retention"),
    ("Test restore", "test-restore"),
    ("General", "log"),
];

/// Options that have a key of another name, or in another section than their group's: by the name of the option.
const PLACED: &[(&str, &str, &str)] = &[
    ("repo", "", "repo"),
    ("cluster", "", "cluster"),
    ("encrypt", "encryption", "algorithm"),
];

/// Options that have no key: what belongs to one call, not to a machine, and what takes a protection away.
const NOT_IN_FILE: &[&str] = &[
    "accept-config",
    "accept-unauthenticated",
    "all",
    "allow-missing-tables",
    "base",
    "base-dir",
    "before",
    "cascade",
    "config",
    "disk-full",
    "dry-run",
    "extract",
    "fifo-dir",
    "fifo-streams",
    "help",
    "incremental",
    "full",
    "incremental-dir",
    "json",
    "no-defaults",
    "password",
    "print-plan",
    "profile",
    "stream",
    "to-name",
    "unfinished",
    "unfinished-only",
    "version",
];

/// Commands whose own options have no keys: each call of them is a step of a person's or a script's.
const WITHOUT: &[&str] = &[
    "cloud",
    "xbstream",
    "decompress",
    "decrypt",
    "help",
    "config",
];

/// Keys that only count when a flag of their command is given.
const GATES: &[(&str, &str)] = &[("test-restore", "restore")];

/// Sections of which one option, given by itself, means all: what the file says of the others is not added to it.
pub(super) const WHOLE: &[(&str, &[&str])] = &[
    ("retention", &[]),
    ("server", &["host", "port", "socket", "protocol"]),
];

/// How an option is repeated or combined with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Given or not.
    Flag,
    /// One value.
    One,
    /// Any number of values, each with the option before it.
    Many,
    /// Given a number of times.
    Count,
}

/// A key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its table in the file; empty: none.
    pub section: String,
    /// Its name in the table.
    pub name: String,
    /// The option, without its dashes.
    pub option: String,
    pub shape: Shape,
    /// What is in force when nothing is said, as the help has it.
    pub default: Option<String>,
    /// The help, in one line.
    pub help: String,
    /// The commands with this option: `backup`, `cloud put`.
    pub commands: Vec<String>,
}

impl Key {
    /// The key with its table: `backup.compress`.
    pub(crate) fn path(&self) -> String {
        match self.section.as_str() {
            "" => self.name.clone(),
            section => format!("{section}.{}", self.name),
        }
    }

    /// Its name in the environment: `LSNAP_BACKUP_COMPRESS`.
    pub(crate) fn variable(&self) -> String {
        let name = format!("lsnap_{}", self.path());
        name.replace(['.', '-'], "_").to_uppercase()
    }

    /// Its value in the environment, and the name of the variable. An empty one is none.
    pub(super) fn in_environment(
        &self,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Option<(Value, String)> {
        let names = [
            Some(self.variable()),
            self.earlier_variable().map(str::to_owned),
        ];
        let (name, text) = names.into_iter().flatten().find_map(|name| {
            let text = variable(&name).filter(|text| !text.is_empty())?;
            Some((name, text))
        })?;
        let value = match self.shape {
            Shape::Many => {
                Value::Many(text.split(',').map(|part| part.trim().to_owned()).collect())
            }
            Shape::Flag if text == "true" || text == "1" => Value::Flag(true),
            Shape::Flag if text == "false" || text == "0" => Value::Flag(false),
            Shape::Flag | Shape::One | Shape::Count => Value::One(text),
        };
        Some((value, name))
    }

    /// `url` of a repository: the option is `--repo`, which also takes the name of a configured one.
    pub(super) fn url() -> Self {
        Self {
            section: "repository".to_owned(),
            name: "url".to_owned(),
            option: "repo".to_owned(),
            shape: Shape::One,
            default: None,
            help: "The URL of the repository.".to_owned(),
            commands: Vec::new(),
        }
    }

    /// Names that it had in the environment before it had this one.
    pub(super) fn earlier_variable(&self) -> Option<&'static str> {
        match (self.section.as_str(), self.name.as_str()) {
            ("repository", "endpoint") => Some("LSNAP_ENDPOINT"),
            ("repository", "ca-file") => Some("LSNAP_CA_FILE"),
            _ => None,
        }
    }

    /// The flag without which the key doesn't count.
    pub(super) fn gate(&self) -> Option<&'static str> {
        GATES
            .iter()
            .find(|(section, _)| *section == self.section)
            .map(|(_, flag)| *flag)
    }
}

/// The section and name of an option's key, if it has one.
pub(super) fn place(path: &[&str], arg: &Arg) -> Option<(String, String)> {
    let option = arg.get_long()?;
    if arg.is_hide_set() || NOT_IN_FILE.contains(&option) {
        return None;
    }
    if let Some((_, section, name)) = PLACED.iter().find(|(long, ..)| *long == option) {
        return Some(((*section).to_owned(), (*name).to_owned()));
    }
    let heading = arg.get_help_heading().unwrap_or_default();
    let section = match SECTIONS.iter().find(|(title, _)| *title == heading) {
        Some((_, section)) => *section,
        None => path.first().filter(|command| !WITHOUT.contains(command))?,
    };
    Some((section.to_owned(), option.to_owned()))
}

/// The keys of a program, by section and name.
pub(crate) fn keys(program: &Command) -> Vec<Key> {
    let mut found = BTreeMap::new();
    collect(program, &mut Vec::new(), &mut found);
    found.into_values().collect()
}

fn collect<'a>(
    command: &'a Command,
    path: &mut Vec<&'a str>,
    found: &mut BTreeMap<(String, String), Key>,
) {
    for arg in command.get_arguments() {
        let Some((section, name)) = place(path, arg) else {
            continue;
        };
        let new = || Key {
            section: section.clone(),
            name: name.clone(),
            option: arg.get_long().unwrap_or_default().to_owned(),
            shape: shape(arg),
            default: default(arg),
            help: help(arg),
            commands: Vec::new(),
        };
        let key = found
            .entry((section.clone(), name.clone()))
            .or_insert_with(new);
        key.commands.push(path.join(" "));
    }
    for sub in command.get_subcommands() {
        path.push(sub.get_name());
        collect(sub, path, found);
        path.pop();
    }
}

fn shape(arg: &Arg) -> Shape {
    // A flag of `with_false`.
    if arg.get_default_values() == ["false"] {
        return Shape::Flag;
    }
    match arg.get_action() {
        ArgAction::SetTrue | ArgAction::SetFalse => Shape::Flag,
        ArgAction::Count => Shape::Count,
        ArgAction::Append => Shape::Many,
        _ => Shape::One,
    }
}

fn default(arg: &Arg) -> Option<String> {
    let given = arg.get_default_values();
    if !given.is_empty() && !matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::Count) {
        let values = given.iter().map(|value| value.to_string_lossy());
        return Some(values.collect::<Vec<_>>().join(", "));
    }
    // A default that depends on something is said in the help.
    let help = help(arg);
    let (_, rest) = help.split_once("[default: ")?;
    rest.split_once(']').map(|(default, _)| default.to_owned())
}

fn help(arg: &Arg) -> String {
    let text = arg.get_long_help().or_else(|| arg.get_help());
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
