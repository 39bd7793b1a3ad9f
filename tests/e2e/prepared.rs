//! `xtrabackup --prepare` in place, step by step as callers run it: a full backup and two incrementals of a server
//! under load and DDL, prepared by a mysqld and left for the first start of the server.

use crate::common::program::PROGRAM;
use crate::ddl;
use crate::journey::Journey;
use crate::lsnap::{self, Member};
use crate::sandbox::{Sandbox, value, wait_for};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

fn link(room: &Path) -> PathBuf {
    let path = room.join("xtrabackup");
    symlink(PROGRAM, &path).unwrap();
    path
}

fn log(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns the log of a run that must succeed.
fn completed(output: &Output) -> String {
    let log = log(output);
    assert!(output.status.success(), "{log}");
    assert!(
        log.lines().last().unwrap().ends_with("completed OK!"),
        "{log}"
    );
    assert!(output.stdout.is_empty());
    log
}

/// Returns the log of a run that must be refused.
fn refused(output: &Output, text: &str) {
    let log = log(output);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(
        log.contains(text) && !log.contains("completed OK!"),
        "{text:?}: {log}"
    );
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before:?} in {text}"))
        .1;
    rest.split_once(after).unwrap().0
}

fn member(log: &str) -> Member {
    let line = log
        .lines()
        .find(|line| line.contains("MySQL binlog position"))
        .unwrap();
    Member {
        name: String::new(),
        position: crate::lsnap::Position {
            file: between(line, "filename '", "'").to_owned(),
            offset: between(line, "position '", "'").parse().unwrap(),
            gtid: between(line, "GTID of the last change '", "'").to_owned(),
        },
        json: serde_json::Value::Null,
    }
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(done.success());
}

fn state(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("xtrabackup_checkpoints")).unwrap()
}

fn field(directory: &Path, key: &str) -> String {
    between(&state(directory), &format!("{key} = "), "\n").to_owned()
}

/// One `--prepare`.
struct Prepare<'a> {
    link: &'a Path,
    mysqld: &'a Path,
    applier: &'a str,
}

impl Prepare<'_> {
    fn run(&self, target: &Path, more: &[&str], incremental: Option<&Path>) -> Output {
        let mut command = Command::new(self.link);
        command
            .env("LSNAP_REDO_APPLIER", self.applier)
            .env("LSNAP_MYSQLD", self.mysqld)
            .arg("--no-defaults")
            .args(["--prepare", "--use-memory=96M", "--parallel=2"])
            .arg(format!("--target_dir={}", target.display()))
            .args(more);
        if let Some(incremental) = incremental {
            command.arg(format!("--incremental-dir={}", incremental.display()));
        }
        command.output().unwrap()
    }
}

#[test]
fn a_chain_is_prepared_in_place_with_and_without_a_mysqld() {
    let flush = [
        "--innodb-max-dirty-pages-pct=0",
        "--innodb-max-dirty-pages-pct-lwm=0",
    ];
    let mut journey = Journey::begin("e2e-prepared", 16, &flush, false);
    let room = journey.path().to_owned();
    let link = link(&room);
    let [full, one, two] = ["full", "one", "two"].map(|name| room.join(name));
    let backup = |base: Option<String>, target: &Path| {
        let link = link.clone();
        let target = format!("--target-dir={}", target.display());
        move |source: &crate::sandbox::Sandbox, _: &Path| {
            let output = Command::new(link)
                .args([
                    "--no-defaults",
                    "--backup",
                    "--user=root",
                    "--password=",
                    "-S",
                ])
                .arg(source.socket())
                .arg(target)
                .args(["--parallel=2"])
                .args(base)
                .output()
                .unwrap();
            member(&completed(&output))
        }
    };
    journey.member_by(backup(None, &full));
    ddl::round(&journey.source, 1);
    // Else an incremental that was left out would fit: those from one checkpoint on are alike.
    pass_checkpoint(&journey.source, &field(&full, "to_lsn"));
    journey.member_by(backup(
        Some(format!("--incremental-basedir={}", full.display())),
        &one,
    ));
    ddl::round(&journey.source, 2);
    // By its LSN alone, the incremental has no manifest.
    journey.member_by(backup(
        Some(format!("--incremental-lsn={}", field(&one, "to_lsn"))),
        &two,
    ));
    journey.rest();

    let mysqld = journey.source.program("mysqld");
    for (applier, index) in [("server", 2), ("mysqld", 2), ("mysqld", 0)] {
        let prepare = Prepare {
            link: &link,
            mysqld: &mysqld,
            applier,
        };
        let [base, i1, i2] =
            ["base", "i1", "i2"].map(|n| room.join(format!("{applier}-{index}-{n}")));
        for (from, to) in [(&full, &base), (&one, &i1), (&two, &i2)] {
            copy(from, to);
        }
        // A log that the caller writes into the target.
        std::fs::write(base.join("innobackup.prepare.log"), "kept").unwrap();
        if index > 0 {
            steps(&prepare, &base, &i1, &i2);
        } else {
            completed(&prepare.run(&base, &["--apply-log-only"], None));
            let copied = base.with_extension("rolled-back");
            copy(&base, &copied);
            give(&copied, 4242);
            let log = completed(&prepare.run(&copied, &["--rollback-prepared-trx"], None));
            assert!(
                log.contains("1 prepared XA transaction rolled back"),
                "{log}"
            );
            owned_by(&copied, 4242);
            continue;
        }
        assert_eq!(
            state(&base).lines().next(),
            Some("backup_type = full-prepared")
        );
        assert_eq!(
            std::fs::read_to_string(base.join("innobackup.prepare.log")).unwrap(),
            "kept"
        );
        let left = std::fs::read_dir(&base)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap());
        let left: Vec<String> = left
            .filter(|n| n.contains("lsnap") || n.contains(".dblwr"))
            .collect();
        assert_eq!(left, ["lsnap_prepared.json"]);
        let again = completed(&prepare.run(&base, &[], None));
        assert!(again.contains("already prepared"), "{again}");
        let lazy = base.join("#innodb_redo/#ib_redo0").exists();
        assert_eq!(lazy, applier == "server");
        journey.prove_by(index, &[], |_, datadir| {
            std::fs::rename(&base, datadir).unwrap();
        });
    }
    // lsnap's own restore with the same choice.
    journey.prove_by(1, &[], |_, datadir| {
        let mut command = lsnap::command();
        command.args(["restore", "--json", "--redo-applier=server", "--datadir"]);
        command.arg(datadir).args(["--user", &lsnap::owner()]);
        command
            .arg("--from")
            .arg(&full)
            .arg("--incremental-dir")
            .arg(&one);
        let said = lsnap::said(command.output().unwrap());
        said.ok();
        assert!(datadir.join("#innodb_redo/#ib_redo0").exists());
    });
}

