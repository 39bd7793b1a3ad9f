//! Information that other users can read, or that can mislead the user: modes of files, names on a
//! terminal, colours in a log, key files.
#![allow(clippy::unwrap_used)]

mod common;

use common::program::{PROGRAM, fed, text};
use lsnap::xbstream;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the program with the umask 000, which removes no permission.
fn run(args: &[&str], input: &[u8]) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 000; exec \"$@\"", "sh", PROGRAM]);
    fed(shell.args(args), input)
}

fn file(path: &str, data: &[u8]) -> Vec<u8> {
    let head = xbstream::payload_head(path, 0, data.len() as u64, xbstream::crc(data)).unwrap();
    [&head[..], data, &xbstream::end_chunk(path).unwrap()].concat()
}

/// Returns the modes of all files below, each once.
fn modes(path: &Path, found: &mut Vec<(bool, u32)>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let mode = (metadata.is_dir(), metadata.permissions().mode() & 0o7777);
    if !found.contains(&mode) {
        found.push(mode);
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            modes(&entry.unwrap().path(), found);
        }
    }
}

fn modes_of(path: &Path) -> Vec<(bool, u32)> {
    let mut found = Vec::new();
    modes(path, &mut found);
    found.sort_unstable();
    found
}

const WHOLE: &str = "xtrabackup_tablespaces";

#[test]
fn created_files_are_readable_by_the_owner_only() {
    let room = tempfile::tempdir().unwrap();
    let stream = [file("db/t.ibd", &[1; 5000]), file(WHOLE, b"{}")].concat();
    let out = room.path().join("extracted");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(
        run(&["xbstream", "-x", "-C", out.to_str().unwrap()], &stream)
            .status
            .success()
    );
    assert_eq!(modes_of(&out), [(false, 0o600), (true, 0o700)]);

    // a new repository, one with modes that are too open, and one that a group shares
    for (before, expected) in [
        (None, [(false, 0o600), (true, 0o700)].as_slice()),
        (Some(0o777), &[(false, 0o600), (true, 0o700), (true, 0o777)]),
        (
            Some(0o2770),
            &[(false, 0o640), (true, 0o2750), (true, 0o2770)],
        ),
    ] {
        let repository = room.path().join(format!("repository {before:?}"));
        if let Some(mode) = before {
            fs::create_dir(&repository).unwrap();
            fs::set_permissions(&repository, fs::Permissions::from_mode(mode)).unwrap();
        }
        let url = format!("file://{}", repository.display());
        let put = run(&["cloud", "put", "--to", &url, "some-full"], &stream);
        assert!(put.status.success(), "{}", text(&put.stderr));
        assert_eq!(modes_of(&repository), expected, "{before:?}");
    }
}

#[test]
fn names_are_escaped_for_the_terminal() {
    let evil = "db/\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\nlsnap: all is well\r.ibd";
    let stream = file(evil, b"rows");
    let harmful = ['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}', '\r'];
    let room = tempfile::tempdir().unwrap();
    let room = room.path().to_str().unwrap();
    let cut = &stream[..stream.len() - xbstream::end_chunk(evil).unwrap().len() - 1];
    let forever = [&stream[..], &stream].concat();
    let url = format!("file://{room}/repository");
    for (args, input) in [
        (vec!["xbstream", "-t"], &stream[..]),
        (vec!["--json", "xbstream", "-t"], &stream),
        (vec!["xbstream", "-t"], cut),
        (vec!["xbstream", "-x", "-C", room], cut),
        (vec!["--json", "xbstream", "-x", "-C", room], &forever),
        (vec!["-vv", "cloud", "put", "--to", &url, "b-full"], &stream),
    ] {
        let out = run(&args, input);
        let said = text(&out.stdout) + &text(&out.stderr);
        assert!(!said.contains(harmful), "{args:?}: {said:?}");
        assert!(!said.contains("\nlsnap: all is well"), "{args:?}: {said:?}");
        assert!(
            said.contains("\\u{1b}") || said.contains("\\u001b"),
            "{args:?}: {said}"
        );
    }
    let listed = run(&["--json", "xbstream", "-t"], &stream);
    let value = common::program::result(&listed.stdout);
    assert_eq!(
        value["files"][0]["path"], evil,
        "escaped, it is the same value"
    );
}

#[test]
fn a_log_has_colours_on_a_terminal_only() {
    let room = tempfile::tempdir().unwrap();
    let key = room.path().join("key");
    fs::write(&key, [7; 32]).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let dir = room.path().to_str().unwrap();
    let args = ["decrypt", dir, "--encrypt-key-file", key.to_str().unwrap()];
    let out = run(&args, b"");
    let said = text(&out.stderr);
    assert!(out.status.success(), "{said}");
    assert!(said.contains("WARN") && said.contains("0644"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");

    fs::set_permissions(&key, fs::Permissions::from_mode(0o660)).unwrap();
    let out = run(&args, b"");
    assert_eq!(out.status.code(), Some(2));
    let said = text(&out.stderr);
    assert!(
        said.contains("0660") && said.contains("chmod 600"),
        "{said}"
    );
}
