//! An encrypted chain: backups that are refused because their MAC doesn't match the key, settings
//! that an incremental takes over from its base, and access rights of stored and restored files.

use crate::lsnap::{self, Said};
use crate::sandbox::{SOURCE, Sandbox, scratch};
use crate::sealed::KEY;
use crate::wrapped::forge;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A small server, a key, and directories for repositories.
struct World {
    server: Sandbox,
    key: String,
    room: tempfile::TempDir,
}

impl World {
    fn start() -> Self {
        let room = scratch();
        let server = Sandbox::start("e2e-authentic", &[SOURCE]);
        server.run("CREATE DATABASE d");
        server.run("CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(100))");
        server.run("INSERT INTO d.t VALUES (1, 'one')");
        let path = room.path().join("key");
        std::fs::write(&path, KEY).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let key = path.to_str().unwrap().to_owned();
        Self { server, key, room }
    }

    fn repository(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    fn backup(&self, repository: &Path, more: &[&str]) -> String {
        lsnap::backup(&self.server, repository, more).name
    }

    fn sealed(&self, repository: &Path, more: &[&str]) -> String {
        self.backup(repository, &[&self.seal()[..], more].concat())
    }

    fn refused(&self, repository: &Path, more: &[&str], words: &[&str]) {
        lsnap::try_backup(&self.server, repository, more).refused(12, words);
    }

    fn seal(&self) -> [&str; 3] {
        ["--encrypt=AES256", "--encrypt-key-file", &self.key]
    }

    fn open(&self) -> [&str; 3] {
        ["--decrypt=AES256", "--encrypt-key-file", &self.key]
    }

    fn restore(&self, repository: &Path, name: &str, datadir: &str, more: &[&str]) -> Said {
        let mysqld = self.server.program("mysqld");
        let applier = [
            "--redo-applier=mysqld",
            "--mysqld",
            mysqld.to_str().unwrap(),
        ];
        let how = [&applier[..], more].concat();
        lsnap::try_restore(repository, name, &self.room.path().join(datadir), &how)
    }

    /// Checks that every command that reads `name` with the key refuses it.
    fn all_refuse(&self, repository: &Path, name: &str, words: &[&str]) {
        let key = self.open();
        self.restore(repository, name, "refused", &key)
            .refused(12, words);
        assert!(!self.room.path().join("refused").exists());
        let from = lsnap::url(repository);
        let with_key =
            |command: &str| lsnap::lsnap([&[command, "--from", &from, name][..], &key].concat());
        with_key("consolidate").refused(12, words);
        let verified = with_key("verify");
        assert_ne!(verified.code, 0, "{verified:?}");
        verified.refused(verified.code, words);
    }
}

fn manifest_of(repository: &Path, name: &str) -> PathBuf {
    let object = format!("lsnap_manifest.json.{:020}", 0);
    repository.join(name).join(object)
}

/// Replaces the backup `to` by the backup `from` of another repository; its manifest is changed to
/// the name `to`.
fn exchange(from: (&Path, &str), to: (&Path, &str)) {
    let (source, target) = (from.0.join(from.1), to.0.join(to.1));
    std::fs::remove_dir_all(&target).unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(&source)
        .arg(&target)
        .status();
    assert!(copied.unwrap().success());
    let path = manifest_of(to.0, to.1);
    let object = std::fs::read(&path).unwrap();
    let name = |name: &str| format!("\"name\":\"{name}\"");
    std::fs::write(&path, forge(&object, &name(from.1), &name(to.1))).unwrap();
    // it is optional, and contains the old name
    std::fs::remove_file(target.join(format!("lsnap_summary.json.{:020}", 0))).unwrap();
}

#[test]
fn a_chain_is_encrypted_as_a_whole_and_authenticated() {
    let world = World::start();
    let sealed = world.repository("sealed");
    let full = world.sealed(&sealed, &["--compress=lz4", "--cluster=a"]);
    forgotten_keys(&world, &sealed, &full);

    // Compression is taken over and can be changed; encryption stays the same.
    let second = world.sealed(&sealed, &["--incremental", "--cluster=a"]);
    let third = world.sealed(
        &sealed,
        &["--incremental", "--compress=none", "--cluster=a"],
    );
    let stored =
        |name: &str, path: &str| sealed.join(name).join(format!("{path}.{:020}", 0)).exists();
    assert!(stored(&second, "d/t.ibd.delta.lz4.xbcrypt"));
    assert!(stored(&third, "d/t.ibd.delta.xbcrypt"));
    info_says(&world, &sealed, &third, ["N", "Y"]);
    info_says(&world, &sealed, &second, ["compressed", "Y"]);
    only_the_owner_reads(&sealed, 0o600, 0o700);

    exchanged(&world, &sealed, &full, &second);
    without_the_key(&world, &sealed, &full, &second);
    world
        .restore(&sealed, &third, "restored", &world.open())
        .ok();
    only_the_owner_reads(&world.room.path().join("restored"), 0o640, 0o750);
    extracted(&world);
}

/// An extracted stream: the checks of its directory.
fn extracted(world: &World) {
    let mysqld = world.server.program("mysqld");
    let dir = |name: &str| {
        let dir = world.room.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).unwrap();
        dir
    };
    let into = |dir: &Path| {
        let mut program = lsnap::command();
        program.args(["xbstream", "-x", "-C", dir.to_str().unwrap()]);
        program
    };
    let full = dir("stream");
    lsnap::stream(&world.server, &world.seal(), into(&full));
    only_the_owner_reads(&full, 0o600, 0o700);
    let next = dir("next stream");
    let on = ["--incremental", "--base-dir", full.to_str().unwrap()];
    let sealed = [&world.seal()[..], &on].concat();
    lsnap::stream(&world.server, &sealed, into(&next));
    assert!(next.join("d/t.ibd.delta.xbcrypt").exists());
    let plain = lsnap::command()
        .args([
            "backup",
            "--stream",
            "--no-defaults",
            "--user=root",
            "--socket",
        ])
        .arg(world.server.socket())
        .args(on)
        .output();
    lsnap::said(plain.unwrap()).refused(12, &["the base is encrypted"]);

