//! Generates the reference of all commands from clap, and compares it with the file. If `LSNAP_WRITE_REFERENCE` is set,
//! the file is written.

use super::keys::{self, Key};
use crate::cli::Cli;
use crate::reference_file::compare_or_write;
use clap::{Arg, ArgAction, Command, CommandFactory as _};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

pub(super) const PAGE: &str = "docs/reference/commands.md";

const HEAD: &str = "# Commands: every option\n\n\
    Generated from the definitions of the commands, as `lsnap COMMAND --help` and the manual pages are: the unit tests \
    compare this page with them, and write it if LSNAP_WRITE_REFERENCE is set. The columns `key` and `environment` are \
    empty for options that belong to one call. [Configuration](../configuration.md) describes which value counts, \
    [Troubleshooting](../troubleshooting.md#exit-codes) the exit codes.\n";

/// Groups of options that several commands have, in the order of the page.
const SHARED: &[&str] = &[
    "General",
    "Store",
    "Connection",
    "Encryption",
    "Load on the server",
    "Retention",
    "Test restore",
    "Hooks",
    "Metrics",
];

pub(super) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn program() -> Command {
    let mut program = Cli::command();
    program.build();
    program
}

/// Returns the visible commands without subcommands, with their paths: `cloud put`.
fn leaves(command: &Command, path: &str, to: &mut Vec<(String, Command)>) {
    let subs: Vec<_> = command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help" && !sub.is_hide_set())
        .collect();
    // `agent` can be called with a subcommand and without.
    if subs.is_empty() || !command.is_subcommand_required_set() {
        to.push((path.to_owned(), command.clone()));
    }
    for sub in subs {
        leaves(sub, format!("{path} {}", sub.get_name()).trim(), to);
    }
}

pub(super) fn commands() -> Vec<(String, Command)> {
    let mut found = Vec::new();
    leaves(&program(), "", &mut found);
    assert!(found.len() > 15, "{}", found.len());
    found
}

pub(super) fn visible(command: &Command) -> impl Iterator<Item = &Arg> {
    let all = command.get_arguments();
    all.filter(|arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str()))
}

fn heading(arg: &Arg) -> Option<&str> {
    arg.get_help_heading()
        .filter(|title| SHARED.contains(title))
}

/// Returns an option as it is written: `-p`, `--parallel <N>`; or the name of a value.
fn written(arg: &Arg) -> String {
    let value = arg.get_value_names().map(|names| names[0].to_string());
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
        && arg
            .get_num_args()
            .is_none_or(|number| number.takes_values());
    let Some(long) = arg.get_long() else {
        return match (arg.get_short(), value) {
            (Some(short), Some(value)) if takes_value => format!("`-{short} <{value}>`"),
            (Some(short), _) => format!("`-{short}`"),
            (None, value) => format!("`{}`", value.unwrap_or_default()),
        };
    };
    let short = arg.get_short().map(|short| format!("`-{short}`, "));
    let value = value
        .filter(|_| takes_value)
        .map(|value| format!(" <{value}>"));
    format!(
        "{}`--{long}{}`",
        short.unwrap_or_default(),
        value.unwrap_or_default()
    )
}

fn row(arg: &Arg, path: &str, keys: &[Key], to: &mut String) {
    let first = path.split(' ').collect::<Vec<_>>();
    let place = keys::place(&first, arg);
    let key = place.and_then(|(section, name)| {
        keys.iter()
            .find(|key| key.section == section && key.name == name)
    });
    let help = keys::help(arg);
    let default = keys::default(arg).or_else(|| {
        let is_flag = matches!(arg.get_action(), ArgAction::SetTrue);
        is_flag.then(|| "false".to_owned())
    });
    let cell = |text: String| text.replace('|', "\\|");
    let _ = writeln!(
        to,
        "| {} | {} | {} | {} | {} |",
        written(arg),
        key.map_or(String::new(), |key| format!("`{}`", key.path())),
        key.map_or(String::new(), |key| format!("`{}`", key.variable())),
        cell(default.unwrap_or_default()),
        cell(without_default(&help)),
    );
}

/// The default is in another column.
fn without_default(help: &str) -> String {
    match help.split_once(" [default: ") {
        Some((before, rest)) => {
            let after = rest.split_once(']').map_or("", |(_, after)| after);
            format!("{before}{after}")
        }
        None => help.to_owned(),
    }
}

const COLUMNS: &str = "\n| option | key | environment | default | |\n|---|---|---|---|---|\n";

fn page() -> String {
    let keys = keys::keys(&Cli::command());
    let mut out = HEAD.to_owned();
    let mut groups: BTreeMap<&str, BTreeMap<String, (Arg, String)>> = BTreeMap::new();
    let commands = commands();
    for (path, command) in &commands {
        for arg in visible(command) {
            if let Some(title) = heading(arg) {
                let title = SHARED.iter().find(|shared| **shared == title).unwrap();
                let of = groups.entry(title).or_default();
                of.entry(written(arg))
                    .or_insert_with(|| (arg.clone(), path.clone()));
            }
        }
    }
    for (path, command) in &commands {
        let about = command.get_long_about().or_else(|| command.get_about());
        let about = about.map(ToString::to_string).unwrap_or_default();
        let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
        let usage = command.clone().render_usage().to_string();
        let usage = usage.split_whitespace().collect::<Vec<_>>().join(" ");
        let usage = usage.trim_start_matches("Usage: ").to_owned();
        let _ = write!(out, "\n## lsnap {path}\n\n{about}\n\n`{usage}`\n");
        let own: Vec<_> = visible(command)
            .filter(|arg| heading(arg).is_none())
            .collect();
        if !own.is_empty() {
            out.push_str(COLUMNS);
            for arg in own {
                row(arg, path, &keys, &mut out);
            }
        }
        let mut also = Vec::new();
        for title in SHARED {
            let here: Vec<_> = visible(command)
                .filter(|arg| heading(arg) == Some(title))
                .map(written)
                .collect();
            let link = format!("[{title}](#{})", title.to_lowercase().replace(' ', "-"));
            if here.is_empty() {
            } else if here.len() == groups[title].len() {
                also.push(link);
            } else {
                also.push(format!("{} of {link}", here.join(", ")));
            }
        }
        let _ = write!(out, "\nAlso: {}.\n", also.join("; "));
    }
    for title in SHARED {
        let _ = write!(out, "\n## {title}\n{COLUMNS}");
        for (arg, path) in groups.get(title).into_iter().flat_map(|of| of.values()) {
            row(arg, path, &keys, &mut out);
        }
    }
    out
}

#[test]
fn the_reference_of_the_commands_is_current() {
    compare_or_write(PAGE, &page(), "the commands");
}
