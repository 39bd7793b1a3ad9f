//! Tablespaces that are absent during a backup and come back (`DISCARD`, `IMPORT`), tablespaces
//! that are exchanged between two backups, and the state of files after an import: chains with them
//! are valid and restore to the state of the source, both by scans and by page tracking.

use crate::lsnap::{self, Member, url};
use crate::proof;
use crate::sandbox::{RESTORED, SOURCE, Sandbox, run, scratch};
use mysql::Conn;
use serde_json::Value;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Two chains of one server: one by scans, one by page tracking.
struct Chains {
    server: Sandbox,
    room: tempfile::TempDir,
    conn: Conn,
}

const WAYS: [&str; 2] = ["off", "on"];

impl Chains {
    fn start(name: &str, options: &[&str]) -> Self {
        let server = Sandbox::start(name, &[SOURCE, options]);
        server.run("INSTALL COMPONENT 'file://component_mysqlbackup'");
        let conn = server.connect();
        let room = scratch();
        for way in WAYS {
            std::fs::create_dir(room.path().join(way)).unwrap();
        }
        Self { server, room, conn }
    }

    fn repository(&self, way: &str) -> PathBuf {
        self.room.path().join(way)
    }

    fn run(&mut self, sql: &str) {
        run(&mut self.conn, sql);
    }

    fn full(&self) {
        for way in WAYS {
            let tracking = format!("--page-tracking={way}");
            lsnap::backup(&self.server, &self.repository(way), &[&tracking]);
        }
    }

    /// Makes an incremental in each chain.
    fn next(&self) -> [Member; 2] {
        WAYS.map(|way| {
            let tracking = format!("--page-tracking={way}");
            let arguments = ["--incremental", &tracking];
            let member = lsnap::backup(&self.server, &self.repository(way), &arguments);
            assert_eq!(member.json["page_tracking"]["used"], way == "on");
            member
        })
    }

    /// Exports the files of a table, from `table` to names that begin with `name`.
    fn export(&mut self, table: &str, name: &str) {
        let (schema, table) = table.split_once('.').unwrap();
        self.run(&format!("FLUSH TABLES {schema}.{table} FOR EXPORT"));
        let dir = self.server.datadir().join(schema);
        for suffix in ["ibd", "cfg", "cfp"] {
            let from = dir.join(format!("{table}.{suffix}"));
            if from.exists() {
                std::fs::copy(from, self.room.path().join(format!("{name}.{suffix}"))).unwrap();
            }
        }
        self.run("UNLOCK TABLES");
    }

    /// Copies exported files to the file names of the discarded `table`.
    fn import(&self, name: &str, table: &str) {
        let (schema, table) = table.split_once('.').unwrap();
        let dir = self.server.datadir().join(schema);
        for suffix in ["ibd", "cfg", "cfp"] {
            let from = self.room.path().join(format!("{name}.{suffix}"));
            if from.exists() {
                std::fs::copy(from, dir.join(format!("{table}.{suffix}"))).unwrap();
            }
        }
    }

    /// Runs `DISCARD` and `IMPORT` without a backup between them.
    fn exchange(&mut self, name: &str, table: &str) {
        self.run(&format!("ALTER TABLE {table} DISCARD TABLESPACE"));
        self.import(name, table);
        self.run(&format!("ALTER TABLE {table} IMPORT TABLESPACE"));
    }

    /// Verifies every byte of each chain.
    fn verify(&self) {
        for way in WAYS {
            let from = url(&self.repository(way));
            lsnap::lsnap(["verify", "--all", "--data", "--from", &from]).ok();
        }
    }

    /// Checks that a restored member equals the current state of the source.
    fn restores(&self, way: &str, member: &Member) -> PathBuf {
        self.restores_as(&member.name, way, member)
    }

    /// Same as `restores`, for a backup that is in the repository under another name.
    fn restores_as(&self, name: &str, way: &str, member: &Member) -> PathBuf {
        let last = name.rsplit_once('-').map_or(name, |(_, last)| last);
        let target = self.room.path().join(format!("restored-{way}-{last}"));
        lsnap::restore(&self.server, &self.repository(way), name, &target);
        let copy = format!("{}-copy", self.server.name);
        let copy = Sandbox::start_on(&copy, &target, &[RESTORED]);
        let mut findings = proof::standing(&copy, &member.position);
        findings.extend(proof::compare(&self.server, &copy));
        assert!(
            findings.is_empty(),
            "{name} in {way}: {}",
            findings.join("\n")
        );
        target
    }
}