    let target = world.room.path().join("from directories");
    let plan = |dirs: &[&PathBuf], key: &[&str]| {
        let how = [key, &["--print-plan"]].concat();
        crate::streams::restore(&mysqld, dirs, &target, &how)
    };
    let key = world.open();
    plan(&[&full, &next], &key).ok();
    plan(&[&full], &[]).refused(12, &["it is encrypted"]);
    // A user with write access can't decrypt, but can replace encrypted files by plain ones.
    let path = full.to_str().unwrap();
    lsnap::lsnap([
        "decrypt",
        path,
        "--encrypt-key-file",
        &world.key,
        "--remove-original",
    ])
    .ok();
    plan(&[&full], &key).refused(12, &["is decrypted in", "--accept-unauthenticated"]);
    plan(&[&full], &[]).ok();
    // Or can remove the manifest.
    std::fs::remove_file(full.join("lsnap_manifest.json")).unwrap();
    plan(&[&full], &key).refused(12, &["no lsnap_manifest.json"]);
    plan(
        &[&full],
        &[&key[..], &["--accept-unauthenticated"]].concat(),
    )
    .ok();
}

/// A plain member is refused by the repository, and by the chain if the repository has no setting.
fn forgotten_keys(world: &World, sealed: &Path, full: &str) {
    let words = ["takes encrypted backups only", "--key-file"];
    world.refused(sealed, &[], &words);
    world.refused(sealed, &["--incremental"], &words);
    let marker = sealed.join("lsnap_repository.json");
    let text = std::fs::read_to_string(&marker).unwrap();
    assert!(text.contains("\"encrypted_only\":true"), "{text}");
    std::fs::remove_file(&marker).unwrap();
    let words = ["the base is encrypted", "--key-file", "AES256"];
    let incremental = ["--incremental", "--cluster=a"];
    world.refused(sealed, &incremental, &words);

    let other = world.room.path().join("other");
    std::fs::write(&other, KEY.replace("0f", "f0")).unwrap();
    let other = [
        "--encrypt=AES256",
        "--key-file",
        other.to_str().unwrap(),
        "--incremental",
        "--cluster=a",
    ];
    world.refused(sealed, &other, &["another key"]);

    // Without a marker, a plain chain may be next to it, and can't become an encrypted one.
    let plain = world.backup(sealed, &["--cluster=p"]);
    let on_plain = ["--incremental", "--cluster=p", "--base", &plain];
    let on_plain = [&world.seal()[..], &on_plain].concat();
    world.refused(sealed, &on_plain, &["the base is not encrypted"]);
    let key = world.open();
    world
        .restore(sealed, &plain, "plain", &key)
        .refused(12, &["it is not encrypted", "--accept-unauthenticated"]);
    let accepting = [&key[..], &["--accept-unauthenticated", "--print-plan"]].concat();
    let plan = world.restore(sealed, &plain, "plain", &accepting).ok();
    assert!(
        plan.stdout.contains("its creator is unknown"),
        "{}",
        plan.stdout
    );
    let from = lsnap::url(sealed);
    lsnap::lsnap(["delete", "--from", &from, &plain]).ok();

    // With the setting, the state is the same again.
    let again = [
        &world.seal()[..],
        &[
            "--incremental",
            "--base",
            full,
            "--encrypted-only",
            "--cluster=a",
        ],
    ]
    .concat();
    world.backup(sealed, &again);
    world.refused(sealed, &["--cluster=q"], &["takes encrypted backups only"]);
}

