//! A bucket with ten thousand backups, half-deleted chains and other objects.

use crate::manifest::{BackupName, CHECKPOINTS, object_name};
use std::sync::Arc;

use object_store::memory::InMemory;

use super::breaking::Breaking;
use super::deletes::{foreign, keys, options};
use super::*;
use crate::progress::Silent;
use crate::store;
use crate::store::deletion::delete::delete_unless;
use crate::store::deletion::retention::Policy;

const CHAINS: i64 = 1000;
const MEMBERS: i64 = 4;
const THEIRS: i64 = 6000;

/// Keys that must not be listed as backups, nor removed by a deletion.
const STRANGE: [&str; 12] = [
    "readme.txt",
    "lsnap_manifest.json.00000000000000000000",
    ".incr/x/lsnap_manifest.json.00000000000000000000",
    "photos/2020/cat.jpg",
    "prod-full/notes.txt",
    "表/😀/é.txt",
    "a b/ /c",
    "%2F%2e%2e/x",
    "x.incr/.lsnap/lease.00000000000000000000",
    "x.incr/y.incr/z/ibdata1.00000000000000000000",
    "deep/er/and/deeper/ibdata1.00000000000000000000",
    "numbers/00000000000000000000",
];

#[test]
fn ten_thousand_backups_among_other_objects() {
    let memory = Arc::new(InMemory::new());
    let counting = Breaking::new(memory.clone());
    let repository = Repository::over("memory", counting.clone()).unwrap();
    chain(&repository, CHAINS - 1);
    half_deleted(&repository, &counting);
    for n in 0..CHAINS - 1 {
        chain(&repository, n);
    }
    for n in 0..THEIRS {
        let name = BackupName::full("theirs", at(n * 60)).unwrap();
        put_xtrabackup(&memory, name.as_str(), n as u64 + 1);
    }
    for key in STRANGE {
        put_raw(&*memory, key, b"mine");
    }
    let before = keys(&*memory);
    let asked = counting.requests();
    let listed = repository.list().unwrap();
    let asked = counting.requests() - asked;
    let backups = CHAINS * MEMBERS + THEIRS;
    println!(
        "{} backups of {} objects listed with {asked} requests",
        listed.len(),
        before.len()
    );
    // the members of that chain are gone; `deep` may be an unfinished backup, as far as its keys
    // show
    assert_eq!(listed.len() as i64, backups - MEMBERS + 2);
    let deep = listed.iter().find(|l| l.name.as_str() == "deep").unwrap();
    assert!(deep.is_unfinished() && !deep.leftover);
    // one listing a directory, one small object of each backup of lsnap and of xtrabackup
    let directories = 2 * CHAINS + THEIRS + STRANGE.len() as i64;
    assert!((asked as i64) <= directories + 2 * backups, "{asked}");
    let whole = listed.iter().filter(|l| l.is_whole()).count() as i64;
    assert_eq!(whole, backups - MEMBERS);

    // all of them can still be restored
    for n in [0, 1, CHAINS / 2, CHAINS - 2] {
        let newest = incr_name(&full_name(n * 100), n * 100 + MEMBERS - 1);
        assert_eq!(repository.chain_of(&newest).unwrap().len() as i64, MEMBERS);
    }
    prunes_right(&repository, &memory, &before);
}

/// Makes a full backup and its incrementals.
fn chain(repository: &Repository, n: i64) {
    let second = n * 100;
    let mut base = backup(repository, &full_name(second), None, (n as u64 + 1) * 1000);
    for m in 1..MEMBERS {
        let name = incr_name(&full_name(second), second + m);
        let to = (n * 1000 + 1000 + m) as u64;
        base = backup(repository, &name, Some(&base), to);
    }
}

