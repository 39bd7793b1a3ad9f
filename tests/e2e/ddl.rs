//! Changes of tables and tablespaces between two members of a chain.

use crate::sandbox::{Sandbox, run, value, wait_for};
use mysql::Conn;
use std::time::Duration;

/// Creates the tables that the rounds change. `ddl` and `ddl2` exist already.
pub fn prepare(server: &Sandbox) {
    let mut conn = server.connect();
    for name in [
        "dropped1",
        "dropped2",
        "dropped3",
        "renamed",
        "moved",
        "truncated",
        "instant",
        "inplace",
        "rebuilt",
        "recreated",
        "swap_a",
        "swap_b",
        "compressed_later",
    ] {
        table(&mut conn, &format!("ddl.{name}"), name);
    }
    run(
        &mut conn,
        "CREATE TABLE ddl.parted (id INT, k INT, c VARCHAR(100), PRIMARY KEY (id, k)) PARTITION BY RANGE (k) \
         (PARTITION p1 VALUES LESS THAN (100), PARTITION p2 VALUES LESS THAN (200), PARTITION p3 VALUES LESS THAN (300))",
    );
    run(
        &mut conn,
        "INSERT INTO ddl.parted WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 299) \
         SELECT i, i, CONCAT('parted ', i) FROM n",
    );
    run(
        &mut conn,
        "CREATE TABLE ddl.exchanged (id INT, k INT, c VARCHAR(100), PRIMARY KEY (id, k))",
    );
    run(
        &mut conn,
        "INSERT INTO ddl.exchanged VALUES (1000, 150, 'from outside')",
    );
    run(
        &mut conn,
        "CREATE TABLESPACE ts_short ADD DATAFILE 'ts_short.ibd'",
    );
    table(&mut conn, "ddl.in_short", "in a short-lived tablespace");
    run(&mut conn, "ALTER TABLE ddl.in_short TABLESPACE ts_short");
}

fn table(conn: &mut Conn, name: &str, text: &str) {
    run(
        conn,
        &format!(
            "CREATE TABLE {name} (id INT PRIMARY KEY AUTO_INCREMENT, k INT NOT NULL, c VARCHAR(200) NOT NULL, KEY kk (k))"
        ),
    );
    run(
        conn,
        &format!(
            "INSERT INTO {name} (k, c) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) \
             SELECT i, CONCAT('{text} ', i, REPEAT('.', 80)) FROM n"
        ),
    );
}

