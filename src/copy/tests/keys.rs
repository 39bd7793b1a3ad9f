//! Encrypted backups are copied without a key; with a key they must be authenticated by it.

use super::*;
use crate::codec::xbcrypt::{Algorithm, Key};

fn key(byte: u8) -> Key {
    Key::new(Algorithm::Aes256, &[byte; 32]).unwrap()
}

/// A chain whose manifests have MACs.
fn authenticated(key: &Key) -> World {
    let mut world = World::new();
    world.mac_key = Some(key.mac_key());
    let spaces = system();
    world.backup(&spaces);
    world.backup(&spaces);
    world
}

fn with(key: Option<Key>) -> CopyOptions {
    CopyOptions {
        key,
        ..CopyOptions::default()
    }
}

#[test]
fn macs_are_kept_and_checked_if_a_key_is_given() {
    let world = authenticated(&key(1));
    let (to, store) = target();
    let wrong = copy(
        &world.repo,
        &to,
        CopyWhich::Named("latest"),
        &with(Some(key(2))),
        &Silent,
    );
    assert!(matches!(wrong, Err(CopyError::Source(_))), "{wrong:?}");
    assert_eq!(objects(&*store), BTreeMap::new());
    for key in [None, Some(key(1))] {
        let (to, _) = target();
        copy(
            &world.repo,
            &to,
            CopyWhich::Named("latest"),
            &with(key),
            &Silent,
        )
        .unwrap();
        for made in &world.chain {
            assert_eq!(to.manifest(&made.name).unwrap().mac, made.mac);
        }
    }
    // a plain backup proves nothing
    let (plain, _) = memory();
    chain(&plain);
    let refused = copy(
        &plain,
        &to,
        CopyWhich::Named("latest"),
        &with(Some(key(1))),
        &Silent,
    );
    assert!(matches!(refused, Err(CopyError::Source(_))), "{refused:?}");
}

#[test]
fn an_encrypted_only_repository_refuses_plain_copies() {
    let world = authenticated(&key(1));
    let (from, _) = memory();
    chain(&from);
    let (to, store) = target();
    to.require_encryption().unwrap();
    let before = keys(&*store);
    let refused = copy(&from, &to, CopyWhich::Named("latest"), &with(None), &Silent);
    assert!(
        matches!(refused, Err(CopyError::Refused { .. })),
        "{refused:?}"
    );
    let objects = |keys: Vec<String>| keys.iter().filter(|k| !k.contains(".lsnap/")).count();
    assert_eq!(objects(keys(&*store)), objects(before));
    copy(
        &world.repo,
        &to,
        CopyWhich::Named("latest"),
        &with(None),
        &Silent,
    )
    .unwrap();
    // a new copy of such a repository accepts encrypted backups only, too
    let (next, _) = memory();
    all(&to, &next);
    assert!(next.is_encrypted_only().unwrap());
}
