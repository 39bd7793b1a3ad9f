//! The definition of "restored": the server on the restored directory has exactly the transactions
//! of the recorded GTID set; its own checks find no fault; and after replaying the source's binary
//! logs from the recorded position to their end, it equals the source, table by table.
//!
//! The replay is by *position*, not by GTID: with auto-positioning, a missing transaction would
//! simply be fetched. By position it stays missing, and the comparison (or the applier, with an
//! error) shows it; an extra transaction makes `gtid_executed` differ from the recorded set.
//!
//! Content is compared by the number of rows and a sum of 60 bits of SHA-256 of each row
//! (independent of their order; every column counts, including BLOB, JSON, geometry and generated
//! ones), and by queries through the full-text and spatial indexes, which a checksum does not read.
//! `CHECKSUM TABLE` would be shorter, but it also includes the hidden column of a multi-valued
//! index, whose bytes differ between servers with equal rows. `CHECK TABLE` compares each secondary
//! index with the clustered one.

use crate::lsnap::Position;
use crate::sandbox::{Sandbox, run, text, value};
use mysql::prelude::Queryable;
use mysql::{Conn, Row};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The faults, one line for each; empty means right.
pub type Findings = Vec<String>;

/// Runs the whole proof. The source must not change (its load has stopped).
#[track_caller]
pub fn prove(source: &Sandbox, restored: &Sandbox, position: &Position) {
    let mut findings = standing(restored, position);
    findings.extend(own_files(source, restored));
    if findings.is_empty() {
        match replay(source, restored, position) {
            Ok(()) => findings.extend(compare(source, restored)),
            Err(why) => findings.push(why),
        }
    }
    findings.extend(errors(restored));
    assert!(
        findings.is_empty(),
        "{} is not what was backed up:\n{}",
        restored.name,
        findings.join("\n")
    );
}

/// Checks the restored server by itself, before anything is replayed.
pub fn standing(restored: &Sandbox, position: &Position) -> Findings {
    let mut findings = errors(restored);
    let mut conn = restored.connect();
    let gtid = value(&mut conn, "SELECT @@global.gtid_executed").replace(['\n', ' '], "");
    let same = format!(
        "SELECT GTID_SUBSET('{gtid}', '{recorded}') AND GTID_SUBSET('{recorded}', '{gtid}')",
        recorded = position.gtid
    );
    if position.gtid.is_empty() || value(&mut conn, &same) != "1" {
        findings.push(format!(
            "gtid_executed is {gtid}, recorded was {}",
            position.gtid
        ));
    }
    findings.extend(check_tables(&mut conn));
    findings
}

/// MySQL 9.7 logs this error at its start if a prepared XA transaction changed a table whose name has characters other than
/// letters, digits and `_`; also on a server that was never restored. Which table [`crate::load::Open`] changes is random.
const OF_PREPARED: &str = "[MY-010520] [Server] Invalid (old?) table or database name";

/// Returns the `[ERROR]` lines of the server's log.
fn errors(server: &Sandbox) -> Findings {
    let log = server.error_log();
    assert!(
        log.contains("ready for connections"),
        "no log of {}",
        server.name
    );
    log.lines()
        .filter(|line| line.contains("[ERROR]") && !line.contains(OF_PREPARED))
        .map(|line| format!("error log of {}: {line}", server.name))
        .collect()
}

/// Checks that a restored server has not opened a file of its source: with tablespaces outside of
/// the data directory, this would be the gravest error of all.
fn own_files(source: &Sandbox, restored: &Sandbox) -> Findings {
    let open = |server: &Sandbox| -> Vec<std::path::PathBuf> {
        std::fs::read_dir(format!("/proc/{}/fd", server.pid()))
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter(|path| path.is_absolute() && path.is_file())
            .filter(|path| {
                path.extension().is_some_and(|e| e == "ibd" || e == "ibu")
                    || path.to_string_lossy().contains("ibdata")
                    || path.to_string_lossy().contains("#innodb_redo")
            })
            .collect()
    };
    let theirs = open(source);
    assert!(
        !theirs.is_empty(),
        "no open files of pid {} were found",
        source.pid()
    );
    open(restored)
        .into_iter()
        .filter(|path| theirs.contains(path))
        .map(|path| {
            format!(
                "the restored server has the source's {} open",
                path.display()
            )
        })
        .collect()
}