/// Gives a directory and all below it to an account, if this process may do that.
/// Waits until the server's checkpoint is above an LSN.
fn pass_checkpoint(server: &Sandbox, lsn: &str) {
    let lsn: u64 = lsn.parse().unwrap();
    let mut conn = server.connect();
    wait_for("a later checkpoint", Duration::from_secs(60), || {
        let sql = "SELECT VARIABLE_VALUE FROM performance_schema.global_status \
                   WHERE VARIABLE_NAME = 'Innodb_redo_log_checkpoint_lsn'";
        value(&mut conn, sql).parse::<u64>().unwrap() > lsn
    });
}

fn give(directory: &Path, uid: u32) {
    let _ = std::os::unix::fs::chown(directory, Some(uid), Some(uid));
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let _ = std::os::unix::fs::lchown(&path, Some(uid), Some(uid));
        if path.is_dir() {
            give(&path, uid);
        }
    }
}

/// Checks that everything below a directory has its owner.
fn owned_by(directory: &Path, uid: u32) {
    use std::os::unix::fs::MetadataExt;
    if std::fs::metadata(directory).unwrap().uid() != uid {
        return;
    }
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let found = std::fs::symlink_metadata(&path).unwrap();
        assert_eq!(found.uid(), uid, "{}", path.display());
        if found.is_dir() {
            owned_by(&path, uid);
        }
    }
}

/// The steps of a chain, and those that are refused in between.
fn steps(prepare: &Prepare<'_>, base: &Path, i1: &Path, i2: &Path) {
    let log_only = ["--apply-log-only"];
    refused(
        &prepare.run(base, &log_only, Some(i1)),
        "applying incremental backup needs target prepared with --apply-log-only.",
    );
    let to_lsn = field(base, "to_lsn");
    completed(&prepare.run(base, &log_only, None));
    assert!(state(base).starts_with("backup_type = log-applied\nfrom_lsn = 0\n"));
    assert_eq!(field(base, "to_lsn"), to_lsn);
    refused(
        &prepare.run(base, &log_only, Some(i2)),
        "seems not to be proper for the target.",
    );
    let extra = base.with_extension("extra");
    let extra_option = format!("--extra-lsndir={}", extra.display());
    completed(&prepare.run(base, &["--apply-log-only", &extra_option], Some(i1)));
    assert!(state(base).starts_with("backup_type = log-applied\nfrom_lsn = 0\n"));
    assert_eq!(field(base, "to_lsn"), field(i1, "to_lsn"));
    refused(&prepare.run(base, &log_only, Some(i1)), "for the target.");
    std::fs::remove_dir_all(i1).unwrap();
    completed(&prepare.run(base, &[], Some(i2)));
    refused(
        &prepare.run(base, &[], Some(i2)),
        "needs target prepared with --apply-log-only.",
    );
    assert_eq!(field(base, "last_lsn"), field(i2, "last_lsn"));
    assert!(
        extra.join("xtrabackup_info").exists() && extra.join("xtrabackup_checkpoints").exists()
    );
}