/// Checks that two full backups of each cluster and all other objects stay.
fn prunes_right(
    repository: &Repository,
    memory: &InMemory,
    before: &std::collections::BTreeSet<String>,
) {
    let policy = Policy {
        keep_full: Some(2),
        ..Policy::default()
    };
    let run = |dry_run| {
        let options = DeleteOptions {
            dry_run,
            ..options(false)
        };
        store::prune(repository, &policy, &options, Utc::now(), &Silent).unwrap()
    };
    let planned = run(true);
    assert_eq!(keys(memory), *before);
    let mut done = run(false);
    assert_eq!(done.skipped, []);
    done.dry_run = true;
    assert_eq!(done, planned);
    let kept: Vec<String> = (CHAINS - 3..CHAINS - 1)
        .map(|n| full_name(n * 100))
        .chain((THEIRS - 2..THEIRS).map(|n| BackupName::full("theirs", at(n * 60)).unwrap()))
        .map(|name| name.to_string())
        .collect();
    let expected = before.iter().filter(|key| {
        let of = |name: &String| {
            key.starts_with(&format!("{name}/")) || key.starts_with(&format!("{name}.incr/"))
        };
        kept.iter().any(of) || STRANGE.contains(&key.as_str())
    });
    let expected: std::collections::BTreeSet<String> = expected.cloned().collect();
    let now = keys(memory);
    let wrong: Vec<_> = now.symmetric_difference(&expected).take(5).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Interrupts a cascading deletion of the newest chain repeatedly, until its full backup is
/// incomplete. The chain is alone in the bucket, because each run lists everything twice.
fn half_deleted(repository: &Repository, store: &Breaking) {
    let name = full_name((CHAINS - 1) * 100);
    let (mut left, mut requests) = (u64::MAX, 25);
    loop {
        let before = store.requests();
        let listed = repository.list().unwrap();
        let full = listed.iter().find(|l| l.name == name).unwrap();
        if full.state == ListedState::Deleting {
            return;
        }
        let chain = listed.iter().filter(|l| l.name.base() == name);
        let objects = chain.map(|l| l.objects).sum();
        // enough requests to begin with removals, but not to complete them
        requests += if objects < left { 0 } else { 5 };
        left = objects;
        store.break_at(store.requests() - before + requests, true);
        // so that the lease of the interrupted deletion isn't waited for
        let unused = |_: &BackupName| Ok(false);
        let broken = delete_unless(&unused, repository, &name, &options(true), &Silent);
        assert!(broken.is_err());
        store.repair();
    }
}

/// As [`foreign`], with the fewest objects of a backup.
fn put_xtrabackup(memory: &InMemory, name: &str, to: u64) {
    let text = format!(
        "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = {to}\nlast_lsn = {to}\nflushed_lsn = {to}\n"
    );
    for (path, data) in [
        (CHECKPOINTS, text.as_str()),
        ("xtrabackup_tablespaces", "{}"),
    ] {
        let bytes = object(path, 0, data.as_bytes(), true).concat();
        put_raw(memory, &format!("{name}/{}", object_name(path, 0)), &bytes);
    }
}

#[test]
fn a_name_does_not_match_longer_names() {
    let memory = Arc::new(InMemory::new());
    let repository = Repository::over("memory", memory.clone()).unwrap();
    let names = [
        "prod-full",
        "prod-full-2",
        "prod-full2",
        "prod",
        "prod-ful",
        "prod-full.x",
        "Prod-full",
    ];
    for (n, name) in names.iter().enumerate() {
        foreign(&*memory, name, 0, 100 + n as u64);
        foreign(&*memory, &format!("{name}.incr/i"), 100 + n as u64, 200);
        put_raw(&*memory, &format!("{name}.md5"), b"sums");
    }
    let mut expected = keys(&*memory);
    for name in names {
        let which = BackupName::parse(name).unwrap();
        store::delete(&repository, &which, &options(true), &Silent).unwrap();
        let own = [
            format!("{name}/"),
            format!("{name}.incr/"),
            format!("{name}.md5"),
        ];
        expected.retain(|key| !own.iter().any(|start| key.starts_with(start)));
        assert_eq!(keys(&*memory), expected, "{name}");
    }
}
