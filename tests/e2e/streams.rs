//! `lsnap backup --stream`: one xbstream through a pipe, full and incremental, extracted by
//! `mbstream` and by lsnap, restored from the directories.

use crate::journey::Journey;
use crate::sandbox::Sandbox;
use crate::{ddl, lsnap};
use std::path::{Path, PathBuf};
use std::process::Command;

fn fresh(room: &Path, name: &str) -> PathBuf {
    let dir = room.join(name);
    std::fs::create_dir(&dir).unwrap();
    dir
}

fn mbstream(dir: &Path) -> Command {
    let mut command = Command::new("mbstream");
    command.arg("-x").arg("-C").arg(dir);
    command
}

fn xbstream(dir: &Path, more: &[&str]) -> Command {
    let mut command = lsnap::command();
    command.args(["xbstream", "-x", "--parallel=2", "-C"]);
    command.arg(dir).args(more);
    command
}

pub fn restore(mysqld: &Path, dirs: &[&PathBuf], datadir: &Path, more: &[&str]) -> lsnap::Said {
    let mut command = lsnap::command();
    command.args(["restore", "--json", "--redo-applier=mysqld", "--mysqld"]);
    command.arg(mysqld).arg("--datadir").arg(datadir);
    command.args(["--user", &lsnap::owner()]);
    command.arg("--from").arg(dirs[0]);
    for dir in &dirs[1..] {
        command.arg("--incremental-dir").arg(dir);
    }
    lsnap::said(command.args(more).output().unwrap())
}

#[test]
fn a_chain_of_streams_through_mbstream_and_lsnap() {
    let mut journey = Journey::begin("e2e-streams", 16, &[], false);
    let room = journey.path().to_owned();
    let [full, first, second] = ["full", "first", "second"].map(|name| fresh(&room, name));
    journey.member_by(|source, _| lsnap::stream(source, &[], mbstream(&full)));
    ddl::round(&journey.source, 1);
    let base = ["--incremental", "--base-dir", full.to_str().unwrap()];
    journey.member_by(|source, _| lsnap::stream(source, &base, mbstream(&first)));
    ddl::round(&journey.source, 2);
    let base = ["--incremental", "--base-dir", first.to_str().unwrap()];
    let more = [&base[..], &["--compress=zstd"]].concat();
    journey.member_by(|source, _| lsnap::stream(source, &more, xbstream(&second, &[])));
    ddl::round(&journey.source, 3);
    journey.rest();
    assert!(second.join("mysql.ibd.delta.zst").exists());
    assert!(second.join("mysql.ibd.meta").exists());

    each_begins_where_the_one_before_began([&full, &first, &second]);

    let mysqld = journey.source.program("mysqld");
    journey.prove_by(1, &[], |_, datadir| {
        restore(&mysqld, &[&full, &first], datadir, &[]).ok();
    });
    journey.prove_by(2, &[], |_, datadir| {
        let dirs = [&full, &first, &second];
        restore(&mysqld, &dirs, datadir, &[]).ok();
    });
    as_if_xtrabackup_had_made_it(&journey, &full);
    wrong_directories(&journey.source, &room, [&full, &first, &second]);
}

/// The rule that every tool follows, `from_lsn` of the next = `to_lsn` of the previous, gives the
/// overlap by itself: it is the checkpoint at which the redo of the previous one begins.
fn each_begins_where_the_one_before_began(chain: [&PathBuf; 3]) {
    let mut expected = 0;
    for dir in chain {
        let text = std::fs::read_to_string(dir.join("xtrabackup_checkpoints")).unwrap();
        let number = |key: &str| -> u64 {
            let value = |line: &str| line.strip_prefix(key)?.strip_prefix(" = ")?.parse().ok();
            text.lines().find_map(value).unwrap()
        };
        assert_eq!(number("from_lsn"), expected, "{text}");
        let manifest = std::fs::read(dir.join("lsnap_manifest.json")).unwrap();
        let lsn = ::lsnap::manifest::parse_manifest(&manifest).unwrap().lsn;
        let said = [lsn.from_lsn, lsn.to_lsn, lsn.last_lsn].map(|lsn| lsn.0);
        assert_eq!(said, ["from_lsn", "to_lsn", "last_lsn"].map(number));
        assert_eq!(
            (lsn.to_lsn, lsn.scan_floor.0),
            (lsn.start_checkpoint, expected)
        );
        assert!(lsn.to_lsn < lsn.last_lsn, "no write load: {text}");
        if let Ok(log) = std::fs::read(dir.join("xtrabackup_logfile")) {
            let points =
                [512, 1536].map(|at| ::lsnap::innodb::redo::parse_checkpoint(&log[at..at + 512]));
            assert_eq!(points.into_iter().flatten().max(), Some(lsn.to_lsn));
        }
        if let Ok(info) = std::fs::read_to_string(dir.join("xtrabackup_info")) {
            for (key, value) in [("from", expected), ("to", lsn.to_lsn.0)] {
                let line = format!("innodb_{key}_lsn = {value}");
                assert!(info.lines().any(|l| l == line), "{line} is not in {info}");
            }
        }
        expected = lsn.to_lsn.0;
    }
}

