//! One of every kind of object that a backup must contain. Every table under write load has the
//! columns `id`, `k` and `c`, in addition to its own, so that [`crate::load`] doesn't depend on its
//! definition.

use crate::sandbox::{Sandbox, run};
use mysql::Conn;
use mysql::prelude::Queryable;
use std::path::Path;

/// The properties of a table that the load needs.
#[derive(Debug, Clone)]
pub struct Target {
    /// Quoted, with its schema.
    pub table: String,
    /// False for MyISAM and CSV: never in a transaction (GTID consistency forbids it).
    pub transactional: bool,
    /// Has a column `b` for big values.
    pub blob: bool,
    /// Has indexes to find rows by (CSV has none).
    pub keyed: bool,
}

/// The parts to create.
pub struct Wanted<'a> {
    /// Page size of the server, in KiB: 4, 8, 16, 32 or 64.
    pub page_kib: u32,
    /// A directory outside of the data directory, listed in the server's `innodb_directories`.
    pub outside: Option<&'a Path>,
    /// True if the server has a keyring.
    pub encrypted: bool,
    /// True for MyISAM and CSV tables.
    pub other_engines: bool,
}

const COLUMNS: &str = "id BIGINT NOT NULL AUTO_INCREMENT, k INT NOT NULL, c VARCHAR(160) NOT NULL";

/// Tables for every server: `(name, extra columns and keys, options)`.
const PLAIN: &[(&str, &str, &str)] = &[
    ("shop.customers", "", "ROW_FORMAT=DYNAMIC"),
    ("shop.compact", "", "ROW_FORMAT=COMPACT"),
    ("shop.redundant", "", "ROW_FORMAT=REDUNDANT"),
    ("shop.order_log", "", ""),
    ("shop.`#hash`", "", ""),
    ("shop.`tä ble#1`", "", ""),
    ("`sp ace`.`na me`", "", ""),
    ("`日本#ü`.`テーブル`", "", ""),
    ("`日本#ü`.`a-b.c@d`", "", ""),
    ("shop.pc_zlib", ", b LONGBLOB", "COMPRESSION='zlib'"),
    ("shop.pc_lz4", ", b LONGBLOB", "COMPRESSION='lz4'"),
    ("shop.blobs", ", b LONGBLOB", ""),
    ("shop.docs", ", FULLTEXT KEY ft (c)", ""),
    (
        "shop.places",
        ", p POINT NOT NULL SRID 0 DEFAULT (POINT(k % 1000, k % 777)), SPATIAL KEY sp (p)",
        "",
    ),
    (
        "shop.generated",
        ", v INT GENERATED ALWAYS AS (k * 2) VIRTUAL, s VARCHAR(200) GENERATED ALWAYS AS (CONCAT(c, '-', k)) STORED, \
         j JSON DEFAULT (JSON_OBJECT('k', k, 'tags', JSON_ARRAY(k % 7, k % 5))), KEY kv (v), KEY ks (s(60)), \
         KEY mv ((CAST(j->'$.tags' AS UNSIGNED ARRAY)))",
        "",
    ),
    ("shop.in_system", "", "TABLESPACE=innodb_system"),
    ("shop.in_general", "", "TABLESPACE=ts_in"),
    ("shop.in_general2", "", "TABLESPACE=ts_in"),
];

/// Creates everything and inserts some rows into each table.
pub fn create(server: &Sandbox, wanted: &Wanted) -> Vec<Target> {
    let mut conn = server.connect();
    for schema in [
        "shop",
        "parts",
        "enc",
        "ddl",
        "ddl2",
        "empty_one",
        "`sp ace`",
        "`日本#ü`",
    ] {
        run(
            &mut conn,
            &format!("CREATE DATABASE {schema} CHARACTER SET utf8mb4"),
        );
    }
    run(&mut conn, "CREATE USER repl@'%' IDENTIFIED BY 'repl'");
    run(&mut conn, "GRANT REPLICATION SLAVE ON *.* TO repl@'%'");
    run(
        &mut conn,
        "CREATE TABLESPACE ts_in ADD DATAFILE 'ts_in.ibd'",
    );
    run(
        &mut conn,
        "CREATE UNDO TABLESPACE undo_extra ADD DATAFILE 'undo_extra.ibu'",
    );
    let mut targets: Vec<Target> = Vec::new();
    for (name, extra, options) in PLAIN {
        // Pages of 4 KiB can't be compressed: they are one block of the file system.
        let options = if wanted.page_kib == 4 && options.starts_with("COMPRESSION") {
            ""
        } else {
            options
        };
        targets.push(table(&mut conn, name, extra, options));
    }
    row_compressed(&mut conn, wanted.page_kib, &mut targets);
    partitioned(&mut conn, wanted.outside, &mut targets);
    if let Some(outside) = wanted.outside {
        external(&mut conn, outside, &mut targets);
    }
    if wanted.encrypted {
        encrypted(&mut conn, &mut targets);
    }
    if wanted.other_engines {
        other_engines(&mut conn, &mut targets);
    }
    programs(&mut conn, &mut targets);
    for target in &targets {
        fill(&mut conn, target);
    }
    targets
}

