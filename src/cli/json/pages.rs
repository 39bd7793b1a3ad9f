//! Generates the reference pages of the documents' fields and of the exit codes.
//!
//! `LSNAP_WRITE_REFERENCE=1 cargo test cli::` writes the files; without it, a test compares them.

use super::schemas;
use crate::cli::exit_code::ExitCode;
use crate::error_kind::ErrorKind;
use crate::reference_file::compare_or_write;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const FIELDS: &str = "docs/reference/json-fields.md";
const CODES: &str = "docs/reference/exit-codes.md";

/// Every kind of the library.
const KINDS: [ErrorKind; 17] = [
    ErrorKind::Arguments,
    ErrorKind::NotFound,
    ErrorKind::AlreadyExists,
    ErrorKind::Conflict,
    ErrorKind::Busy,
    ErrorKind::AccessDenied,
    ErrorKind::Key,
    ErrorKind::Damaged,
    ErrorKind::ChainBroken,
    ErrorKind::Unreachable,
    ErrorKind::Changed,
    ErrorKind::Precondition,
    ErrorKind::Incompatible,
    ErrorKind::Full,
    ErrorKind::Interrupted,
    ErrorKind::System,
    ErrorKind::Internal,
];

/// Meanings of the exit codes.
const MEANINGS: &[(ExitCode, &str)] = &[
    (ExitCode::Success, "Done."),
    (
        ExitCode::Failed,
        "Failed, or done but the output could not be written. Read the message.",
    ),
    (
        ExitCode::Arguments,
        "Wrong arguments or configuration. Correct the option or key that the message names.",
    ),
    (
        ExitCode::Unknown,
        "Only of `check --nagios`: the state could not be found out. Run `lsnap check` without it.",
    ),
    (
        ExitCode::NotFound,
        "The repository, its bucket, the backup or a file was not found. Run `lsnap list`; check the URL.",
    ),
    (
        ExitCode::Conflict,
        "Conflict: the target exists, is not empty or is locked. Remove the reason, or run it again later.",
    ),
    (
        ExitCode::Denied,
        "Access denied: password, privilege, key of an encrypted backup, credentials of a store.",
    ),
    (
        ExitCode::Damaged,
        "Damage was found: an object, a page, a manifest. Run `lsnap verify --data NAME`; use another backup.",
    ),
    (
        ExitCode::ChainBroken,
        "A chain is broken or can't be continued. Make a full backup.",
    ),
    (
        ExitCode::NotVerified,
        "No damage was found, but not everything could be verified. Usually: give the key.",
    ),
    (ExitCode::Interrupted, "A signal stopped the command."),
];

fn described(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
        .replace('[', "\\[")
}

/// Returns the type of a field, with a link to an object.
fn type_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(list) = schema["anyOf"].as_array() {
        let types: Vec<String> = list.iter().map(type_of).collect();
        return types.join(" or ");
    }
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    let names = match &schema["type"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        Value::String(one) => vec![one.as_str()],
        _ => Vec::new(),
    };
    let one = |name: &str| match name {
        "array" => format!("list of {}", type_of(&schema["items"])),
        "string" if schema["format"] == "date-time" => "time".to_owned(),
        "object" if schema["additionalProperties"].is_object() => {
            format!("map of {}", type_of(&schema["additionalProperties"]))
        }
        other => other.to_owned(),
    };
    names.into_iter().map(one).collect::<Vec<_>>().join(" or ")
}

fn fields(schema: &Value, out: &mut String) {
    if let Some(properties) = schema["properties"].as_object() {
        out.push_str("| field | type | meaning |\n|---|---|---|\n");
        let required = schema["required"].as_array();
        for (name, field) in properties {
            let always = required.is_some_and(|names| names.iter().any(|n| n == name));
            let sometimes = if always { "" } else { " (not always present)" };
            let (kind, text) = (type_of(field), described(field));
            let _ = writeln!(out, "| `{name}`{sometimes} | {kind} | {text} |");
        }
        out.push('\n');
    }
    for part in ["oneOf", "anyOf"] {
        let parts = schema[part].as_array();
        let (words, objects): (Vec<&Value>, Vec<&Value>) = parts
            .into_iter()
            .flatten()
            .partition(|one| one["properties"].is_null());
        let words: Vec<&Value> = words
            .into_iter()
            .flat_map(|one| {
                one["oneOf"]
                    .as_array()
                    .map_or(vec![one], |all| all.iter().collect())
            })
            .collect();
        if !words.is_empty() {
            out.push_str("| value | meaning |\n|---|---|\n");
            for word in words {
                let (kind, text) = (type_of(word), described(word));
                let _ = writeln!(out, "| {kind} | {text} |");
            }
            out.push('\n');
        }
        for object in objects {
            let _ = writeln!(out, "{}\n", described(object));
            fields(object, out);
        }
    }
}