/// A whole backup, and one member, are exchanged by an attacker without the key, for a plain backup
/// and for other backups with the same key.
fn exchanged(world: &World, sealed: &Path, full: &str, second: &str) {
    let copy = |name: &str| {
        let to = world.repository(name);
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .args([sealed, &to])
            .status();
        assert!(copied.unwrap().success());
        to
    };
    let plain = world.repository("plain");
    let plain_full = world.backup(&plain, &[]);
    let other = world.repository("other chain");
    let other_full = world.sealed(&other, &[]);
    let other_second = world.sealed(&other, &["--incremental"]);

    let forged = copy("whole backup");
    exchange((&plain, &plain_full), (&forged, full));
    world.all_refuse(&forged, full, &["it is not encrypted"]);
    let incremental = [
        &world.seal()[..],
        &["--incremental", "--cluster=a", "--base", full],
    ]
    .concat();
    let said = lsnap::try_backup(&world.server, &forged, &incremental);
    assert_ne!(said.code, 0, "{said:?}");

    let forged = copy("full of another chain");
    exchange((&other, &other_full), (&forged, full));
    world.all_refuse(&forged, full, &["does not fit the MAC"]);

    let forged = copy("member of another chain");
    exchange((&other, &other_second), (&forged, second));
    let restored = world.restore(&forged, second, "refused", &world.open());
    assert_ne!(restored.code, 0, "{restored:?}");
    // nor with a name that it really has
    let object = std::fs::read(manifest_of(&other, &other_second)).unwrap();
    std::fs::write(manifest_of(&forged, second), object).unwrap();
    let restored = world.restore(&forged, second, "refused", &world.open());
    assert_ne!(restored.code, 0, "{restored:?}");
}

/// Changes that a verification without the key can't detect, and those that it detects. For an
/// incremental, the whole chain must be authentic, not only its base.
fn without_the_key(world: &World, sealed: &Path, full: &str, second: &str) {
    let from = lsnap::url(sealed);
    let verify = |more: &[&str]| {
        lsnap::lsnap([&["verify", "--from", &from, "--all", "--json"][..], more].concat())
    };
    verify(&[&world.open()[..], &["--data"]].concat()).ok();
    for level in [&[][..], &["--data"]] {
        let said = verify(level);
        said.refused(15, &["without the key", "--key-file"]);
        let member = &said.json["members"][0];
        assert_eq!(member["authentication"], "not_authenticated", "{member}");
    }
    let named = lsnap::lsnap(["verify", "--from", &from, second]);
    named.refused(15, &["NOT AUTHENTICATED"]);

    let path = manifest_of(sealed, full);
    let whole = std::fs::read(&path).unwrap();
    let text = String::from_utf8_lossy(&whole);
    let at = text.find("\"mac\":\"").unwrap();
    let mac = text[at..].split_inclusive(',').next().unwrap();
    let made_up = mac
        .replace(['1', '2', '3'], "0")
        .replace("keyed-0", "keyed-2");
    assert_ne!(mac, made_up);
    let stripped = forge(&whole, mac, "");
    for (forged, code, words) in [
        (stripped, 12, "has no MAC"),
        (forge(&whole, mac, &made_up), 12, "does not fit the MAC"),
    ] {
        std::fs::write(&path, forged).unwrap();
        // it is optional, and has the digest of the other manifest
        let summary = sealed
            .join(full)
            .join(format!("lsnap_summary.json.{:020}", 0));
        let kept = std::fs::read(&summary).unwrap();
        std::fs::remove_file(&summary).unwrap();
        let on_it = [
            &world.seal()[..],
            &["--incremental", "--cluster=a", "--base", full],
        ]
        .concat();
        let said = lsnap::try_backup(&world.server, sealed, &on_it);
        said.refused(code, &["a member that the base depends on"]);
        if words == "has no MAC" {
            verify(&[]).refused(13, &[words]);
        }
        std::fs::write(&summary, kept).unwrap();
    }
    std::fs::write(&path, whole).unwrap();
}

/// Checks the compression and encryption fields of `xtrabackup_info`.
fn info_says(world: &World, repository: &Path, name: &str, expected: [&str; 2]) {
    let dir = world.room.path().join("got");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    let from = lsnap::url(repository);
    let get = [
        "cloud",
        "get",
        "--from",
        &from,
        name,
        "-C",
        dir.to_str().unwrap(),
        "--decompress",
    ];
    lsnap::lsnap([&get[..], &world.open()].concat()).ok();
    let info = std::fs::read_to_string(dir.join("xtrabackup_info")).unwrap();
    for (key, value) in ["compressed", "encrypted"].iter().zip(expected) {
        assert!(info.contains(&format!("\n{key} = {value}\n")), "{info}");
    }
    only_the_owner_reads(&dir, 0o600, 0o700);
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Checks that files and directories have no other permission bits than these.
fn only_the_owner_reads(path: &Path, file: u32, directory: u32) {
    let found = std::fs::symlink_metadata(path).unwrap();
    let (mode, most) = (
        found.permissions().mode() & 0o777,
        if found.is_dir() { directory } else { file },
    );
    assert_eq!(mode & !most, 0, "{} has mode {mode:o}", path.display());
    if found.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            only_the_owner_reads(&entry.unwrap().path(), file, directory);
        }
    }
}
