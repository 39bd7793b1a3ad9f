//! The command lines of callers that can't be installed, with what each reads back, as the scripts in
//! `tests/callers/scripts`: backups, prepare and restore. The results of some are made under load and proved by position; on
//! those of others, the server starts and has the recorded transactions.

use crate::journey::Journey;
use crate::lsnap::{Member, Position};
use crate::named_xtrabackup::{KEY, links};
use crate::sandbox::{RESTORED, SOURCE, Sandbox, scratch};
use crate::schema::{self, Wanted};
use crate::servers::{self, Server};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The scripts whose results are proved by position.
const PROVED: &[&str] = &["digitalocean", "ps_operator", "walg"];
/// The scripts on whose results a server is started. The others restore like one of these.
const STARTED: &[&str] = &["holland", "kubeblocks", "percona_qa", "pxc_operator", "sst"];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/callers")
}

/// Returns the names of the scripts, in order.
fn scripts() -> Vec<String> {
    let entries = std::fs::read_dir(directory().join("scripts")).unwrap();
    let names: BTreeSet<String> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.into_iter().collect()
}

/// What all machines share.
struct Place {
    room: PathBuf,
    path: String,
    store: Server,
}

impl Place {
    fn machine<'a>(&'a self, source: &'a Sandbox, name: &str) -> Machine<'a> {
        Machine {
            room: self.room.join(name),
            path: &self.path,
            source,
            store: &self.store,
        }
    }

    /// Makes the backups of these scripts.
    fn backups(&self, source: &Sandbox, names: &[String]) {
        for name in names {
            std::fs::create_dir(self.room.join(name)).unwrap();
            self.machine(source, name).run(name, "backup");
        }
    }
}

/// The machine of one caller.
struct Machine<'a> {
    room: PathBuf,
    path: &'a str,
    source: &'a Sandbox,
    store: &'a Server,
}

impl Machine<'_> {
    fn datadir(&self) -> PathBuf {
        self.room.join("data")
    }

    /// Runs one function of a script.
    fn run(&self, name: &str, function: &str) {
        let script = directory().join("scripts").join(name).with_extension("sh");
        let text = format!(
            ". {}; . {}; {function}",
            directory().join("common.sh").display(),
            script.display()
        );
        let mut command = Command::new("bash");
        command
            .args(["-c", &text])
            .current_dir(&self.room)
            .env("PATH", self.path)
            .env("HOME", self.room.parent().unwrap())
            .env("U", "root")
            .env("S", self.source.socket())
            .env("P", self.source.port().to_string())
            .env("D", self.source.datadir())
            .env("OUT", self.datadir())
            .env("KEY", self.room.parent().unwrap().join("key"))
            .env("BUCKET", servers::BUCKET)
            .env("AWS_ENDPOINT", &self.store.endpoint)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .envs(self.store.env());
        let output = command.output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        let logs = tails(&self.room);
        assert!(output.status.success(), "{name} {function}: {log}\n{logs}");
    }

    /// Returns the position that the prepared backup recorded.
    fn position(&self) -> Position {
        let text = std::fs::read_to_string(self.room.join("position")).unwrap();
        let fields: Vec<&str> = text.trim_end().split('\t').collect();
        Position {
            file: fields[0].to_owned(),
            offset: fields[1].parse().unwrap(),
            gtid: fields[2].replace(['\n', ' '], ""),
        }
    }
}

/// Returns the last lines of each log in a directory.
fn tails(room: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(room).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let log = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            text += &format!(
                "{}:\n{}\n",
                path.display(),
                lines[lines.len().saturating_sub(4)..].join("\n")
            );
        }
    }
    text
}

#[test]
fn the_command_lines_of_callers() {
    let store = Server::start_plain_s3();
    let room = scratch();
    let source = Sandbox::start("e2e-commands", &[SOURCE]);
    let wanted = Wanted {
        page_kib: 16,
        outside: None,
        encrypted: false,
        other_engines: false,
    };
    let targets = schema::create(&source, &wanted);
    let mut journey = Journey::with("e2e-commands", source, targets, room);
    let room = journey.path().to_owned();
    let links = links(&room);
    std::fs::write(room.join("key"), KEY).unwrap();
    std::fs::set_permissions(room.join("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let client = format!(
        "[client]\nuser=root\nsocket={}\nport={}\n",
        journey.source.socket(),
        journey.source.port()
    );
    std::fs::write(room.join(".my.cnf"), client).unwrap();
    let path = format!("{}:{}", links.display(), std::env::var("PATH").unwrap());
    let place = Place { room, path, store };

    let (proved, others): (Vec<String>, Vec<String>) = scripts()
        .into_iter()
        .partition(|name| PROVED.contains(&name.as_str()));
    place.backups(&journey.source, &proved);
    journey.rest();
    place.backups(&journey.source, &others);
    for name in scripts() {
        let machine = place.machine(&journey.source, &name);
        machine.run(&name, "restore");
        let position = machine.position();
        if PROVED.contains(&name.as_str()) {
            journey.members = vec![Member {
                name: String::new(),
                position,
                json: serde_json::Value::Null,
            }];
            let from = machine.datadir();
            journey.prove_by(0, &[], |_, datadir| {
                std::fs::rename(&from, datadir).unwrap()
            });
        } else if STARTED.contains(&name.as_str()) {
            starts(&name, &machine.datadir(), &position);
        }
    }
}

/// The server starts on the directory, and has the transactions of the position.
fn starts(name: &str, datadir: &Path, position: &Position) {
    let server = Sandbox::start_on("e2e-commands-one", datadir, &[RESTORED]);
    let gtid = server
        .value("SELECT @@global.gtid_executed")
        .replace(['\n', ' '], "");
    assert_eq!(gtid, position.gtid, "{name}");
    let rows = server.value("SELECT COUNT(*) FROM shop.customers");
    assert!(rows.parse::<u64>().unwrap() > 0, "{name}: {rows}");
    server.kill();
    std::fs::remove_dir_all(datadir).unwrap();
}

/// The page of callers has each script's caller and what it reads.
#[test]
fn the_page_of_callers_is_up_to_date() {
    let mut table = String::from("| caller | what it reads back | script |\n|---|---|---|\n");
    for name in scripts() {
        let path = format!("tests/callers/scripts/{name}.sh");
        let text = std::fs::read_to_string(directory().join("scripts").join(format!("{name}.sh")))
            .unwrap();
        let line = |key: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(key));
            found
                .unwrap_or_else(|| panic!("{path} has no {key:?}"))
                .to_owned()
        };
        let reads = line("# Reads: ").replace('|', "\\|");
        table += &format!(
            "| {} | {reads} | [{name}](../../{path}) |\n",
            line("# Caller: ")
        );
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/callers.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once("<!-- scripts -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    let expected = format!("{before}<!-- scripts -->\n{table}<!-- end -->{after}");
    if std::env::var_os("LSNAP_WRITE_REFERENCE").is_some() {
        std::fs::write(&page, &expected).unwrap();
    } else {
        assert_eq!(text, expected, "run this test with LSNAP_WRITE_REFERENCE=1");
    }
}
