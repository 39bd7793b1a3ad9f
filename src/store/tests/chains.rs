//! The rules of chains.

use super::*;
use crate::manifest::{BackupName, BaseRef, Manifest};
use crate::store::error::backup::BackupFault;
use crate::store::error::base::BaseFault;

/// Makes a full backup and three incrementals.
fn chain(repository: &Repository) -> Vec<Manifest> {
    let full = backup(repository, &full_name(0), None, 100);
    let mut chain = vec![full];
    for (second, to) in [(10, 200), (20, 300), (30, 400)] {
        let base = chain.last().unwrap();
        let name = incr_name(&base.name, second);
        let member = backup(repository, &name, Some(base), to);
        chain.push(member);
    }
    chain
}

fn names(chain: &[Manifest]) -> Vec<&BackupName> {
    chain.iter().map(|m| &m.name).collect()
}

fn manifest_key(name: &BackupName) -> String {
    format!("{name}/lsnap_manifest.json.00000000000000000000")
}

#[test]
fn every_member_has_its_chain() {
    let (repository, _) = memory();
    let made = chain(&repository);
    for end in 0..made.len() {
        let read = repository.chain_of(&made[end].name).unwrap();
        assert_eq!(names(&read), names(&made[..=end]));
    }
    assert_eq!(
        repository.next_base(SERVER, None, None).unwrap().base.name,
        made[3].name
    );
}

#[test]
fn names_are_resolved() {
    let (repository, _) = memory();
    let made = chain(&repository);
    for member in &made {
        assert_eq!(
            repository.resolve(member.name.as_str()).unwrap(),
            member.name
        );
        assert_eq!(
            repository.resolve(member.name.last_part()).unwrap(),
            member.name
        );
        assert_eq!(
            repository.resolve(&format!("{}/", member.name)).unwrap(),
            member.name
        );
    }
    assert_eq!(repository.resolve("latest").unwrap(), made[3].name);
    let error = repository.resolve("prod").unwrap_err().to_string();
    assert!(error.contains("it has prod-2026"), "{error}");
    // the same last component in two chains
    let other = backup(
        &repository,
        &BackupName::parse("other-full").unwrap(),
        None,
        50,
    );
    backup(&repository, &incr_name(&other.name, 10), Some(&other), 60);
    let error = repository.resolve(made[1].name.last_part()).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Backup(BackupFault::Ambiguous { count: 2, .. })
        ),
        "{error}"
    );
    // the newest by time, not by name
    assert_eq!(repository.resolve("latest").unwrap(), made[3].name);
}

#[test]
fn a_base_may_have_a_name_that_comes_after_that_of_its_incremental() {
    let (repository, store) = memory();
    let full = backup(&repository, &full_name(0), None, 10);
    // the clock of another host
    let first = backup(&repository, &incr_name(&full.name, 300), Some(&full), 20);
    let second = backup(&repository, &incr_name(&full.name, 200), Some(&first), 30);
    let third = backup(&repository, &incr_name(&full.name, 100), Some(&second), 40);
    let state = |name: &BackupName| {
        let listed = repository.list().unwrap();
        listed.into_iter().find(|l| l.name == *name).unwrap().state
    };
    assert!(matches!(state(&third.name), ListedState::Finished(_)));
    let key = format!("{}/lsnap_manifest.json.{:020}", first.name, 0);
    remove_raw(&*store, &key);
    for name in [&second.name, &third.name] {
        assert!(matches!(state(name), ListedState::BaseMissing(_)), "{name}");
    }
}

#[test]
fn an_empty_repository_has_no_backups_and_no_base() {
    let (repository, _) = memory();
    assert!(
        repository
            .resolve("latest")
            .unwrap_err()
            .to_string()
            .contains("0 backups")
    );
    assert!(
        repository
            .resolve("x")
            .unwrap_err()
            .to_string()
            .contains("it has no backups")
    );
    assert!(matches!(
        repository.next_base(SERVER, None, None),
        Err(StoreError::Base(BaseFault::NoBase { .. }))
    ));
}

#[test]
fn missing_and_unfinished_members_are_distinguished() {
    let (repository, store) = memory();
    let made = chain(&repository);
    remove_raw(&*store, &manifest_key(&made[1].name));
    let error = repository.chain_of(&made[3].name).unwrap_err();
    let StoreError::BrokenChain { name, why } = &error else {
        panic!("{error}")
    };
    assert_eq!(*name, made[3].name);
    let expected = ChainFault::Unfinished {
        member: made[2].name.clone(),
        base: made[1].name.clone(),
    };
    assert_eq!(**why, expected);
    for key in keys(&*store) {
        if key.starts_with(&format!("{}/", made[1].name)) {
            remove_raw(&*store, &key);
        }
    }
    let error = repository.chain_of(&made[3].name).unwrap_err().to_string();
    let expected = format!(
        "{} needs base {}, which is not in memory:",
        made[2].name, made[1].name
    );
    assert!(error.contains(&expected), "{error}");
    // it can't be a base either, and the full backup alone can still be restored
    assert!(matches!(
        repository.next_base(SERVER, None, None),
        Err(StoreError::BrokenChain { .. })
    ));
    assert_eq!(repository.chain_of(&made[0].name).unwrap().len(), 1);
}