fn table(conn: &mut Conn, name: &str, extra: &str, options: &str) -> Target {
    run(
        conn,
        &format!("CREATE TABLE {name} ({COLUMNS}{extra}, PRIMARY KEY (id), KEY kk (k)) {options}"),
    );
    Target {
        table: name.to_owned(),
        transactional: true,
        blob: extra.contains("LONGBLOB"),
        keyed: true,
    }
}

/// Creates tables with `ROW_FORMAT=COMPRESSED`, which exists up to 16 KiB, with blocks no larger
/// than the page.
fn row_compressed(conn: &mut Conn, page_kib: u32, targets: &mut Vec<Target>) {
    if page_kib > 16 {
        return;
    }
    for block in [1, 2, 4, 8, 16].into_iter().filter(|&b| b <= page_kib) {
        targets.push(table(
            conn,
            &format!("shop.z{block}"),
            ", b LONGBLOB",
            &format!("ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE={block}"),
        ));
    }
    run(
        conn,
        "CREATE TABLESPACE ts_zip ADD DATAFILE 'ts_zip.ibd' FILE_BLOCK_SIZE=2048",
    );
    targets.push(table(
        conn,
        "shop.in_zip_general",
        "",
        "TABLESPACE=ts_zip ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=2",
    ));
}

fn partitioned(conn: &mut Conn, outside: Option<&Path>, targets: &mut Vec<Target>) {
    let place = outside.map_or_else(String::new, |dir| {
        format!(" DATA DIRECTORY = '{}'", dir.display())
    });
    let kinds = [
        (
            "parts.by_range",
            format!(
                "PARTITION BY RANGE (k) (PARTITION p0 VALUES LESS THAN (300), PARTITION p1 VALUES LESS THAN (600){place}, \
                 PARTITION `P#max` VALUES LESS THAN MAXVALUE)"
            ),
        ),
        ("parts.by_hash", "PARTITION BY HASH (id) PARTITIONS 4".to_owned()),
        (
            "parts.by_sub",
            "PARTITION BY RANGE (k) SUBPARTITION BY HASH (id) SUBPARTITIONS 2 (PARTITION a VALUES LESS THAN (500), \
             PARTITION b VALUES LESS THAN MAXVALUE)"
                .to_owned(),
        ),
    ];
    for (name, clause) in kinds {
        run(
            conn,
            &format!("CREATE TABLE {name} ({COLUMNS}, PRIMARY KEY (id, k), KEY kk (k)) {clause}"),
        );
        targets.push(Target {
            table: name.to_owned(),
            transactional: true,
            blob: false,
            keyed: true,
        });
    }
}

fn external(conn: &mut Conn, outside: &Path, targets: &mut Vec<Target>) {
    let outside = outside.display();
    run(
        conn,
        &format!("CREATE TABLESPACE ts_out ADD DATAFILE '{outside}/ts_out.ibd'"),
    );
    targets.push(table(conn, "shop.in_general_out", "", "TABLESPACE=ts_out"));
    targets.push(table(
        conn,
        "shop.ext",
        "",
        &format!("DATA DIRECTORY='{outside}'"),
    ));
    targets.push(table(
        conn,
        "`sp ace`.`ext é#`",
        "",
        &format!("DATA DIRECTORY='{outside}'"),
    ));
}

fn encrypted(conn: &mut Conn, targets: &mut Vec<Target>) {
    run(
        conn,
        "CREATE TABLESPACE ts_enc ADD DATAFILE 'ts_enc.ibd' ENCRYPTION='Y'",
    );
    targets.push(table(conn, "enc.own", ", b LONGBLOB", "ENCRYPTION='Y'"));
    targets.push(table(
        conn,
        "enc.own_zlib",
        ", b LONGBLOB",
        "ENCRYPTION='Y' COMPRESSION='zlib'",
    ));
    targets.push(table(
        conn,
        "enc.in_general",
        "",
        "TABLESPACE=ts_enc ENCRYPTION='Y'",
    ));
}

