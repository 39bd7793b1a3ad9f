//! The xtrabackup engine of Vitess 0.24.4: a full backup and a restore into the directories of a tablet, where the system
//! tablespace, the redo log and the binary logs are apart from the data directory.

use super::{Machine, member_of_info, peers, succeeded};
use crate::journey::Journey;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Writes an option file as Vitess has it.
fn option_file(path: &Path, socket: &str, places: &[(&str, PathBuf)]) {
    let mut text = format!("[mysqld]\nserver-id = 1\nport = 3306\nsocket = {socket}\n");
    for (key, place) in places {
        writeln!(text, "{key} = {}", place.display()).unwrap();
    }
    std::fs::write(path, text).unwrap();
}

/// The logs that an option file must name.
fn logs(tablet: &Path) -> Vec<(&'static str, PathBuf)> {
    let place = |name: &str| tablet.join(name);
    vec![
        ("general_log_file", place("general.log")),
        ("log-error", place("error.log")),
        ("slow-query-log-file", place("slow.log")),
        ("relay-log", place("relay-logs/relay-bin")),
        ("relay-log-index", place("relay-logs/relay-bin.index")),
        ("relay-log-info-file", place("relay-logs/relay.info")),
        ("master-info-file", place("master.info")),
        ("pid-file", place("mysql.pid")),
        ("tmpdir", place("tmp")),
        ("secure-file-priv", place("tmp")),
    ]
}

fn engine(machine: &Machine, what: &str, mycnf: &Path) -> Command {
    let program = peers().join("vitess");
    assert!(program.exists(), "run `tools/peers vitess` first");
    let mut command = machine.program(&program);
    command
        .arg(what)
        .args([
            "--backup-storage-implementation=file",
            "--backup-storage-compress=true",
        ])
        .arg(format!(
            "--file-backup-storage-root={}",
            machine.path("storage").display()
        ))
        .arg(format!(
            "--xtrabackup-root-path={}",
            machine.links.display()
        ))
        .args([
            "--xtrabackup-stream-mode=xbstream",
            "--xtrabackup-user=root",
            "--xtrabackup-stripes=2",
        ])
        .args([
            "--xtrabackup-backup-flags=--compress --parallel=2",
            "--xbstream-restore-flags=--decompress",
        ])
        .args([
            "--xtrabackup-prepare-flags=--use-memory=100M",
            "--user=root",
            "--name=first",
        ])
        .arg(format!("--mycnf={}", mycnf.display()))
        .env("VTROOT", machine.path("vt"))
        .env("VTDATAROOT", machine.path("vt"));
    command
}

pub fn backups(journey: &mut Journey, machine: &Machine) {
    let tablet = machine.path("source tablet");
    let tmp = tablet.join("tmp");
    for directory in [&tmp, &machine.path("storage"), &machine.path("vt")] {
        std::fs::create_dir_all(directory).unwrap();
    }
    let mycnf = machine.path("source.cnf");
    let datadir = journey.source.datadir();
    let mut places = logs(&tablet);
    places.extend([
        ("datadir", datadir.clone()),
        ("innodb_data_home_dir", datadir.clone()),
        ("innodb_log_group_home_dir", datadir.clone()),
        ("log-bin", datadir.join("binlog")),
    ]);
    option_file(&mycnf, &journey.source.socket(), &places);
    journey.member_by(|_, _| {
        succeeded(&engine(machine, "backup", &mycnf).output().unwrap());
        let info = std::fs::read_to_string(tmp.join("xtrabackup_info")).unwrap();
        let member = member_of_info(&info);
        let manifest = machine.path("storage/test/0/first/MANIFEST");
        let manifest = std::fs::read_to_string(manifest).unwrap();
        assert!(manifest.contains(&member.position.gtid), "{manifest}");
        member
    });
}

pub fn restores(journey: &Journey, machine: &Machine) {
    let tablet = machine.path("vt_0000000002");
    std::fs::create_dir_all(tablet.join("tmp")).unwrap();
    std::fs::create_dir_all(tablet.join("bin-logs")).unwrap();
    let place = |name: &str| tablet.join(name);
    let mut places = logs(&tablet);
    places.extend([
        ("datadir", place("data")),
        ("innodb_data_home_dir", place("innodb/data")),
        ("innodb_log_group_home_dir", place("innodb/logs")),
        ("log-bin", place("bin-logs/vt-bin")),
    ]);
    let mycnf = machine.path("target.cnf");
    let socket = tablet.join("no.sock");
    option_file(&mycnf, socket.to_str().unwrap(), &places);
    let options = [
        // InnoDB looks for the dump next to the system tablespace; xtrabackup puts it into the data directory.
        "--innodb-buffer-pool-load-at-startup=OFF".to_owned(),
        format!("--innodb-data-home-dir={}", place("innodb/data").display()),
        format!(
            "--innodb-log-group-home-dir={}",
            place("innodb/logs").display()
        ),
        format!("--log-bin={}", place("bin-logs/vt-bin").display()),
    ];
    let options = options.each_ref().map(String::as_str);
    journey.prove_by(0, &options, |_, datadir| {
        succeeded(&engine(machine, "restore", &mycnf).output().unwrap());
        assert!(place("innodb/data/ibdata1").exists());
        std::os::unix::fs::symlink(place("data"), datadir).unwrap();
    });
}
