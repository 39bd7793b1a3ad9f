//! Encryption at rest with the keyring component: own and general tablespaces, redo, undo, the
//! dictionary. The key is never in a backup: without it a restore must refuse, with it it must be
//! right.

use crate::journey::Journey;
use crate::sandbox::Sandbox;
use crate::{ddl, lsnap};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What tells a server where its keys are; both lie in the data directory and come with a backup. The
/// file of keys that they name does not.
const MANIFEST: &str = "mysqld.my";
const CONFIG: &str = "component_keyring_file.cnf";

/// The source's keyring, copied to where the restored server will have its own.
fn bring_keyring(source: &Sandbox, room: &Path) -> PathBuf {
    let read = |name: &str| {
        let path = source.datadir().join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let config: serde_json::Value = serde_json::from_str(&read(CONFIG)).unwrap();
    let keys = room.join("keys");
    std::fs::create_dir(&keys).unwrap();
    std::fs::copy(config["path"].as_str().unwrap(), keys.join("keyring")).unwrap();
    std::fs::write(keys.join(MANIFEST), read(MANIFEST)).unwrap();
    let own = serde_json::json!({"path": keys.join("keyring"), "read_only": false});
    std::fs::write(keys.join(CONFIG), own.to_string()).unwrap();
    keys
}

/// A `mysqld` that finds its keyring: a machine's own would have the manifest beside the program,
/// where the servers of the sandbox, which share one program, can't have it.
fn mysqld_with(source: &Sandbox, keys: &Path) -> PathBuf {
    let program = keys.join("mysqld");
    let script = format!(
        "#!/bin/sh\nfor a in \"$@\"; do case \"$a\" in --datadir=*) cp '{keys}/{MANIFEST}' '{keys}/{CONFIG}' \
         \"${{a#--datadir=}}/\";; esac; done\nexec '{}' \"$@\"\n",
        source.program("mysqld").display(),
        keys = keys.display(),
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
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
            "no word of pages that need the key: {unverifiable}"
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
    // The configuration comes with the backup and names the source's key file: as on a restore host,
    // there must be none.
    let config = std::fs::read(Path::new(&journey.source.datadir()).join(CONFIG)).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let key_file = PathBuf::from(config["path"].as_str().unwrap());
    let hidden = key_file.with_extension("hidden");
    std::fs::rename(&key_file, &hidden).unwrap();
    lsnap::try_restore(&journey.repository(), name, &target, &keyless)
        .refused(1, &["--keyring-config"]);
    assert!(!target.exists(), "a failed restore left a target");
    std::fs::rename(&hidden, &key_file).unwrap();

    let keys = bring_keyring(&journey.source, journey.path());
    // Without a program of one's own: the configuration is that of whoever restores, not the backup's.
    let config = [&keyless[..], &["--keyring-config", keys.to_str().unwrap()]].concat();
    let said = lsnap::try_restore(&journey.repository(), name, &target, &config).ok();
    assert_eq!(said.json["gtid_verified"], true, "{}", said.stdout);
    let own = std::fs::read(keys.join(CONFIG)).unwrap();
    assert_eq!(std::fs::read(target.join(CONFIG)).unwrap(), own);
    std::fs::remove_dir_all(&target).unwrap();
    let program = mysqld_with(&journey.source, &keys);
    journey.prove_with(1, &["--keyring"], &program, |datadir| {
        for name in [MANIFEST, CONFIG] {
            std::fs::copy(keys.join(name), datadir.join(name)).unwrap();
        }
    });
}