fn fields_page() -> String {
    let mut out = "<!-- Generated: LSNAP_WRITE_REFERENCE=1 cargo test cli:: -->\n\
        # Fields of the JSON documents\n\nThe types of the [documents of `--json`](json.md). A command's type is the field \
        `result` of its document; [schemas](schema/) for programs.\n\n| command | `result` | schema |\n|---|---|---|\n"
        .to_owned();
    let mut types: BTreeMap<String, Value> = BTreeMap::new();
    for (command, schema) in schemas::all() {
        let file = format!("{}.json", command.replace(' ', "-"));
        let result = type_of(&schema["properties"]["result"]);
        let _ = writeln!(out, "| `{command}` | {result} | [{file}](schema/{file}) |");
        let defs = schema["$defs"].as_object().cloned().unwrap_or_default();
        for (name, one) in defs {
            if let Some(other) = types.get(&name) {
                assert_eq!(*other, one, "two types are named {name}");
            }
            types.insert(name, one);
        }
    }
    out.push('\n');
    for (name, schema) in &types {
        let _ = writeln!(out, "## {name}\n\n{}\n", described(schema));
        fields(schema, &mut out);
        if schema["type"] == "string" || schema["type"] == "integer" {
            let _ = writeln!(out, "A JSON {}.\n", type_of(schema));
        }
    }
    format!("{}\n", out.trim_end())
}

fn codes_page() -> String {
    let mut out = "<!-- Generated: LSNAP_WRITE_REFERENCE=1 cargo test cli:: -->\n# Exit codes\n\n| code | meaning |\n|---|---|\n"
        .to_owned();
    for (code, meaning) in MEANINGS {
        let _ = writeln!(out, "| {} | {meaning} |", *code as u8);
    }
    out += "\nWith `check --nagios`, 1 is WARNING and 2 is CRITICAL. A closed pipe (`lsnap list | head`) is not a failure.\n\n\
        ## Kinds of errors\n\nThe field `error.kind` of a [JSON document](json.md#errors). A kind has the code in the table, except \
        if the fault is one of the program or of its environment (1). \"Later\": the same command can succeed later without a \
        correction.\n\n| `kind` | code | meaning | later |\n|---|---|---|---|\n";
    for kind in KINDS {
        let name = serde_json::to_string(&kind).unwrap_or_default();
        let later = if kind.is_retryable() { "yes" } else { "no" };
        let code = ExitCode::from(kind) as u8;
        let _ = writeln!(
            out,
            "| `{}` | {code} | {kind} | {later} |",
            name.trim_matches('"')
        );
    }
    out += "| `not_verified` | 15 | not everything could be verified | no |\n\
        | `unhealthy` | 1 (`check --nagios`: 1 or 2) | `check` found a problem; `result` has it | no |\n";
    out
}

#[test]
fn the_pages_are_those_of_the_types() {
    for (page, made) in [(FIELDS, fields_page()), (CODES, codes_page())] {
        compare_or_write(page, &made, "the types");
    }
}

#[test]
fn every_kind_and_code_is_in_the_page() {
    let (_, schema) = schemas::all().remove(0);
    let kinds = schema["$defs"]["ErrorKind"]["oneOf"].as_array().unwrap();
    assert_eq!(kinds.len(), KINDS.len());
    let page = codes_page();
    for kind in kinds {
        let name = kind["const"].as_str().unwrap();
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
    for kind in KINDS {
        let code = ExitCode::from(kind);
        assert!(MEANINGS.iter().any(|(known, _)| *known == code), "{code:?}");
    }
}
