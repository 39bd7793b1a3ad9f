//! The proof must be able to fail. Here a copy made by MySQL's own clone plugin replaces backup and
//! restore: the proof passes on it, and fails if one row, one index entry's worth of schema, or the
//! recorded position is wrong.

use crate::load::{Load, Open};
use crate::lsnap::Position;
use crate::sandbox::{RESTORED, SOURCE, Sandbox, run, scratch, value};
use crate::{ddl, proof, schema};

pub fn clone_of(source: &Sandbox, directory: &std::path::Path) {
    let mut conn = source.connect();
    run(&mut conn, "INSTALL PLUGIN clone SONAME 'mysql_clone.so'");
    run(
        &mut conn,
        &format!("CLONE LOCAL DATA DIRECTORY = '{}'", directory.display()),
    );
}

/// Returns the position of the copy, as the copy itself reports it.
pub fn position_of(copy: &Sandbox) -> Position {
    let mut conn = copy.connect();
    let mut ask = |column: &str| {
        value(
            &mut conn,
            &format!("SELECT {column} FROM performance_schema.clone_status"),
        )
    };
    Position {
        file: ask("BINLOG_FILE").rsplit('/').next().unwrap().to_owned(),
        offset: ask("BINLOG_POSITION").parse().unwrap(),
        gtid: ask("GTID_EXECUTED").replace(['\n', ' '], ""),
    }
}

#[test]
fn the_proof_holds_for_a_true_copy_and_fails_for_a_changed_one() {
    let room = scratch();
    let source = Sandbox::start("e2e-self", &[SOURCE]);
    let wanted = schema::Wanted {
        page_kib: 16,
        outside: None,
        encrypted: false,
        // The clone plugin copies InnoDB only.
        other_engines: false,
    };
    let targets = schema::create(&source, &wanted);
    ddl::prepare(&source);
    let load = Load::start(&source, &targets, 3);
    ddl::round(&source, 1);
    load.wait_for_progress();
    let open = Open::begin(&source, "self");
    let before = crate::journey::binlog_end(&source);
    let copy_dir = room.path().join("copy");
    clone_of(&source, &copy_dir);
    load.wait_for_progress();
    open.settle(true);
    ddl::round(&source, 2);
    load.wait_for_progress();
    load.stop();

    let copy = Sandbox::start_on("e2e-self-copy", &copy_dir, &[RESTORED]);
    let position = position_of(&copy);
    // A clone takes only a moment; a commit of the load during it is likely, not certain.
    assert!(
        (position.file.clone(), position.offset) >= before,
        "the copy is older than its start: {before:?} then {position:?}"
    );
    proof::prove(&source, &copy, &position);

    let mut conn = copy.connect();
    run(&mut conn, "SET sql_log_bin = 0");
    run(
        &mut conn,
        "UPDATE shop.z4 SET c = CONCAT(c, '!') ORDER BY id LIMIT 1",
    );
    must_name(
        &proof::compare(&source, &copy),
        "content `shop`.`z4` differs",
    );
    run(
        &mut conn,
        "UPDATE shop.z4 SET c = LEFT(c, CHAR_LENGTH(c) - 1) ORDER BY id LIMIT 1",
    );
    assert_eq!(proof::compare(&source, &copy), Vec::<String>::new());
    run(&mut conn, "DROP TRIGGER shop.logged");
    must_name(
        &proof::compare(&source, &copy),
        "trigger shop.logged is missing",
    );
    run(&mut conn, "CREATE TABLE shop.surplus (id INT)");
    must_name(
        &proof::compare(&source, &copy),
        "table shop.surplus is too much",
    );
    must_name(&proof::standing(&copy, &position), "gtid_executed is");
}

#[track_caller]
fn must_name(findings: &[String], words: &str) {
    assert!(
        findings.iter().any(|finding| finding.contains(words)),
        "the proof did not detect it ({words}): {findings:?}"
    );
}