/// Runs round `n` (1, 2, 3); each round makes every kind of change.
pub fn round(server: &Sandbox, n: u32) {
    let mut conn = server.connect();
    let small = value(&mut conn, "SELECT @@innodb_page_size") == "4096";
    let compression = if small { "" } else { "COMPRESSION='zlib'" };
    // A table created with the id of the last dropped one, a schema that is created and dropped,
    // renames there and back: all must be right in each member.
    table(&mut conn, &format!("ddl.created{n}"), "created between");
    let mut all: Vec<String> = vec![
        format!("DROP TABLE ddl.dropped{n}"),
        format!("CREATE DATABASE `made {n}`"),
        format!("CREATE TABLE `made {n}`.t AS SELECT * FROM ddl.instant LIMIT 50"),
        "TRUNCATE TABLE ddl.truncated".to_owned(),
        format!("INSERT INTO ddl.truncated (k, c) SELECT k, CONCAT('after truncate {n} ', c) FROM ddl.inplace LIMIT 100"),
        format!("ALTER TABLE ddl.instant ADD COLUMN added{n} VARCHAR(30) NOT NULL DEFAULT 'instant {n}', ALGORITHM=INSTANT"),
        format!("UPDATE ddl.instant SET added{n} = CONCAT('u', id) WHERE id % 3 = 0"),
        format!("ALTER TABLE ddl.inplace ADD INDEX added{n} (c({n}0), k), ALGORITHM=INPLACE, LOCK=NONE"),
        format!("ALTER TABLE ddl.rebuilt MODIFY c VARCHAR({}) NOT NULL, ALGORITHM=COPY", 300 + n),
        "ALTER TABLE shop.compact ENGINE=InnoDB".to_owned(),
        "OPTIMIZE TABLE ddl.rebuilt".to_owned(),
        "DROP TABLE ddl.recreated".to_owned(),
        "CREATE TABLE ddl.recreated (id INT PRIMARY KEY AUTO_INCREMENT, other DOUBLE, c TEXT)".to_owned(),
        format!("INSERT INTO ddl.recreated (other, c) SELECT k * 1.5, REPEAT('re{n}', 100) FROM ddl.inplace LIMIT 150"),
        "RENAME TABLE ddl.swap_a TO ddl.swap_tmp, ddl.swap_b TO ddl.swap_a, ddl.swap_tmp TO ddl.swap_b".to_owned(),
        format!("UPDATE ddl.swap_a SET c = CONCAT('a{n} ', LEFT(c, 60)) WHERE id % 7 = 0"),
        format!("ALTER TABLE ddl.parted ADD PARTITION (PARTITION q{n} VALUES LESS THAN ({}))", 300 + 100 * n),
        format!("INSERT INTO ddl.parted SELECT id + {n}000, {}, CONCAT('new partition ', k) FROM ddl.inplace LIMIT 40", 290 + 100 * n),
        "ALTER TABLE ddl.parted EXCHANGE PARTITION p2 WITH TABLE ddl.exchanged".to_owned(),
        format!("ALTER TABLE ddl.compressed_later {compression} COMMENT='{n}'"),
        "OPTIMIZE TABLE ddl.compressed_later".to_owned(),
        "ANALYZE TABLE ddl.inplace".to_owned(),
        format!("CREATE UNDO TABLESPACE undo_round{n} ADD DATAFILE 'undo_round{n}.ibu'"),
    ];
    all.extend(of_round(n));
    for sql in &all {
        run(&mut conn, sql);
    }
    truncate_undo(
        server,
        ["undo_extra", "innodb_undo_001", "undo_round2"][n as usize - 1],
    );
}

/// Returns the changes that are possible only once.
fn of_round(n: u32) -> Vec<String> {
    let list: &[&str] = match n {
        1 => &[
            "RENAME TABLE ddl.renamed TO ddl.`renamed näme`",
            "RENAME TABLE ddl.moved TO ddl2.moved",
            "ALTER TABLE ddl.in_short TABLESPACE innodb_file_per_table",
            "DROP TABLESPACE ts_short",
            "CREATE TABLESPACE ts_short ADD DATAFILE 'ts_short.ibd'",
            "CREATE TABLE ddl.in_short2 (id INT PRIMARY KEY, c VARCHAR(50)) TABLESPACE ts_short",
            "INSERT INTO ddl.in_short2 VALUES (1, 'the second of that name')",
        ],
        2 => &[
            "RENAME TABLE ddl.`renamed näme` TO ddl.renamed",
            "RENAME TABLE ddl2.moved TO ddl.moved",
            "DROP DATABASE `made 1`",
            "DROP TABLE ddl.created1",
            "ALTER TABLE ddl.parted DROP PARTITION p1",
            "ALTER TABLESPACE ts_short RENAME TO ts_longer",
        ],
        _ => &[
            "RENAME TABLE ddl.renamed TO ddl2.renamed",
            "DROP DATABASE `made 2`",
            "ALTER TABLE ddl.parted TRUNCATE PARTITION p3",
            "CREATE DATABASE `made 1`",
            "CREATE TABLE `made 1`.t (id INT PRIMARY KEY) SELECT 7 AS id",
        ],
    };
    list.iter().map(|&sql| sql.to_owned()).collect()
}

/// Truncates an undo tablespace: its space id changes, its name and file do not.
pub fn truncate_undo(server: &Sandbox, name: &str) {
    let mut conn = server.connect();
    let state =
        format!("SELECT STATE FROM information_schema.INNODB_TABLESPACES WHERE NAME = '{name}'");
    run(
        &mut conn,
        &format!("ALTER UNDO TABLESPACE {name} SET INACTIVE"),
    );
    wait_for(
        "an undo tablespace to be truncated",
        Duration::from_secs(120),
        || value(&mut conn, &state) == "empty",
    );
    run(
        &mut conn,
        &format!("ALTER UNDO TABLESPACE {name} SET ACTIVE"),
    );
}
