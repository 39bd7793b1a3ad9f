//! Generates the reference page of all keys from the options, and compares it with the file. If
//! `LSNAP_WRITE_REFERENCE` is set, the file is written.

use super::keys::{Key, Shape, keys};
use crate::cli::Cli;
use crate::reference_file::compare_or_write;
use clap::CommandFactory as _;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const PAGE: &str = "docs/reference/configuration.md";

const HEAD: &str = "# Configuration: every key\n\n\
    Generated from the options of the commands: the unit tests compare this page with them, and write it if \
    LSNAP_WRITE_REFERENCE is set. [Configuration](../configuration.md) explains the file. An option has precedence over \
    the environment, the environment over the file, and the file over the default. An option with `=false` overrides a \
    flag in the file: `--path-style=false`.\n";

fn page() -> String {
    let mut sections: BTreeMap<String, Vec<Key>> = BTreeMap::new();
    for key in keys(&Cli::command()).into_iter().chain([Key::url()]) {
        sections.entry(key.section.clone()).or_default().push(key);
    }
    let mut out = HEAD.to_owned();
    for (section, keys) in &sections {
        let title = match section.as_str() {
            "" => "Without a table".to_owned(),
            "repository" => "`[repository]`, `[repository.NAME]`".to_owned(),
            section => format!("`[{section}]`"),
        };
        let _ = write!(
            out,
            "\n## {title}\n\n| key | option | environment | default | |\n|---|---|---|---|---|\n"
        );
        for key in keys {
            let _ = writeln!(
                out,
                "| `{}` | `--{}` | `{}` | {} | {} |",
                key.name,
                key.option,
                if key.name == "url" {
                    "LSNAP_REPO".to_owned()
                } else {
                    key.variable()
                },
                default(key),
                help(key),
            );
        }
    }
    out += "\n## `[[schedule]]`\n\nAny number of them: [schedules](../schedules.md).\n\n\
        | key | default | |\n|---|---|---|\n";
    for (name, help) in super::schedules::KEYS {
        let (text, default) = match help.split_once(" [default: ") {
            Some((text, default)) => (format!("{text}."), default.trim_end_matches("].")),
            None => ((*help).to_owned(), ""),
        };
        let _ = writeln!(out, "| `{name}` | {} | {} |", cell(default), cell(&text));
    }
    out
}

fn default(key: &Key) -> String {
    match (&key.default, key.shape) {
        (Some(text), _) => cell(text),
        (None, Shape::Flag) => "false".to_owned(),
        (None, _) => String::new(),
    }
}

fn help(key: &Key) -> String {
    // The default is in another column.
    let text = match key.help.split_once(" [default: ") {
        Some((before, rest)) => {
            let after = rest.split_once(']').map_or("", |(_, after)| after);
            format!("{before}{after}")
        }
        None => key.help.clone(),
    };
    cell(&text)
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn the_reference_is_current() {
    compare_or_write(PAGE, &page(), "the options");
}