#[test]
fn a_gap_in_the_middle_names_member_found_and_expected() {
    let (repository, _) = memory();
    let full = backup(&repository, &full_name(0), None, 100);
    let gap = |m: &mut Manifest| {
        m.lsn.from_lsn = Lsn(150);
        m.base.as_mut().unwrap().to_lsn = Lsn(150);
    };
    let one = backup_with(
        &repository,
        &incr_name(&full.name, 10),
        Some(&full),
        200,
        gap,
    );
    let two = backup(&repository, &incr_name(&full.name, 20), Some(&one), 300);
    let error = repository.chain_of(&two.name).unwrap_err();
    assert!(
        matches!(&error, StoreError::Gap { name, base, member, found: Lsn(150), expected: Lsn(100) }
            if *name == two.name && *base == full.name && *member == one.name),
        "{error}"
    );
}

/// Of two incrementals with the same start and `to_lsn`, the one that ends first isn't based on the
/// other.
#[test]
fn a_member_that_ends_before_its_base_is_refused() {
    let (repository, _) = memory();
    let full = backup(&repository, &full_name(0), None, 100);
    let of_the_start = |end: u64| {
        move |m: &mut Manifest| {
            m.lsn.start_checkpoint = Lsn(100);
            m.lsn.last_lsn = Lsn(end);
        }
    };
    let name = incr_name(&full.name, 10);
    let one = backup_with(&repository, &name, Some(&full), 100, of_the_start(300));
    assert_eq!(repository.chain_of(&one.name).unwrap().len(), 2);
    let name = incr_name(&full.name, 20);
    let two = backup_with(&repository, &name, Some(&one), 100, of_the_start(299));
    let error = repository.chain_of(&two.name).unwrap_err().to_string();
    assert!(
        error.contains("last_lsn") && error.contains("300") && error.contains("at most 299"),
        "{error}"
    );
    assert!(repository.next_base(SERVER, None, None).is_err());
}

#[test]
fn another_backup_of_the_same_name_is_not_the_base() {
    let (repository, _) = memory();
    let full = backup(&repository, &full_name(0), None, 100);
    let wrong = |m: &mut Manifest| m.base.as_mut().unwrap().id = "another".to_owned();
    let one = backup_with(
        &repository,
        &incr_name(&full.name, 10),
        Some(&full),
        200,
        wrong,
    );
    let error = repository.chain_of(&one.name).unwrap_err().to_string();
    assert!(
        error.contains("expected another") && error.contains(full.name.as_str()),
        "{error}"
    );
}

#[test]
fn links_to_itself_and_across_chains_end() {
    let (repository, _) = memory();
    let full = backup(&repository, &full_name(0), None, 100);
    let name = incr_name(&full.name, 10);
    let own = |m: &mut Manifest| {
        m.base = Some(BaseRef {
            name: m.name.clone(),
            id: m.id.clone(),
            to_lsn: m.lsn.to_lsn,
        });
        m.lsn.from_lsn = m.lsn.to_lsn;
        m.lsn.scan_floor = m.lsn.to_lsn;
    };
    backup_with(&repository, &name, Some(&full), 200, own);
    let error = repository.chain_of(&name).unwrap_err();
    assert!(matches!(error, StoreError::BrokenChain { .. }), "{error}");
    let other = backup(&repository, &full_name(50), None, 100);
    let across = incr_name(&full.name, 60);
    backup(&repository, &across, Some(&other), 200);
    let error = repository.chain_of(&across).unwrap_err().to_string();
    assert!(error.contains("chain of"), "{error}");
}

#[test]
fn a_member_of_another_server_is_refused() {
    let (repository, _) = memory();
    let full = backup(&repository, &full_name(0), None, 100);
    let other = |m: &mut Manifest| m.server.uuid = "other".to_owned();
    let one = backup_with(
        &repository,
        &incr_name(&full.name, 10),
        Some(&full),
        200,
        other,
    );
    let error = repository.chain_of(&one.name).unwrap_err();
    assert!(
        matches!(&error, StoreError::Base(BaseFault::OtherServer { name, .. }) if *name == full.name),
        "{error}"
    );
}

