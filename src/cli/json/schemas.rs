//! Makes `docs/reference/schema/` from the types, one schema for each command.
//!
//! `LSNAP_WRITE_REFERENCE=1 cargo test cli::` writes the files; without it, a test compares them. The other tests
//! check real documents against the files (`tests/common/documents.rs`).

use super::{
    BackupDocument, CheckDocument, ConsolidateDocument, DeleteDocument, ErrorDocument,
    ListDocument, PinDocument, PruneDocument, RestoreDocument, SCHEMA, ShowDocument,
    VerifyDocument,
};
use crate::cli::Cli;
use crate::cli::config::{CheckedDocument, KeysDocument};
use crate::cli::install_links::LinksDocument;
use crate::reference_file::compare_or_write;
use crate::{archive, cloud};
use clap::CommandFactory as _;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The result of `xbstream`, which depends on its mode.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum XbstreamDocument {
    /// Of `--create`.
    Created(archive::CreateReport),
    /// Of `--extract`.
    Extracted(archive::ExtractReport),
    /// Of `--list` and `--verify`.
    Listed(archive::ListReport),
}

type Make = fn(&mut SchemaGenerator) -> Schema;

/// The commands and the types of their results.
const COMMANDS: &[(&str, Make)] = &[
    (
        "agent",
        SchemaGenerator::subschema_for::<crate::cli::agent::OnceDocument>,
    ),
    (
        "agent status",
        SchemaGenerator::subschema_for::<crate::cli::agent::StatusDocument>,
    ),
    ("backup", SchemaGenerator::subschema_for::<BackupDocument>),
    ("check", SchemaGenerator::subschema_for::<CheckDocument>),
    (
        "cloud delete",
        SchemaGenerator::subschema_for::<cloud::DeleteReport>,
    ),
    (
        "cloud get",
        SchemaGenerator::subschema_for::<cloud::GetReport>,
    ),
    (
        "cloud put",
        SchemaGenerator::subschema_for::<cloud::PutReport>,
    ),
    (
        "config check",
        SchemaGenerator::subschema_for::<CheckedDocument>,
    ),
    (
        "config show",
        SchemaGenerator::subschema_for::<KeysDocument>,
    ),
    (
        "consolidate",
        SchemaGenerator::subschema_for::<ConsolidateDocument>,
    ),
    (
        "copy",
        SchemaGenerator::subschema_for::<crate::copy::CopyReport>,
    ),
    (
        "decompress",
        SchemaGenerator::subschema_for::<archive::InPlaceReport>,
    ),
    (
        "decrypt",
        SchemaGenerator::subschema_for::<archive::InPlaceReport>,
    ),
    ("delete", SchemaGenerator::subschema_for::<DeleteDocument>),
    (
        "install-links",
        SchemaGenerator::subschema_for::<LinksDocument>,
    ),
    ("list", SchemaGenerator::subschema_for::<ListDocument>),
    ("pin", SchemaGenerator::subschema_for::<PinDocument>),
    ("prune", SchemaGenerator::subschema_for::<PruneDocument>),
    ("restore", SchemaGenerator::subschema_for::<RestoreDocument>),
    ("show", SchemaGenerator::subschema_for::<ShowDocument>),
    ("unpin", SchemaGenerator::subschema_for::<PinDocument>),
    ("verify", SchemaGenerator::subschema_for::<VerifyDocument>),
    (
        "xbstream",
        SchemaGenerator::subschema_for::<XbstreamDocument>,
    ),
];

/// Commands whose output is no report: scripts and manual pages.
const WITHOUT: &[&str] = &["completions", "man"];