/// Returns the floor of a member's delta of a file.
fn floor(repository: &Path, member: &Member, name: &str) -> u64 {
    let place = repository.join(&member.name);
    let object = place.join("lsnap_manifest.json.00000000000000000000");
    let object = std::fs::read(object).unwrap();
    // The document is between the heads of its chunks.
    let begins = |at: &usize| object[*at..].starts_with(b"{\"digest\"");
    let from = (0..object.len()).find(begins).unwrap();
    let mut documents = serde_json::Deserializer::from_slice(&object[from..]).into_iter();
    let manifest: Value = documents.next().unwrap().unwrap();
    let files = manifest["files"].as_array().unwrap();
    let mut spaces = files.iter().map(|file| &file["role"]);
    let space = spaces.find(|space| space["name"] == name).unwrap();
    space["floor"].as_u64().unwrap()
}

/// Returns whether this page of a table file is all zeros.
fn is_zero(file: &Path, page: u64) -> bool {
    let mut bytes = vec![0; 16384];
    let file = std::fs::File::open(file).unwrap();
    file.read_exact_at(&mut bytes, page * 16384).unwrap();
    bytes.iter().all(|byte| *byte == 0)
}

const ROWS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
                    SELECT i, CONCAT(REPEAT('row ', 300), i) FROM n";

/// A page that exists in a table with all rows, and not in one with few rows.
const FAR: u64 = 80;

#[test]
fn absent_and_exchanged_tablespaces() {
    let mut chains = Chains::start("e2e-absent", &[]);
    chains.run("CREATE DATABASE d");
    // A schema whose directory has the name of a metadata file of a backup.
    chains.run("CREATE DATABASE xtrabackup_info");
    chains.run("CREATE TABLE xtrabackup_info.t (id INT PRIMARY KEY) SELECT 7 AS id");
    let columns = "(id INT PRIMARY KEY, v VARCHAR(3000)) AUTOEXTEND_SIZE=4M";
    for table in ["away", "exchanged", "steady"] {
        chains.run(&format!("CREATE TABLE d.{table} {columns}"));
        chains.run(&format!("INSERT INTO d.{table} {ROWS}"));
    }
    chains.run(&format!("CREATE TABLE d.few {columns}"));
    chains.run("INSERT INTO d.few VALUES (1, 'one'), (2, 'two')");
    chains.run("CREATE TABLE d.packed (id INT PRIMARY KEY, v VARCHAR(3000)) COMPRESSION='zlib'");
    chains.run(&format!("INSERT INTO d.packed {ROWS}"));
    chains.run(
        "CREATE TABLE d.parted (id INT PRIMARY KEY, v VARCHAR(3000)) PARTITION BY RANGE (id) \
         (PARTITION a VALUES LESS THAN (400), PARTITION b VALUES LESS THAN (1000))",
    );
    chains.run(&format!("INSERT INTO d.parted {ROWS}"));
    chains.export("d.few", "few");
    chains.export("d.away", "away");
    chains.export("d.packed", "packed");
    chains.export("d.exchanged", "before");
    assert!(!is_zero(&chains.room.path().join("before.ibd"), FAR));
    chains.run("FLUSH TABLES d.parted FOR EXPORT");
    let part = chains.server.datadir().join("d/parted#p#a.ibd");
    std::fs::copy(&part, chains.room.path().join("part.ibd")).unwrap();
    chains.run("UNLOCK TABLES");
    chains.full();

    chains.run("ALTER TABLE d.away DISCARD TABLESPACE");
    chains.run("ALTER TABLE d.parted DISCARD PARTITION a TABLESPACE");
    chains.next();

    chains.import("away", "d.away");
    chains.run("ALTER TABLE d.away IMPORT TABLESPACE");
    std::fs::copy(chains.room.path().join("part.ibd"), &part).unwrap();
    chains.run("ALTER TABLE d.parted IMPORT PARTITION a TABLESPACE");
    // The new file has zeros where the file of the base has rows.
    chains.exchange("few", "d.exchanged");
    // Free pages of a page-compressed file become compressed zeros.
    chains.exchange("packed", "d.packed");
    let imported = chains.next();
    chains.verify();
    for (way, member) in WAYS.iter().zip(&imported) {
        for name in [
            "d/away.ibd",
            "d/exchanged.ibd",
            "d/parted#p#a.ibd",
            "d/packed.ibd",
        ] {
            assert_eq!(
                floor(&chains.repository(way), member, name),
                0,
                "{way}: {name}"
            );
        }
        assert!(floor(&chains.repository(way), member, "d/steady.ibd") > 0);
    }

    for table in ["away", "exchanged", "steady", "packed", "parted"] {
        chains.run(&format!(
            "UPDATE d.{table} SET v = 'changed' WHERE id % 300 = 2"
        ));
    }
    let last = chains.next();
    chains.verify();
    let source = chains.server.datadir().join("d/exchanged.ibd");
    for (way, member) in WAYS.iter().zip(&last) {
        let restored = chains.restores(way, member).join("d/exchanged.ibd");
        for file in [&source, &restored] {
            assert!(
                is_zero(file, FAR),
                "{way}: {} has outdated pages",
                file.display()
            );
        }
    }
    // A stream could not be extracted, because a directory and a file have the same name.
    let said = lsnap::lsnap([
        "backup",
        "--stream",
        "--no-defaults",
        "--user",
        "root",
        "--socket",
        &chains.server.socket(),
    ]);
    said.refused(1, &["schema xtrabackup_info", "repository"]);
    chains.run("DROP DATABASE xtrabackup_info");
    streams(&mut chains);
}