/// Returns every base table of `conn`'s server in an engine with storage: `(schema, table)`.
fn tables(conn: &mut Conn) -> Vec<(String, String)> {
    conn.query(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' \
         AND ENGINE IN ('InnoDB', 'MyISAM', 'CSV') ORDER BY 1, 2",
    )
    .unwrap()
}

fn quoted(schema: &str, table: &str) -> String {
    format!(
        "`{}`.`{}`",
        schema.replace('`', "``"),
        table.replace('`', "``")
    )
}

fn check_tables(conn: &mut Conn) -> Findings {
    let mut findings = Findings::new();
    let all = tables(conn);
    assert!(all.len() > 20, "only {} tables were found", all.len());
    let mut checked = 0;
    for batch in all.chunks(50) {
        let list: Vec<String> = batch.iter().map(|(s, t)| quoted(s, t)).collect();
        let rows: Vec<Row> = conn
            .query(format!("CHECK TABLE {} EXTENDED", list.join(", ")))
            .unwrap_or_else(|error| panic!("CHECK TABLE {}: {error}", list.join(", ")));
        for row in rows {
            let (kind, message) = (text(&row, 2), text(&row, 3));
            checked += usize::from(kind == "status");
            let note = kind == "note" && message.contains("doesn't support");
            if !(note || kind == "status" && (message == "OK" || message.contains("up to date"))) {
                findings.push(format!("CHECK TABLE {}: {kind}: {message}", text(&row, 0)));
            }
        }
    }
    if checked < all.len() {
        findings.push(format!(
            "CHECK TABLE answered for {checked} of {} tables",
            all.len()
        ));
    }
    findings
}

/// Replays the source's binary logs from `position` to their end.
pub fn replay(source: &Sandbox, restored: &Sandbox, position: &Position) -> Result<(), String> {
    let end = source
        .value("SELECT @@global.gtid_executed")
        .replace(['\n', ' '], "");
    let mut conn = restored.connect();
    run(
        &mut conn,
        &format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={}, SOURCE_USER='repl', \
             SOURCE_PASSWORD='repl', GET_SOURCE_PUBLIC_KEY=1, SOURCE_AUTO_POSITION=0, SOURCE_LOG_FILE='{}', \
             SOURCE_LOG_POS={}, SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=3",
            source.port(),
            position.file,
            position.offset
        ),
    );
    run(&mut conn, "START REPLICA");
    let start = Instant::now();
    let outcome = loop {
        if value(
            &mut conn,
            &format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{end}', 1)"),
        ) == "0"
        {
            break Ok(());
        }
        let error = replication_error(&mut conn);
        if !error.is_empty() {
            break Err(format!("replay on {} failed: {error}", restored.name));
        }
        if start.elapsed() > Duration::from_secs(300) {
            break Err(format!("replay on {} did not reach {end}", restored.name));
        }
    };
    run(&mut conn, "STOP REPLICA");
    outcome.and_then(|()| match replication_error(&mut conn) {
        error if error.is_empty() => Ok(()),
        error => Err(error),
    })
}

fn replication_error(conn: &mut Conn) -> String {
    value(
        conn,
        "SELECT GROUP_CONCAT(m SEPARATOR '; ') FROM (SELECT LAST_ERROR_MESSAGE m FROM \
         performance_schema.replication_applier_status_by_worker WHERE LAST_ERROR_NUMBER <> 0 UNION SELECT \
         LAST_ERROR_MESSAGE FROM performance_schema.replication_applier_status_by_coordinator WHERE \
         LAST_ERROR_NUMBER <> 0 UNION SELECT LAST_ERROR_MESSAGE FROM \
         performance_schema.replication_connection_status WHERE LAST_ERROR_NUMBER <> 0) e",
    )
}

