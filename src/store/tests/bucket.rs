//! A bucket in which everything lies about: ten thousand backups, half-deleted chains, other people's
//! objects.

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

/// What no listing may take for a backup, and no deletion may touch.
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
fn ten_thousand_backups_among_strange_things() {
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
        put_theirs(&memory, name.as_str(), n as u64 + 1);
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
    // of the members of that chain nothing is left; `deep` may be an unfinished backup, for all that its
    // keys tell
    assert_eq!(listed.len() as i64, backups - MEMBERS + 2);
    let deep = listed.iter().find(|l| l.name.as_str() == "deep").unwrap();
    assert!(deep.is_unfinished() && !deep.leftover);
    // one listing a directory, one small object of each of ours, one of each of theirs
    let directories = 2 * CHAINS + THEIRS + STRANGE.len() as i64;
    assert!((asked as i64) <= directories + 2 * backups, "{asked}");
    let whole = listed.iter().filter(|l| l.is_whole()).count() as i64;
    assert_eq!(whole, backups - MEMBERS);

    // any of them can still be restored
    for n in [0, 1, CHAINS / 2, CHAINS - 2] {
        let newest = incr_name(&full_name(n * 100), n * 100 + MEMBERS - 1);
        assert_eq!(repository.chain_of(&newest).unwrap().len() as i64, MEMBERS);
    }
    prunes_right(&repository, &memory, &before);
}

/// A full backup and its incrementals.
fn chain(repository: &Repository, n: i64) {
    let second = n * 100;
    let mut base = backup(repository, &full_name(second), None, (n as u64 + 1) * 1000);
    for m in 1..MEMBERS {
        let name = incr_name(&full_name(second), second + m);
        let to = (n * 1000 + 1000 + m) as u64;
        base = backup(repository, &name, Some(&base), to);
    }
}

/// Two full backups of each cluster stay, and everything strange.
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

/// The newest chain, killed in a cascade again and again, until its full backup is no longer whole. It is alone in the
/// bucket yet: each run lists everything twice.
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
        // So many that it gets to deleting something, and never to the end.
        requests += if objects < left { 0 } else { 5 };
        left = objects;
        store.break_at(store.requests() - before + requests, true);
        // the lease of the deletion before is not waited for
        let nobody = |_: &BackupName| Ok(false);
        let broken = delete_unless(&nobody, repository, &name, &options(true), &Silent);
        assert!(broken.is_err());
        store.mend();
    }
}

/// As [`foreign`], with the fewest objects that are one.
fn put_theirs(memory: &InMemory, name: &str, to: u64) {
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
fn a_name_never_catches_its_neighbours() {
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
