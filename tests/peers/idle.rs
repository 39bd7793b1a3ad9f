//! Compares lsnap's delta of an idle server with the pages that a script of a few lines finds in
//! the files of that server after it was killed: the same files, the same pages, the same bytes,
//! except for 8 bytes of one page ([`MOVING`]).
//!
//! The server has no binary log: a backup rotates it, which would change `mysql.gtid_executed` and
//! undo pages between the copy and the run of the script.

use crate::sandbox::{Sandbox, run, scratch, value, wait_for};
use lsnap::delta::{DeltaReader, Meta};
use lsnap::manifest::BackupName;
use lsnap::store::Repository;
use mysql::Conn;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const IDLE: &[&str] = &[
    "--skip-log-bin",
    "--server-id=1",
    "--innodb-stats-auto-recalc=OFF",
    "--event-scheduler=OFF",
    "--innodb-buffer-pool-size=96M",
    "--innodb-redo-log-capacity=64M",
    "--innodb-max-dirty-pages-pct=0",
    "--innodb-max-dirty-pages-pct-lwm=0",
];

/// The one page that a backup itself changes on such a server: reading
/// `performance_schema.log_status` makes the server save the GTIDs that it has in memory, and store
/// up to which transaction number it did so.
const TRX_SYS: u32 = 5;
/// The bytes that may differ there: checksum, LSN, that number (8 bytes after the 12 + 512 of the
/// binary log's position, which begins 1000 bytes before the page's end), and the trailer with
/// checksum and LSN.
const MOVING: [Range<usize>; 4] = [0..4, 16..24, 15_908..15_916, 16_376..16_384];

/// The script's output for a file: its page size, and LSNs by page number.
type Found = BTreeMap<String, (usize, BTreeMap<u32, u64>)>;

/// Returns the LSN at which the server is idle: all pages are in their files, the checkpoint has
/// reached the end of the redo log, and that end has not moved between two polls. (`FLUSH ENGINE
/// LOGS` is not used, because it changes the page [`TRX_SYS`].)
fn rest(server: &Sandbox) -> u64 {
    let mut conn = server.connect();
    let mut status = |name: &str| -> u64 {
        let sql = format!(
            "SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME = '{name}'"
        );
        value(&mut conn, &sql).parse().unwrap()
    };
    let mut last = 0;
    wait_for("the server to rest", Duration::from_secs(60), || {
        let lsn = status("Innodb_redo_log_current_lsn");
        let still = lsn == last && lsn == status("Innodb_redo_log_checkpoint_lsn");
        last = lsn;
        still && status("Innodb_buffer_pool_pages_dirty") == 0
    });
    last
}

/// Inserts the rows `from..=to`; `text` may use the number `i`.
fn rows(server: &Sandbox, table: &str, (from, to): (u32, u32), text: &str) {
    let mut conn = server.connect();
    run(&mut conn, "SET SESSION cte_max_recursion_depth = 100000");
    let sql = format!(
        "INSERT INTO d.{table} WITH RECURSIVE n AS (SELECT {from} i UNION ALL SELECT i + 1 FROM n WHERE i < {to}) \
         SELECT i, {text} FROM n"
    );
    run(&mut conn, &sql);
}

fn backup(server: &Sandbox, url: &str, more: &[&str]) -> String {
    let out = crate::lsnap()
        .args(["backup", "--json", "--no-defaults", "--user", "root"])
        .args(["--socket", &server.socket(), "--to", url])
        .args(more)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "lsnap backup {more:?}: {said}");
    let report = crate::common::program::result(&out.stdout);
    report["backup"]["name"].as_str().unwrap().to_owned()
}

/// Waits until the server is idle at the LSN of a page of `d.edge`, where the next backup's floor
/// will be: the last change is a row of an open transaction, and nothing changes that page later.
/// The server may write a page of its own after it; then another row is tried.
fn edge(server: &Sandbox, open: &mut Conn) {
    for row in 1..=20 {
        run(open, &format!("INSERT INTO d.edge VALUES ({row})"));
        let at = rest(server);
        if !script(&server.datadir(), at, &["d/edge.ibd"])["d/edge.ibd"]
            .1
            .is_empty()
        {
            return;
        }
    }
    panic!("20 rows, and each time the server wrote another page after it");
}

