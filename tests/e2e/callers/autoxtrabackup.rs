//! mysql-autoxtrabackup 2.0.2: full backup and incremental with compression and encryption, prepared and copied back by
//! itself; the same of a list of databases and tables.

use super::{Machine, only, succeeded};
use crate::ddl;
use crate::journey::Journey;
use crate::named_xtrabackup::KEY;
use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

/// The options of a run with compression and encryption.
const SEALED: &str = "\
[Compress]
compress = zstd
compress_chunk_size = 65536
compress_threads = 2
decompress = TRUE
[Encrypt]
xbcrypt = XBCRYPT
encrypt = AES256
encrypt_key = KEY
encrypt_threads = 2
encrypt_chunk_size = 65536
decrypt = AES256
";

/// Writes an option file of the program, whose backups are in the directory `name`. The program demands the keys in the
/// comment.
fn configure(machine: &Machine, journey: &Journey, name: &str, backup: &str, sealed: bool) {
    let xtrabackup = machine.links.join("xtrabackup");
    let client = machine.path("auto.client.cnf");
    std::fs::write(&client, "[client]\nuser=root\n").unwrap();
    let more = if sealed {
        SEALED
            .replace("XBCRYPT", machine.links.join("xbcrypt").to_str().unwrap())
            .replace("KEY", KEY)
    } else {
        "[Compress]\n[Encrypt]\n".to_owned()
    };
    let text = format!(
        "# mysql_host xtra_prepare\n\
         [MySQL]\nmysql = /usr/bin/mysql\nmycnf = {}\nmysqladmin = /usr/bin/mysqladmin\nmysql_user = root\n\
         mysql_password =\nmysql_socket = {}\ndatadir = {}\n\
         [Logging]\nlog = DEBUG\nlog_file_max_bytes = 1073741824\nlog_file_backup_count = 7\n\
         [Backup]\npid_dir = {}\ntmp_dir = {}\npid_runtime_warning = 2 Hours\nbackup_dir = {}\nbackup_tool = {}\n{backup}\n\
         {more}[Xbstream]\n\
         [Commands]\nstart_mysql_command = true\nstop_mysql_command = true\nchown_command = chown -R root\n",
        client.display(),
        journey.source.socket(),
        journey.source.datadir().display(),
        machine.room.display(),
        machine.path("moved aside").display(),
        machine.path(name).display(),
        xtrabackup.display(),
    );
    std::fs::write(machine.path(&format!("{name}.cnf")), text).unwrap();
}

/// Runs the program, which answers what `answer` has to its question.
fn run(machine: &Machine, name: &str, what: &str, answer: &str) {
    let mut child = machine
        .peer("venv/bin/autoxtrabackup")
        .arg(what)
        .arg(format!(
            "--defaults-file={}",
            machine.path(&format!("{name}.cnf")).display()
        ))
        .args(["--log", "DEBUG", "--log-file"])
        .arg(machine.path(&format!("{name}.log")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(answer.as_bytes())
        .unwrap();
    let output: Output = child.wait_with_output().unwrap();
    let log = std::fs::read_to_string(machine.path(&format!("{name}.log"))).unwrap_or_default();
    assert!(output.status.success(), "{output:?}\n{log}");
    succeeded(&output);
    for line in log
        .lines()
        .filter(|line| line.contains("COMPLETED with exit code"))
    {
        assert!(line.ends_with("exit code: 0"), "{log}");
    }
    assert!(
        log.contains("Autoxtrabackup completed successfully!"),
        "{log}"
    );
    let last = log
        .lines()
        .filter(|line| line.contains("completed OK!"))
        .count();
    assert!(last > 0, "{log}");
}

fn taken(machine: &Machine, name: &str, kind: &str) -> std::path::PathBuf {
    only(&machine.path(name).join(kind), "20")
}

pub fn backups(journey: &mut Journey, machine: &Machine) {
    // With its option `xtra_options` unset it gives `--copy-back` the word "None".
    configure(
        machine,
        journey,
        "sealed",
        "xtra_options = --parallel=2",
        true,
    );
    configure(
        machine,
        journey,
        "some",
        "partial_list = shop.customers ddl",
        false,
    );
    for kind in ["full", "inc"] {
        journey.member_by(|_, _| {
            run(machine, "sealed", "--backup", "");
            machine.member(&taken(machine, "sealed", kind))
        });
        ddl::round(&journey.source, if kind == "full" { 1 } else { 2 });
        run(machine, "some", "--backup", "");
    }
}

/// Returns the machine with a `mysqld`, which the prepare runs.
pub fn restores(journey: &Journey, machine: Machine) -> Machine {
    let machine = machine.with_mysqld(journey);
    // It reads the data directory from the wrong section of its options, so that it moves this directory aside and makes
    // it anew. Its `--data_dir` is no option of xtrabackup, which takes the data directory from the machine's option file.
    let into = machine.path("None");
    let options = format!("[mysqld]\ndatadir={}\n", into.display());
    std::fs::write(machine.path(".my.cnf"), options).unwrap();
    journey.prove_by(1, &[], |_, datadir| {
        std::fs::create_dir(&into).unwrap();
        run(&machine, "sealed", "--prepare", "2\n");
        let checkpoints = taken(&machine, "sealed", "full").join("xtrabackup_checkpoints");
        let text = std::fs::read_to_string(checkpoints).unwrap();
        assert_eq!(text.lines().next(), Some("backup_type = full-prepared"));
        std::fs::rename(&into, datadir).unwrap();
    });
    some(&machine);
    machine
}

/// A list of databases and tables: only they are in the backup, and its prepare succeeds.
fn some(machine: &Machine) {
    run(machine, "some", "--prepare", "1\n");
    let full = taken(machine, "some", "full");
    let text = std::fs::read_to_string(full.join("xtrabackup_checkpoints")).unwrap();
    assert_eq!(text.lines().next(), Some("backup_type = full-prepared"));
    let shop = files(&full.join("shop"));
    assert!(shop.contains(&"customers.ibd".to_owned()), "{shop:?}");
    assert!(!shop.contains(&"longtrx.ibd".to_owned()), "{shop:?}");
}

fn files(directory: &Path) -> Vec<String> {
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
