//! Checks the documents of `--json` against the schemas in `docs/reference/schema`.
//!
//! The schemas allow unknown fields, because fields may be added within a schema number. These checks refuse them, so
//! that each field is in the schema.

use boon::{Compiler, Schemas};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

/// Returns the parts `result` and `error` of a document, after it was checked; null for a text that isn't a document of
/// lsnap.
#[track_caller]
pub fn parts(text: &str) -> (Value, Value) {
    let Ok(mut document) = serde_json::from_str::<Value>(text) else {
        return (Value::Null, Value::Null);
    };
    let Some(command) = document["command"].as_str().map(str::to_owned) else {
        panic!("a document without a command: {text}");
    };
    // arguments without a command
    if !command.is_empty() {
        let faults = check(&command, &document);
        assert!(faults.is_empty(), "{command}: {faults}\n{text}");
    }
    let mut part = |name: &str| document.get_mut(name).map_or(Value::Null, Value::take);
    (part("result"), part("error"))
}

/// Returns the differences of a document from the schema of its command.
pub fn check(command: &str, document: &Value) -> String {
    static KNOWN: OnceLock<Mutex<HashMap<String, Value>>> = OnceLock::new();
    let known = KNOWN.get_or_init(Mutex::default);
    let schema = known
        .lock()
        .unwrap()
        .entry(command.to_owned())
        .or_insert_with(|| read(command))
        .clone();
    let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
    compiler.enable_format_assertions();
    compiler.add_resource("schema.json", schema).unwrap();
    let at = compiler.compile("schema.json", &mut schemas);
    let at = at.unwrap_or_else(|error| panic!("the schema of {command}: {error}"));
    let checked = schemas.validate(document, at);
    checked
        .err()
        .map_or_else(String::new, |error| format!("{error:#}"))
}

/// Reads the schema of a command, and closes its objects.
fn read(command: &str) -> Value {
    let name = format!("docs/reference/schema/{}.json", command.replace(' ', "-"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!(
            "`lsnap {command}` has no schema: {}: {error}",
            path.display()
        )
    });
    let mut schema = serde_json::from_str(&text).unwrap();
    close(&mut schema, true);
    schema
}

/// Refuses unknown fields of objects. `alone`: the schema isn't a part of one that has other fields.
fn close(schema: &mut Value, alone: bool) {
    let Value::Object(map) = schema else { return };
    let parts = ["oneOf", "anyOf", "allOf"];
    let is_object = map.contains_key("properties");
    for (key, value) in map.iter_mut() {
        match value {
            Value::Array(list) if parts.contains(&key.as_str()) => {
                list.iter_mut()
                    .for_each(|part| close(part, alone && !is_object));
            }
            Value::Object(fields) if key == "properties" || key == "$defs" => {
                fields.values_mut().for_each(|field| close(field, true));
            }
            Value::Object(_) if key == "items" || key == "additionalProperties" => {
                close(value, true)
            }
            _ => {}
        }
    }
    if alone && is_object {
        add_closing(map, parts.iter().any(|part| map.contains_key(*part)));
    }
}

fn add_closing(map: &mut Map<String, Value>, has_parts: bool) {
    let keyword = if has_parts {
        "unevaluatedProperties"
    } else {
        "additionalProperties"
    };
    map.entry(keyword).or_insert(json!(false));
}