#[test]
fn the_base_is_of_the_same_server() {
    let (repository, _) = memory();
    let mine = backup(&repository, &full_name(0), None, 100);
    let other = |m: &mut Manifest| m.server.uuid = "other".to_owned();
    let theirs = backup_with(&repository, &full_name(90), None, 900, other);
    assert_eq!(
        repository.next_base(SERVER, None, None).unwrap().base.name,
        mine.name
    );
    assert_eq!(
        repository.next_base("other", None, None).unwrap().base.name,
        theirs.name
    );
    let error = repository
        .next_base("third", None, None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("2 finished of other servers"), "{error}");
    let error = repository
        .next_base(SERVER, None, Some(theirs.name.as_str()))
        .unwrap_err();
    assert!(
        matches!(error, StoreError::Base(BaseFault::OtherServer { .. })),
        "{error}"
    );
}

#[test]
fn the_newest_full_backups_chain_is_continued() {
    let (repository, _) = memory();
    let made = chain(&repository);
    let newer = backup(&repository, &full_name(40), None, 500);
    assert_eq!(
        repository.next_base(SERVER, None, None).unwrap().base.name,
        newer.name
    );
    // a pinned full backup stands for the end of its chain
    let pinned = repository
        .next_base(SERVER, None, Some(made[0].name.as_str()))
        .unwrap()
        .base;
    assert_eq!(pinned.name, made[3].name);
    // an unfinished full backup doesn't count
    drop(repository.begin(&full_name(60), 1).unwrap());
    assert_eq!(
        repository.next_base(SERVER, None, None).unwrap().base.name,
        newer.name
    );
}

#[test]
fn a_pinned_incremental_must_be_the_newest_exist_and_be_finished() {
    let (repository, _) = memory();
    let made = chain(&repository);
    let pin = |name: &BackupName| {
        let next = repository.next_base(SERVER, None, Some(name.as_str()));
        next.map(|next| next.base)
    };
    assert_eq!(pin(&made[3].name).unwrap().name, made[3].name);
    let error = pin(&made[1].name).unwrap_err();
    assert!(
        matches!(&error, StoreError::Base(BaseFault::NotNewest { base, newest }) if *base == made[1].name && *newest == made[3].name),
        "{error}"
    );
    assert!(matches!(
        pin(&full_name(77)),
        Err(StoreError::Backup(BackupFault::NotFound { .. }))
    ));
    let half = incr_name(&made[3].name, 40);
    drop(repository.begin(&half, 1).unwrap());
    assert!(matches!(
        pin(&half),
        Err(StoreError::Backup(BackupFault::NotFinished { .. }))
    ));
    // an interrupted incremental is not a member: the chain continues from the last finished one
    assert_eq!(
        repository.next_base(SERVER, None, None).unwrap().base.name,
        made[3].name
    );
}

#[test]
fn a_forked_chain_can_be_restored_but_not_continued() {
    let (repository, _) = memory();
    let made = chain(&repository);
    let fork = backup(
        &repository,
        &incr_name(&made[1].name, 25),
        Some(&made[1]),
        350,
    );
    assert_eq!(
        names(&repository.chain_of(&fork.name).unwrap()),
        [&made[0].name, &made[1].name, &fork.name]
    );
    assert_eq!(
        names(&repository.chain_of(&made[3].name).unwrap()),
        names(&made)
    );
    for pinned in [
        None,
        Some(made[0].name.as_str()),
        Some(made[3].name.as_str()),
    ] {
        let error = repository.next_base(SERVER, None, pinned).unwrap_err();
        let StoreError::BrokenChain { why, .. } = &error else {
            panic!("{error}")
        };
        let expected = ChainFault::Forked {
            base: made[1].name.clone(),
            first: made[2].name.clone(),
            second: fork.name.clone(),
        };
        assert_eq!(**why, expected);
    }
}

#[test]
fn a_damaged_newest_member_is_no_base_and_is_not_skipped() {
    let (repository, store) = memory();
    let made = chain(&repository);
    let key = manifest_key(&made[3].name);
    let mut bytes = get_raw(&*store, &key).to_vec();
    // with the same length, only a read detects the damage, not the listing
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    put_raw(&*store, &key, &bytes);
    assert!(
        repository
            .next_base(SERVER, None, None)
            .unwrap_err()
            .is_damage()
    );
    // the listing detects a truncated manifest
    put_raw(&*store, &key, &bytes[..middle]);
    let error = repository
        .next_base(SERVER, None, None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(made[3].name.as_str()) && error.contains("damaged"),
        "{error}"
    );
}

#[test]
fn a_member_of_xtrabackups_is_named() {
    let (repository, store) = memory();
    let made = chain(&repository);
    let theirs = incr_name(&made[3].name, 40);
    put_raw(
        &*store,
        &format!("{theirs}/xtrabackup_info.00000000000000000000"),
        b"x",
    );
    let error = repository.next_base(SERVER, None, None).unwrap_err();
    assert!(
        matches!(&error, StoreError::Backup(BackupFault::Foreign { name }) if *name == theirs),
        "{error}"
    );
    assert_eq!(repository.chain_of(&made[3].name).unwrap().len(), 4);
}