#[test]
fn a_delta_of_an_idle_server_is_what_a_script_finds() {
    let server = Sandbox::start("peers-idle", &[IDLE]);
    let room = scratch();
    let url = format!("file://{}", room.path().join("repository").display());
    for sql in [
        "CREATE DATABASE d",
        "CREATE TABLE d.a (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(500), KEY (v))",
        "CREATE TABLE d.zip (id INT PRIMARY KEY, v TEXT) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4",
        "CREATE TABLE d.holes (id INT PRIMARY KEY, v TEXT) COMPRESSION='zlib'",
        "CREATE TABLE d.untouched (id INT PRIMARY KEY)",
        "CREATE TABLE d.edge (id INT PRIMARY KEY)",
    ] {
        server.run(sql);
    }
    rows(&server, "a", (1, 30_000), "REPEAT(SHA2(i, 256), 6)");
    rows(&server, "zip", (1, 3_000), "REPEAT(SHA2(i, 256), 15)");
    rows(&server, "holes", (1, 2_000), "REPEAT(SHA2(i, 256), 30)");
    rest(&server);
    let mut open = server.connect();
    run(&mut open, "BEGIN");
    edge(&server, &mut open);
    backup(&server, &url, &[]);
    run(&mut open, "COMMIT");
    server.run("UPDATE d.a SET v = 'changed' WHERE id % 977 = 0");
    server.run("DELETE FROM d.a WHERE id > 29000");
    rows(&server, "zip", (3_001, 3_100), "REPEAT(SHA2(i, 224), 9)");
    server.run("UPDATE d.holes SET v = 'changed' WHERE id BETWEEN 500 AND 600");
    server.run("CREATE TABLE d.fresh (id INT PRIMARY KEY, v TEXT)");
    rows(&server, "fresh", (1, 100), "REPEAT('f', 2000)");
    let before = rest(&server);
    let name = backup(&server, &url, &["--incremental"]);
    rest(&server);
    let datadir = server.datadir();
    server.kill();

    let repository = Repository::open(&url).unwrap();
    let manifest = repository.manifest(&BackupName::parse(&name).unwrap());
    let floor = manifest.unwrap().lsn.scan_floor.0;
    let mut expected = script(&datadir, floor, &[]);
    expected.append(&mut script(&datadir, 0, &["d/fresh.ibd"]));
    let later = |lsn: &&u64| **lsn > before;
    for (file, (_, pages)) in &expected {
        let moved: Vec<_> = pages.iter().filter(|(_, lsn)| later(lsn)).collect();
        let known = file == "ibdata1" && moved.iter().all(|(number, _)| **number == TRX_SYS);
        assert!(moved.is_empty() || known, "{file} was not idle: {moved:?}");
    }
    compare(&datadir, &extract(&url, &name, room.path()), &expected);
    let lsns = |file: &str| expected[file].1.values();
    // Without this, a filter that excludes the floor itself would pass.
    assert!(
        lsns("d/edge.ibd").any(|lsn| *lsn == floor),
        "no page has the LSN of the floor, {floor}: {:?}",
        expected["d/edge.ibd"]
    );
    for file in ["d/a.ibd", "d/zip.ibd", "d/holes.ibd", "d/fresh.ibd"] {
        assert!(lsns(file).len() > 3, "{file} has too few pages for a proof");
    }
    assert_eq!(lsns("d/untouched.ibd").len(), 0);
}

/// Checks that the files, the pages in each, and the bytes of each page are the same.
fn compare(datadir: &Path, deltas: &BTreeMap<String, (Vec<u8>, Meta)>, expected: &Found) {
    let names = |of: BTreeSet<&String>| of.into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(deltas.keys().collect()),
        names(expected.keys().collect())
    );
    for (file, (delta, meta)) in deltas {
        let (size, listed) = &expected[file];
        assert_eq!(meta.page_size.bytes(), *size, "{file}");
        let on_disk = std::fs::read(datadir.join(file)).unwrap();
        let mut left = listed.clone();
        let mut reader = DeltaReader::new(&delta[..], meta.page_size);
        let mut page = Vec::new();
        while let Some(number) = reader.next_page(&mut page).unwrap() {
            let at = number.0 as usize * size;
            assert!(
                left.remove(&number.0).is_some(),
                "page {number} of {file} is in the delta twice, or is not expected"
            );
            let mut there = on_disk[at..at + size].to_vec();
            if file == "ibdata1" && number.0 == TRX_SYS {
                // Written again by the backup itself.
                for part in MOVING {
                    page[part.clone()].fill(0);
                    there[part].fill(0);
                }
            }
            assert!(
                page == there,
                "page {number} of {file} differs from the page in the file"
            );
        }
        assert!(left.is_empty(), "{file}: not in the delta (LSNs): {left:?}");
    }
}

/// Returns the deltas of a member with their `.meta`, by the file that they belong to.
fn extract(url: &str, name: &str, room: &Path) -> BTreeMap<String, (Vec<u8>, Meta)> {
    let dir = room.join("extracted");
    std::fs::create_dir(&dir).unwrap();
    let mut get = crate::lsnap();
    get.args(["cloud", "get", "--from", url, name, "-C"]);
    crate::good(get.arg(&dir));
    let mut deltas = BTreeMap::new();
    for (path, delta) in crate::tree(&dir) {
        if let Some(file) = path.strip_suffix(".delta") {
            let meta = std::fs::read_to_string(dir.join(format!("{file}.meta"))).unwrap();
            deltas.insert(file.to_owned(), (delta, Meta::parse(&meta).unwrap()));
        }
    }
    deltas
}

fn script(datadir: &Path, floor: u64, files: &[&str]) -> Found {
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/expected-delta");
    let mut command = Command::new(tool);
    command.arg(datadir).arg(floor.to_string()).args(files);
    let line = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let pages = value["pages"].as_object().unwrap().iter();
        let pages = pages.map(|(number, lsn)| (number.parse().unwrap(), lsn.as_u64().unwrap()));
        let size = value["page_size"].as_u64().unwrap() as usize;
        let file = value["file"].as_str().unwrap().to_owned();
        (file, (size, pages.collect()))
    };
    let said = String::from_utf8(crate::good(&mut command).stdout).unwrap();
    said.lines().map(line).collect()
}