fn other_engines(conn: &mut Conn, targets: &mut Vec<Target>) {
    run(
        conn,
        &format!(
            "CREATE TABLE shop.old_myisam ({COLUMNS}, PRIMARY KEY (id), KEY kk (k)) ENGINE=MyISAM"
        ),
    );
    run(
        conn,
        "CREATE TABLE shop.csv_log (id BIGINT NOT NULL, k INT NOT NULL, c VARCHAR(160) NOT NULL) ENGINE=CSV",
    );
    for (name, keyed) in [("shop.old_myisam", true), ("shop.csv_log", false)] {
        targets.push(Target {
            table: name.to_owned(),
            transactional: false,
            blob: false,
            keyed,
        });
    }
}

/// Creates foreign key, trigger, event, routines, view; and the tables that only the tests' own
/// transactions write (`longtrx`, `prepared`).
fn programs(conn: &mut Conn, targets: &mut Vec<Target>) {
    targets.push(table(
        conn,
        "shop.orders",
        ", customer BIGINT DEFAULT NULL, KEY fc (customer), CONSTRAINT to_customer FOREIGN KEY (customer) \
         REFERENCES shop.customers (id) ON DELETE SET NULL ON UPDATE CASCADE",
        "",
    ));
    for sql in [
        "CREATE TRIGGER shop.logged AFTER INSERT ON shop.orders FOR EACH ROW \
         INSERT INTO shop.order_log (k, c) VALUES (NEW.k, CONCAT('order ', NEW.id))",
        "CREATE EVENT shop.nightly ON SCHEDULE EVERY 1 DAY STARTS '2040-01-01 00:00:00' DO DELETE FROM shop.order_log WHERE k < 0",
        "CREATE PROCEDURE shop.proc(IN x INT) SELECT x + COUNT(*) FROM shop.customers",
        "CREATE FUNCTION shop.func(x INT) RETURNS INT DETERMINISTIC RETURN x * 3",
        "CREATE VIEW shop.`v iew` AS SELECT c.id, c.k, o.c FROM shop.customers c JOIN shop.orders o ON o.customer = c.id",
        "CREATE TABLE shop.longtrx (id BIGINT PRIMARY KEY AUTO_INCREMENT, c VARCHAR(160) NOT NULL, b LONGBLOB)",
        "CREATE TABLE shop.prepared (id BIGINT PRIMARY KEY AUTO_INCREMENT, c VARCHAR(160) NOT NULL)",
        "INSERT INTO shop.longtrx (c, b) VALUES ('committed', REPEAT('c', 300000)), ('too', REPEAT('d', 1000))",
        "INSERT INTO shop.prepared (c) VALUES ('committed'), ('too')",
    ] {
        run(conn, sql);
    }
}

fn fill(conn: &mut Conn, target: &Target) {
    let rows: Vec<String> = (1..=120)
        .map(|n| format!("({}, 'row {n} {}')", n * 8, "lorem ipsum ".repeat(n % 9)))
        .collect();
    if target.keyed {
        run(
            conn,
            &format!(
                "INSERT INTO {} (k, c) VALUES {}",
                target.table,
                rows.join(",")
            ),
        );
    } else {
        run(
            conn,
            &format!("INSERT INTO {} VALUES (1, 1, 'one')", target.table),
        );
    }
    if target.blob {
        // Half of it is compressible, half is not; the fourth is several MB.
        run(
            conn,
            &format!(
                "UPDATE {} SET b = CONCAT(REPEAT('compressible ', 3000), RANDOM_BYTES(1000)) WHERE id <= 30",
                target.table
            ),
        );
        run(
            conn,
            &format!(
                "UPDATE {} SET b = REPEAT(RANDOM_BYTES(1000), 3000) WHERE id = 4",
                target.table
            ),
        );
    }
}

/// Returns length and allocated bytes of a file.
pub fn allocation(path: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (meta.len(), meta.blocks() * 512)
}

/// Creates `count` small tables, with four concurrent connections.
pub fn small_tables(server: &Sandbox, schema: &str, count: usize) {
    server.run(&format!("CREATE DATABASE {schema}"));
    std::thread::scope(|scope| {
        for worker in 0..4 {
            scope.spawn(move || {
                let mut conn = server.connect();
                for n in (worker..count).step_by(4) {
                    run(
                        &mut conn,
                        &format!(
                            "CREATE TABLE {schema}.t{n:05} (id INT PRIMARY KEY, c VARCHAR(40))"
                        ),
                    );
                    conn.query_drop(format!(
                        "INSERT INTO {schema}.t{n:05} VALUES ({n}, 'table {n}')"
                    ))
                    .unwrap();
                }
            });
        }
    });
}
