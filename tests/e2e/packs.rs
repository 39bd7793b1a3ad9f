//! Small tables that share objects, compressed and encrypted: the deltas of the incremental are in
//! packs, also those of tables that changed, and both members restore, one of them as a full backup
//! made from the chain.

use crate::consolidate::{consolidate, run};
use crate::journey::Journey;
use crate::lsnap;
use crate::sealed::Sealed;
use serde_json::Value;

const TABLES: usize = 300;

/// Returns the files of the small tables in a manifest: all of them must be in packs.
fn packed(manifest: &Value, suffix: &str) -> Vec<Value> {
    let files = manifest["files"].as_array().unwrap().iter();
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

/// Returns the number of objects of a backup.
fn objects(journey: &Journey, index: usize) -> u64 {
    let name = journey.members[index].name.as_str();
    let shown = run("show", &journey.repository(), &[name]).ok().json;
    shown["backup"]["objects"].as_u64().unwrap()
}

#[test]
fn small_tables_share_objects() {
    let mut journey = Journey::of_small_tables("e2e-packs", TABLES);
    let sealed = Sealed::new(&journey);
    let how = ["--compress=zstd", "--pack-small-files=on"];
    sealed.member(&mut journey, &how);
    let changed = (0..TABLES).step_by(7);
    for n in changed.clone() {
        let update = format!("UPDATE many.t{n:05} SET c = 'changed'");
        journey.source.run(&update);
    }
    sealed.member(&mut journey, &[&["--incremental"], &how[..]].concat());
    journey.rest();

    let manifest =
        |index: usize| lsnap::manifest(&journey.repository(), &journey.members[index].name);
    packed(&manifest(0), ".ibd.zst");
    packed(&manifest(1), ".ibd.meta");
    let deltas = packed(&manifest(1), ".ibd.delta");
    let page = 16384;
    let filled = deltas
        .iter()
        .filter(|d| d["bytes"].as_u64().unwrap() > page);
    let filled = filled.count();
    assert!(filled >= changed.count(), "{filled} deltas have pages");
    let on = [&sealed.open()[..], &["--pack-small-files=on"]].concat();
    consolidate(&mut journey, 1, &on);
    for index in [0, 1, 2] {
        let objects = objects(&journey, index);
        assert!(
            objects < TABLES as u64,
            "{objects} objects of member {index}"
        );
    }
    let looked = [&["--all", "--data"], &sealed.open()[..]].concat();
    let report = run("verify", &journey.repository(), &looked).ok().json;
    assert_eq!(report["members"].as_array().unwrap().len(), 3, "{report}");
    for index in [1, 2] {
        sealed.prove(&journey, index);
    }
}
