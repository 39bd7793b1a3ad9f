//! The authentication of backups in a verification, with the key and without it.

use super::crafted::Document;
use super::damages::{look, problems};
use crate::codec::xbcrypt::{Algorithm, Key};
use crate::manifest::document::MANIFEST;
use crate::progress::Silent;
use crate::reader::fixture::{World, start_of, system};
use crate::verify::{
    Authentication, Level, Outcome, ProblemKind, VerifyOptions, VerifyReport, Which, verify,
};
use serde_json::{Value, json};

fn key(byte: u8) -> Key {
    Key::from_text(Algorithm::Aes256, &[byte; 32]).unwrap()
}

/// Creates a chain with MACs, except for the members in `plain`.
fn world(plain: &[usize]) -> World {
    let mut world = World::new();
    let mut spaces = system();
    for number in 0..3 {
        spaces[1].write(1, start_of(number), 2);
        world.mac_key = (!plain.contains(&number)).then(|| key(7).mac_key());
        world.backup(&spaces);
    }
    world
}

fn with_key(world: &World, byte: u8) -> VerifyReport {
    let options = VerifyOptions {
        key: Some(key(byte)),
        threads: 2,
        ..VerifyOptions::default()
    };
    verify(&world.repo, Which::All, &options, &Silent).unwrap()
}

fn without(world: &World) -> [VerifyReport; 3] {
    [
        look(&world.repo, Which::All, Level::Present),
        look(&world.repo, Which::Named("latest"), Level::Present),
        look(&world.repo, Which::All, Level::Data),
    ]
}

#[test]
fn without_the_key_an_encrypted_chain_is_not_authenticated() {
    let world = world(&[]);
    for report in without(&world) {
        assert_eq!(problems(&report), []);
        assert_eq!(report.outcome(), Outcome::NotVerified);
        assert_eq!(report.not_authenticated().count(), 3);
        let text = serde_json::to_value(&report).unwrap();
        assert_eq!(text["members"][0]["authentication"], "not_authenticated");
    }
    let report = with_key(&world, 7);
    assert_eq!(
        (problems(&report), report.outcome()),
        (vec![], Outcome::Sound)
    );
    assert_eq!(report.not_authenticated().count(), 0);
    let proven = |m: &crate::verify::MemberReport| m.authentication == Some(Authentication::Proven);
    assert!(report.members.iter().all(proven));
    assert_eq!(with_key(&world, 8).outcome(), Outcome::Key);
}

#[test]
fn a_plain_chain_needs_no_key() {
    let world = world(&[0, 1, 2]);
    for report in without(&world) {
        assert_eq!(report.outcome(), Outcome::Sound);
        let found = report.members[0].authentication;
        assert_eq!(found, Some(Authentication::NotEncrypted));
    }
    // In a repository that accepts encrypted backups only, a plain one may be a replacement.
    world.repo.require_encryption().unwrap();
    for report in without(&world) {
        assert_eq!(
            (problems(&report), report.outcome()),
            (vec![], Outcome::NotVerified)
        );
    }
}

#[test]
fn a_plain_member_of_an_encrypted_chain_is_found_without_the_key() {
    for plain in 0..3 {
        let world = world(&[plain]);
        for report in without(&world) {
            assert_eq!(report.outcome(), Outcome::Key, "{plain}: {report:#?}");
            let all = problems(&report);
            assert!(all.iter().all(|p| p.kind == ProblemKind::Key), "{all:?}");
        }
    }
}

/// Replaces the manifest, and adjusts the summary.
fn forged(world: &World, number: usize, change: impl FnOnce(&mut Value)) {
    let manifest = Document::of(world, number, MANIFEST);
    let mut value = manifest.value.clone();
    change(&mut value);
    let (digest, length) = manifest.replace_with(&value);
    let summary = Document::of(world, number, "lsnap_summary.json");
    let mut said = summary.value.clone();
    said["manifest_digest"] = json!(digest);
    said["manifest_bytes"] = json!(length);
    summary.replace_with(&said);
}

#[test]
fn a_removed_or_invalid_mac_is_found_without_the_key() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 4] = [
        ("no MAC", |value| {
            value.as_object_mut().unwrap().remove("mac");
            value["files"][0]["wrapping"] = json!({"encryption": "AES256"});
        }),
        // Not at its position.
        ("a MAC that no lsnap wrote", |value| {
            value["format"] = json!(1);
        }),
        ("no text of a MAC", |value| value["mac"] = json!("x")),
        ("no digits", |value| value["mac"] = json!("blake3-keyed:zz")),
    ];
    for (what, change) in changes {
        let world = world(&[]);
        forged(&world, 2, change);
        for report in without(&world) {
            assert_eq!(report.outcome(), Outcome::Key, "{what}: {report:#?}");
        }
        assert_eq!(with_key(&world, 7).outcome(), Outcome::Key, "{what}");
    }
}
