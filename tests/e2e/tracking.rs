//! Page tracking (`docs/design.md#page-tracking`): an incremental for which the server listed the
//! changed pages contains every page that a scan would have found, and restores to the same rows;
//! if the server's list can't be trusted, the backup scans and gives the reason. For more tests:
//! `LSNAP_TRACKING_ROUNDS=30`, `LSNAP_TRACKING_PAGE_KIB=4` (8, 16, 32, 64),
//! `LSNAP_TRACKING_ENCRYPTED=1`.

use crate::ddl;
use crate::journey::Journey;
use crate::lsnap::{self, Member};
use crate::sandbox::{RESTORED, SOURCE, Sandbox, run, scratch};
use ::lsnap::delta::{DeltaReader, Meta};
use mysql::Conn;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const LIBRARY: &str = "component_mysqlbackup.so";
const COMPONENT: &str = "INSTALL COMPONENT 'file://component_mysqlbackup'";

/// Returns the files with lists of changed pages in the server's datadir.
fn lists(server: &Sandbox) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(server.datadir().join("#meb"));
    entries
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect()
}

fn used(member: &Member) -> bool {
    member.json["page_tracking"]["used"].as_bool().unwrap()
}

/// Checks that the member was scanned, for a reason with these words.
#[track_caller]
fn scanned(member: &Member, words: &str) {
    let said = &member.json["page_tracking"];
    let reason = said["reason"].as_str().unwrap_or_default();
    assert!(
        !used(member) && reason.contains(words),
        "expected a scan because of {words:?}: {said}"
    );
}

#[track_caller]
fn tracked(member: &Member) {
    assert!(used(member), "{}", member.json["page_tracking"]);
}

/// Makes an incremental on the newest member of the repository, as files in `dir`.
fn streamed(server: &Sandbox, repository: &Path, dir: &Path, tracking: &str) -> Member {
    std::fs::create_dir(dir).unwrap();
    let mut extract = lsnap::command();
    extract.args(["xbstream", "-x", "-C"]).arg(dir);
    let to = lsnap::url(repository);
    let more = ["--to", &to, "--incremental", tracking];
    lsnap::stream(server, &more, extract)
}

/// Returns the space id and the pages of every delta below `dir`.
fn deltas(dir: &Path) -> BTreeMap<String, (u32, BTreeSet<u32>)> {
    let mut found = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "delta") {
                let meta = std::fs::read_to_string(path.with_extension("meta")).unwrap();
                let meta = Meta::parse(&meta).unwrap();
                let input = BufReader::new(File::open(&path).unwrap());
                let (mut pages, mut page) = (BTreeSet::new(), Vec::new());
                let mut reader = DeltaReader::new(input, meta.page_size);
                while let Some(number) = reader.next_page(&mut page).unwrap() {
                    pages.insert(number.0);
                }
                let name = path.strip_prefix(dir).unwrap().display().to_string();
                found.insert(name, (meta.space_id.0, pages));
            }
        }
    }
    found
}

/// Scans, then requests the server's list. All pages that the scan found had been written to disk
/// by then, so the server must have listed them, with or without load. Returns how many pages the
/// scan found in files that still exist.
fn compare(journey: &Journey, round: u64) -> usize {
    let room = journey.path();
    let [scan, list] = ["scan", "list"].map(|kind| room.join(format!("{kind}-{round}")));
    let repository = journey.repository();
    let said = streamed(&journey.source, &repository, &scan, "--page-tracking=off");
    scanned(&said, "switched off");
    let said = streamed(&journey.source, &repository, &list, "--page-tracking=on");
    tracked(&said);
    let (by_scan, by_list) = (deltas(&scan), deltas(&list));
    let mut pages = 0;
    for (name, (id, found)) in &by_scan {
        let Some((same, listed)) = by_list.get(name) else {
            panic!("{name} is not in the backup by page tracking");
        };
        // An undo tablespace may have been truncated between the two.
        if id == same {
            let missing: Vec<_> = found.difference(listed).collect();
            assert!(
                missing.is_empty(),
                "round {round}: {name} lacks {missing:?}"
            );
            pages += found.len();
        }
    }
    std::fs::remove_dir_all(&scan).unwrap();
    std::fs::remove_dir_all(&list).unwrap();
    pages
}

