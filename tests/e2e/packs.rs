//! Small tables that share objects, compressed and encrypted: the incremental's deltas lie in packs, also
//! those of tables that changed, and both members come back, one of them as a full backup made of the chain.

use crate::consolidate::{consolidate, run};
use crate::journey::Journey;
use crate::sandbox::{SOURCE, Sandbox, scratch};
use crate::{lsnap, schema};
use serde_json::Value;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const TABLES: usize = 300;

/// The files of the small tables in a backup's report: all of them must lie in packs.
fn packed(report: &Value, suffix: &str) -> Vec<Value> {
    let files = report["files"].as_array().unwrap().iter();
    let ours = files.filter(|file| {
        let path = file["path"].as_str().unwrap();
        path.starts_with("many/") && path.contains(suffix)
    });
    let ours: Vec<Value> = ours.cloned().collect();
    assert_eq!(ours.len(), TABLES);
    for file in &ours {
        let objects = file["objects"].as_array().unwrap();
        let one = objects.len() == 1 && objects[0]["pack"]["object"].is_string();
        assert!(one, "{file}");
    }
    ours
}

/// How many objects a backup has.
fn objects(journey: &Journey, index: usize) -> u64 {
    let name = journey.members[index].name.as_str();
    let shown = run("show", &journey.repository(), &[name]).ok().json;
    shown["objects"].as_u64().unwrap()
}

#[test]
fn small_tables_share_objects() {
    let room = scratch();
    let source = Sandbox::start("e2e-packs", &[SOURCE]);
    let targets = schema::create(
        &source,
        &schema::Wanted {
            page_kib: 16,
            outside: None,
            encrypted: false,
            other_engines: false,
        },
    );
    schema::small_tables(&source, "many", TABLES);
    let mut journey = Journey::with("e2e-packs", source, targets, room);
    let key = journey.path().join("key");
    std::fs::write(&key, KEY).unwrap();
    let key = key.to_str().unwrap().to_owned();
    let how = [
        "--encrypt=AES256",
        "--encrypt-key-file",
        &key,
        "--compress=zstd",
        "--pack-small-files=on",
    ];
    let decrypt = ["--decrypt=AES256", "--encrypt-key-file", &key];
    journey.member_by(|s, r| lsnap::backup(s, r, &how));
    let changed = (0..TABLES).step_by(7);
    for n in changed.clone() {
        let update = format!("UPDATE many.t{n:05} SET c = 'changed'");
        journey.source.run(&update);
    }
    let more = [&["--incremental"], &how[..]].concat();
    journey.member_by(|s, r| lsnap::backup(s, r, &more));
    journey.rest();

    packed(&journey.members[0].json, ".ibd.zst");
    packed(&journey.members[1].json, ".ibd.meta");
    let deltas = packed(&journey.members[1].json, ".ibd.delta");
    let page = 16384;
    let filled = deltas
        .iter()
        .filter(|d| d["bytes"].as_u64().unwrap() > page);
    let filled = filled.count();
    assert!(filled >= changed.count(), "{filled} deltas have pages");
    for index in [0, 1] {
        let objects = objects(&journey, index);
        assert!(
            objects < TABLES as u64,
            "{objects} objects of member {index}"
        );
    }

    consolidate(&mut journey, 1, &decrypt);
    let looked = [&["--all", "--data"], &decrypt[..]].concat();
    let report = run("verify", &journey.repository(), &looked).ok().json;
    assert_eq!(report["members"].as_array().unwrap().len(), 3, "{report}");
    let mysqld = journey.source.program("mysqld");
    for index in [1, 2] {
        journey.prove_by(index, &[], |name, datadir| {
            let arguments = [
                "--redo-applier=mysqld",
                "--mysqld",
                mysqld.to_str().unwrap(),
            ];
            let arguments = [&arguments[..], &decrypt].concat();
            lsnap::try_restore(&journey.repository(), name, datadir, &arguments).ok();
        });
    }
}
