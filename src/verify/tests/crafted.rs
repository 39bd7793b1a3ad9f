//! Forged manifests with right digests: a verification must not report one as sound that a restore
//! would refuse.

use super::damages::look;
use crate::manifest::document::{MANIFEST, forge, open};
use crate::progress::Silent;
use crate::reader::fixture::{Space, World, start_of, system};
use crate::restore::{RestoreOptions, planning};
use crate::verify::{Level, Outcome, VerifyOptions, Which, verify};
use bytes::Bytes;
use serde_json::{Value, json};
use std::path::PathBuf;

const SUMMARY: &str = "lsnap_summary.json";

/// Creates a full backup and two incrementals; one table appears in the second, and one is missing
/// in it.
fn world() -> World {
    let mut world = World::new();
    let mut spaces = system();
    let away = Space::new(8, "db/away.ibd", 3, 50);
    spaces.push(Space::new(7, "db/t.ibd", 7, 50));
    spaces.push(away.clone());
    world.backup(&spaces);
    spaces[2].write(5, start_of(0) + 1, 2);
    spaces[3] = Space::new(9, "db/new.ibd", 3, start_of(0) + 2);
    world.backup(&spaces);
    spaces[2].write(6, start_of(1) + 1, 3);
    spaces.push(away);
    world.backup(&spaces);
    world
}

/// A document of a member on the disk.
pub(super) struct Document {
    place: PathBuf,
    path: &'static str,
    object: Vec<u8>,
    pub(super) value: Value,
}

impl Document {
    pub(super) fn of(world: &World, number: usize, path: &'static str) -> Self {
        let place = world.object(number, path, 0);
        let object = std::fs::read(&place).unwrap();
        let (json, _) = open(path, &Bytes::from(object.clone())).unwrap();
        let mut value: Value = serde_json::from_slice(&json).unwrap();
        value.as_object_mut().unwrap().remove("digest");
        Self {
            place,
            path,
            object,
            value,
        }
    }

    /// Replaces it; returns its digest and its length.
    pub(super) fn replace_with(&self, value: &Value) -> (String, usize) {
        let (object, digest) = forge(self.path, value);
        std::fs::write(&self.place, &object).unwrap();
        (digest, object.len())
    }

    pub(super) fn put_original(&self) {
        std::fs::write(&self.place, &self.object).unwrap();
    }
}

/// A step into a JSON document.
#[derive(Debug, Clone)]
enum Step {
    Key(String),
    Index(usize),
}

/// Collects every position in a document; of long arrays, only those of a few elements.
fn places(value: &Value, at: &mut Vec<Step>, found: &mut Vec<Vec<Step>>) {
    if !at.is_empty() {
        found.push(at.clone());
    }
    let children: Vec<(Step, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(k, v)| (Step::Key(k.clone()), v)).collect(),
        Value::Array(list) => {
            let all = list.iter().enumerate().map(|(i, v)| (Step::Index(i), v));
            let last = list.len().saturating_sub(1);
            all.filter(|(step, _)| match step {
                Step::Index(i) => list.len() < 16 || *i < 12 || *i == last,
                Step::Key(_) => true,
            })
            .collect()
        }
        _ => Vec::new(),
    };
    for (step, child) in children {
        at.push(step);
        places(child, at, found);
        at.pop();
    }
}

fn place<'v>(value: &'v mut Value, at: &[Step]) -> &'v mut Value {
    at.iter().fold(value, |value, step| match step {
        Step::Key(key) => &mut value[key.as_str()],
        Step::Index(index) => &mut value[*index],
    })
}

/// Returns the replacements for a value.
fn replacements(value: &Value) -> Vec<Value> {
    match value {
        Value::Number(n) => {
            let n = n.as_u64().unwrap_or_default();
            vec![
                json!(0),
                json!(n.wrapping_add(1)),
                json!(n.wrapping_sub(1)),
                json!(n.saturating_mul(2)),
                json!(1u64 << 40),
                json!(u64::MAX),
            ]
        }
        Value::String(text) => {
            let (head, last) = text.split_at(text.len().saturating_sub(1));
            let other = if last == "0" { "1" } else { "0" };
            [
                "",
                "../x",
                "/etc/x",
                "a/../../x",
                "a\0b",
                "db",
                "ibdata1",
                "mysql.ibd",
            ]
            .into_iter()
            .map(|text| json!(text))
            .chain([json!(format!("{text}/x")), json!(format!("{head}{other}"))])
            .collect()
        }
        Value::Bool(b) => vec![json!(!b)],
        Value::Null => vec![json!(1), json!("x"), json!({})],
        Value::Array(list) => {
            let mut values = vec![json!([])];
            if let (Some(first), Some(last)) = (list.first(), list.last()) {
                values.push(Value::Array(list[1..].to_vec()));
                values.push(Value::Array(list[..list.len() - 1].to_vec()));
                values.push(Value::Array(
                    [list.as_slice(), std::slice::from_ref(first)].concat(),
                ));
                values.push(Value::Array(
                    [std::slice::from_ref(last), list.as_slice()].concat(),
                ));
                values.push(Value::Array(list.iter().rev().cloned().collect()));
            }
            values
        }
        Value::Object(map) => {
            let without = map.keys().map(|key| {
                let mut map = map.clone();
                map.remove(key);
                Value::Object(map)
            });
            without.collect()
        }
    }
}

