//! A server that is not reachable, refuses the login, or can't be backed up in its current state.

use crate::lsnap::{self, Said};
use crate::sandbox::{SOURCE, Sandbox, run, scratch};
use crate::throttled;
use std::path::Path;

/// Makes a backup as a user with this name and password.
fn backup_as(server: &Sandbox, repository: &Path, user: &str, password: &str) -> Said {
    backup_as_with(server, repository, user, password, &[])
}

fn backup_as_with(
    server: &Sandbox,
    repository: &Path,
    user: &str,
    password: &str,
    more: &[&str],
) -> Said {
    let room = scratch();
    let file = room.path().join("password");
    std::fs::write(&file, format!("{password}\n")).unwrap();
    let mut command = lsnap::command();
    command
        .args([
            "backup",
            "--json",
            "--no-defaults",
            "--to",
            &lsnap::url(repository),
        ])
        .args([
            "--user",
            user,
            "--socket",
            &server.socket(),
            "--password-file",
        ])
        .arg(&file)
        .args(more);
    lsnap::said(command.output().unwrap())
}

/// The repository must be empty.
#[track_caller]
fn nothing_in(repository: &Path) {
    let left: Vec<_> = walk(repository);
    assert!(left.is_empty(), "a refused backup left {left:?}");
}

fn walk(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => files.extend(walk(&path)),
            path => files.push(path),
        }
    }
    files
}

#[test]
fn an_unreachable_server_is_a_clear_error() {
    let room = scratch();
    let socket = room.path().join("no.sock");
    let repository = lsnap::url(room.path());
    let said = lsnap::lsnap([
        "backup",
        "--no-defaults",
        "--user",
        "root",
        "--socket",
        socket.to_str().unwrap(),
        "--to",
        &repository,
    ]);
    said.refused(1, &["no.sock"]);
    nothing_in(room.path());
}

#[test]
fn missing_privileges_are_reported_with_the_grant() {
    let room = scratch();
    let server = Sandbox::start("e2e-access", &[SOURCE]);
    let mut conn = server.connect();
    run(
        &mut conn,
        "CREATE USER limited@localhost IDENTIFIED BY 'right-secret'",
    );

    let said = backup_as(&server, room.path(), "limited", "wrong-secret");
    said.refused(12, &["limited"]);
    assert!(
        !format!("{said:?}").contains("wrong-secret"),
        "the password is in the message"
    );
    nothing_in(room.path());

    // Following the messages literally leads to a backup.
    let mut granted = 0;
    let said = loop {
        let said = backup_as(&server, room.path(), "limited", "right-secret");
        if said.code != 12 || granted > 12 {
            break said;
        }
        nothing_in(room.path());
        said.refused(12, &["GRANT "]);
        for sql in grants(&said.stderr) {
            run(&mut conn, &sql);
            granted += 1;
        }
    };
    assert!(granted > 0, "a user without privileges made a backup");
    let said = said.ok();
    assert!(!format!("{said:?}").contains("right-secret"));
    not_in_the_repository(room.path(), "right-secret");

    let auto = ["--throttle", "auto"];
    let said = backup_as_with(&server, room.path(), "limited", "right-secret", &auto);
    throttled::falls_back_without_privileges(&said.ok().json["throttle"]);
    throttled::at_a_rate_and_restored(&server, room.path());
    throttled::stopped_while_it_waits(&server, room.path());

    run(&mut conn, "ALTER INSTANCE DISABLE INNODB REDO_LOG");
    lsnap::try_backup(&server, room.path(), &[])
        .refused(1, &["ALTER INSTANCE ENABLE INNODB REDO_LOG"]);
    run(&mut conn, "ALTER INSTANCE ENABLE INNODB REDO_LOG");
    lsnap::full(&server, room.path());
}

/// Returns the `GRANT ...;` statements in a message.
fn grants(message: &str) -> Vec<String> {
    message
        .match_indices("GRANT ")
        .map(|(at, _)| {
            let tail = &message[at..];
            let end = tail.find([';', '\n']).unwrap_or(tail.len());
            tail[..end].trim().to_owned()
        })
        .collect()
}

fn not_in_the_repository(repository: &Path, secret: &str) {
    for file in walk(repository) {
        if file.to_string_lossy().contains("xtrabackup_")
            || file.to_string_lossy().contains("lsnap_manifest")
        {
            let bytes = std::fs::read(&file).unwrap();
            assert!(
                !String::from_utf8_lossy(&bytes).contains(secret),
                "{} contains a secret",
                file.display()
            );
        }
    }
}