/// Returns all differences of the two servers.
pub fn compare(source: &Sandbox, restored: &Sandbox) -> Findings {
    let (mut left, mut right) = (source.connect(), restored.connect());
    let mut findings = Findings::new();
    for (what, sql) in LISTS {
        differ(
            what,
            &listing(&mut left, sql),
            &listing(&mut right, sql),
            &mut findings,
        );
    }
    let all: Vec<(String, String)> = tables(&mut left)
        .into_iter()
        .filter(|(schema, table)| schema != "mysql" || GRANTS.contains(&table.as_str()))
        .filter(|(schema, _)| schema != "sys")
        .collect();
    differ(
        "content",
        &contents(&mut left, &all),
        &contents(&mut right, &all),
        &mut findings,
    );
    findings
}

/// System tables with objects of users.
const GRANTS: &[&str] = &[
    "user",
    "db",
    "tables_priv",
    "global_grants",
    "role_edges",
    "func",
    "servers",
];

/// Lists whose rows must be equal: the first column is the key.
const LISTS: &[(&str, &str)] = &[
    (
        "schema",
        "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_ENCRYPTION FROM information_schema.SCHEMATA",
    ),
    (
        "table",
        "SELECT CONCAT_WS('.', TABLE_SCHEMA, TABLE_NAME), TABLE_TYPE, ENGINE, ROW_FORMAT, CREATE_OPTIONS \
         FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN ('performance_schema', 'information_schema')",
    ),
    (
        "routine",
        "SELECT CONCAT_WS('.', ROUTINE_SCHEMA, ROUTINE_NAME), ROUTINE_TYPE, ROUTINE_DEFINITION, DTD_IDENTIFIER \
         FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA <> 'sys'",
    ),
    (
        "trigger",
        "SELECT CONCAT_WS('.', TRIGGER_SCHEMA, TRIGGER_NAME), EVENT_MANIPULATION, EVENT_OBJECT_TABLE, ACTION_STATEMENT, \
         ACTION_TIMING FROM information_schema.TRIGGERS",
    ),
    (
        "event",
        "SELECT CONCAT_WS('.', EVENT_SCHEMA, EVENT_NAME), EVENT_DEFINITION, INTERVAL_VALUE, INTERVAL_FIELD, STARTS \
         FROM information_schema.EVENTS",
    ),
    (
        "view",
        "SELECT CONCAT_WS('.', TABLE_SCHEMA, TABLE_NAME), VIEW_DEFINITION FROM information_schema.VIEWS",
    ),
    (
        "partition",
        "SELECT CONCAT_WS('.', TABLE_SCHEMA, TABLE_NAME, PARTITION_NAME, SUBPARTITION_NAME), PARTITION_METHOD, \
         PARTITION_DESCRIPTION FROM information_schema.PARTITIONS WHERE PARTITION_NAME IS NOT NULL",
    ),
    (
        "foreign key",
        "SELECT CONCAT_WS('.', CONSTRAINT_SCHEMA, CONSTRAINT_NAME), TABLE_NAME, REFERENCED_TABLE_NAME, DELETE_RULE \
         FROM information_schema.REFERENTIAL_CONSTRAINTS",
    ),
];

/// Queries through indexes that neither `CHECK TABLE` nor the checksum reads completely; skipped
/// for tables that don't exist.
const PROBES: &[(&str, &str)] = &[
    (
        "`shop`.`docs`",
        "SELECT COUNT(*) FROM shop.docs WHERE MATCH (c) AGAINST ('+lorem -sphinx' IN BOOLEAN MODE)",
    ),
    (
        "`shop`.`docs`",
        "SELECT COUNT(*) FROM shop.docs WHERE MATCH (c) AGAINST ('quartz')",
    ),
    (
        "`shop`.`places`",
        "SELECT COUNT(*) FROM shop.places FORCE INDEX (sp) WHERE MBRContains(ST_GeomFromText('POLYGON((0 0,400 0,400 \
         400,0 400,0 0))'), p)",
    ),
    (
        "`shop`.`generated`",
        "SELECT COUNT(*) FROM shop.generated WHERE 3 MEMBER OF (j->'$.tags')",
    ),
    (
        "`shop`.`generated`",
        "SELECT CONCAT(COUNT(*), ' ', SUM(v)) FROM shop.generated FORCE INDEX (kv) WHERE v BETWEEN 100 AND 900",
    ),
];