/// Changes tables of some megabytes in each row format: single rows, and rebuilds and truncations
/// in turns.
fn churn(conn: &mut Conn, round: u64) {
    let tables = ["dynamic", "compressed", "redundant", "compact"];
    if round == 0 {
        run(conn, "CREATE DATABASE churn");
        for format in tables {
            let sql = format!(
                "CREATE TABLE churn.{format} (id INT PRIMARY KEY AUTO_INCREMENT, k INT, c VARCHAR(400), KEY (k)) \
                 ROW_FORMAT={format}"
            );
            run(conn, &sql);
        }
    }
    for (i, table) in (0..).zip(tables) {
        let at = (round * 7919 + i * 104_729) % 3000;
        run(
            conn,
            &format!(
                "INSERT INTO churn.{table} (k, c) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
                 WHERE i < 900) SELECT i * {round} % 997, CONCAT(SHA2(i + {at}, 512), SHA2(i, 512)) FROM n"
            ),
        );
        run(
            conn,
            &format!("UPDATE churn.{table} SET k = k + 1 WHERE id BETWEEN {at} AND {at} + 40"),
        );
        run(
            conn,
            &format!("DELETE FROM churn.{table} WHERE id % 977 = {round}"),
        );
        let ddl = match (round + i) % 6 {
            1 => format!("ALTER TABLE churn.{table} ADD INDEX r{round} (c(20)), ALGORITHM=INPLACE"),
            3 => format!("OPTIMIZE TABLE churn.{table}"),
            5 => format!("TRUNCATE TABLE churn.{table}"),
            _ => format!("ANALYZE TABLE churn.{table}"),
        };
        run(conn, &ddl);
    }
}

#[test]
fn the_scan_finds_nothing_that_the_server_did_not_list() {
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u32>().unwrap());
    let encrypted = number("LSNAP_TRACKING_ENCRYPTED").is_some();
    let keyring: &[&str] = if encrypted { &["--keyring"] } else { &[] };
    let kib = number("LSNAP_TRACKING_PAGE_KIB").unwrap_or(16);
    let mut journey = Journey::begin("e2e-tracking", kib, keyring, encrypted);
    if !journey.source.has(LIBRARY) {
        return;
    }
    journey.source.run(COMPONENT);
    if encrypted {
        for sql in [
            "SET GLOBAL innodb_redo_log_encrypt = ON",
            "SET GLOBAL innodb_undo_log_encrypt = ON",
            "ALTER TABLESPACE mysql ENCRYPTION = 'Y'",
        ] {
            journey.source.run(sql);
        }
    }
    let mut conn = journey.source.connect();
    churn(&mut conn, 0);
    journey.member();
    assert!(!used(&journey.members[0]));
    let since = &journey.members[0].json["page_tracking"]["since"];
    assert!(since.as_u64().unwrap() > 0);

    let rounds = u64::from(number("LSNAP_TRACKING_ROUNDS").unwrap_or(2));
    let mut compared = 0;
    for round in 1..=rounds {
        churn(&mut conn, round);
        if let n @ 1..=3 = round as u32 {
            ddl::round(&journey.source, n);
        }
        compared += compare(&journey, round);
        journey.member_by(|source, repository| {
            lsnap::backup(source, repository, &["--incremental", "--page-tracking=on"])
        });
        tracked(journey.members.last().unwrap());
        assert!(lists(&journey.source).is_empty(), "a list was left behind");
    }
    println!("the scan found {compared} pages, and each of them was listed");
    assert!(compared > 500, "only {compared} pages were compared");
    journey.rest();
    // The restore of encrypted members, which requires keys, has a separate test.
    if !encrypted {
        let page = format!("--innodb-page-size={kib}k");
        journey.prove(journey.members.len() - 1, &[&page]);
    }
}

/// A server with one table of ten megabytes, and a repository.
struct Plain {
    server: Sandbox,
    repository: PathBuf,
    room: tempfile::TempDir,
}

impl Plain {
    fn start() -> Self {
        let room = scratch();
        let options = [
            "--innodb-max-dirty-pages-pct=0",
            "--innodb-max-dirty-pages-pct-lwm=0",
        ];
        let server = Sandbox::start("e2e-tracking-why", &[SOURCE, &options]);
        server.run("CREATE DATABASE d");
        server.run("CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(500))");
        server.run(
            "INSERT INTO d.t (v) SELECT REPEAT('x', 500) FROM information_schema.columns a, \
             information_schema.collations b LIMIT 20000",
        );
        let repository = room.path().join("repository");
        std::fs::create_dir(&repository).unwrap();
        Self {
            server,
            repository,
            room,
        }
    }

    /// Changes a few rows and makes an incremental.
    fn next(&self, more: &[&str]) -> Member {
        self.change();
        let arguments = [&["--incremental"], more].concat();
        let member = lsnap::backup(&self.server, &self.repository, &arguments);
        self.nothing_left();
        member
    }

    fn change(&self) {
        self.server
            .run("UPDATE d.t SET v = REPEAT(CHAR(97 + RAND() * 25), 500) WHERE id % 997 = 3");
    }

    /// With `--page-tracking=on` the backup fails.
    #[track_caller]
    fn refused(&self, words: &[&str]) {
        let said = lsnap::try_backup(
            &self.server,
            &self.repository,
            &["--incremental", "--page-tracking=on"],
        );
        said.refused(1, words);
        said.refused(1, &["--page-tracking=on"]);
        self.nothing_left();
    }