/// Only every n-th possible change is tried, because all of them would take minutes. It is a prime,
/// so that every kind of change occurs.
const EVERY: usize = 7;

/// Returns the outcome of a verification; `None` if it ends with an error.
fn outcome(world: &World, level: Level) -> Option<Outcome> {
    let options = VerifyOptions {
        level,
        threads: 1,
        ..VerifyOptions::default()
    };
    match verify(&world.repo, Which::All, &options, &Silent) {
        Ok(report) => Some(report.outcome()),
        Err(_) => None,
    }
}

/// Returns the error with which a restore would refuse the backups before reading their files;
/// `None` if it would not, for any member.
fn refusal(world: &World) -> Option<String> {
    let options = RestoreOptions::new("/nonexistent");
    let mut members = world.chain.iter();
    members
        .find_map(|member| planning::checked(&world.repo, &member.name, &options).err())
        .map(|error| error.to_string())
}

#[test]
fn backups_reported_as_sound_can_be_restored() {
    let world = world();
    assert_eq!(
        (outcome(&world, Level::Data), refusal(&world)),
        (Some(Outcome::Sound), None)
    );
    let (mut tried, mut refused, mut number) = (0, 0, 0);
    for member in 0..3 {
        let manifest = Document::of(&world, member, MANIFEST);
        let summary = Document::of(&world, member, SUMMARY);
        let mut all = Vec::new();
        places(&manifest.value, &mut Vec::new(), &mut all);
        for at in &all {
            for new in replacements(place(&mut manifest.value.clone(), at)) {
                number += 1;
                if number % EVERY != 0 {
                    continue;
                }
                let mut value = manifest.value.clone();
                *place(&mut value, at) = new.clone();
                if value == manifest.value {
                    continue;
                }
                let (digest, length) = manifest.replace_with(&value);
                // The summary is adjusted, as far as it repeats the manifest.
                let mut said = summary.value.clone();
                said["manifest_digest"] = json!(digest);
                said["manifest_bytes"] = json!(length);
                for key in ["id", "name", "kind", "base", "lsn", "binlog"] {
                    if value.get(key).is_some() {
                        said[key] = value[key].clone();
                    }
                }
                summary.replace_with(&said);
                tried += 1;
                let (verified, refusal) = (outcome(&world, Level::Present), refusal(&world));
                if let Some(why) = &refusal {
                    refused += 1;
                    assert_ne!(
                        verified,
                        Some(Outcome::Sound),
                        "member {member}, {at:?} = {new}: {why}"
                    );
                } else if verified == Some(Outcome::Sound)
                    && outcome(&world, Level::Data) == Some(Outcome::Sound)
                {
                    whole(&world, member, at, &new);
                }
            }
        }
        manifest.put_original();
        summary.put_original();
    }
    assert_eq!(outcome(&world, Level::Present), Some(Outcome::Sound));
    assert!(
        tried > 400 && refused > 200,
        "{tried} tried, {refused} refused"
    );
}

/// Checks that a backup that is sound by `Level::Data` is restored, without the redo.
fn whole(world: &World, member: usize, at: &[Step], new: &Value) {
    let chain = world.repo.chain_of(&world.chain[2].name).unwrap();
    let merged = world.merge_chain(chain);
    assert!(
        merged.is_ok(),
        "member {member}, {at:?} = {new}: {}",
        merged.err().unwrap()
    );
}

/// A chain that is its own base, and two that are the base of each other.
#[test]
fn a_chain_without_a_full_backup() {
    for (member, base) in [(1, 1), (1, 2), (2, 2)] {
        let world = world();
        let manifest = Document::of(&world, member, MANIFEST);
        let summary = Document::of(&world, member, SUMMARY);
        let of = &world.chain[base];
        let mut value = manifest.value.clone();
        let reference = json!({"name": of.name, "id": of.id, "to_lsn": of.lsn.to_lsn});
        value["base"] = reference.clone();
        value["lsn"]["from_lsn"] = json!(of.lsn.to_lsn);
        value["lsn"]["to_lsn"] = json!(of.lsn.to_lsn);
        value["lsn"]["last_lsn"] = json!(of.lsn.last_lsn);
        let (digest, length) = manifest.replace_with(&value);
        let mut said = summary.value.clone();
        said["manifest_digest"] = json!(digest);
        said["manifest_bytes"] = json!(length);
        said["base"] = reference;
        said["lsn"] = value["lsn"].clone();
        summary.replace_with(&said);
        assert!(refusal(&world).is_some());
        for which in [Which::All, Which::Named(world.chain[member].name.as_str())] {
            let report = look(&world.repo, which, Level::Present);
            assert_eq!(
                report.outcome(),
                Outcome::ChainBroken,
                "{member} on {base}: {report:#?}"
            );
        }
    }
}

