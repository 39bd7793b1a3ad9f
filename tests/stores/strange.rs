//! Keys that lsnap would never create, on a real server: they hide nothing.

use std::process::Command;

use lsnap::store::{ListedState, Repository};

use crate::servers::{BUCKET, Kind, Server};

/// Stores the parts of a finished backup of xtrabackup that a listing reads.
fn put_backup(repository: &Repository, name: &str, from: u64, to: u64) {
    let kind = if from == 0 {
        "full-backuped"
    } else {
        "incremental"
    };
    let checkpoints = format!(
        "backup_type = {kind}\nfrom_lsn = {from}\nto_lsn = {to}\nlast_lsn = {to}\nflushed_lsn = {to}\n"
    );
    for (path, text) in [
        ("ibdata1", "pages"),
        ("xtrabackup_checkpoints", checkpoints.as_str()),
        ("xtrabackup_tablespaces", "{}"),
    ] {
        let mut stream = Vec::new();
        let mut writer = lsnap::xbstream::Writer::new(&mut stream);
        writer.payload(path, 0, text.as_bytes()).unwrap();
        writer.end(path).unwrap();
        let key = format!("{name}/{path}.{:020}", 0);
        repository
            .bucket()
            .put_new(&key, vec![stream.into()])
            .unwrap();
    }
}

/// Puts a key unchanged, which `object_store` would not.
fn put_raw(server: &Server, key: &str) {
    let url = format!("{}/{BUCKET}/{key}", server.endpoint);
    let put = Command::new("curl")
        .args([
            "--silent",
            "--fail",
            "--insecure",
            "--path-as-is",
            "-X",
            "PUT",
            "--data",
            "x",
            &url,
        ])
        .status()
        .unwrap();
    assert!(put.success(), "{url}");
}

#[test]
fn unrepresentable_keys_hide_nothing() {
    if crate::servers::lacks_moto("a directory can't have such keys") {
        return;
    }
    let server = Server::start(Kind::S3);
    let repository = server.repository("strange");
    put_backup(&repository, "a-full", 0, 100);
    put_backup(&repository, "a-full.incr/one", 100, 200);
    put_backup(&repository, "a-full.incr/two", 200, 300);
    put_backup(&repository, "b-full", 0, 100);
    put_backup(&repository, "c-full", 0, 100);
    for key in [
        "strange/photos//cat.jpg",
        "strange/a-full.incr/two//stray",
        "strange/c-full//stray",
        "strange/a-full/",
        "strange/b-full.incr/",
    ] {
        put_raw(&server, key);
    }
    let listed = repository.list().unwrap();
    let found: Vec<(&str, bool)> = listed
        .iter()
        .map(|l| (l.name.as_str(), l.is_whole()))
        .collect();
    let expected = [
        ("a-full", true),
        ("a-full.incr/one", true),
        ("a-full.incr/two", false),
        ("b-full", true),
        ("c-full", false),
    ];
    assert_eq!(found, expected);
    for backup in listed.iter().filter(|l| !l.is_whole()) {
        let ListedState::Damaged { reason } = &backup.state else {
            panic!("{backup:?}");
        };
        assert!(reason.contains("rename or remove it"), "{reason}");
    }
    // directly in the directory of the backups it hides everything, so it is an error and not a
    // short list
    put_raw(&server, "strange/%01");
    let error = repository.list().unwrap_err().to_string();
    assert!(error.contains("under a prefix of their own"), "{error}");
}
