//! A server with encrypted tablespaces, redo log and undo logs under xtrabackup's name: the keys are those of
//! `component_keyring_file`, of which `--component-keyring-config` has the configuration.

use crate::encryption::{CONFIG, MANIFEST, bring_keyring};
use crate::journey::Journey;
use crate::named_xtrabackup::{backup, completed, links, log, member};
use crate::sandbox::{RESTORED, Sandbox};
use crate::{ddl, proof};
use std::path::Path;
use std::process::{Command, Output};

#[test]
fn an_encrypted_chain_needs_the_keyring_in_its_last_step() {
    let mut journey = Journey::begin("e2e-named-keyring", 16, &["--keyring"], true);
    for sql in [
        "SET GLOBAL innodb_redo_log_encrypt = ON",
        "SET GLOBAL innodb_undo_log_encrypt = ON",
        "ALTER TABLESPACE mysql ENCRYPTION = 'Y'",
    ] {
        journey.source.run(sql);
    }
    let room = journey.path().to_owned();
    let links = links(&room);
    let [full, first] = ["full", "first"].map(|name| room.join(name));
    journey.member_by(|source, _| {
        member(&completed(
            &backup(&links, source, &full, &[]).output().unwrap(),
        ))
    });
    ddl::round(&journey.source, 1);
    journey
        .source
        .run("ALTER TABLE shop.customers ENCRYPTION = 'Y'");
    journey
        .source
        .run("ALTER INSTANCE ROTATE INNODB MASTER KEY");
    let base = format!("--incremental-basedir={}", full.display());
    journey.member_by(|source, _| {
        member(&completed(
            &backup(&links, source, &first, &[&base]).output().unwrap(),
        ))
    });
    journey.rest();
    for directory in [&full, &first] {
        assert!(!directory.join(CONFIG).exists(), "the way to the keys");
    }

    let mysqld = journey.source.program("mysqld");
    let run = |words: &[&str]| -> Output {
        Command::new(links.join("xtrabackup"))
            .env("LSNAP_REDO_APPLIER", "mysqld")
            .env("LSNAP_MYSQLD", &mysqld)
            .arg("--no-defaults")
            .args(words)
            .output()
            .unwrap()
    };
    let target = format!("--target-dir={}", full.display());
    let incremental = format!("--incremental-dir={}", first.display());
    completed(&run(&["--prepare", "--apply-log-only", &target]));
    let last = ["--prepare", &target, &incremental];
    let output = run(&last);
    let said = log(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--component-keyring-config"), "{said}");

    let keys = bring_keyring(&journey.source, &room);
    let config = format!("--component-keyring-config={}", keys.join(CONFIG).display());
    completed(&run(&[&last[..], &[&config]].concat()));

    let data = room.join("data");
    let datadir = format!("--datadir={}", data.display());
    completed(&run(&["--copy-back", &target, &datadir]));
    // The list of components is a file of the backup, the way to the keys is not.
    let list = |directory: &Path| std::fs::read(directory.join(MANIFEST)).unwrap();
    assert_eq!(list(&data), list(&journey.source.datadir()));
    assert!(!data.join(CONFIG).exists());
    std::fs::copy(keys.join(CONFIG), data.join(CONFIG)).unwrap();
    prove(&journey, &data);
}

fn prove(journey: &Journey, data: &Path) {
    let server = Sandbox::start_on("e2e-named-keyring-back", data, &[RESTORED, &["--keyring"]]);
    proof::prove(&journey.source, &server, &journey.members[1].position);
    // The undo tablespaces are as the server's own settings have them.
    let encrypted = "SELECT GROUP_CONCAT(NAME ORDER BY NAME) FROM information_schema.INNODB_TABLESPACES \
                     WHERE ENCRYPTION = 'Y' AND SPACE_TYPE <> 'Undo'";
    assert_eq!(server.value(encrypted), journey.source.value(encrypted));
    server.kill();
}
