//! Output that can't be written, arguments that are not valid, and secrets in arguments: for every
//! command.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "output/progress.rs"]
mod progress;

use common::program::{command, signal, text};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use rustix::process::Signal;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

const COMMANDS: [&str; 12] = [
    "backup",
    "cloud",
    "consolidate",
    "delete",
    "list",
    "prune",
    "show",
    "decompress",
    "decrypt",
    "restore",
    "verify",
    "xbstream",
];

fn lsnap(args: &[&str], stdout: impl Into<Stdio>) -> Output {
    command()
        .args(args)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
}

/// On a full disk the command exits with 1; if the reader has closed the pipe, with 0.
fn is_whole_or_fails(args: &[&str]) {
    let all = lsnap(args, Stdio::piped());
    assert_eq!(
        all.status.code(),
        Some(0),
        "{args:?}: {}",
        text(&all.stderr)
    );
    assert!(!all.stdout.is_empty(), "{args:?} prints nothing");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let said = lsnap(args, full);
    let why = text(&said.stderr);
    assert_eq!(said.status.code(), Some(1), "{args:?}: {why}");
    assert_eq!(
        why.matches("standard output is not complete").count(),
        1,
        "{args:?}: {why}"
    );
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let said = lsnap(args, writer);
    assert_eq!(
        said.status.code(),
        Some(0),
        "{args:?}: {}",
        text(&said.stderr)
    );
}

/// Stores two files in an xbstream in a repository.
fn stored(dir: &Path) -> String {
    let run = |args: &[&str], input: Stdio, output: Stdio| {
        let status = command().args(args).stdin(input).stdout(output).status();
        assert!(status.unwrap().success(), "{args:?}");
    };
    fs::create_dir(dir.join("files")).unwrap();
    for (name, data) in [("ibdata1", "pages"), ("xtrabackup_tablespaces", "{}")] {
        fs::write(dir.join("files").join(name), data).unwrap();
    }
    let (files, stream) = (dir.join("files"), dir.join("stream"));
    let url = format!("file://{}", dir.join("repository").display());
    fs::create_dir(dir.join("repository")).unwrap();
    let create = [
        "xbstream",
        "-c",
        "-C",
        files.to_str().unwrap(),
        "ibdata1",
        "xtrabackup_tablespaces",
    ];
    run(
        &create,
        Stdio::null(),
        File::create(&stream).unwrap().into(),
    );
    run(
        &["cloud", "put", "--to", &url, "theirs"],
        File::open(&stream).unwrap().into(),
        Stdio::null(),
    );
    url
}

#[test]
fn incomplete_output_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let url = stored(dir.path());
    for args in [
        &["--help"][..],
        &["-h"],
        &["--version"],
        &["help", "restore"],
        &["list", "--from", &url],
        &["show", "--from", &url, "theirs"],
        &["prune", "--from", &url, "--keep-full", "1", "--dry-run"],
        &[
            "delete",
            "--from",
            &url,
            "theirs",
            "--dry-run",
            "--unfinished-older-than",
            "0s",
        ],
    ] {
        is_whole_or_fails(args);
        if args.contains(&"--from") {
            is_whole_or_fails(&[args, &["--json"]].concat());
        }
    }
    for command in COMMANDS {
        is_whole_or_fails(&[command, "--help"]);
        is_whole_or_fails(&[command, "--version"]);
    }
    // an error stays the same error
    let full = File::options().write(true).open("/dev/full").unwrap();
    let said = lsnap(&["show", "--json", "--from", &url, "nobody"], full);
    assert_eq!(said.status.code(), Some(10), "{}", text(&said.stderr));
}