/// Without the manifest, the full backup is the same as one of xtrabackup: the server's own
/// recovery still recovers it, and every page is verified.
fn as_if_xtrabackup_had_made_it(journey: &Journey, full: &Path) {
    let mysqld = journey.source.program("mysqld");
    let dir = full.with_file_name("foreign");
    let copied = Command::new("cp").arg("-r").args([full, &dir]).status();
    assert!(copied.unwrap().success());
    std::fs::remove_file(dir.join("lsnap_manifest.json")).unwrap();
    journey.prove_by(0, &[], |_, datadir| {
        let said = restore(&mysqld, &[&dir], datadir, &[]).ok();
        let warned = said.json["warnings"].to_string();
        assert!(warned.contains("was not made by lsnap"), "{warned}");
    });
    flip(&dir.join("mysql.ibd"));
    let target = full.with_file_name("flipped");
    restore(&mysqld, &[&dir], &target, &[]).refused(13, &["mysql.ibd", "page "]);
    assert!(!target.exists());
}

/// Flips a bit in the middle.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// A missing member, and a changed file.
fn wrong_directories(source: &Sandbox, room: &Path, [full, first, second]: [&PathBuf; 3]) {
    let mysqld = source.program("mysqld");
    let target = room.join("refused");
    restore(&mysqld, &[full, second], &target, &[]).refused(14, &["does not continue"]);
    restore(&mysqld, &[first], &target, &[]).refused(14, &["full"]);
    flip(&full.join("mysql.ibd"));
    restore(&mysqld, &[full], &target, &[]).refused(13, &["mysql.ibd", "digest"]);
    let table = std::fs::OpenOptions::new()
        .write(true)
        .open(full.join("mysql.ibd"));
    let table = table.unwrap();
    let length = table.metadata().unwrap().len();
    for (length, word) in [(length - 1, "expected"), (length + 1, "expected")] {
        table.set_len(length).unwrap();
        restore(&mysqld, &[full], &target, &[]).refused(13, &["mysql.ibd", word]);
    }
    std::fs::remove_file(full.join("mysql.ibd")).unwrap();
    restore(&mysqld, &[full], &target, &[]).refused(13, &["mysql.ibd", "extract the whole"]);
    assert!(!target.exists());
}

/// The reader dies: the backup reports it, and the written bytes are not a complete stream.
#[test]
fn a_reader_that_goes_away_and_a_backup_that_fails() {
    let journey = Journey::begin("e2e-pipe", 16, &[], false);
    let mut backup = lsnap::command()
        .args([
            "backup",
            "--stream",
            "--no-defaults",
            "--user",
            "root",
            "--socket",
        ])
        .arg(journey.source.socket())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(backup.stdout.take());
    lsnap::said(backup.wait_with_output().unwrap())
        .refused(1, &["the program that reads the pipe"]);

    let file = journey.path().join("cut.xbs");
    let failed = lsnap::command()
        .args([
            "backup",
            "--stream",
            "--no-defaults",
            "--user",
            "root",
            "--socket",
        ])
        .arg(journey.source.socket())
        .args(["--spool-dir", "/nonexistent"])
        .stdout(std::fs::File::create(&file).unwrap())
        .output()
        .unwrap();
    assert!(!failed.status.success());
    let dir = fresh(journey.path(), "cut");
    let stream = std::fs::File::open(&file).unwrap();
    let extracted = mbstream(&dir).stdin(stream).output().unwrap();
    assert!(!extracted.status.success(), "a failed stream looks whole");
}
