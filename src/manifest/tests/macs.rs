//! The MAC of a manifest: every change without the key is detected.

use crate::innodb::{PageSize, SpaceFlags, SpaceId};
use crate::manifest::fixture::{full_name, incr_name, manifest};
use crate::manifest::{
    Authenticity, Binlog, CompressionFormat, EncryptionAlgorithm, FileEntry, FileRole, Finding,
    Manifest, ObjectEntry, PageTracking, SpaceFile, StoredOffset, StoredPath, Wrapping, document,
    parse_manifest,
};
use serde_json::{Value, json};

const KEY: [u8; 32] = [7; 32];

/// Returns a manifest with every optional field.
fn whole() -> Manifest {
    let base = manifest(&full_name(0), None, 100, Vec::new());
    let name = incr_name(&base.name, 60);
    let object = |index: u64| ObjectEntry {
        index,
        offset: index * 100,
        at: Some(StoredOffset(index * 50)),
        bytes: 10,
        digest: Some(blake3::Hash::from([0xab; 32]).into()),
        pack: None,
    };
    let file = |path: &str, role: FileRole| FileEntry {
        path: StoredPath::new(path),
        role,
        bytes: 150,
        wrapping: Some(Wrapping {
            compression: Some(CompressionFormat::Zstd),
            encryption: Some(EncryptionAlgorithm::Aes256),
        }),
        objects: vec![object(0), object(1)],
    };
    let space = SpaceFile {
        name: "db/t.ibd".to_owned(),
        space_id: SpaceId(5),
        node: 0,
        flags: SpaceFlags(0x4023),
        page_size: PageSize::DEFAULT,
        bytes: 16384,
        undo: false,
        encrypted: true,
        external: Some("/fast".to_owned()),
        tablespace_name: Some("db/t".to_owned()),
        allocated: Some(4096),
        floor: None,
    };
    let files = vec![
        file("db/t.ibd.delta.zst.xbcrypt", FileRole::Delta(space)),
        file("xtrabackup_logfile.zst.xbcrypt", FileRole::Redo),
        file("binlog.000001.zst.xbcrypt", FileRole::BinaryLog),
        file("db/db.opt.zst.xbcrypt", FileRole::Plain),
    ];
    Manifest {
        binlog: Some(Binlog {
            file: "binlog.000001".to_owned(),
            position: 157,
            gtid_executed: "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5".to_owned(),
        }),
        page_tracking: Some(PageTracking::default()),
        ..manifest(&name, Some(&base), 200, files)
    }
}

/// Returns a document with these fields: digest and MAC first, then `fields` unchanged.
fn document_of(fields: &str, mac: Option<&str>) -> String {
    let mac = mac.map_or(String::new(), |mac| format!("\"mac\":\"{mac}\","));
    let zeros = "0".repeat(64);
    let text = format!("{{\"digest\":\"blake3:{zeros}\",{mac}{fields}");
    let digest = blake3::hash(text.as_bytes()).to_hex();
    text.replacen(&zeros, &digest, 1)
}

/// Returns the fields of a value without digest, MAC and the opening brace.
fn fields_of(value: &Value) -> String {
    value.to_string()[1..].to_owned()
}

/// Returns an authenticated document: its value without digest and MAC, and its MAC.
fn genuine() -> (Value, String) {
    let mut manifest = whole();
    manifest.authenticate(&KEY).unwrap();
    let mut value = serde_json::to_value(&manifest).unwrap();
    value.as_object_mut().unwrap().remove("mac");
    // The MAC that the key gives for exactly these bytes.
    let placeholder = format!("blake3-keyed-2:{}", "0".repeat(64));
    let text = document_of(&fields_of(&value), Some(&placeholder));
    let hash = document::hash_without_digits(text.as_bytes()).unwrap();
    let mac = crate::manifest::mac::text(&KEY, &hash);
    (value, mac)
}

fn verdict(text: &str) -> Result<Authenticity, Finding> {
    Ok(parse_manifest(text.as_bytes())?.authenticity(&[KEY]))
}

