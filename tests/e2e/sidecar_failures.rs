//! The sidecar for Percona's operator when something fails: nothing that looks finished is left.

use crate::common::program::PROGRAM;
use crate::named_xtrabackup::links;
use crate::sandbox::{SOURCE, Sandbox, run, scratch};
use crate::servers::{BUCKET, Server};
use crate::sidecar::{Sidecar, account, body, objects};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

const FULL: &str = "backups/c1-2026-11-30-10:00:00-full";

/// Stores a part of a backup, as a job that was killed leaves it.
fn leave_unfinished(store: &Server, room: &std::path::Path) {
    let links = links(room);
    let files = room.join("files");
    std::fs::create_dir_all(files.join("db")).unwrap();
    std::fs::write(files.join("db/of_an_earlier_attempt.ibd"), vec![7; 100_000]).unwrap();
    let mut stream = Command::new(links.join("xbstream"))
        .args([
            "-C",
            files.to_str().unwrap(),
            "-c",
            "db/of_an_earlier_attempt.ibd",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let put = Command::new(links.join("xbcloud"))
        .args([
            "put",
            "--md5",
            "--storage=s3",
            &format!("--s3-bucket={BUCKET}"),
            FULL,
        ])
        .env("AWS_ENDPOINT", &store.endpoint)
        .envs(store.env())
        .stdin(stream.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(stream.wait().unwrap().success());
    assert!(!put.status.success(), "the stream is incomplete");
    let keys = objects(store);
    assert!(
        keys.keys().any(|key| key.contains("of_an_earlier_attempt")),
        "{keys:?}"
    );
}

#[test]
fn failures_of_the_sidecar() {
    let store = Server::start_plain_s3();
    let room = scratch();
    let sidecar = Sidecar::start(room.path());
    let mut source = Sandbox::start("e2e-sidecar-fails", &[SOURCE]);
    account(&source);
    run(&mut source.connect(), "CREATE DATABASE d");
    run(
        &mut source.connect(),
        "CREATE TABLE d.t (i INT PRIMARY KEY, b LONGBLOB)",
    );
    run(
        &mut source.connect(),
        "INSERT INTO d.t WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 400) \
         SELECT i, REPEAT(RANDOM_BYTES(1000), 100) FROM r",
    );
    let full = body(&source, &store, FULL);
    let failed = (500, "backup failed\n".to_owned());

    leave_unfinished(&store, room.path());
    // The account has another password now: an unfinished backup is removed all the same.
    let users = room.path().join("users/xtrabackup");
    std::fs::write(&users, "wrong").unwrap();
    assert_eq!(sidecar.post("full", &full), failed);
    assert!(
        sidecar.log("full").contains("Access denied"),
        "{}",
        sidecar.log("full")
    );
    assert_eq!(objects(&store), BTreeMap::new(), "after a wrong password");
    std::fs::write(&users, crate::sidecar::PASSWORD).unwrap();

    the_server_ends_in_the_middle(&sidecar, &source, &store);
    source.restart(&[SOURCE]);

    leave_unfinished_again(&store, room.path());
    sidecar.made("full", &full);
    assert!(
        !objects(&store)
            .keys()
            .any(|key| key.contains("of_an_earlier_attempt"))
    );

    let sidecar = the_agent_is_killed_in_the_middle(sidecar, room.path(), &source, &store);
    the_agent_ends_in_the_middle(sidecar, &source, &store);
}

fn leave_unfinished_again(store: &Server, room: &std::path::Path) {
    std::fs::remove_dir_all(room.join("links")).unwrap();
    leave_unfinished(store, room);
}

/// Returns the body of a backup that takes several seconds.
fn slow(source: &Sandbox, store: &Server, destination: &str) -> serde_json::Value {
    let mut body = body(source, store, destination);
    let args = body["containerOptions"]["args"]["xtrabackup"].as_array_mut();
    args.unwrap().push("--throttle=1".into());
    body
}

/// Waits until objects of this destination are stored.
fn until_stored(store: &Server, destination: &str) {
    let below = destination.strip_prefix("backups/").unwrap();
    crate::sandbox::wait_for("objects", Duration::from_secs(60), || {
        objects(store).keys().any(|key| key.starts_with(below))
    });
}

fn the_server_ends_in_the_middle(sidecar: &Sidecar, source: &Sandbox, store: &Server) {
    let slow = slow(source, store, FULL);
    std::thread::scope(|scope| {
        let backup = scope.spawn(|| sidecar.post("full", &slow));
        until_stored(store, FULL);
        source.kill();
        assert_eq!(backup.join().unwrap(), (500, "backup failed\n".to_owned()));
    });
    assert_eq!(
        objects(store),
        BTreeMap::new(),
        "after the end of the server"
    );
    assert_eq!(sidecar.post("full", &slow).0, 500, "without a server");
    assert_eq!(objects(store), BTreeMap::new(), "without a server");
}

/// Kills the agent: its programs end too, and a new agent makes the backup anew.
fn the_agent_is_killed_in_the_middle(
    sidecar: Sidecar,
    room: &std::path::Path,
    source: &Sandbox,
    store: &Server,
) -> Sidecar {
    let destination = "backups/c1-2026-11-30-12:00:00-full";
    let slow = slow(source, store, destination);
    std::thread::scope(|scope| {
        scope.spawn(|| sidecar.try_call("POST", "/backup/third", Some(&slow)));
        until_stored(store, destination);
        sidecar.signal(Signal::KILL);
    });
    drop(sidecar);
    crate::sandbox::wait_for("the end of the programs", Duration::from_secs(60), || {
        !is_any_program_of(destination)
    });
    let below = destination.strip_prefix("backups/").unwrap();
    let keys = objects(store);
    let of_it = || keys.keys().filter(|key| key.starts_with(below));
    assert!(of_it().next().is_some(), "{keys:?}");
    let finished =
        |key: &&String| key.contains("xtrabackup_tablespaces") || key.contains("lsnap_manifest");
    assert_eq!(of_it().find(finished), None, "it looks finished");
    let sidecar = Sidecar::start(room);
    sidecar.made("third", &body(source, store, destination));
    sidecar
}

/// Returns whether a program stores or makes the backup.
fn is_any_program_of(destination: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        arguments.starts_with(PROGRAM) && arguments.contains(destination)
    })
}

fn the_agent_ends_in_the_middle(sidecar: Sidecar, source: &Sandbox, store: &Server) {
    let before = objects(store);
    let destination = "backups/c1-2026-11-30-11:00:00-full";
    let slow = slow(source, store, destination);
    std::thread::scope(|scope| {
        let backup = scope.spawn(|| sidecar.post("second", &slow));
        until_stored(store, destination);
        sidecar.signal(Signal::TERM);
        assert_eq!(backup.join().unwrap().0, 500);
    });
    assert_eq!(objects(store), before, "after the end of the agent");
    assert!(sidecar.ended().success());
}