/// Returns the schema of a command's document.
fn schema(command: &str, result: Make) -> serde_json::Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut generator = settings.into_generator();
    let result = result(&mut generator);
    let error = generator.subschema_for::<ErrorDocument>();
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("lsnap {command} --json"),
        "description": "The document of the command: its result, its error, or both.",
        "type": "object",
        "required": ["lsnap", "schema", "command"],
        "anyOf": [{"required": ["result"]}, {"required": ["error"]}],
        "properties": {
            "lsnap": {"type": "string", "description": "The version of lsnap."},
            "schema": {"const": SCHEMA, "description": "The number of the format."},
            "command": {"const": command},
            "result": result,
            "error": error,
        },
        "$defs": generator.take_definitions(true),
    });
    without_links(&mut schema);
    schema
}

/// Replaces rustdoc's links in descriptions by their texts.
fn without_links(schema: &mut serde_json::Value) {
    use serde_json::Value;
    match schema {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(text) if key == "description" => *text = without_link(text),
                    _ => without_links(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(without_links),
        _ => {}
    }
}

fn without_link(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("[`") {
        let Some((name, after)) = link.split_once("`]") else {
            break;
        };
        out += &format!("{before}`{name}`");
        rest = match after
            .strip_prefix('(')
            .and_then(|target| target.split_once(')'))
        {
            Some((_, after)) => after,
            None => after,
        };
    }
    out + rest
}

/// Returns the commands with their schemas.
pub(super) fn all() -> Vec<(&'static str, serde_json::Value)> {
    let each = COMMANDS.iter();
    each.map(|(command, make)| (*command, schema(command, *make)))
        .collect()
}

const DIRECTORY: &str = "docs/reference/schema";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(DIRECTORY)
}

#[test]
fn the_schemas_are_those_of_the_types() {
    let mut names = BTreeSet::new();
    for (command, make) in COMMANDS {
        let name = format!("{}.json", command.replace(' ', "-"));
        let made = serde_json::to_string_pretty(&schema(command, *make)).unwrap() + "\n";
        compare_or_write(
            &format!("{DIRECTORY}/{name}"),
            &made,
            "the types (docs/reference/json.md: what may change within a schema number)",
        );
        names.insert(name);
    }
    let there = std::fs::read_dir(directory()).unwrap();
    let there: BTreeSet<String> = there
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, names);
}

fn leaves(command: &clap::Command, path: &str, to: &mut BTreeSet<String>) {
    let mut subcommands = command.get_subcommands().peekable();
    // `agent` can be called with a subcommand and without.
    if subcommands.peek().is_none() || !command.is_subcommand_required_set() {
        to.insert(path.to_owned());
    }
    for sub in subcommands.filter(|sub| sub.get_name() != "help") {
        leaves(sub, format!("{path} {}", sub.get_name()).trim_start(), to);
    }
}

#[test]
fn every_command_has_a_schema() {
    let mut commands = BTreeSet::new();
    leaves(&Cli::command(), "", &mut commands);
    let with = COMMANDS.iter().map(|(command, _)| *command);
    let known: BTreeSet<String> = with
        .chain(WITHOUT.iter().copied())
        .map(str::to_owned)
        .collect();
    assert_eq!(known, commands, "add a new command to COMMANDS or WITHOUT");
}

/// Names are snake_case, and a length of time or a size has its unit in its name.
#[test]
fn names_of_fields_follow_the_rules() {
    fn look(value: &serde_json::Value, found: &mut Vec<String>) {
        if let Some(properties) = value.get("properties").and_then(|p| p.as_object()) {
            found.extend(properties.keys().cloned());
        }
        match value {
            serde_json::Value::Object(map) => map.values().for_each(|value| look(value, found)),
            serde_json::Value::Array(list) => list.iter().for_each(|value| look(value, found)),
            _ => {}
        }
    }
    for (command, make) in COMMANDS {
        let mut found = Vec::new();
        look(&schema(command, *make), &mut found);
        for name in found {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(name.chars().all(plain), "{command}: {name}");
            let timed = ["seconds", "time", "took", "duration"].contains(&name.as_str());
            assert!(!timed, "{command}: {name}: end it with _seconds or _at");
        }
    }
}
