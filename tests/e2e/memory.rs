//! Memory use is limited, independent of the size of the data: the test backs up and restores a
//! table whose file is 300 GiB long (almost all of it is a hole, so that it fits on a test
//! machine).

use crate::lsnap;
use crate::sandbox::{RESTORED, SOURCE, Sandbox};
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The limit that the issue sets, in KiB.
const LIMIT_KIB: u64 = 400 << 10;
/// Length of the file of the table, in bytes.
const BYTES: u64 = 300 << 30;

/// Runs `command` to its end; returns its peak resident memory in KiB and its output.
fn peak(command: &mut Command, room: &Path) -> (u64, serde_json::Value) {
    let output = room.join("output");
    let mut child = command
        .stdout(File::create(&output).unwrap())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut highest = 0;
    let end = loop {
        // The kernel stores the peak, so occasional polling is enough.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let mark = mark.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        highest = highest.max(mark.unwrap_or(0));
        if let Some(end) = child.try_wait().unwrap() {
            break end;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let text = std::fs::read_to_string(&output).unwrap();
    assert!(end.success(), "{text}");
    assert!(highest > 0, "no measure was taken");
    (highest, crate::common::program::result(text.as_bytes()))
}

#[test]
fn memory_is_bounded_with_three_hundred_gigabytes() {
    let room = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut server = Sandbox::start("e2e-memory", &[SOURCE]);
    server.run("CREATE DATABASE big");
    server.run("CREATE TABLE big.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(2000))");
    server.run(
        "INSERT INTO big.t (v) SELECT REPEAT('x', 2000) FROM information_schema.columns a, \
         information_schema.collations b LIMIT 20000",
    );
    server.stop();
    let file = server.datadir().join("big/t.ibd");
    OpenOptions::new()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(BYTES)
        .unwrap();
    server.restart(&[SOURCE]);

    let repository = room.path().join("repository");
    let backup = |more: &[&str]| {
        let mut command = lsnap::command();
        command.args(lsnap::backup_arguments(&server, &repository, more));
        peak(&mut command, room.path())
    };
    let (full, _) = backup(&[]);
    server.run("UPDATE big.t SET v = REPEAT('y', 2000) WHERE id % 10 = 0");
    let (incremental, said) = backup(&["--incremental"]);
    let name = said["backup"]["name"].as_str().unwrap();
    let target = room.path().join("restored");
    let mut command = lsnap::command();
    command
        .args([
            "restore",
            "--json",
            "--from",
            &lsnap::url(&repository),
            name,
        ])
        .arg("--datadir")
        .arg(&target)
        .args([
            "--user",
            &lsnap::owner(),
            "--redo-applier",
            "mysqld",
            "--mysqld",
        ])
        .arg(server.program("mysqld"));
    let (restore, _) = peak(&mut command, room.path());
    println!("peak memory: full {full} KiB, incremental {incremental} KiB, restore {restore} KiB");
    for (what, kib) in [
        ("full", full),
        ("incremental", incremental),
        ("restore", restore),
    ] {
        assert!(
            kib < LIMIT_KIB,
            "{what}: {kib} KiB, at most {LIMIT_KIB} are allowed"
        );
    }
    assert_eq!(target.join("big/t.ibd").metadata().unwrap().len(), BYTES);
    let copy = Sandbox::start_on("e2e-memory-copy", &target, &[RESTORED]);
    let sum = "SELECT CONCAT(COUNT(*), ' ', SUM(CRC32(v))) FROM big.t";
    assert_eq!(copy.value(sum), server.value(sum));
}