/// Returns all values that differ from `value` in one place.
fn changes(value: &Value) -> Vec<Value> {
    let mut out = Vec::new();
    match value {
        Value::Null => out.push(json!("x")),
        Value::Bool(is) => out.push(json!(!is)),
        Value::Number(n) => out.push(json!(n.as_u64().unwrap() + 1)),
        Value::String(text) => {
            let last = if text.ends_with('0') { "1" } else { "0" };
            out.extend([
                json!(format!("{text}0")),
                json!(format!("{}{last}", &text[..text.len() - 1])),
            ]);
            // The other values of an enum.
            for word in [
                "full",
                "incremental",
                "plain",
                "metadata",
                "redo",
                "binary_log",
                "delta_meta",
                "stream",
                "objects",
            ] {
                if word != text {
                    out.push(json!(word));
                }
            }
        }
        Value::Array(all) => {
            for (at, item) in all.iter().enumerate() {
                let with = |new: Option<Value>| {
                    let mut changed = all.clone();
                    match new {
                        Some(new) => changed[at] = new,
                        None => drop(changed.remove(at)),
                    }
                    Value::Array(changed)
                };
                out.push(with(None));
                out.extend(changes(item).into_iter().map(|new| with(Some(new))));
            }
            let mut longer = all.clone();
            longer.extend(all.first().cloned());
            out.push(Value::Array(longer));
            let mut turned = all.clone();
            turned.reverse();
            if turned != *all {
                out.push(Value::Array(turned));
            }
        }
        Value::Object(all) => {
            for (name, item) in all {
                let with = |new: Option<Value>| {
                    let mut changed = all.clone();
                    match new {
                        Some(new) => changed.insert(name.clone(), new),
                        None => changed.remove(name),
                    };
                    Value::Object(changed)
                };
                out.push(with(None));
                out.push(with(Some(Value::Null)));
                out.extend(changes(item).into_iter().map(|new| with(Some(new))));
            }
            let mut more = all.clone();
            more.insert("a_field_of_a_newer_lsnap".to_owned(), json!(1));
            out.push(Value::Object(more));
        }
    }
    out.retain(|changed| changed != value);
    out
}

#[test]
fn every_change_of_a_field_is_detected() {
    let (value, mac) = genuine();
    assert_eq!(
        verdict(&document_of(&fields_of(&value), Some(&mac))),
        Ok(Authenticity::Proven)
    );
    let changes = changes(&value);
    assert!(changes.len() > 300, "{}", changes.len());
    let mut read = 0;
    for changed in changes {
        let text = document_of(&fields_of(&changed), Some(&mac));
        match verdict(&text) {
            // The manifest contradicts itself.
            Err(_) => {}
            Ok(Authenticity::Wrong) => read += 1,
            Ok(other) => panic!("{other:?}: {text}"),
        }
    }
    assert!(read > 100, "only {read} were read at all");
}

#[test]
fn the_mac_covers_bytes_instead_of_values() {
    let (value, mac) = genuine();
    let fields = fields_of(&value);
    for other in [
        fields.replacen(':', ": ", 1),
        format!("{fields}\n"),
        fields.replacen("\"base\"", "\"\\u0062ase\"", 1),
    ] {
        let text = document_of(&other, Some(&mac));
        assert_eq!(verdict(&text), Ok(Authenticity::Wrong), "{text}");
    }
    // A MAC at another position does not prove anything, nor does another one at its position.
    let elsewhere = format!("{},\"mac\":\"{mac}\"}}", &fields[..fields.len() - 1]);
    assert_eq!(
        verdict(&document_of(&elsewhere, None)),
        Ok(Authenticity::Wrong)
    );
    assert_eq!(
        verdict(&document_of(&fields, None)),
        Ok(Authenticity::Stripped)
    );
    let zero = format!("blake3-keyed-2:{}", "0".repeat(64));
    for bad in [
        zero.as_str(),
        "blake3-keyed-2:",
        "blake3-keyed:",
        "",
        &mac[..mac.len() - 1],
    ] {
        let text = document_of(&fields, Some(bad));
        assert_eq!(verdict(&text), Ok(Authenticity::Wrong), "{bad}");
    }
}

#[test]
fn another_key_gives_another_mac_and_the_first_form_is_read() {
    let mut manifest = whole();
    manifest.authenticate(&KEY).unwrap();
    assert_eq!(manifest.authenticity(&[KEY]), Authenticity::Proven);
    assert_eq!(manifest.authenticity(&[[8; 32]]), Authenticity::Wrong);
    assert_eq!(manifest.authenticity(&[[8; 32], KEY]), Authenticity::Proven);

    let (mut value, _) = genuine();
    let fields = fields_of(&value);
    let first = format!("blake3-keyed:{}", whole().first_mac(&KEY).to_hex());
    let text = document_of(&fields, Some(&first));
    assert_eq!(verdict(&text), Ok(Authenticity::FirstForm));
    // A field that it didn't cover.
    value["files"][3]["role"]["role"] = json!("metadata");
    let text = document_of(&fields_of(&value), Some(&first));
    assert_eq!(verdict(&text), Ok(Authenticity::FirstForm));
}