/// An incremental as a stream, put next to its base: the state is consistent in all listings, and
/// it is restored by its name.
fn streams(chains: &mut Chains) {
    chains.run("UPDATE d.steady SET v = 'in the stream' WHERE id % 300 = 3");
    let repository = chains.repository("off");
    let to = url(&repository);
    let mut put = lsnap::command();
    put.args(["cloud", "put", "--to", &to, "streamed"]);
    let more = ["--to", &to, "--incremental", "--compress=zstd"];
    let member = lsnap::stream(&chains.server, &more, put);
    let listed = lsnap::list(&repository);
    let listed = listed.as_array().unwrap().iter();
    let mut states = listed.filter(|item| item["name"] == "streamed");
    let item = states.next().unwrap();
    assert_eq!(
        (&item["state"], &item["format"]),
        (&"finished".into(), &"stream".into())
    );
    let shown = lsnap::lsnap(["show", "--from", &to, "streamed"]).ok();
    assert!(
        shown.stdout.contains("stream, incremental"),
        "{}",
        shown.stdout
    );
    let verified = lsnap::lsnap(["verify", "--from", &to, "--all"]);
    verified.refused(15, &["streamed: NOT VERIFIED", "not verified"]);
    lsnap::lsnap(["verify", "--from", &to, "streamed"]).refused(14, &["is a stream"]);
    chains.restores_as("streamed", "off", &member);
}

/// Free pages of an encrypted file become encrypted zeros, compressed or not.
#[test]
fn imported_files_that_are_encrypted() {
    let mut chains = Chains::start("e2e-absent-enc", &["--keyring"]);
    chains.run("CREATE DATABASE d");
    for (table, options) in [
        ("plain", "ENCRYPTION='Y'"),
        ("packed", "ENCRYPTION='Y' COMPRESSION='zlib'"),
        (
            "zip",
            "ENCRYPTION='Y' ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8",
        ),
    ] {
        chains.run(&format!(
            "CREATE TABLE d.{table} (id INT PRIMARY KEY, v VARCHAR(3000)) {options}"
        ));
        chains.run(&format!("INSERT INTO d.{table} {ROWS}"));
    }
    chains.full();
    for table in ["plain", "packed", "zip"] {
        let table = format!("d.{table}");
        chains.export(&table, "file");
        chains.exchange("file", &table);
    }
    chains.run("CHECK TABLE d.plain, d.packed, d.zip");
    chains.next();
    chains.full();
    chains.verify();
}
