//! The rules of chains.

use super::*;
use crate::manifest::{BackupName, BaseRef, Manifest};
use crate::store::error::backup::BackupFault;
use crate::store::error::base::BaseFault;

/// A full backup and three incrementals.
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
        repository.latest_base(SERVER, None).unwrap().name,
        made[3].name
    );
}

#[test]
fn resolve() {
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
    assert!(error.contains("it holds prod-2026"), "{error}");
    // the same last part in two chains
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
    // newest by the clock, not by name
    assert_eq!(repository.resolve("latest").unwrap(), made[3].name);
}

#[test]
fn an_empty_repository() {
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
            .contains("holds no backups")
    );
    assert!(matches!(
        repository.latest_base(SERVER, None),
        Err(StoreError::Base(BaseFault::NoBase { .. }))
    ));
}

#[test]
fn a_missing_and_an_unfinished_member_are_told_apart() {
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
    // nothing is built on it either, and the full backup alone still restores
    assert!(matches!(
        repository.latest_base(SERVER, None),
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

/// Of two incrementals of one start, with one `to_lsn`, the one that ends first doesn't stand on the other.
#[test]
fn a_member_that_ends_before_its_base() {
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
    assert!(repository.latest_base(SERVER, None).is_err());
}

#[test]
fn another_backup_of_the_same_name_is_no_base() {
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
fn a_member_of_another_server() {
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
        repository.latest_base(SERVER, None).unwrap().name,
        mine.name
    );
    assert_eq!(
        repository.latest_base("other", None).unwrap().name,
        theirs.name
    );
    let error = repository
        .latest_base("third", None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("2 finished of other servers"), "{error}");
    let error = repository
        .latest_base(SERVER, Some(theirs.name.as_str()))
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
        repository.latest_base(SERVER, None).unwrap().name,
        newer.name
    );
    // a pinned full means its chain's end
    let pinned = repository
        .latest_base(SERVER, Some(made[0].name.as_str()))
        .unwrap();
    assert_eq!(pinned.name, made[3].name);
    // an unfinished full is none
    drop(repository.begin(&full_name(60), 1).unwrap());
    assert_eq!(
        repository.latest_base(SERVER, None).unwrap().name,
        newer.name
    );
}

#[test]
fn a_pinned_incremental_must_be_the_newest_exist_and_be_finished() {
    let (repository, _) = memory();
    let made = chain(&repository);
    let pin = |name: &BackupName| repository.latest_base(SERVER, Some(name.as_str()));
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
    // an interrupted incremental is no member: the chain goes on from the last finished one
    assert_eq!(
        repository.latest_base(SERVER, None).unwrap().name,
        made[3].name
    );
}

#[test]
fn a_fork_restores_but_is_not_continued() {
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
        let error = repository.latest_base(SERVER, pinned).unwrap_err();
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
fn a_damaged_end_is_not_built_on_nor_stepped_over() {
    let (repository, store) = memory();
    let made = chain(&repository);
    let key = manifest_key(&made[3].name);
    let mut bytes = get_raw(&*store, &key).to_vec();
    // same length: the listing does not notice, reading does
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    put_raw(&*store, &key, &bytes);
    assert!(
        repository
            .latest_base(SERVER, None)
            .unwrap_err()
            .is_damage()
    );
    // cut off: the listing notices
    put_raw(&*store, &key, &bytes[..middle]);
    let error = repository
        .latest_base(SERVER, None)
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
    let error = repository.latest_base(SERVER, None).unwrap_err();
    assert!(
        matches!(&error, StoreError::Backup(BackupFault::Foreign { name }) if *name == theirs),
        "{error}"
    );
    assert_eq!(repository.chain_of(&made[3].name).unwrap().len(), 4);
}