#[test]
fn invalid_arguments_are_an_error_in_json() {
    for command in COMMANDS {
        for args in [
            &[command, "--json", "--nonsense"][..],
            &["--json", command, "--progress", "loud"],
        ] {
            let said = lsnap(args, Stdio::piped());
            assert_eq!(said.status.code(), Some(2), "{args:?}");
            let found: serde_json::Value = serde_json::from_slice(&said.stdout)
                .unwrap_or_else(|e| panic!("{args:?}: {e}: {}", text(&said.stdout)));
            assert_eq!(found["command"], command);
            assert_eq!(found["schema"], 1);
            assert!(found.get("result").is_none(), "{found}");
            assert_eq!(found["error"]["exit_code"], 2);
            assert_eq!(found["error"]["kind"], "arguments");
            let error = found["error"]["message"].as_str().unwrap();
            assert!(
                error.contains("--nonsense") || error.contains("loud"),
                "{error}"
            );
            assert!(
                !error.contains("Usage:") && !error.contains('\u{1b}'),
                "{error}"
            );
            assert!(text(&said.stderr).contains("error: "));
        }
        let plain = lsnap(&[command, "--nonsense"], Stdio::piped());
        assert!(plain.stdout.is_empty(), "{command}");
    }
    // standard output would have been the stream
    for args in [
        &["backup", "--stream", "--json", "--nonsense"][..],
        &["cloud", "get", "--json", "--nonsense"],
        &["xbstream", "-c", "--json", "--nonsense"],
    ] {
        let said = lsnap(args, Stdio::piped());
        assert!(said.stdout.is_empty(), "{args:?}");
        let last = text(&said.stderr)
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned();
        let found: serde_json::Value = serde_json::from_str(&last).unwrap();
        assert_eq!(found["error"]["kind"], "arguments", "{last}");
    }
}

#[test]
fn a_password_on_the_command_line_is_refused_and_not_repeated() {
    for given in [
        &["--password=Hunter2"][..],
        &["--password", "Hunter2"],
        &["-pHunter2"],
        &["-p", "Hunter2"],
        &["--password="],
    ] {
        let args = [&["backup", "--json", "--to", "file:///nowhere"], given].concat();
        let said = lsnap(&args, Stdio::piped());
        let all = text(&said.stdout) + &text(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{args:?}: {all}");
        assert!(
            all.contains("--password-file") && !all.contains("Hunter2"),
            "{all}"
        );
    }
}

/// The same as for key files: one function checks both.
#[test]
fn password_files_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    fs::write(&path, "Hunter2\n").unwrap();
    let run = |path: &Path, mode: u32| {
        if mode != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let path = path.to_str().unwrap();
        let nowhere = dir.path().join("nowhere.sock");
        let args = [
            "backup",
            "--no-defaults",
            "--to",
            "file:///nowhere",
            "--user=nobody",
            "--socket",
            nowhere.to_str().unwrap(),
            "--password-file",
            path,
        ];
        let said = lsnap(&args, Stdio::piped());
        let why = text(&said.stderr);
        assert!(!why.contains("Hunter2"), "{why}");
        (said.status.code(), why)
    };
    let (_, quiet) = run(&path, 0o600);
    assert!(!quiet.contains("chmod"), "{quiet}");
    let (code, warned) = run(&path, 0o644);
    assert!(
        code != Some(2) && warned.contains("warning: password file"),
        "{code:?} {warned}"
    );
    let (code, refused) = run(&path, 0o664);
    assert!(
        code == Some(2) && refused.contains("can exchange the password"),
        "{refused}"
    );
    let (_, device) = run(Path::new("/dev/zero"), 0);
    assert!(device.contains("expected a file or a pipe"), "{device}");
}

/// A FIFO without a writer doesn't cause an endless wait, and signals end the wait at once.
#[test]
fn a_wait_for_a_key_ends_with_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("key");
    mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
    let mut child = command()
        .args(["decrypt", "--decrypt", "AES256", "--encrypt-key-file"])
        .arg(&fifo)
        .arg(dir.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // if the FIFO can be opened for writing without waiting, the program has opened it
    let began = Instant::now();
    let flags = OFlags::WRONLY | OFlags::NONBLOCK;
    let writer = loop {
        if let Ok(writer) = rustix::fs::open(&fifo, flags, Mode::empty()) {
            break writer;
        }
        assert!(began.elapsed() < Duration::from_secs(20));
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(5));
    };
    signal(&child, Signal::TERM);
    let ended = child.wait().unwrap();
    assert_eq!(ended.signal(), Some(Signal::TERM.as_raw()));
    drop(writer);
}
