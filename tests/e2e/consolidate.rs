//! Full backups that were made from chains restore to the same state as the chain, are valid bases
//! of the next incremental, and make incremental-forever possible. `lsnap verify` finds no fault in
//! them.

use crate::ddl;
use crate::journey::Journey;
use crate::lsnap::{self, Said, lsnap};
use crate::sealed::Sealed;
use std::path::Path;

pub fn run(command: &str, repository: &Path, more: &[&str]) -> Said {
    let url = lsnap::url(repository);
    let mut arguments = vec![command, "--json", "--from", &url];
    arguments.extend(more);
    lsnap(arguments)
}

/// Makes a full backup of a member, which is then a member of the journey with the same position.
pub fn consolidate(journey: &mut Journey, index: usize, more: &[&str]) -> usize {
    let mut member = journey.members[index].clone();
    let arguments = [&[member.name.as_str()], more].concat();
    let said = run("consolidate", &journey.repository(), &arguments).ok();
    member.name = said.json["backup"]["name"].as_str().unwrap().to_owned();
    assert!(member.name.ends_with("-full"), "{}", member.name);
    journey.members.push(member);
    journey.members.len() - 1
}

/// Keeps the newest full backup of each cluster: exactly `old` and its chain are removed.
fn prune(journey: &Journey, old: &str) {
    let repository = journey.repository();
    let dry = run("prune", &repository, &["--keep-full", "1", "--dry-run"]).ok();
    let names = |said: &Said| -> Vec<String> {
        let deleted = said.json["deleted"].as_array().unwrap().iter();
        deleted
            .map(|d| d["backup"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let expected = names(&dry);
    assert_eq!(expected.last().map(String::as_str), Some(old));
    let chain = format!("{old}.incr/");
    let mut above = expected.iter().rev().skip(1);
    assert!(above.all(|name| name.starts_with(&chain)), "{expected:?}");
    let done = run("prune", &repository, &["--keep-full", "1"]).ok();
    assert_eq!(names(&done), expected);
    for gone in [old.to_owned(), format!("{old}.incr")] {
        // an object store has no directories, so an empty one doesn't count
        let left = std::fs::read_dir(repository.join(gone));
        assert_eq!(left.map_or(0, Iterator::count), 0);
    }
}

#[test]
fn a_chain_under_load_becomes_a_full_backup() {
    let mut journey = Journey::begin("e2e-consol", 16, &[], false);
    journey.member();
    for round in 1..4 {
        ddl::round(&journey.source, round);
        journey.member();
    }
    let full = consolidate(&mut journey, 3, &[]);
    let middle = consolidate(
        &mut journey,
        1,
        &["--to-name", "middle-2020-01-01-00:00:00-full"],
    );
    assert_ne!(journey.members[full].name, journey.members[middle].name);

    what_is_told(&journey, full);
    // The old chain is removed: the next incremental must find the newest full backup by itself.
    let old = journey.members[0].name.clone();
    prune(&journey, &old);
    journey.member();
    let last = journey.members.len() - 1;
    let expected = format!("{}.incr/", journey.members[full].name);
    let found = &journey.members[last].name;
    assert!(found.starts_with(&expected), "{found} is not in {expected}");
    journey.rest();

    let all = run("verify", &journey.repository(), &["--all", "--data"]).ok();
    assert_eq!(all.json["members"].as_array().unwrap().len(), 3);
    let mysqld = journey.source.program("mysqld");
    // The part of the names before the time: the backup above is of another cluster.
    let name = &journey.members[0].name;
    let cluster = &name[..name.len() - "-2020-01-01-00:00:00-full".len()];
    let restore = [
        "--cluster",
        cluster,
        "--restore",
        "--mysqld",
        mysqld.to_str().unwrap(),
        "--user",
        &lsnap::owner(),
        "--scratch",
        journey.path().to_str().unwrap(),
    ];
    let restored = run("verify", &journey.repository(), &restore).ok();
    let report = &restored.json["restored"][0];
    assert_eq!(report["gtid_verified"], true, "{report}");
    assert!(report["tables"].as_u64().unwrap() > 20, "{report}");
    let left = std::fs::read_dir(journey.path()).unwrap();
    let left: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
    let scratch = |name: &&std::ffi::OsString| name.to_string_lossy().starts_with("lsnap-verify");
    assert!(left.iter().find(scratch).is_none(), "{left:?}");

    for index in [middle, full, last] {
        journey.prove(index, &[]);
    }
}

/// The output of `list` and `show`, and the refusals of `delete`.
fn what_is_told(journey: &Journey, full: usize) {
    let repository = journey.repository();
    let newest = &journey.members[3].name;
    let shown = run("show", &repository, &[newest]).ok().json;
    assert_eq!(
        shown["restore_chain"].as_array().unwrap().len(),
        4,
        "{shown}"
    );
    assert_eq!(shown["contents"]["overlaps"], true);
    assert_eq!(shown["needed_by"].as_array().unwrap().len(), 0);
    assert_eq!(shown["backup"]["kind"], "incremental");
    let base = journey.members[0].name.as_str();
    let shown = run("show", &repository, &[base]).ok().json;
    assert_eq!(shown["needed_by"][0], newest.as_str());
    assert_eq!(shown["needed_by"].as_array().unwrap().len(), 3);

    run("delete", &repository, &[base]).refused(11, &["--cascade", newest]);
    run("delete", &repository, &[&journey.members[2].name]).refused(11, &["--cascade", newest]);
    run("delete", &repository, &["latest"]).refused(2, &["latest"]);
    run("delete", &repository, &["no-such"]).refused(10, &["no-such"]);
    run("prune", &repository, &["--keep-full", "0"]).refused(2, &["every backup"]);

    let url = lsnap::url(&repository);
    let table = lsnap(["list", "--from", &url]).ok().stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 7, "{table}");
    assert!(table.contains(&format!("\n{base} ")), "{table}");
    assert_eq!(table.matches("├─ ").count(), 2, "{table}");
    assert_eq!(table.matches("└─ ").count(), 1, "{table}");
    assert_eq!(table.matches(" incremental ").count(), 3, "{table}");
    let page = lsnap(["show", "--from", &url, &journey.members[full].name])
        .ok()
        .stdout;
    for word in [
        "finished, full, made by lsnap",
        "GTIDs",
        "needed by   nothing",
    ] {
        assert!(page.contains(word), "{word} is not in {page}");
    }
}

/// Incremental-forever, encrypted and compressed: in each round the chain becomes a full backup and
/// the old chain is removed.
#[test]
fn incremental_forever_with_encryption() {
    let mut journey = Journey::begin("e2e-forever", 16, &[], false);
    let sealed = Sealed::new(&journey);
    sealed.member(&mut journey, &["--compress"]);
    let mut base = 0;
    for round in 1..4 {
        ddl::round(&journey.source, round);
        sealed.member(&mut journey, &["--incremental", "--compress"]);
        let newest = journey.members.len() - 1;
        run(
            "consolidate",
            &journey.repository(),
            &[&journey.members[newest].name],
        )
        .refused(12, &["AES256"]);
        let full = consolidate(&mut journey, newest, &sealed.open());
        let old = journey.members[base].name.clone();
        prune(&journey, &old);
        base = full;
        let looked = [&["--all", "--data"], &sealed.open()[..]].concat();
        run("verify", &journey.repository(), &looked).ok();
        let closed = run("verify", &journey.repository(), &["--all", "--data"]);
        closed.refused(15, &["not authenticated"]);
        assert!(closed.json["members"][0]["sealed_files"].as_u64().unwrap() > 0);
    }
    journey.rest();
    sealed.prove(&journey, base);
}
