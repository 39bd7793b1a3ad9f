//! Incrementals by LSN alone in the operator's layout: `lsnap restore` and `lsnap verify` refuse them before anything is
//! written, and the commands that `lsnap restore` prints restore them.

use crate::common::program::PROGRAM;
use crate::lsnap;
use crate::sandbox::{RESTORED, Sandbox};
use std::path::Path;
use std::process::{Command, Stdio};

const FULL: &str = "c-2026-11-30-10:00:00-full";
const FIRST: &str = "c-2026-11-30-10:00:00-full.incr/c-2026-11-30-11:00:00-incr";
const SECOND: &str = "c-2026-11-30-10:00:00-full.incr/c-2026-11-30-12:00:00-incr";

/// Streams a backup of an account into a repository; returns its `to_lsn`.
fn put(
    backup: &dyn Fn(&Path) -> Command,
    room: &Path,
    url: &str,
    name: &str,
    base: Option<u64>,
) -> u64 {
    let lsns = room.join(name.replace('/', "-"));
    let mut made = backup(&room.join("unused"));
    made.args(["--stream=xbstream", "--compress"])
        .arg(format!("--extra-lsndir={}", lsns.display()))
        .args(base.map(|lsn| format!("--incremental-lsn={lsn}")))
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut made = made.spawn().unwrap();
    let mut put = lsnap::command();
    put.args(["cloud", "put", "--repo", url, name])
        .stdin(made.stdout.take().unwrap());
    let put = put.output().unwrap();
    assert!(
        put.status.success(),
        "{}",
        String::from_utf8_lossy(&put.stderr)
    );
    assert!(made.wait().unwrap().success(), "{name}");
    let checkpoints = std::fs::read_to_string(lsns.join("xtrabackup_checkpoints")).unwrap();
    let line = checkpoints
        .lines()
        .find_map(|line| line.strip_prefix("to_lsn = "));
    line.unwrap().parse().unwrap()
}

/// Returns the messages of a command that must be refused with the code.
fn refused(arguments: &[&str], code: i32) -> String {
    let output = lsnap::command().args(arguments).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}

/// Returns the command lines in a message.
fn commands(text: &str) -> Vec<String> {
    let (_, lines) = text
        .split_once("To restore it:\n")
        .unwrap_or_else(|| panic!("{text}"));
    let lines = lines.lines().map_while(|line| line.strip_prefix("  "));
    lines.map(str::to_owned).collect()
}

/// Makes a chain in a repository, and restores it by the commands that are printed. `backup` begins the command of a
/// backup; `write` changes a row, and `read` returns the last change.
pub fn restored(
    room: &Path,
    backup: &dyn Fn(&Path) -> Command,
    write: &dyn Fn(),
    read: &dyn Fn(&Sandbox) -> String,
    expected: &str,
) {
    let url = format!("file://{}", room.join("repository").display());
    std::fs::create_dir(room.join("repository")).unwrap();
    let mut lsn = put(backup, room, &url, FULL, None);
    for name in [FIRST, SECOND] {
        write();
        lsn = put(backup, room, &url, name, Some(lsn));
    }
    let datadir = room.join("chain-restored");
    let place = datadir.to_str().unwrap();
    let text = refused(&["restore", "--repo", &url, SECOND, "--datadir", place], 14);
    assert!(
        text.contains("has no lsnap manifest") && !datadir.exists(),
        "{text}"
    );
    let printed = commands(&text);
    assert_eq!(printed.len(), 8, "{printed:?}");
    let first = commands(&refused(
        &["restore", "--repo", &url, FIRST, "--datadir", place],
        14,
    ));
    assert_eq!(first.len(), 6, "{first:?}");
    let text = refused(&["verify", "--repo", &url, SECOND], 14);
    assert!(text.contains("can't be verified"), "{text}");

    run(room, &printed[..4]);
    let extracted = |number: &str| room.join("extracted").join(number).display().to_string();
    let [full, one, two] = ["0", "1", "2"].map(extracted);
    let directories = [
        "restore",
        "--repo",
        &full,
        "--incremental-dir",
        &one,
        "--incremental-dir",
        &two,
        "--datadir",
        place,
    ];
    let moved = room.join("extracted/0/lsnap_moved.json");
    std::fs::write(&moved, r#"{"datadir":"/var/lib/mysql"}"#).unwrap();
    let text = refused(&directories, 10);
    assert!(
        text.contains("lsnap_moved.json") && !datadir.exists(),
        "{text}"
    );
    std::fs::remove_file(moved).unwrap();
    for more in [
        &[][..],
        &["--redo-applier=server"],
        &["--redo-applier=mysqld"],
    ] {
        let text = refused(&[&directories[..], more].concat(), 1);
        assert!(!datadir.exists() && text.contains("step by step"), "{text}");
        let steps = commands(&text);
        assert!(
            steps[2].contains(&format!(
                "--prepare --target-dir={full} --incremental-dir={two}"
            )),
            "{steps:?}"
        );
    }

    run(room, &printed[4..]);
    let server = Sandbox::start_on("e2e-chain-restored", &datadir, &[RESTORED]);
    assert_eq!(read(&server), expected);
}

/// Runs printed commands.
fn run(room: &Path, commands: &[String]) {
    let program = format!("{PROGRAM} xtrabackup --no-defaults");
    let text = commands.join("\n").replace("lsnap xtrabackup", &program);
    let text = text.replace("lsnap cloud", &format!("{PROGRAM} cloud"));
    let output = Command::new("bash")
        .args(["-ec", &text])
        .current_dir(room)
        .env("LSNAP_REDO_APPLIER", "server")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
