//! Encryption at rest with the keyring component: own and general tablespaces, redo, undo, the
//! dictionary. The key is never in a backup: without the key a restore must refuse, with the key it
//! must be right.

use crate::journey::Journey;
use crate::sandbox::Sandbox;
use crate::{ddl, lsnap};
use std::path::{Path, PathBuf};

/// The file that configures the keyring of a server. The configuration is not in a backup, and
/// neither is the file of keys that it names.
pub const MANIFEST: &str = "mysqld.my";
pub const CONFIG: &str = "component_keyring_file.cnf";

/// Copies the source's keyring to the path of the restored server's keyring; returns the directory.
pub fn bring_keyring(source: &Sandbox, room: &Path) -> PathBuf {
    let text = std::fs::read_to_string(source.datadir().join(CONFIG)).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keys = room.join("keys");
    std::fs::create_dir(&keys).unwrap();
    std::fs::copy(config["path"].as_str().unwrap(), keys.join("keyring")).unwrap();
    std::fs::copy(source.datadir().join(MANIFEST), keys.join(MANIFEST)).unwrap();
    let own = serde_json::json!({"path": keys.join("keyring"), "read_only": false});
    std::fs::write(keys.join(CONFIG), own.to_string()).unwrap();
    keys
}

#[test]
fn encrypted_tablespaces_redo_and_undo() {
    let mut journey = Journey::begin("e2e-enc", 16, &["--keyring"], true);
    for sql in [
        "SET GLOBAL innodb_redo_log_encrypt = ON",
        "SET GLOBAL innodb_undo_log_encrypt = ON",
        "ALTER TABLESPACE mysql ENCRYPTION = 'Y'",
    ] {
        journey.source.run(sql);
    }
    journey.member();
    ddl::round(&journey.source, 1);
    journey
        .source
        .run("ALTER TABLE shop.customers ENCRYPTION = 'Y'");
    journey.source.run("ALTER TABLE enc.own ENCRYPTION = 'N'");
    journey
        .source
        .run("ALTER INSTANCE ROTATE INNODB MASTER KEY");
    journey.member();
    ddl::round(&journey.source, 2);
    journey.rest();
    for member in &journey.members {
        let unverifiable = &member.json["pages"]["unverifiable"];
        assert!(
            unverifiable.as_u64() > Some(0),
            "pages that need the key are not mentioned: {unverifiable}"
        );
    }

    let target = journey.path().join("no key");
    let plain = journey.source.program("mysqld");
    let keyless = [
        "--redo-applier",
        "mysqld",
        "--mysqld",
        plain.to_str().unwrap(),
    ];
    let name = &journey.members[1].name;
    let left_out = journey.members[1].json["left_out"].as_array().unwrap();
    let left = left_out.iter().find(|left| left["path"] == CONFIG).unwrap();
    assert!(
        left["reason"]
            .as_str()
            .unwrap()
            .contains("a way to the keys")
    );
    lsnap::try_restore(&journey.repository(), name, &target, &keyless)
        .refused(1, &["--keyring-config"]);
    assert!(!target.exists(), "a failed restore left a target");
    let plan = [&keyless[..], &["--print-plan"]].concat();
    let plan = lsnap::try_restore(&journey.repository(), name, &target, &plan).ok();
    assert!(plan.stdout.contains("--keyring-config"), "{}", plan.stdout);

    let keys = bring_keyring(&journey.source, journey.path());
    // Without a `mysqld` that has its own configuration: the user who restores provides it, not the
    // backup.
    let keyed = [&keyless[..], &["--keyring-config", keys.to_str().unwrap()]].concat();
    journey.prove_by(1, &["--keyring"], |name, datadir| {
        let said = lsnap::try_restore(&journey.repository(), name, datadir, &keyed).ok();
        assert_eq!(said.json["gtid_verified"], true, "{}", said.stdout);
        let own = std::fs::read(keys.join(CONFIG)).unwrap();
        assert_eq!(std::fs::read(datadir.join(CONFIG)).unwrap(), own);
    });
}