    #[track_caller]
    fn nothing_left(&self) {
        let ours = lists(&self.server);
        let ours: Vec<_> = ours
            .iter()
            .filter(|path| path.to_string_lossy().contains("#meb/57627"))
            .collect();
        assert!(ours.is_empty(), "left behind: {ours:?}");
    }

    fn as_user(&self, user: &str) -> Member {
        self.change();
        let mut arguments =
            lsnap::backup_arguments(&self.server, &self.repository, &["--incremental"]);
        let root = arguments.iter().position(|a| a == "root").unwrap();
        arguments[root] = user.to_owned();
        lsnap::lsnap(arguments).member()
    }

    fn rows(&self, sandbox: &Sandbox) -> String {
        sandbox.value("SELECT CONCAT(COUNT(*), ' ', SUM(CRC32(CONCAT(id, v)))) FROM d.t")
    }
}

#[test]
fn doubtful_lists_lead_to_a_scan_with_a_reason() {
    let mut plain = Plain::start();
    if !plain.server.has(LIBRARY) {
        return;
    }
    let full = lsnap::full(&plain.server, &plain.repository);
    scanned(&full, "INSTALL COMPONENT");
    plain.refused(&["INSTALL COMPONENT"]);
    scanned(&plain.next(&[]), "INSTALL COMPONENT");

    plain.server.run(COMPONENT);
    plain.refused(&["not tracked when the base"]);
    // pages that a busy machine has not written yet would be listed too
    let mut conn = plain.server.connect();
    run(&mut conn, "FLUSH TABLES d.t FOR EXPORT");
    run(&mut conn, "UNLOCK TABLES");
    drop(conn);
    scanned(&plain.next(&[]), "not tracked when the base");
    tracked(&plain.next(&["--page-tracking=on"]));
    let little = plain.next(&[]).json["pages"]["verified"].as_u64().unwrap();
    scanned(&plain.next(&["--page-tracking=off"]), "switched off");
    scanned(&plain.next(&[]), "not tracked when the base");
    let all = plain.next(&["--page-tracking=off"]).json["pages"]["verified"]
        .as_u64()
        .unwrap();
    // the data dictionary, the largest part of such a small server, is always read
    assert!(little < all, "{little} of {all} pages were read");
    plain.next(&[]);

    plain.server.run("DO mysqlbackup_page_track_set(false)");
    plain.refused(&["not tracked without a gap"]);
    scanned(&plain.next(&[]), "not tracked without a gap");
    tracked(&plain.next(&[]));

    plain.server.stop();
    plain.server.restart(&[]);
    plain.refused(&["restarted since the base"]);
    scanned(&plain.next(&[]), "restarted since the base");
    tracked(&plain.next(&[]));

    privileges(&plain);
    other_tools(&plain);
    unlisted(&plain);
    grown(&plain);
    imported(&plain);
}

fn privileges(plain: &Plain) {
    let mut conn = plain.server.connect();
    run(&mut conn, "CREATE USER bk@localhost");
    run(
        &mut conn,
        "GRANT BACKUP_ADMIN, PROCESS, RELOAD, REPLICATION CLIENT ON *.* TO bk@localhost",
    );
    run(
        &mut conn,
        "GRANT SELECT ON performance_schema.log_status TO bk@localhost",
    );
    scanned(&plain.as_user("bk"), "SYSTEM_VARIABLES_ADMIN");
    run(
        &mut conn,
        "GRANT SYSTEM_VARIABLES_ADMIN ON *.* TO bk@localhost",
    );
    plain.as_user("bk");
    tracked(&plain.as_user("bk"));
}

/// A list that another tool requested is kept; a list that can't be written is detected.
fn other_tools(plain: &Plain) {
    let mut conn = plain.server.connect();
    run(&mut conn, "SET GLOBAL mysqlbackup.backupid = '1234567'");
    let theirs = plain.server.datadir().join("#meb/1234567.idx");
    let bytes = vec![0; 8];
    std::fs::write(&theirs, &bytes).unwrap();
    plain.refused(&["1234567.idx", "another tool"]);
    scanned(&plain.next(&[]), "another tool");
    assert_eq!(std::fs::read(&theirs).unwrap(), bytes);
    std::fs::remove_file(&theirs).unwrap();
    tracked(&plain.next(&[]));

    let dir = plain.server.datadir().join("#meb");
    std::fs::remove_dir(&dir).unwrap();
    std::fs::write(&dir, "in the way").unwrap();
    plain.change();
    let said = lsnap::try_backup(&plain.server, &plain.repository, &["--incremental"]);
    scanned(&said.member(), "#meb");
    std::fs::remove_file(&dir).unwrap();
    tracked(&plain.next(&[]));
}

