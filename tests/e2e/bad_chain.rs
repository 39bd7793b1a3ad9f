//! Bases that can't be continued and chains that can't be restored.

use crate::lsnap;
use crate::sandbox::{SOURCE, Sandbox, scratch};
use std::path::{Path, PathBuf};

/// Returns the objects of `name` whose file name begins with `prefix`.
pub fn objects(repository: &Path, name: &str, prefix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![repository.join(name)];
    while let Some(directory) = todo.pop() {
        for entry in
            std::fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()))
        {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path
                .file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with(prefix)
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn manifest(repository: &Path, name: &str) -> PathBuf {
    let found = objects(repository, name, "lsnap_manifest.json");
    assert_eq!(found.len(), 1, "the manifest of {name}");
    found[0].clone()
}

#[test]
fn an_incremental_needs_a_base_that_is_whole_and_of_this_server() {
    let room = scratch();
    let repository = room.path().join("repository");
    std::fs::create_dir(&repository).unwrap();
    let mut server = Sandbox::start("e2e-base", &[SOURCE]);
    server.run("CREATE DATABASE d");
    server.run("CREATE TABLE d.t (id INT PRIMARY KEY) SELECT 1 AS id");

    let none = lsnap::try_backup(&server, &repository, &["--incremental"]);
    assert!([10, 14].contains(&none.code), "without a full: {none:?}");
    none.refused(none.code, &["full"]);
    let full = lsnap::full(&server, &repository);
    lsnap::try_backup(
        &server,
        &repository,
        &["--incremental", "--base", "other-2020-01-01-00:00:00-full"],
    )
    .refused(10, &["other-2020-01-01-00:00:00-full"]);
    let first = lsnap::incremental(&server, &repository);
    let second = lsnap::incremental(&server, &repository);

    // The middle of the chain without its manifest is unfinished. No backup can continue it, and no
    // restore can use it.
    let (place, aside) = (
        manifest(&repository, &first.name),
        room.path().join("aside"),
    );
    std::fs::rename(&place, &aside).unwrap();
    let target = room.path().join("target");
    lsnap::try_restore(&repository, &second.name, &target, &[]).refused(14, &[&first.name]);
    lsnap::try_restore(&repository, &first.name, &target, &[]).refused(14, &[&first.name]);
    assert!(!target.exists(), "a refused restore left a target");
    let onto = lsnap::try_backup(
        &server,
        &repository,
        &["--incremental", "--base", &first.name],
    );
    assert!(onto.code != 0, "an unfinished base was continued: {onto:?}");
    std::fs::rename(&aside, &place).unwrap();

    // The same data with another server_uuid is another server.
    let datadir = server.datadir();
    server.stop();
    std::fs::write(
        datadir.join("auto.cnf"),
        "[auto]\nserver-uuid=11111111-2222-3333-4444-555555555555\n",
    )
    .unwrap();
    server.restart(&[SOURCE]);
    let other = lsnap::try_backup(
        &server,
        &repository,
        &["--incremental", "--base", &full.name],
    );
    assert!(
        [10, 14].contains(&other.code),
        "a base of another server: {other:?}"
    );
    other.refused(other.code, &["11111111-2222-3333-4444-555555555555"]);

    // None of these steps lost data: the last member still restores.
    lsnap::restore(&server, &repository, &second.name, &target);
    assert!(target.join("d/t.ibd").exists());
}