/// Replaces the manifest of a member and adjusts the summary, so that there is no other fault.
fn replace_both(world: &World, number: usize, value: &Value) {
    let (digest, length) = Document::of(world, number, MANIFEST).replace_with(value);
    let summary = Document::of(world, number, SUMMARY);
    let mut said = summary.value.clone();
    said["manifest_digest"] = json!(digest);
    said["manifest_bytes"] = json!(length);
    for key in ["lsn", "binlog"] {
        said[key] = value[key].clone();
    }
    summary.replace_with(&said);
}

/// With these values a recovering server ends, or stops at a query.
#[test]
fn values_that_stop_a_server_are_found() {
    let world = world();
    for (place, new) in [
        (vec!["binlog", "gtid_executed"], json!("../x")),
        (vec!["server", "lower_case_table_names"], json!(3)),
        (
            vec!["server", "data_file_path"],
            json!("ibdata1:5M;ibdata2:5M"),
        ),
        (vec!["files", "0", "role", "name"], json!("ibdata1x")),
        (vec!["files", "1", "role", "name"], json!("mysql.ibdx")),
    ] {
        let manifest = Document::of(&world, 2, MANIFEST);
        let summary = Document::of(&world, 2, SUMMARY);
        let mut value = manifest.value.clone();
        let found = value.pointer_mut(&format!("/{}", place.join("/"))).unwrap();
        *found = new.clone();
        replace_both(&world, 2, &value);
        let report = look(&world.repo, Which::All, Level::Present);
        assert_eq!(
            report.outcome(),
            Outcome::Damaged,
            "{place:?} = {new}: {report:#?}"
        );
        let refusal = refusal(&world).unwrap_or_default();
        assert!(!refusal.is_empty(), "{place:?} = {new}");
        manifest.put_original();
        summary.put_original();
    }
}

/// A delta that claims to have every page, without a first page that its base has.
#[test]
fn a_floor_of_zero_needs_the_first_page() {
    let world = world();
    let manifest = Document::of(&world, 2, MANIFEST);
    for file in [0, 1, 2] {
        let mut value = manifest.value.clone();
        assert_ne!(value["files"][file]["role"]["floor"], json!(0));
        value["files"][file]["role"]["floor"] = json!(0);
        replace_both(&world, 2, &value);
        let report = look(&world.repo, Which::All, Level::Data);
        assert_eq!(report.outcome(), Outcome::Damaged, "{file}: {report:#?}");
        let chain = world.repo.chain_of(&world.chain[2].name).unwrap();
        let error = world.merge_chain(chain).err().unwrap().to_string();
        assert!(error.contains("its first page"), "{file}: {error}");
    }
}

/// The same with page 0 and without the other pages that a server writes first.
#[test]
fn a_floor_of_zero_needs_the_pages_that_a_server_writes_first() {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "undo_001", 7, 50));
    spaces[2].undo = true;
    world.backup(&spaces);
    for page in [0, 2, 3] {
        spaces[2].write(page, start_of(0) + 1, 2);
    }
    world.backup(&spaces);
    let mut value = Document::of(&world, 1, MANIFEST).value;
    value["files"][2]["role"]["floor"] = json!(0);
    replace_both(&world, 1, &value);
    let report = look(&world.repo, Which::All, Level::Data);
    let found: Vec<_> = report.problems().map(|p| p.expected.as_str()).collect();
    assert_eq!(found, ["page 1"]);
}

/// A listing, and the choice of `latest`, use the summary.
#[test]
fn a_summary_that_differs_from_the_manifest_is_found() {
    let world = world();
    for number in 0..3 {
        let summary = Document::of(&world, number, SUMMARY);
        for (field, value) in summary.value.as_object().unwrap() {
            // An earlier version doesn't write these.
            let may_lack = ["redo_log_uuid", "hostname", "missing_tables"];
            for new in replacements(value) {
                let lacks = may_lack.contains(&field.as_str()) && new == json!("");
                if new == *value || lacks {
                    continue;
                }
                let mut said = summary.value.clone();
                said[field] = new.clone();
                summary.replace_with(&said);
                let code = outcome(&world, Level::Present);
                assert_ne!(
                    code,
                    Some(Outcome::Sound),
                    "member {number}: {field} = {new}"
                );
            }
        }
        summary.put_original();
    }
    assert_eq!(outcome(&world, Level::Present), Some(Outcome::Sound));
}
