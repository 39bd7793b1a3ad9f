//! bdbackup 0.7.0: full backup and incremental with compression and encryption, with its checks of
//! `xtrabackup_checkpoints`; its restore decrypts, decompresses and prepares copies of both.

use super::{Machine, succeeded};
use crate::ddl;
use crate::journey::Journey;
use crate::named_xtrabackup::KEY;
use std::path::PathBuf;

fn configure(machine: &Machine) {
    std::fs::write(machine.path("key"), KEY).unwrap();
    let text = format!(
        "[history]\ndatabase = \"history.sqlite\"\n\
         [db]\ntype = \"xtrabackup\"\nbackup_root = \"physical\"\nuser = \"root\"\npassword = \"\"\nbinary = \"xtrabackup\"\n\
         compress = \"zstd\"\ncompress_threads = 4\nparallel = 2\nthrottle = 40\nencrypt = true\nencrypt_key_file = \"{}\"\n",
        machine.path("key").display()
    );
    std::fs::write(machine.path("bdbackup.toml"), text).unwrap();
}

/// Runs the program; returns the path in its last line.
fn run(machine: &Machine, arguments: &[&str]) -> PathBuf {
    let output = machine
        .peer("venv/bin/bdbackup")
        .arg(arguments[0])
        .args(["--config", "bdbackup.toml"])
        .args(&arguments[1..])
        .output()
        .unwrap();
    let text = succeeded(&output);
    let last = text.lines().last().unwrap();
    PathBuf::from(last.split_once(": ").unwrap().1)
}

pub fn backups(journey: &mut Journey, machine: &Machine) {
    configure(machine);
    for kind in ["--full", "--incremental"] {
        journey.member_by(|_, _| {
            let directory = run(machine, &["run", "--job", "db", kind]);
            machine.member(&directory)
        });
        if kind == "--full" {
            ddl::round(&journey.source, 3);
        }
    }
}

pub fn restores(journey: &Journey, machine: &Machine) {
    let index = journey.members.len() - 1;
    journey.prove_by(index, &[], |_, datadir| {
        let to = datadir.display().to_string();
        let arguments = ["restore", "--backup-id", "2", "--yes", "--dst", &to];
        assert_eq!(run(machine, &arguments), datadir);
    });
}
