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
use std::process::{Command, Output, Stdio};
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
    let said = lsnap(&["--json", "list", "--wid"], Stdio::piped());
    let (_, error) = common::documents::parts(&text(&said.stdout));
    assert_eq!(error["hint"], "did you mean --wide?", "{error}");
    assert!(!error["message"].to_string().contains("tip"), "{error}");
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

#[test]
fn documents_that_differ_from_the_schema_are_refused() {
    let good = serde_json::json!({"lsnap": "1", "schema": 1, "command": "list", "result": {"repository": "r", "backups": []}});
    assert_eq!(common::documents::check("list", &good), "");
    let of = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut bad = good.clone();
        change(&mut bad);
        common::documents::check("list", &bad)
    };
    assert!(
        !of(&|d| d["more"] = serde_json::json!(1)).is_empty(),
        "an unknown field"
    );
    assert!(
        !of(&|d| d["result"]["more"] = serde_json::json!(1)).is_empty(),
        "in the result"
    );
    assert!(
        !of(&|d| d["result"] = serde_json::json!([])).is_empty(),
        "another type"
    );
    assert!(
        !of(&|d| d["schema"] = serde_json::json!(2)).is_empty(),
        "another number"
    );
    assert!(!of(&|d| drop(d.as_object_mut().unwrap().remove("result"))).is_empty());
    assert!(!of(&|d| d["error"] = serde_json::json!("text")).is_empty());
    assert!(!of(&|d| d["command"] = serde_json::json!("show")).is_empty());
}

/// The table fits the terminal, `--wide` and a pipe have all columns, and a damaged backup is shown with the object that
/// is missing.
#[test]
fn a_list_fits_the_terminal_and_names_lost_objects() {
    let dir = tempfile::tempdir().unwrap();
    let repository = ::lsnap::Repository::open(dir.path().to_str().unwrap()).unwrap();
    let mut names = Vec::new();
    for name in [
        "a-2026-11-29-02:00:00-full",
        "a-2026-11-30-02:00:00-full",
        "a-2026-12-01-02:00:00-full",
    ] {
        let name = ::lsnap::manifest::BackupName::parse(name).unwrap();
        let (upload, file) = common::small::begin(&repository, &name).unwrap();
        upload
            .finish(&common::small::manifest(&name, None, 100, file))
            .unwrap();
        names.push(name);
    }
    let remove = |name: &::lsnap::manifest::BackupName, object: &str| {
        fs::remove_file(dir.path().join(name.as_str()).join(object)).unwrap();
    };
    remove(&names[0], &format!("a.{:020}", 0));
    remove(&names[1], &format!("lsnap_manifest.json.{:020}", 0));
    let url = dir.path().to_str().unwrap();

    let all = text(&lsnap(&["list", "--from", url], Stdio::piped()).stdout);
    let at_width = |columns: usize, more: &str| {
        let line = format!(
            "stty cols {columns}; {} list --from {url} {more}",
            common::program::PROGRAM
        );
        let out = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        text(&out.stdout).replace('\r', "")
    };
    let table = |text: &str| {
        text.split("\na-2026-11-29-02:00:00-full: ")
            .next()
            .unwrap()
            .to_owned()
    };
    assert!(table(&all).lines().count() == 4, "{all}");
    for columns in [40, 60, 80] {
        let narrow = table(&at_width(columns, ""));
        let widest = narrow.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(columns), "{columns}: {narrow}");
        assert!(
            narrow.contains("MANIFEST MISSING") && narrow.contains("DAMAGED"),
            "{narrow}"
        );
        assert!(!narrow.contains("CHECKPOINTS"), "{columns}: {narrow}");
    }
    assert_eq!(table(&at_width(40, "--wide")), table(&all));

    let lost =
        "a-2026-11-29-02:00:00-full: objects are missing: found 0 of 0 bytes, expected 1 of 1";
    assert!(
        all.contains(lost) && all.contains(&format!("a.{:020} is missing", 0)),
        "{all}"
    );
    assert!(
        all.contains("a-2026-11-30-02:00:00-full: it has a summary but no manifest"),
        "{all}"
    );
    let json = lsnap(&["list", "--json", "--from", url], Stdio::piped());
    let listed = common::program::result(&json.stdout);
    let states: Vec<&str> = listed["backups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| b["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["damaged", "manifest_missing", "finished"]);
    let shown = lsnap(
        &[
            "show",
            "--json",
            "--files",
            "--from",
            url,
            names[2].as_str(),
        ],
        Stdio::piped(),
    );
    let shown = common::program::result(&shown.stdout);
    assert_eq!(shown["files"][0]["path"], "a");
    let without_age = |backup: &serde_json::Value| {
        let mut backup = backup.clone();
        backup["age_seconds"].take();
        backup
    };
    let same = without_age(&listed["backups"][2]);
    assert_eq!(without_age(&shown["backup"]), same, "one shape, one value");

    // a report and an error
    let verified = lsnap(
        &["verify", "--json", "--all", "--from", url],
        Stdio::piped(),
    );
    assert_eq!(verified.status.code(), Some(13));
    let (result, error) = common::documents::parts(&text(&verified.stdout));
    assert_eq!(
        (&result["outcome"], &error["kind"]),
        (&"damaged".into(), &"damaged".into())
    );
    assert_eq!(error["exit_code"], 13);
}
