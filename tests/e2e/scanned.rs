//! Which pages are in a delta: exactly those that a script of a few lines finds in the files of the
//! server that was stopped after it.

use crate::lsnap;
use crate::sandbox::{SOURCE, Sandbox, run, scratch, value, wait_for};
use ::lsnap::delta::DeltaReader;
use ::lsnap::innodb::PageSize;
use ::lsnap::store::{BackupName, Repository};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Returns when all pages are on disk and nothing is written any more.
fn rest(server: &Sandbox) {
    server.run("SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0");
    server.run("SET GLOBAL innodb_max_dirty_pages_pct = 0");
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
        let still = lsn == last;
        last = lsn;
        still && status("Innodb_buffer_pool_pages_dirty") == 0
    });
}

#[test]
fn a_delta_holds_the_pages_that_a_script_finds() {
    let server = Sandbox::start(
        "e2e-scanned",
        &[SOURCE, &["--innodb-stats-auto-recalc=OFF"]],
    );
    let room = scratch();
    let repository = room.path().join("repository");
    server.run("CREATE DATABASE d");
    server.run("CREATE TABLE d.a (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(500), KEY (v))");
    server.run(
        "CREATE TABLE d.z (id INT PRIMARY KEY, v TEXT) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4",
    );
    server.run("CREATE TABLE d.untouched (id INT PRIMARY KEY)");
    let mut conn = server.connect();
    run(&mut conn, "USE d");
    run(&mut conn, "SET SESSION cte_max_recursion_depth = 100000");
    let mut rows = |table: &str, from: u32, to: u32, value: &str| {
        let sql = format!(
            "INSERT INTO {table} WITH RECURSIVE n AS (SELECT {from} i UNION ALL SELECT i + 1 FROM n WHERE i < {to}) \
             SELECT i, {value} FROM n"
        );
        run(&mut conn, &sql);
    };
    rows("a", 1, 30_000, "REPEAT(SHA2(i, 256), 6)");
    rows("z", 1, 3_000, "REPEAT(SHA2(i, 256), 15)");
    rest(&server);
    lsnap::full(&server, &repository);
    server.run("UPDATE d.a SET v = 'changed' WHERE id % 977 = 0");
    server.run("DELETE FROM d.a WHERE id > 29000");
    rows("z", 3_001, 3_100, "REPEAT(SHA2(i, 224), 9)");
    server.run("CREATE TABLE d.fresh (id INT PRIMARY KEY); ");
    server.run("INSERT INTO d.fresh VALUES (1)");
    rest(&server);
    let member = lsnap::incremental(&server, &repository);
    rest(&server);
    let datadir = server.datadir();
    server.kill();

    let repo = Repository::open(&lsnap::url(&repository)).unwrap();
    let manifest = repo
        .manifest(&BackupName::parse(&member.name).unwrap())
        .unwrap();
    let deltas = extract(&repository, &member.name, room.path());
    let found = script(&datadir, manifest.lsn.scan_floor.0, deltas.keys());
    let mut pages = 0;
    for (file, delta) in &deltas {
        let (size, listed) = &found[file];
        let held = held(delta, *size);
        // The backup itself rotates the binary log, which writes to mysql.gtid_executed and undo logs;
        // pages that say so by their LSN may be older in the delta, or not in it. In tables of users
        // there are none.
        let later = |lsn: &u64| *lsn > manifest.lsn.last_lsn.0;
        let after: Vec<_> = listed.iter().filter(|(_, lsn)| later(lsn)).collect();
        assert!(
            after.is_empty() || !file.starts_with("d/"),
            "{file}: {after:?}"
        );
        let on_disk = std::fs::read(datadir.join(file)).unwrap();
        for (number, lsn) in listed {
            let at = *number as usize * size;
            match held.get(number) {
                _ if later(lsn) => {}
                None => panic!("page {number} of {file}, LSN {lsn}, is not in the delta"),
                Some(page) => assert!(
                    page[..] == on_disk[at..at + size],
                    "page {number} of {file}"
                ),
            }
        }
        for number in held.keys() {
            assert!(
                listed.contains_key(number),
                "page {number} of {file} is not needed"
            );
        }
        pages += held.len();
    }
    for (file, some) in [
        ("d/a.ibd", true),
        ("d/z.ibd", true),
        ("d/fresh.ibd", true),
        ("d/untouched.ibd", false),
    ] {
        assert_eq!(
            !held(&deltas[file], found[file].0).is_empty(),
            some,
            "{file}"
        );
    }
    assert!(pages > 100, "{pages} pages prove little");
}

/// The deltas of a member, by the file that they are of.
fn extract(repository: &Path, name: &str, room: &Path) -> BTreeMap<String, Vec<u8>> {
    let dir = room.join("extracted");
    std::fs::create_dir(&dir).unwrap();
    let got = lsnap::command()
        .args([
            "cloud",
            "get",
            "--from",
            &lsnap::url(repository),
            name,
            "-C",
        ])
        .arg(&dir)
        .output();
    lsnap::said(got.unwrap()).ok();
    let mut deltas = BTreeMap::new();
    for below in ["", "d", "sys"] {
        for entry in std::fs::read_dir(dir.join(below)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&dir).unwrap().to_str().unwrap();
            if let Some(file) = name.strip_suffix(".delta") {
                deltas.insert(file.to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    assert!(deltas.contains_key("mysql.ibd") && deltas.contains_key("ibdata1"));
    deltas
}

/// The pages that a delta holds.
fn held(delta: &[u8], size: usize) -> BTreeMap<u32, Vec<u8>> {
    let size = PageSize::new(u32::try_from(size).unwrap()).unwrap();
    let mut reader = DeltaReader::new(delta, size);
    let mut page = Vec::new();
    let mut pages = BTreeMap::new();
    while let Some(number) = reader.next_page(&mut page).unwrap() {
        assert!(
            pages.insert(number.0, page.clone()).is_none(),
            "page {number} twice"
        );
    }
    pages
}

/// What `tools/expected-delta` says: of every file the page size, and LSNs by page number.
fn script<'a>(
    datadir: &Path,
    floor: u64,
    files: impl Iterator<Item = &'a String>,
) -> BTreeMap<String, (usize, BTreeMap<u32, u64>)> {
    let said = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/expected-delta"))
        .arg(datadir)
        .arg(floor.to_string())
        .args(files)
        .output()
        .unwrap();
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    let line = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let pages = value["pages"].as_object().unwrap().iter();
        let pages = pages.map(|(number, lsn)| (number.parse().unwrap(), lsn.as_u64().unwrap()));
        let size = value["page_size"].as_u64().unwrap() as usize;
        let file = value["file"].as_str().unwrap().to_owned();
        (file, (size, pages.collect()))
    };
    String::from_utf8(said.stdout)
        .unwrap()
        .lines()
        .map(line)
        .collect()
}