fn listing(conn: &mut Conn, sql: &str) -> BTreeMap<String, String> {
    conn.query_map(sql, |row: Row| {
        let rest: Vec<String> = (1..row.len()).map(|column| text(&row, column)).collect();
        (text(&row, 0), rest.join(" | "))
    })
    .unwrap()
    .into_iter()
    .collect()
}

/// Returns definition, number of rows, checksum and query results of each table.
fn contents(conn: &mut Conn, all: &[(String, String)]) -> BTreeMap<String, String> {
    run(conn, "SET SESSION group_concat_max_len = 1000000");
    let mut found: BTreeMap<String, String> = all
        .iter()
        .map(|(schema, table)| (quoted(schema, table), one_table(conn, schema, table)))
        .collect();
    for (n, (table, sql)) in PROBES.iter().enumerate() {
        if found.contains_key(*table) {
            found.insert(format!("probe {n} of {table}"), value(conn, sql));
        }
    }
    found
}

fn one_table(conn: &mut Conn, schema: &str, table: &str) -> String {
    let name = quoted(schema, table);
    let columns: Vec<(String, String)> = conn
        .exec(
            "SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
             ORDER BY ORDINAL_POSITION",
            (schema, table),
        )
        .unwrap();
    let sums: Vec<String> = columns
        .iter()
        .map(|(column, kind)| {
            let column = format!("`{}`", column.replace('`', "``"));
            let bytes = match kind.as_str() {
                "json" => format!("CAST({column} AS CHAR)"),
                "point" | "geometry" => format!("ST_AsBinary({column})"),
                _ => column,
            };
            format!("COALESCE(SHA2({bytes}, 256), 'null')")
        })
        .collect();
    let sql = format!(
        "SELECT COUNT(*), SUM(CAST(CONV(LEFT(SHA2(CONCAT({}), 256), 15), 16, 10) AS UNSIGNED)) FROM {name}",
        sums.join(", ")
    );
    // An error must not count as content: two servers may fail in the same way.
    let content = ask(conn, &sql, |row| {
        format!("rows {}, checksum {}", text(row, 0), text(row, 1))
    });
    let definition = ask(conn, &format!("SHOW CREATE TABLE {name}"), |row| {
        neutral(&text(row, 1))
    });
    format!("{content}, {definition}")
}

fn ask(conn: &mut Conn, sql: &str, show: impl Fn(&Row) -> String) -> String {
    let row: Option<Row> = conn
        .query_first(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    row.map_or_else(|| panic!("{sql}: no row"), |row| show(&row))
}

/// Returns a definition without the parts that may differ: the counter (a rolled back insert
/// increases it on the source and is never replayed) and the path of an external file.
fn neutral(definition: &str) -> String {
    let mut text = definition.to_owned();
    for (begin, end) in [
        (" AUTO_INCREMENT=", " "),
        (" DATA DIRECTORY", "'"),
        ("DATA DIRECTORY", "'"),
    ] {
        while let Some(at) = text.find(begin) {
            let tail = &text[at + begin.len()..];
            let skip = match end {
                "'" => tail.find('\'').map_or(0, |open| {
                    open + 1 + tail[open + 1..].find('\'').map_or(0, |close| close + 1)
                }),
                _ => tail.find(end).unwrap_or(tail.len()),
            };
            text.replace_range(at..at + begin.len() + skip, "");
        }
    }
    text.replace("/*!50100  */", "").replace(" ,", ",")
}

fn differ(
    what: &str,
    left: &BTreeMap<String, String>,
    right: &BTreeMap<String, String>,
    findings: &mut Findings,
) {
    for (key, value) in left {
        match right.get(key) {
            None => findings.push(format!("{what} {key} is missing")),
            Some(other) if other != value => {
                findings.push(format!(
                    "{what} {key} differs:\n  source   {value}\n  restored {other}"
                ));
            }
            Some(_) => {}
        }
    }
    for key in right.keys().filter(|key| !left.contains_key(*key)) {
        findings.push(format!("{what} {key} is too much"));
    }
}
