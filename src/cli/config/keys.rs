//! The keys of the configuration, derived from the options of the commands: an option is defined once, for
//! clap. Its key in the file, its variable in the environment and its line in the reference are derived from that.

use super::file::Value;
use clap::{Arg, ArgAction, Command};
use std::collections::BTreeMap;

/// The sections of options of several commands: the heading of the group in the help, and the section.
const SECTIONS: &[(&str, &str)] = &[
    ("Store", "repository"),
    ("Connection", "server"),
    ("Encryption", "encryption"),
    ("Load on the server", "backup"),
    ("Retention", "retention"),
    ("Hooks", "hooks"),
    ("Metrics", "metrics"),
    ("Test restore", "test-restore"),
    ("General", "log"),
];

/// Options whose key has another name, or another section than their group: option, section, key.
const PLACED: &[(&str, &str, &str)] = &[
    ("repo", "", "repo"),
    ("cluster", "", "cluster"),
    ("encrypt", "encryption", "algorithm"),
    ("hook-start", "hooks", "start"),
    ("hook-success", "hooks", "success"),
    ("hook-failure", "hooks", "failure"),
    ("hook-timeout", "hooks", "timeout"),
    ("log-format", "log", "format"),
    ("metrics-textfile", "metrics", "textfile"),
];

/// Options without a key: those that belong to one call, and those that remove a protection.
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
    "force-move-aside",
    "incremental-dir",
    "into-option",
    "json",
    "no-defaults",
    "once",
    "password",
    "print-plan",
    "profile",
    "stream",
    "to-name",
    "unfinished",
    "unfinished-only",
    "unset",
    "version",
];

/// Commands whose own options have no keys, because each call has other values.
const WITHOUT: &[&str] = &[
    "cloud",
    "xbstream",
    "decompress",
    "decrypt",
    "install-links",
    "help",
    "config",
];

/// Sections whose keys apply only with a flag, if the command has it: section, flag.
const GATES: &[(&str, &str)] = &[("test-restore", "restore"), ("retention", "kept")];

/// Sections of which one typed option replaces all keys in the file: section, options (none: all).
pub(super) const WHOLE: &[(&str, &[&str])] = &[
    ("retention", &[]),
    ("server", &["host", "port", "socket", "protocol"]),
];

/// How an option is used with values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Without a value.
    Flag,
    /// One value.
    One,
    /// Several values, each with its own option.
    Many,
    /// Repeated without a value.
    Count,
}

/// A key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its table in the file; empty without a table.
    pub section: String,
    /// Its name in the table.
    pub name: String,
    /// The option, without its dashes.
    pub option: String,
    pub shape: Shape,
    /// The default, in the words of the help.
    pub default: Option<String>,
    /// The help, in one line.
    pub help: String,
    /// The commands that have the option: `backup`, `cloud put`.
    pub commands: Vec<String>,
}

impl Key {
    /// Returns the key with its table: `backup.compress`.
    pub(crate) fn path(&self) -> String {
        match self.section.as_str() {
            "" => self.name.clone(),
            section => format!("{section}.{}", self.name),
        }
    }

    /// Returns the name of its environment variable: `LSNAP_BACKUP_COMPRESS`.
    pub(crate) fn variable(&self) -> String {
        let name = format!("lsnap_{}", self.path());
        name.replace(['.', '-'], "_").to_uppercase()
    }

    /// Returns its value in the environment, and the name of the variable. An empty variable is ignored.
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
            // A command can contain commas.
            Shape::Many if self.section == "hooks" => Value::Many(vec![text]),
            Shape::Many => {
                Value::Many(text.split(',').map(|part| part.trim().to_owned()).collect())
            }
            Shape::Flag if text == "true" || text == "1" => Value::Flag(true),
            Shape::Flag if text == "false" || text == "0" => Value::Flag(false),
            Shape::Flag | Shape::One | Shape::Count => Value::One(text),
        };
        Some((value, name))
    }

    /// Returns the key `url` of a repository: its option is `--repo`, which also accepts the name of a
    /// configured repository.
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

    /// Returns an earlier name of its environment variable.
    pub(super) fn earlier_variable(&self) -> Option<&'static str> {
        match (self.section.as_str(), self.name.as_str()) {
            ("repository", "endpoint") => Some("LSNAP_ENDPOINT"),
            ("repository", "ca-file") => Some("LSNAP_CA_FILE"),
            _ => None,
        }
    }

    /// Returns the flag without which the key is ignored.
    pub(super) fn gate(&self) -> Option<&'static str> {
        GATES
            .iter()
            .find(|(section, _)| *section == self.section)
            .map(|(_, flag)| *flag)
    }
}

/// Returns the section and name of an option's key, if it has one.
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

/// Returns the keys of a program, by section and name.
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
    // A flag that `with_false` changed.
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

pub(super) fn default(arg: &Arg) -> Option<String> {
    let given = arg.get_default_values();
    if !given.is_empty() && !matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::Count) {
        let values = given.iter().map(|value| value.to_string_lossy());
        return Some(values.collect::<Vec<_>>().join(", "));
    }
    // A default that depends on other values is in the help text.
    let help = help(arg);
    let (_, rest) = help.split_once("[default: ")?;
    rest.split_once(']').map(|(default, _)| default.to_owned())
}

pub(super) fn help(arg: &Arg) -> String {
    let text = arg.get_long_help().or_else(|| arg.get_help());
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