/// A list that has almost reached its limit gets no further reset point, and the solution that
/// lsnap names works. The server doesn't know the file that is added to its own.
fn grown(plain: &Plain) {
    let archive = plain.server.datadir().join("#ib_archive");
    let groups = || {
        let entries = std::fs::read_dir(&archive).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|p| p.join("active").exists())
            .collect::<Vec<_>>()
    };
    let active = groups();
    let [group] = &active[..] else {
        panic!("not one active group: {active:?}");
    };
    let far = group.join("ib_page_29");
    File::create(&far).unwrap().set_len(16384).unwrap();
    let words = [
        "page_group_",
        "926 MiB",
        "mysqlbackup_page_track_set(false)",
    ];
    plain.refused(&words);
    let said = plain.next(&[]);
    scanned(&said, words[2]);
    assert!(said.json["page_tracking"]["since"].is_null());

    let lsn = plain.server.value(&format!("SELECT {}", words[2]));
    assert!(groups().is_empty(), "{:?}", groups());
    scanned(&plain.next(&[]), "not tracked when the base");
    tracked(&plain.next(&[]));
    std::fs::remove_file(&far).unwrap();
    let purge = format!("SELECT mysqlbackup_page_track_purge_up_to({lsn})");
    assert_eq!(plain.server.value(&purge), lsn);
    assert!(!group.exists(), "{} was not purged", group.display());
    tracked(&plain.next(&[]));
}

/// `IMPORT TABLESPACE` writes pages without the server's buffer pool; this server lists them
/// nevertheless.
fn imported(plain: &Plain) {
    let mut conn = plain.server.connect();
    let dir = plain.server.datadir().join("d");
    let out = plain.room.path().join("t.ibd");
    run(&mut conn, "FLUSH TABLES d.t FOR EXPORT");
    std::fs::copy(dir.join("t.ibd"), &out).unwrap();
    run(&mut conn, "UNLOCK TABLES");
    run(&mut conn, "DELETE FROM d.t WHERE id % 3 = 0");
    tracked(&plain.next(&[]));
    run(&mut conn, "ALTER TABLE d.t DISCARD TABLESPACE");
    std::fs::copy(&out, dir.join("t.ibd")).unwrap();
    run(&mut conn, "ALTER TABLE d.t IMPORT TABLESPACE");
    run(
        &mut conn,
        "UPDATE d.t SET v = 'after the import' WHERE id % 500 = 0",
    );
    tracked(&plain.next(&[]));
    let last = plain.next(&[]);
    tracked(&last);
    let target = plain.room.path().join("restored");
    lsnap::restore(&plain.server, &plain.repository, &last.name, &target);
    let copy = Sandbox::start_on("e2e-tracking-why-copy", &target, &[RESTORED]);
    assert_eq!(plain.rows(&copy), plain.rows(&plain.server));
    let after = copy.value("SELECT COUNT(*) FROM d.t WHERE v = 'after the import'");
    // Other rows are changed at every member, including one of these.
    assert_eq!(after, "39");
}

/// A server that writes pages and doesn't list them: in this test, the test writes the pages.
fn unlisted(plain: &Plain) {
    let file = plain.server.datadir().join("d/t.ibd");
    let ibd = File::options().read(true).write(true).open(&file).unwrap();
    let last = plain.next(&[]);
    tracked(&last);
    let lsn = last.json["backup"]["lsn"]["last_lsn"].as_u64().unwrap();
    let mut before = Vec::new();
    // So many that a sample of a few pages includes one.
    for at in (8..700).map(|page| page * 16384) {
        let mut page = vec![0; 16384];
        ibd.read_exact_at(&mut page, at).unwrap();
        if page.iter().all(|byte| *byte == 0) {
            continue;
        }
        before.push((at, page.clone()));
        page[16..24].copy_from_slice(&lsn.to_be_bytes());
        page[16380..].copy_from_slice(&lsn.to_be_bytes()[4..]);
        let sum = crc32c::crc32c(&page[4..26]) ^ crc32c::crc32c(&page[38..16376]);
        page[..4].copy_from_slice(&sum.to_be_bytes());
        page[16376..16380].copy_from_slice(&sum.to_be_bytes());
        ibd.write_all_at(&page, at).unwrap();
    }
    plain.refused(&["of d/t.ibd was written at LSN", "is not among the pages"]);
    let arguments = ["--incremental"];
    scanned(
        &lsnap::backup(&plain.server, &plain.repository, &arguments),
        "is not among the pages",
    );
    for (at, page) in before {
        ibd.write_all_at(&page, at).unwrap();
    }
    // The last backup can have marks of pages as they were written: to it, these are an older state of the server.
    lsnap::full(&plain.server, &plain.repository);
    tracked(&lsnap::backup(&plain.server, &plain.repository, &arguments));
}
